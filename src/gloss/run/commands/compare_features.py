"""Behind `gloss compare RUN@FEATURE RUN@FEATURE`: two features side by side, on the text that both
runs read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray
from scipy.sparse import csc_matrix

from gloss.decompose.coactivation import SharedTokens, activation_correlations
from gloss.errors import BadInput
from gloss.pages.feature_pair_page import FeaturePairPage, PairedContexts, write_feature_pair_page
from gloss.pages.heatmap import ContextRow, Palette, paint_context
from gloss.pages.report_sections import Cell, Grid, ReportPage, Section
from gloss.records import FeatureActivations
from gloss.run.alignment import COACTIVATION, DECODER, ENCODER, Side, short_names
from gloss.run.commands.compare import NAMES
from gloss.run.progress import console
from gloss.run.reporting.divided_features import said_of
from gloss.run.reporting.report import print_report
from gloss.run.sources import FEATURE_NAME, NamedDictionary
from gloss.store.contexts import cut_contexts

WIDTH, BEFORE, SHOWN = 24, 16, 8  # tokens of a context and before its peak; contexts of each kind


@dataclass(frozen=True, eq=False)
class OneOfTwo:
    """A feature of a run, and its activations on the tokens that both runs read."""

    name: str
    side: Side
    feature: int
    values: Float32[ndarray, " token"]

    @property
    def strongest(self) -> float:
        return float(np.abs(self.values).max(initial=0))

    def at(self) -> FeatureActivations:
        places = np.flatnonzero(self.values)
        return FeatureActivations(places, self.values[places])


def are_features(names: list[str]) -> bool:
    """Whether these name two features, as in runs/demo@17."""
    return len(names) == 2 and all(
        FEATURE_NAME.fullmatch(name) and not Path(name).exists() for name in names
    )


def print_feature_pair(names: list[str], page: Path | None) -> None:
    """Print how two features go together, and write the page where one is asked for.

    Raises BadInput for what is no run and for a feature that there is not, Mismatch for other text.
    """
    found = [FEATURE_NAME.fullmatch(name) for name in names]
    sides = [Side(each["source"], NamedDictionary.of(each["source"])) for each in found if each]
    features = [int(each["index"]) for each in found if each]
    for name, side, feature in zip(names, sides, features, strict=True):
        if feature >= side.run.activations.width:
            raise BadInput(
                f"{name} is not there: the dictionary of {side.name} has features 0 to"
                f" {side.run.activations.width - 1}"
            )
    tokens = SharedTokens.of(sides[0].run.corpus, sides[1].run.corpus)
    runs = short_names([side.name for side in sides])
    short = [f"{run}@{feature}" for run, feature in zip(runs, features, strict=True)]
    if short[0] == short[1]:
        short = names
    two = [
        OneOfTwo(name, side, feature, dense(side, feature, tokens))
        for name, side, feature in zip(short, sides, features, strict=True)
    ]
    facts = pair_facts(two, tokens)
    lead = f"By the {len(tokens):,} tokens that both runs read, and by their dictionaries."
    section = Section("Two features", lead, (facts,), brief=True)
    print_report(ReportPage(" and ".join(short), lead, (section,)))
    if page:
        one, other = two
        groups = paired_groups(two)
        write_feature_pair_page(page, FeaturePairPage((one.name, other.name), lead, facts, groups))
        console.print(f"open [bold]{page.resolve().as_uri()}[/]", highlight=False)


def dense(side: Side, feature: int, tokens: SharedTokens) -> Float32[ndarray, " token"]:
    """The feature's activation at each token that counts in both; 0 at others."""
    own = side.run.activations.feature(feature)
    values = np.zeros(len(tokens.counted), np.float32)
    inside = own.positions < len(values)
    values[own.positions[inside]] = own.values[inside]
    return values * tokens.counted


def covered_by(one: OneOfTwo, other: OneOfTwo) -> float:
    """The share of a feature's activation that lies where the other fires."""
    total = float(np.abs(one.values).sum())
    return float(np.abs(one.values)[other.values != 0].sum()) / total if total else float("nan")


def closeness_of(two: list[OneOfTwo], tokens: SharedTokens) -> Iterator[tuple[str, float]]:
    """How close they are: by where they fire, and by what they write and read, where that has the
    same length.
    """
    sides = [csc_matrix(one.values[tokens.counted][:, None]) for one in two]
    yield NAMES[COACTIVATION], float(activation_correlations(*sides).some(slice(1), slice(1))[0, 0])
    one, other = two
    for measure, which in ((DECODER, "writes"), (ENCODER, "reads")):
        mine, others = (getattr(each.side.directions, which) for each in two)
        if mine.shape[1] == others.shape[1]:
            yield NAMES[measure], float(mine[one.feature] @ others[other.feature])


def pair_facts(two: list[OneOfTwo], tokens: SharedTokens) -> Grid:
    """What is known of each, beside the other."""
    one, other = two
    counted = max(1, len(tokens))
    both = int(((one.values != 0) & (other.values != 0)).sum())

    def row(name: str, *cells: str) -> tuple[Cell, ...]:
        return (name, *cells)

    rates = [int((each.values != 0).sum()) for each in two]
    return Grid(
        ("", one.name, other.name),
        (
            row("says", *(said_of(each.side, each.feature) for each in two)),
            row("fires at", *(f"{n:,} tokens ({n / counted:.3%})" for n in rates)),
            row("of these, where the other fires", *(f"{both:,}" for _ in two)),
            row(
                "of its activation, where the other fires",
                f"{covered_by(one, other):.3f}",
                f"{covered_by(other, one):.3f}",
            ),
            row("strongest", *(f"{each.strongest:.3g}" for each in two)),
            *(row(name, f"{value:.3f}", "") for name, value in closeness_of(two, tokens)),
        ),
    )


def paired_groups(two: list[OneOfTwo]) -> tuple[PairedContexts, ...]:
    """Contexts in which both fire, and in which one does alone: the strongest first."""
    shares = [np.abs(one.values) / (one.strongest or 1) for one in two]
    both = np.minimum(*shares)
    kinds = {
        "Where both fire": both,
        f"Where {two[0].name} fires alone": shares[0] * (shares[1] == 0),
        f"Where {two[1].name} fires alone": shares[1] * (shares[0] == 0),
    }
    return tuple(
        PairedContexts(title, *(painted(one, two[0].side, peaks) for one in two))
        for title, strength in kinds.items()
        if len(peaks := apart(strength))
    )


def apart(strength: ndarray) -> Int64[ndarray, " peak"]:
    """The strongest places, no two of them within a context of each other."""
    found: list[int] = []
    for place in np.argsort(-strength, kind="stable")[: 50 * SHOWN * WIDTH].tolist():
        if strength[place] <= 0 or len(found) == SHOWN:
            break
        if all(abs(place - other) >= WIDTH for other in found):
            found.append(place)
    return np.array(found, np.int64)


def painted(one: OneOfTwo, of: Side, peaks: Int64[ndarray, " peak"]) -> tuple[ContextRow, ...]:
    """The contexts around these places, coloured by one of the features."""
    corpus = of.run.corpus
    quantiles = np.zeros(len(peaks), np.int64)
    contexts = cut_contexts(corpus, one.at(), peaks - BEFORE, WIDTH, quantiles, peaks)
    palette = Palette(corpus.vocabulary, one.strongest, corpus.names)
    held_out = ~corpus.in_train[peaks]
    return tuple(
        paint_context(contexts, row, palette, bool(held_out[row]), cut_at=BEFORE)
        for row in range(len(peaks))
    )
