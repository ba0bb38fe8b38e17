"""The controls that are runs of their own, beside the run: of a random dictionary and of a random
subject.

At which tokens features peak tells a trained subject from a random one, by the entropy of that
distribution. After arXiv 2501.17727: scores of explanations are alike there, while features of a
trained subject's deeper layers peak at more different tokens.
"""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.pages import page_text
from gloss.pages.report_sections import Cell, Grid, Section
from gloss.records import NOBODY, Control, Failure, FeatureActivations, FeatureId
from gloss.run.control_runs import started_controls
from gloss.run.planning import read_run
from gloss.run.reporting.run_data import RunData, Values, headline_values
from gloss.run.reporting.score_rows import NO_SCORES
from gloss.store.contexts import FixedWindows, corpus_windows
from gloss.store.corpus import Corpus

TOP = 20  # contexts of each feature
FEWEST = 10  # or else the entropy says little
WIDTH = 32  # tokens of a context, whatever the run's windows are
SCORE_COLUMNS = 4  # that a page has room for


def untrained_controls_section(found: RunData) -> Section | None:
    """Medians of every headline and of the entropy of top contexts, of the run and its controls."""
    runs = [("this run", found), *finished_controls(found)]
    if len(runs) == 1:
        return None
    scored = list(found.scores)[:SCORE_COLUMNS]
    headlines = [
        f"{page_text.metric_label(found.scores[one][0]['headline'])} by {one[0]}" for one in scored
    ]
    if len({explained_by for _, explained_by in scored} - {NOBODY}) > 1:
        headlines = [f"{said} of {one[1]}" for said, one in zip(headlines, scored, strict=True)]
    columns = (
        "",
        "features",
        *headlines,
        "entropy of top contexts, nats",
        "as a share of the most",
        "live",
        "L0",
    )
    lead = (
        "Each control is a whole run of its own on the same texts. A random dictionary has"
        " directions drawn at random that fire as often as the run’s features; a random subject"
        " has the same architecture and weights that were never trained. What is owed to training"
        " is the distance between the lines. The entropy is of the tokens at the peaks of a"
        f" feature’s {TOP} strongest contexts: 0 where it always peaks at the same token."
    )
    return Section(
        "Controls without training",
        lead,
        (Grid(columns, tuple(control_row(*run, scored) for run in runs)),),
        brief=True,
    )


def finished_controls(found: RunData) -> Iterator[tuple[str, RunData]]:
    """The controls whose scores are whole, with how they are called."""
    for name, folder in started_controls(found.run):
        run = read_run(folder)
        if run.part("collect", 0).is_done and all(map(run.is_finished, run.stages("score"))):
            yield name.replace("_", " "), RunData(run, found)


def control_row(name: str, found: RunData, scored: list[tuple[str, str]]) -> tuple[Cell, ...]:
    """One run's medians over the features that have an explanation."""
    run = found.run
    medians = [
        found.median(headline_values(found.scores.get(one, NO_SCORES), Control.NONE))
        for one in scored
    ]
    nats, shares = peak_token_entropies(found)
    l0 = run.activations.manifest["nonzeros"] / run.activations.counted_tokens
    number = f"{len(run.features):,}"
    return (
        name,
        number,
        *medians,
        found.median(nats),
        found.median(shares),
        f"{len(run.live):,}",
        f"{l0:.1f}",
    )


def peak_token_entropies(found: RunData) -> tuple[Values, Values]:
    """Of each feature with contexts enough: the entropy of its peaks' tokens in nats, and as a
    share of the most it could be.
    """
    run, fixed_windows = found.run, corpus_windows(found.run.corpus, WIDTH)

    def of(feature: FeatureId) -> Int64[ndarray, " context"]:
        return peak_tokens(run.corpus, fixed_windows, run.activations.feature(feature.index))

    nats: list[float] = []
    shares: list[float] = []
    for feature in run.features:
        tokens = found.guard.attempt(feature, partial(of, feature))
        if not isinstance(tokens, Failure) and len(tokens) >= FEWEST:
            nats.append(token_entropy(tokens))
            shares.append(nats[-1] / math.log(len(tokens)))
    return np.array(nats), np.array(shares)


def peak_tokens(
    corpus: Corpus, fixed_windows: FixedWindows, activations: FeatureActivations
) -> Int64[ndarray, " context"]:
    """The token at the peak of each of the TOP contexts with the highest peaks."""
    held = fixed_windows.windows_of(activations.positions)
    order = np.lexsort((-activations.values, held))  # by context, its strongest first
    first = order[np.diff(held[order], prepend=-1) > 0]
    strongest = first[np.argsort(-activations.values[first], kind="stable")[:TOP]]
    return corpus.tokens[activations.positions[strongest]].astype(np.int64)


def token_entropy(tokens: Int64[ndarray, " context"]) -> float:
    """In nats: 0 where all are the same token, the logarithm of their number where all differ."""
    _, counts = np.unique(tokens, return_counts=True)
    shares = counts / counts.sum()
    return abs(float(-(shares * np.log(shares)).sum()))
