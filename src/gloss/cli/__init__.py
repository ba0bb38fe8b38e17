"""The verbs. Each says what it does with `--help`.

What the user can mend is told in one sentence and exits with 2.
"""

import errno
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated

import typer

from gloss.cli import attribute, dictionaries, experiments, init, labels, runs, steer
from gloss.errors import GlossError
from gloss.installed import __version__
from gloss.stopping import say_stopped, stop_on_signals, was_stopped

app = typer.Typer(
    help=(
        "Read a language model: what each feature inside it means, and how far each explanation can"
        " be trusted."
    ),
    epilog="Start with `gloss demo`: it needs no key, no GPU and no download.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        print(f"gloss {__version__}")
        raise typer.Exit


@app.callback()
def before_every_verb(
    _: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Read a language model: what each feature inside it means, and how far each explanation can be
    trusted.
    """


PANELS: Mapping[str, tuple[Callable[..., None], ...]] = {
    "Run an experiment": (
        experiments.demo,
        init.init,
        experiments.run,
        experiments.slurm,
        experiments.merge,
        experiments.cost,
        experiments.probe,
        experiments.methods,
    ),
    "Run an experiment up to one stage": experiments.STAGE_VERBS,
    "Read a run": (runs.status, runs.browse, runs.report, runs.query, runs.verify),
    "Read a model": (
        dictionaries.check,
        dictionaries.evaluate,
        steer.steer,
        attribute.attribute,
        dictionaries.compare,
    ),
    "Read what others published": (labels.import_labels, labels.audit, labels.judge),
}
NAMES: Mapping[str, str] = {"import_labels": "import"}  # of verbs that are words of Python
for panel, verbs in PANELS.items():
    for verb in verbs:
        app.command(NAMES.get(verb.__name__), rich_help_panel=panel)(verb)


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 a fault of gloss itself, 2 what the user can mend; 129, 130 and 143 when
    the terminal was closed, when interrupted and when terminated.
    """
    stop_on_signals()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # of a stream that was exchanged for another
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a name of any bytes can be told
    try:
        app()
    except BaseException as problem:  # of whatever kind, once the command was told to stop
        if was_stopped():
            sys.exit(say_stopped())
        match problem:
            case GlossError():
                print(f"gloss: {problem}", file=sys.stderr)
                sys.exit(2)
            # whoever read the output has seen enough
            case BrokenPipeError() | SystemExit(__context__=BrokenPipeError()):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            # of the output; files in folders say which they are
            case OSError(errno=errno.ENOSPC | errno.EDQUOT):
                print(
                    "gloss: there is no room for the output; make some, and run the same command"
                    " again",
                    file=sys.stderr,
                )
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(2)
            case Exception():
                print(f"gloss: {fault_sentence(problem)}", file=sys.stderr)
                sys.exit(1)
            case _:
                raise


def fault_sentence(problem: Exception) -> str:
    """Keep the traceback of an error that nobody foresaw, and say in one sentence where it lies."""
    import tempfile
    import traceback

    first, _, _ = str(problem).strip().partition("\n")
    kept = "what it did"
    with (
        suppress(OSError),
        tempfile.NamedTemporaryFile(
            "w",
            prefix="gloss-fault-",
            suffix=".log",
            delete=False,
            encoding="utf-8",
            errors="backslashreplace",
        ) as file,
    ):
        traceback.print_exception(problem, file=file)
        kept = file.name
    return (
        f"this is a fault of gloss itself ({type(problem).__name__}: {first[:200]}); please report"
        f" it with {kept}"
    )
