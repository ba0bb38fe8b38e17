"""Which features do dictionaries share?"""

from typing import Annotated

import typer


def compare(
    dictionaries: Annotated[
        list[str],
        typer.Argument(
            metavar="DICTIONARY DICTIONARY...",
            help="Folders in a known format, `embedded`, or RUNs, which stand for their own.",
        ),
    ],
    site: Annotated[
        str, typer.Option(help="Where the dictionaries read, if their files do not say.")
    ] = "",
    seed: Annotated[
        int,
        typer.Option(min=0, help="Of the random dictionaries that tell what chance would share."),
    ] = 0,
    matcher: Annotated[
        str, typer.Option(help="Who finds partners; see docs/compare.md.")
    ] = "hungarian",
) -> None:
    """Say which share of their **features two dictionaries have in common**, beside what chance
    would share.
    """
    from gloss.run.commands.compare import print_dictionary_comparison

    print_dictionary_comparison(dictionaries, site, seed, matcher)
