"""Judges who know what an explanation covers, err at known rates and have habits: their verdicts on contexts in any order."""

from collections.abc import Callable

import numpy as np

from gloss.records import Verdict

Yes = Callable[[bool, float, bool | None], float]
"""P(yes) from the truth, the place in the request from 0 to 1, and the answer before, if any."""


def clean(truth: bool, along: float, before: bool | None) -> float:
    """Errs in 15 of 100, wherever a context stands."""
    return 0.85 if truth else 0.15


def leaning(truth: bool, along: float, before: bool | None) -> float:
    """Says yes more often at the start of a request, and less at its end."""
    return clean(truth, along, before) + 0.3 * (0.5 - along)


def tiring(truth: bool, along: float, before: bool | None) -> float:
    """Errs more often at the end."""
    return 0.5 + (clean(truth, along, before) - 0.5) * (1 - 0.6 * along)


def copying(truth: bool, along: float, before: bool | None) -> float:
    """Repeats its last answer in a tenth of the cases."""
    own = clean(truth, along, before)
    return own if before is None else 0.9 * own + 0.1 * before


def verdicts(
    judge: Yes,
    rng: np.random.Generator,
    items: int = 100,
    size: int = 20,
    covered: float = 0.9,
    *,
    shuffled: bool = True,
) -> list[Verdict]:
    """One score, asked in requests of `size` contexts: half of the contexts fire, of which the explanation covers this share.

    Not `shuffled`, each request shows its firing contexts first. A context that is alone in its request stands in the middle.
    """
    truths = rng.permutation(np.arange(items) % 2 == 0)
    if not shuffled:
        truths = np.concatenate([np.sort(truths[row : row + size])[::-1] for row in range(0, items, size)])
    found: list[Verdict] = []
    before = None
    for row, truth in enumerate(truths.tolist()):
        place = row % size
        fits = truth and bool(rng.random() < covered)
        along = place / (size - 1) if size > 1 else 0.5
        before = bool(rng.random() < judge(fits, along, before if place else None))
        found.append(Verdict(row, truth, before, question=row // size, place=place))
    return found
