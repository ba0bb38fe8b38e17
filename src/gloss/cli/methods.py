"""Which methods are there?"""

from typing import Annotated

import typer


def methods(
    verb: Annotated[
        str,
        typer.Argument(
            metavar="VERB",
            help="`decompose`, `sample`, `explain`, `score`, `attribute`; all if left out.",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List every **method** that is installed, with its settings, their defaults, and what it
    needs.
    """
    from gloss.run.commands.methods import print_methods

    print_methods(verb, as_json=as_json)
