"""The verbs. Each says what it does with `--help`.

What the user can mend is told in one sentence and exits with 2.
"""

import errno
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from gloss.errors import GlossError
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

ExperimentFile = Annotated[
    Path,
    typer.Argument(metavar="EXPERIMENT.toml", help="One table per verb; see docs/experiments.md."),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Wait = Annotated[
    bool,
    typer.Option("--wait", help="Where another gloss works in the folder, wait until it is done."),
]


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


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from importlib.metadata import version

        print(f"gloss {version('gloss')}")
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


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the run is kept.")] = Path("runs/demo"),
    features: Annotated[
        int,
        typer.Option(
            min=0, help="How many of the dictionary's live features to explain; 0 for all."
        ),
    ] = 400,
    wait: Wait = False,
) -> None:
    """Explain and score features of the **embedded language model**, offline, and write pages to
    look at.
    """
    from gloss.run.experiment import demo_experiment
    from gloss.run.pipeline import run_all

    run_all(demo_experiment(folder, features), wait=wait)


Precision = Annotated[
    float | None,
    typer.Option(
        help=(
            "Stop asking a judge once its balanced accuracy is known to within this, for all scores"
            " that can."
        )
    ),
]


@app.command()
def run(path: ExperimentFile, precision: Precision = None, wait: Wait = False) -> None:
    """Run **every stage** of an experiment; what is already done is not done again."""
    from gloss.run.experiment import Experiment, with_precision
    from gloss.run.pipeline import run_all

    experiment = Experiment.read(path)
    run_all(experiment if precision is None else with_precision(experiment, precision), wait=wait)


def add_stage_command(name: str, what: str) -> None:
    """Make a verb that runs an experiment up to one stage."""

    def verb(path: ExperimentFile, wait: Wait = False) -> None:
        from gloss.run.experiment import Experiment
        from gloss.run.pipeline import run_until

        run_until(Experiment.read(path), name, wait=wait)

    verb.__doc__ = what + " Earlier stages that are not done run first."
    app.command(name)(verb)


add_stage_command("decompose", "Load or train the **dictionary** of features.")
add_stage_command(
    "collect", "Run the subject over the texts and keep every feature's **activations**."
)
add_stage_command(
    "sample", "Choose the **contexts** that show each feature, a train split and a held-out one."
)
add_stage_command(
    "intervene",
    "**Amplify** each feature inside the subject and measure what that does to what it says.",
)
add_stage_command("explain", "**Explain** each feature in words.")
add_stage_command("score", "**Score** each explanation on text that it never saw, with controls.")
add_stage_command(
    "collisions",
    "Find features whose explanations **may be exchanged**: nobody can tell which of them the words"
    " mean.",
)


@app.command()
def browse(run_folder: RunFolder, wait: Wait = False) -> None:
    """Write a run's **pages** again and say where they are."""
    from gloss.run.pipeline import rewrite_pages

    rewrite_pages(run_folder, wait=wait)


Device = Annotated[
    str, typer.Option(help="Where the model is computed: `auto`, `cpu`, `cuda`, `cuda:1`.")
]
Dtype = Annotated[
    str, typer.Option(help="In which type of number: `auto`, `float32`, `bfloat16`, `float16`.")
]
Adapter = Annotated[
    str, typer.Option(help="The folder of a PEFT adapter that is added to the model's weights.")
]


@app.command()
def check(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder, a name on the hub, or `embedded`.")
    ],
    dictionary: Annotated[
        str, typer.Argument(metavar="DICTIONARY", help="A folder in a known format, or `embedded`.")
    ],
    texts: Annotated[
        list[str] | None, typer.Option(help="Where to read text; the standard library if left out.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens to read.")] = 50_000,
    site: Annotated[
        str, typer.Option(help="Where the dictionary reads, if its files do not say.")
    ] = "",
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Tokens that do not count: `special`, `none`, or one by text or number; repeatable."
            )
        ),
    ] = None,
    massive: Annotated[
        float,
        typer.Option(help="Count vectors so many times longer than the median apart; 0: none."),
    ] = 10.0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    adapter: Adapter = "",
) -> None:
    """Measure a dictionary's **L0, FVU and recovered cross-entropy** on real text, beside what its
    card says.
    """
    from gloss.models.model_settings import leave_out_from_words
    from gloss.run.commands.check import print_dictionary_check
    from gloss.run.experiment import subject_settings

    subject, read = subject_settings(model, device, dtype, adapter), tuple(texts or ("stdlib",))
    print_dictionary_check(
        subject, dictionary, read, tokens, site, leave_out_from_words(leave_out), massive
    )


@app.command()
def compare(
    dictionaries: Annotated[
        list[str],
        typer.Argument(metavar="DICTIONARY DICTIONARY...", help="Folders in a known format."),
    ],
    site: Annotated[
        str, typer.Option(help="Where the dictionaries read, if their files do not say.")
    ] = "",
    seed: Annotated[
        int,
        typer.Option(min=0, help="Of the random dictionaries that tell what chance would share."),
    ] = 0,
) -> None:
    """Say which share of their **features two dictionaries have in common**, beside what chance
    would share.
    """
    from gloss.run.commands.compare import print_dictionary_comparison

    print_dictionary_comparison(dictionaries, site, seed)


@app.command()
def status(run_folder: RunFolder) -> None:
    """Say how far a run is: what each stage has done, and what failed and why."""
    from gloss.run.commands.status import print_run_status

    print_run_status(run_folder)


@app.command()
def verify(
    run_folder: RunFolder,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend", help="Delete what is damaged; the experiment, run again, makes it anew."
        ),
    ] = False,
    wait: Wait = False,
) -> None:
    """Read **every file** of a run and say which are not as they were written."""
    from gloss.run.commands.verify import verify_run

    verify_run(run_folder, mend=mend, wait=wait)


@app.command("report")
def report_verb(
    run_folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="The folder of a run; several are compared."),
    ],
    wait: Wait = False,
) -> None:
    """Write a run's **report**: one page with its settings, scores beside controls, what each
    metric can see, and cost.

    Several runs are compared by their dictionaries, over seeds: each dictionary needs runs with two
    seeds at least.
    """
    from gloss.run.pipeline import write_and_print_report

    write_and_print_report(run_folders, wait=wait)


@app.command()
def query(
    run_folder: RunFolder,
    sql: Annotated[str, typer.Argument(metavar="SQL")] = "SHOW TABLES",
    form: Annotated[
        str, typer.Option("--format", help="table, csv, json or parquet; on standard output.")
    ] = "table",
    external: Annotated[
        bool, typer.Option("--external", help="Let the query read and write files outside the run.")
    ] = False,
) -> None:
    """Ask a run's records in **SQL**: tables explanations, scores, verdicts, failures, examples,
    features, statistics, ...
    """
    from gloss.run.commands.query import print_query_answer

    print_query_answer(run_folder, sql, form, external)


@app.command()
def cost(path: ExperimentFile) -> None:
    """Say what an experiment would **ask of a language model**: requests, tokens, money.

    Asks nothing.
    """
    from gloss.run.commands.cost import print_cost_estimate
    from gloss.run.experiment import Experiment

    print_cost_estimate(Experiment.read(path))


@app.command()
def probe(path: ExperimentFile) -> None:
    """Try out what an experiment's **language model can do**: chats, log-probabilities, JSON.

    In a few short requests.
    """
    from gloss.run.chat_capabilities import print_capabilities
    from gloss.run.experiment import Experiment

    print_capabilities(Experiment.read(path))


@app.command()
def steer(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder, a name on the hub, or `embedded`.")
    ],
    dictionary: Annotated[
        str, typer.Argument(metavar="DICTIONARY", help="A folder in a known format, or `embedded`.")
    ],
    feature: Annotated[
        int, typer.Argument(metavar="FEATURE", min=0, help="The feature's index in the dictionary.")
    ],
    prompts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT...", help="What to go on from; more give intervals."),
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="How strongly, in units of the feature's activation.")
    ] = None,
    kl: Annotated[
        float | None, typer.Option(help="Or: as strongly as moves the next token by so many nats.")
    ] = None,
    edit: Annotated[
        str, typer.Option(help="`add` to the activation, `set` it, or `ablate` it.")
    ] = "add",
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens to write.")] = 24,
    control: Annotated[
        bool, typer.Option("--control", help="Show a random direction at the same KL too.")
    ] = False,
    site: Annotated[
        str, typer.Option(help="Where the dictionary reads, if its files do not say.")
    ] = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
    adapter: Adapter = "",
) -> None:
    """**Change a feature** inside the model and see what it writes then, beside what it writes by
    itself.
    """
    from gloss.run.commands.steer import SteeringSettings, print_steering
    from gloss.run.experiment import subject_settings

    print_steering(
        (subject_settings(model, device, dtype, adapter), dictionary),
        feature,
        prompts or [],
        SteeringSettings(edit, strength, kl, tokens, control),
        site,
    )


@app.command()
def attribute(
    prompt: Annotated[str, typer.Option(help="The text whose parts are asked about.")] = "",
    answer: Annotated[
        str, typer.Option(help="What the model says next; its own likeliest token if left out.")
    ] = "",
    other: Annotated[
        str, typer.Option(help="Another answer, for the difference between the two.")
    ] = "",
    feature: Annotated[
        str, typer.Option(help="Or why this feature fires at the end: DICTIONARY@INDEX.")
    ] = "",
    value: Annotated[
        str, typer.Option(help="log_probability, log_odds, difference, kl or activation.")
    ] = "",
    unit: Annotated[
        str, typer.Option(help="What is removed as a whole: words, sentences, lines or tokens.")
    ] = "words",
    removal: Annotated[
        str, typer.Option(help="remove, mask or infill; of components mean, zero or resample.")
    ] = "remove",
    components: Annotated[
        str, typer.Option(help="Ask about parts of the model instead: heads, mlps or layers.")
    ] = "",
    features: Annotated[
        str, typer.Option(help="Or about features at a site: DICTIONARY@3,17,40.")
    ] = "",
    data: Annotated[
        str, typer.Option(help="Or about a table of masks and values: .csv, .parquet or .npz.")
    ] = "",
    model: Annotated[
        str, typer.Option(help="A folder, a name on the hub, or `embedded`.")
    ] = "embedded",
    base_url: Annotated[
        str, typer.Option(help="Of an endpoint that has the model, if it is not to run here.")
    ] = "",
    method: Annotated[str, typer.Option(help="Who attributes; see docs/attribute.md.")] = "auto",
    budget: Annotated[int | None, typer.Option(min=1, help="How many masks may be valued.")] = None,
    order: Annotated[
        int | None, typer.Option(min=1, help="Of the largest sets that are looked for.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where values, records and pages are kept.")] = Path(
        "runs/attribute"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of the masks that are drawn.")] = 0,
    wait: Wait = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    adapter: Adapter = "",
) -> None:
    """Say which words, heads, features or training examples **act together** to make the model say
    what it does.
    """
    from gloss.run.attributing.attribution_report import report_attribution
    from gloss.run.attributing.question import (
        AttributionQuestion,
        AttributionSettings,
        LoadingSettings,
        PlayerSettings,
    )

    players = PlayerSettings(unit, removal, components, features, data)
    question = AttributionQuestion(
        model,
        prompt,
        answer,
        other,
        feature,
        base_url,
        value,
        players,
        LoadingSettings(device, dtype, adapter),
    )
    report_attribution(
        question, AttributionSettings(method, budget, order, folder, seed), wait=wait
    )
