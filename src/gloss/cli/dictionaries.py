"""The verbs about dictionaries: does one fit its model, and which features do several share?"""

from pathlib import Path
from typing import Annotated

import typer

from gloss.cli.arguments import Adapter, Device, Dtype, Site


def check(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A folder, a name on the hub, `embedded`, or a RUN."),
    ],
    dictionary: Annotated[
        str,
        typer.Argument(
            metavar="DICTIONARY",
            help=(
                "A folder or file in a known format, hf://OWNER/NAME/PATH, RELEASE/ID of SAELens,"
                " `embedded`, or a RUN; left out, the model's RUN."
            ),
        ),
    ] = "",
    texts: Annotated[
        list[str] | None, typer.Option(help="Where to read text; the standard library if left out.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens to read.")] = 50_000,
    site: Site = "",
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

    A RUN in place of both takes its own subject and dictionary: `gloss check runs/demo`.
    """
    from gloss.models.model_settings import leave_out_from_words
    from gloss.run.commands.check import print_dictionary_check
    from gloss.run.sources import model_and_dictionary

    found = model_and_dictionary(model, dictionary, site, device, dtype, adapter)
    read = tuple(texts or ("stdlib",))
    print_dictionary_check(*found, read, tokens, leave_out_from_words(leave_out), massive)


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A folder, a name on the hub, `embedded`, a RUN, or its EXPERIMENT.toml.",
        ),
    ],
    dictionary: Annotated[
        str,
        typer.Argument(
            metavar="DICTIONARY",
            help="As `gloss check` takes it, or KIND=DICTIONARY; left out, the model's RUN.",
        ),
    ] = "",
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="What is measured: see `gloss methods evaluate`; repeatable. `core` if left out."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="MEASURE.SETTING=VALUE of a measure; repeatable."),
    ] = None,
    texts: Annotated[
        list[str] | None, typer.Option(help="Where to read text; the standard library if left out.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens to read.")] = 50_000,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help="Texts with labels: a file, or a set of the wheel sae-probes; repeatable."
        ),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "A dictionary that stands beside it: another seed, a control; repeatable. As"
                " KIND=DICTIONARY, five of each kind, kinds are told apart."
            )
        ),
    ] = None,
    random_subject: Annotated[
        bool,
        typer.Option("--random-subject", help="Measure it on a subject with random weights, too."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Keep what is measured; the same command goes on there."
        ),
    ] = None,
    saebench: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write SAEBench's files, too.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    site: Site = "",
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Measure a dictionary **beside a random one** and those that you name: sparsity,
    reconstruction, what its features know of labels, what they control.

    Every number stands with its n and its 95 % interval. With `--out`, a killed command goes on.
    """
    from gloss.cli.arguments import run_folder
    from gloss.run.commands.evaluate import EvaluationRequest, measures_asked, print_evaluation
    from gloss.run.commands.evaluated_kinds import split_kind
    from gloss.run.sources import model_and_dictionary

    kind, dictionary = split_kind(dictionary)
    named, other = (
        str(run_folder(name)) if name.endswith(".toml") else name for name in (model, dictionary)
    )
    found = model_and_dictionary(named, other, site, device, dtype)
    asked = EvaluationRequest(
        measures_asked(measure or (), settings or ()),
        tuple(texts or ("stdlib",)),
        tokens,
        tuple(labels or ()),
        kind=kind,
        beside=tuple(beside or ()),
        random_subject=random_subject,
        seed=seed,
        folder=out,
        saebench=saebench,
    )
    print_evaluation(*found, asked)


def compare(
    dictionaries: Annotated[
        list[str],
        typer.Argument(
            metavar="DICTIONARY DICTIONARY...",
            help="Folders in a known format, `embedded`, or RUNs, which stand for their own.",
        ),
    ],
    by: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "`weights`, `decoder`, `encoder`, `coactivation` or `explanations`; repeatable. All"
                " that RUNs allow if left out."
            )
        ),
    ] = None,
    explainer: Annotated[
        str, typer.Option(help="Whose explanations are compared; the first of each RUN's.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(metavar="PAGE.html", help="Write a page, too, and a JSON file beside it."),
    ] = None,
    site: Annotated[
        str, typer.Option(help="Where the dictionaries read, if their files do not say.")
    ] = "",
    seed: Annotated[
        int,
        typer.Option(min=0, help="Of what is drawn to tell what chance would share."),
    ] = 0,
    matcher: Annotated[
        str,
        typer.Option(help="Who finds partners by weights: `hungarian`, or `mutual_nearest`."),
    ] = "",
) -> None:
    """Say which share of their **features two dictionaries have in common**, beside what chance
    would share: by weights, by where features fire on the same text, by what explanations say.

    Two seeds: `gloss compare runs/seed0 runs/seed1`. Three or more also say what all of them have.

    Two runs of one dictionary, on a model before and after a training: which features moved.

    Two features side by side: `gloss compare runs/seed0@17 runs/seed1@4 --out pair.html`.
    """
    from gloss.run.commands.compare import print_dictionary_comparison
    from gloss.run.commands.compare_features import are_features, print_feature_pair

    if are_features(dictionaries):
        return print_feature_pair(dictionaries, out)
    return print_dictionary_comparison(
        dictionaries, site, seed, matcher, tuple(by or ()), explainer, out
    )
