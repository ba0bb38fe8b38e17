"""Marked items of which only the explanation can tell the right from the wrong: both kinds follow
one law of marks.

Wrongly marked items are inactive contexts that bear the marks of a firing one, at the same
positions. Over all items each pattern of marks (how many, where) comes as often with inactive
contexts as with firing ones, up to one, so that a reader who sees the marks but not the explanation
can do no better than guess.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.models.chat_models.token_marks import SpelledContext
from gloss.store.identity_cache import once_for_each

PieceKinds = Int64[ndarray, "context position"]


@dataclass(frozen=True, slots=True)
class MarkedItem:
    """A context with marks, right ones where it is firing."""

    row: int  # in the list that it came from
    firing: bool
    spelled: SpelledContext
    marks: Bool[ndarray, " position"]


def match_marks(
    firing: Sequence[tuple[SpelledContext, Bool[ndarray, " position"]]],
    inactive: Sequence[SpelledContext],
    rng: np.random.Generator,
) -> list[MarkedItem]:
    """Firing contexts with their own marks, inactive ones with marks drawn from those, each pattern
    as often as can be.

    A pattern fits a context that has text at all its positions; among those that fit, an inactive
    context is taken whose tokens there look alike (a word, a space, a sign), so that marks on odd
    tokens give nothing away. Where a pattern finds no inactive context, its firing context is left
    out too; an inactive context that no pattern fits is left out.
    """
    if not firing or not inactive:
        return []
    likeness = mark_likeness(firing, inactive)
    drawn = assign_patterns(likeness, rng)
    patterns_in_use = {row for _, row in drawn}
    # too few inactive contexts for a turn of every pattern: any firing context may stay
    scarce = len(drawn) < len(firing)
    fitting = {int(row) for row in np.flatnonzero(np.isfinite(likeness).any(axis=1))}
    right = [
        MarkedItem(row, True, spelled, marks)
        for row, (spelled, marks) in enumerate(firing)
        if row in patterns_in_use or (scarce and row in fitting)
    ]
    wrong = [MarkedItem(column, False, inactive[column], firing[row][1]) for column, row in drawn]
    return [*right, *wrong]


@once_for_each(32)  # of a feature, for each of its explanations and controls
def mark_likeness(
    firing: Sequence[tuple[SpelledContext, Bool[ndarray, " position"]]],
    inactive: Sequence[SpelledContext],
) -> Float64[ndarray, "firing inactive"]:
    """How well each firing context's marks suit each inactive context: see `pattern_likeness`.

    Wants at least one of each.
    """
    patterns = np.stack([marks for _, marks in firing])
    return pattern_likeness(
        patterns, piece_kinds([spelled for spelled, _ in firing]), piece_kinds(inactive)
    )


def assign_patterns(
    likeness: Float64[ndarray, "firing inactive"], rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Pairs (inactive, pattern): turn after turn every pattern takes one of the inactive contexts
    that are left.
    """
    fits = np.isfinite(likeness)
    left = np.array(fits.any(axis=0), dtype=bool)
    pairs: list[tuple[int, int]] = []
    while True:
        room = (fits & left).sum(axis=1)
        # A pattern that fits few contexts chooses first, or others would take them all.
        turn = sorted(np.flatnonzero(room).tolist(), key=lambda row: (room[row], rng.random()))
        if not turn:
            return pairs
        if len(turn) > left.sum():
            turn = [
                turn[place]
                for place in np.sort(rng.choice(len(turn), int(left.sum()), replace=False))
            ]
        for row in turn:
            candidates = np.flatnonzero(left & fits[row])
            if len(candidates):
                ties = likeness[row, candidates] + 1e-6 * rng.random(len(candidates))
                taken = int(candidates[np.argmax(ties)])
                left[taken] = False
                pairs.append((taken, row))


def pattern_likeness(
    patterns: Bool[ndarray, "firing position"],
    firing: PieceKinds,
    inactive: Int64[ndarray, "inactive position"],
) -> Float64[ndarray, "firing inactive"]:
    """For each pattern and inactive context the share of marked tokens of the same kind.

    Minus infinity where it does not fit.
    """
    likeness = np.empty((len(patterns), len(inactive)))
    for row, pattern in enumerate(patterns):
        there = inactive[:, pattern]
        likeness[row] = np.where(
            (there == NO_TEXT).any(axis=1), -np.inf, (there == firing[row, pattern]).mean(axis=1)
        )
    return likeness


NO_TEXT, SPACE, WORD, SIGN = range(4)


def piece_kinds(contexts: Sequence[SpelledContext]) -> PieceKinds:
    """What each piece looks like.

    One of tokens that are left out has no kind, so that no mark stands there.
    """
    found = [[piece_kind(piece) for piece in spelled.pieces] for spelled in contexts]
    return np.where([spelled.counted for spelled in contexts], np.array(found, np.int64), NO_TEXT)


@lru_cache(1 << 16)  # as many as a vocabulary has that is often met
def piece_kind(piece: str) -> int:
    """A word begins with a letter or digit once its space is off; a number counts as one."""
    if not piece:
        return NO_TEXT
    bare = piece.strip()
    if not bare:
        return SPACE
    return WORD if bare[0].isalnum() or bare[0] == "_" else SIGN
