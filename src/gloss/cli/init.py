"""An experiment for a model and texts, to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from gloss.cli.arguments import Adapter, Device, Dtype


def init(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A folder, a GGUF file, a name on the hub, `embedded`, or a RUN."
        ),
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXTS...",
            help=(
                "Files, folders, `rows.jsonl#column`, `datasets:NAME`, or `stdlib`, Python's own"
                " source, which is what is read if left out."
            ),
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write, which must be new.")
    ] = Path("experiment.toml"),
    dictionary: Annotated[
        str,
        typer.Option(
            help="A folder in a known format, `embedded`, or a RUN; one is trained if left out."
        ),
    ] = "",
    site: Annotated[
        str, typer.Option(help="Where to read, as in `resid_post.5`; the middle if left out.")
    ] = "",
    tokens: Annotated[
        int | None,
        typer.Option(min=100, help="Of text to read; as many as a laptop can if left out."),
    ] = None,
    features: Annotated[int, typer.Option(min=0, help="How many to explain; 0 for all.")] = 100,
    folder: Annotated[
        str, typer.Option(help="Of the run; `runs/` and the model's name if left out.")
    ] = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
    adapter: Adapter = "",
) -> None:
    """Write a commented **experiment for your own model** and texts, which runs as it is.

    `gloss init path/of/a/model stories.jsonl#text` looks at both, chooses a site, a dictionary and
    amounts that fit a laptop, and writes experiment.toml; then `gloss run experiment.toml`.
    """
    from gloss.run.commands.init import InitSettings, write_first_experiment
    from gloss.run.sources import NamedModel

    write_first_experiment(
        NamedModel.of(model, device, dtype, adapter),
        tuple(texts or ("stdlib",)),
        output,
        InitSettings(dictionary, site, tokens, features, folder),
    )
