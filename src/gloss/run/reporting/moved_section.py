"""What a subject's training changed, by one dictionary on both: features that fire more or less
often, or more or less strongly, on the same text, beside two halves of the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from scipy.sparse import csc_matrix

from gloss.decompose.coactivation import SharedTokens
from gloss.decompose.moved_features import (
    FALSE_DISCOVERIES,
    FEWEST_DOCUMENTS,
    FLIPS,
    ByDocument,
    Moves,
    moved_by_chance,
    moved_on_other_text,
    moved_on_the_same_text,
)
from gloss.errors import BadInput, Mismatch
from gloss.pages.report_sections import Cell, Grid, Section
from gloss.run.alignment import ComparedPair, Side, short_names
from gloss.run.reporting.divided_features import said_of
from gloss.statistics.intervals import wilson_interval

RATE, STRENGTH = "rate", "strength"
SHOWN = 12  # features that moved, the surest first
DRAW = 0  # the seed of halves and of chance


@dataclass(frozen=True, eq=False)
class MovedBy:
    """What moved by one measure: on the same documents, on other ones, and where nothing can."""

    measure: str
    moves: Moves
    by_chance: Int64[ndarray, " draw"]
    # what is compared with what, on other documents
    halves: dict[str, Moves]


@dataclass(frozen=True, eq=False)
class MovedPair:
    """Two runs of one dictionary, and what moved between them."""

    left: Side
    right: Side
    features: Int64[ndarray, " feature"]  # which columns are counted from 0
    documents: int
    tokens: int
    by: tuple[MovedBy, ...]


def moved_pair(pair: ComparedPair) -> MovedPair | None:
    """What moved; None where the runs have other dictionaries, or read other text."""
    left, right = pair.left, pair.right
    if left.dictionary.run is None or right.dictionary.run is None:
        return None
    try:
        if not pair.has_one_dictionary:
            return None
        tokens = SharedTokens.of(left.run.corpus, right.run.corpus)
    except (BadInput, Mismatch):
        return None
    features = np.union1d(left.run.live, right.run.live)
    corpus = left.run.corpus
    places = np.flatnonzero(tokens.counted)
    documents = corpus.groups[corpus.documents[corpus.sequences_of(places)]]
    sides = [tokens.matrix(side.run.activations, features) for side in (left, right)]
    values = {RATE: [firings(side) for side in sides], STRENGTH: sides}
    by = tuple(
        moved_by_measure(
            measure, ByDocument.of(mine, documents), ByDocument.of(other, documents), pair
        )
        for measure, (mine, other) in values.items()
    )
    return MovedPair(left, right, features, len(np.unique(documents)), len(tokens), by)


def firings(side: csc_matrix) -> csc_matrix:
    return csc_matrix(side != 0, dtype=np.float32)


def moved_by_measure(
    measure: str, before: ByDocument, after: ByDocument, pair: ComparedPair
) -> MovedBy:
    rng = np.random.default_rng(DRAW)
    number = len(before.tokens)
    first = np.isin(np.arange(number), rng.permutation(number)[: number // 2])
    names = short_names((pair.left.name, pair.right.name))
    halves = {
        f"{names[0]}, half and half": (before.of_some(first), before.of_some(~first)),
        f"{names[1]}, half and half": (after.of_some(first), after.of_some(~first)),
        f"half of {names[0]}, other half of {names[1]}": (
            before.of_some(first),
            after.of_some(~first),
        ),
    }
    return MovedBy(
        measure,
        moved_on_the_same_text(before, after),
        moved_by_chance(before, after, rng),
        {name: moved_on_other_text(*sides) for name, sides in halves.items()},
    )


def moved_section(pairs: Sequence[MovedPair]) -> Section | None:
    """How many features moved beside the controls, and those that surely did."""
    if not pairs:
        return None
    rows: list[tuple[Cell, ...]] = []
    for pair in pairs:
        for by in pair.by:
            still = int((by.by_chance == 0).sum())
            chance = f"{by.by_chance.mean():.1f}; none in {still} of {FLIPS} draws"
            rows.append(("the same documents", by.measure, *moved_cells(by.moves), chance))
            for name, moves in by.halves.items():
                rows.append((name, by.measure, *moved_cells(moves), ""))
    lead = (
        "One dictionary on two subjects: features that fire at another share of the tokens (rate),"
        " or whose mean activation over all tokens is another (strength). Errors are over"
        f" documents; features that fire in {FEWEST_DOCUMENTS} documents or more are tested, and"
        f" those count as moved of which {FALSE_DISCOVERIES:.0%} may be wrong (Benjamini and"
        f" Hochberg). Chance: each document’s two sides change places at random, {FLIPS} times."
        " Halves of one run are the control in which nothing can have moved. Twofold: those that"
        " moved to twice as much or half."
    )
    columns = ("compared on", "by", "moved", "features", "twofold", "tested", "by chance")
    note = "; ".join(
        f"{' and '.join(short_names((pair.left.name, pair.right.name)))}: {pair.tokens:,} tokens of"
        f" {pair.documents:,} documents that both read"
        for pair in pairs
    )
    blocks = [Grid(columns, tuple(rows), note)]
    if shown := [row for pair in pairs for row in moved_rows(pair)]:
        names = short_names((pairs[0].left.name, pairs[0].right.name))
        columns = ("feature", "by", *names, "error", "says")
        if len(pairs) > 1:
            columns = ("feature", "by", "before", "after", "error", "says")
        note = "those that moved most for their standard error"
        blocks.append(Grid(columns, tuple(shown), note))
    return Section("Features that moved", lead, tuple(blocks), brief=True)


def moved_cells(moves: Moves) -> tuple[Cell, ...]:
    number = int(moves.moved.sum())
    counts = number, int(moves.twofold.sum()), len(moves)
    return wilson_interval(number, len(moves)), *(f"{count:,}" for count in counts)


def moved_rows(pair: MovedPair) -> list[tuple[Cell, ...]]:
    """The features that moved most, by each measure."""
    rows: list[tuple[Cell, ...]] = []
    for by in pair.by:
        moves = by.moves
        order = np.argsort(-np.abs(moves.statistic) * moves.moved, kind="stable")
        for place in order[: min(SHOWN, int(moves.moved.sum()))].tolist():
            feature = int(pair.features[moves.features[place]])
            numbers = (moves.before[place], moves.after[place], moves.error[place])
            shown = (f"{number:.3g}" for number in numbers)
            rows.append((str(feature), by.measure, *shown, said_of(pair.left, feature)))
    return rows


def moved_records(pairs: Sequence[MovedPair]) -> list[dict[str, Any]]:
    """The same as plain values: every tested feature."""
    return [
        {
            "left": pair.left.name,
            "right": pair.right.name,
            "by": by.measure,
            "tokens": pair.tokens,
            "documents": pair.documents,
            "tested": len(by.moves),
            "moved": int(by.moves.moved.sum()),
            "twofold": int(by.moves.twofold.sum()),
            "moved_by_chance": by.by_chance.tolist(),
            "halves": {
                name: {"tested": len(moves), "moved": int(moves.moved.sum())}
                for name, moves in by.halves.items()
            },
            "features": [
                {
                    "feature": int(pair.features[column]),
                    "before": before,
                    "after": after,
                    "error": error,
                    "moved": bool(moved),
                }
                for column, before, after, error, moved in zip(
                    by.moves.features.tolist(),
                    by.moves.before.tolist(),
                    by.moves.after.tolist(),
                    by.moves.error.tolist(),
                    by.moves.moved.tolist(),
                    strict=True,
                )
            ],
        }
        for pair in pairs
        for by in pair.by
    ]
