"""The verbs about labels that others made: read them in any layout, and write them in another."""

from pathlib import Path
from typing import Annotated

import typer

LabelFiles = Annotated[
    list[str],
    typer.Argument(
        metavar="LABELS...",
        help="Files or folders, in a format that `gloss methods labels` lists.",
    ),
]


def import_labels(
    files: LabelFiles,
    out: Annotated[
        Path | None, typer.Option(help="Where to write them; the name says as what.")
    ] = None,
    as_format: Annotated[
        str,
        typer.Option("--as", help="Write `parquet`, `table` (CSV, JSON lines) or `neuronpedia`."),
    ] = "",
    layer: Annotated[str, typer.Option(help="Keep the labels of this layer alone.")] = "",
    by: Annotated[str, typer.Option(help="Keep the labels that this one made.")] = "",
    width: Annotated[
        int, typer.Option(min=0, help="Of the dictionary: pass over indices beyond it.")
    ] = 0,
    contexts: Annotated[
        Path | None, typer.Option(help="Where to write the published activations, as Parquet.")
    ] = None,
) -> None:
    """Read **labels that others made**, in the layout of Neuronpedia, delphi, SAEDashboard,
    Transluce, OpenAI, EleutherAI or any table, and write them as one.
    """
    from gloss.run.commands.import_labels import LabelChoice, print_imported_labels

    print_imported_labels(files, LabelChoice(layer, by, width), out, as_format, contexts)
