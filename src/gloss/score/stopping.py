"""Enough and no more: how many questions are left to ask until an interval is as narrow as was wanted.

A sequential interval of fixed width (Chow and Robbins, 1965): after each round the half width of the 95 % interval of balanced
accuracy is worked out under Jeffreys' prior, and asking ends when it is small enough. The prior's half an answer on either
side keeps a first round without an error from looking certain, which is what ruins the coverage of the plain rule
(Frey, 2010); `docs/score.md` states the coverage that was measured.
"""

import math
from collections.abc import Sequence

from gloss.records import Verdict
from gloss.score.intervals import NORMAL_QUANTILE

FIRST_ROUND = 40  # contexts at least: looked at earlier, intervals end too soon
CAUTION = 0.8  # of the questions that seem to be missing are asked in the next round, because the estimate may be off


def more(verdicts: Sequence[Verdict], asked: int, left: int, contexts_per_question: int, precision: float) -> int:
    """How many of the questions that are `left` to ask next; 0 where it is enough. All where no `precision` is wanted."""
    if precision == 0:
        return left
    if asked == 0:
        return min(left, -(-FIRST_ROUND // contexts_per_question))
    wide = half_width(verdicts)
    if wide <= precision:
        return 0
    missing = asked * ((wide / precision) ** 2 - 1)
    return min(left, max(1, math.floor(CAUTION * missing)))


def half_width(verdicts: Sequence[Verdict]) -> float:
    """Of the interval of balanced accuracy; a missing answer is wrong."""
    variance = 0.0
    for truth in (True, False):
        side = [verdict.answer is truth for verdict in verdicts if verdict.truth is truth]
        right, wrong = sum(side) + 0.5, len(side) - sum(side) + 0.5
        variance += right * wrong / ((right + wrong) ** 2 * (right + wrong + 1))
    return NORMAL_QUANTILE * math.sqrt(variance) / 2
