"""Arguments and options that several verbs take."""

from pathlib import Path
from typing import Annotated

import typer

ExperimentFile = Annotated[
    Path,
    typer.Argument(metavar="EXPERIMENT.toml", help="One table per verb; see docs/experiments.md."),
]


def run_folder(name: str) -> Path:
    """The folder of a run by what was typed: of an experiment's file the one that it names, of a
    URL the one that mirrors it.
    """
    from gloss.store.remote import local_folder

    if name.endswith(".toml") and Path(name).is_file():
        from gloss.run.experiment import Experiment

        name = Experiment.read(Path(name)).run.folder
    return local_folder(name)


RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="The folder of a run, its URL, or its EXPERIMENT.toml.",
        parser=run_folder,
    ),
]
Wait = Annotated[
    bool,
    typer.Option("--wait", help="Where another gloss works in the folder, wait until it is done."),
]

Device = Annotated[
    str,
    typer.Option(help="Where the model is computed: `auto`, `cpu`, `cuda`, `cuda:1`."),
]
Dtype = Annotated[
    str,
    typer.Option(help="In which type of number: `auto`, `float32`, `bfloat16`, `float16`."),
]
Adapter = Annotated[
    str,
    typer.Option(help="The folder of a PEFT adapter that is added to the model's weights."),
]
Site = Annotated[str, typer.Option(help="Where the dictionary reads, if its files do not say.")]
