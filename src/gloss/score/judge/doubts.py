"""What speaks against a judge: it says the same of everything, cannot be read, or judges other
features' explanations as well.

What is known of it is a tally: its answers by explainer, control and side, and on contexts that
were judged with an explanation and with its control, the difference that the exchange made.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from gloss.records import Control, Estimate, Score, Verdict
from gloss.score.judge.verdict_metrics import VerdictCounts
from gloss.statistics.intervals import NORMAL_QUANTILE

FEWEST = 20  # answers, or pairs on either side, before anything is said against a judge
# share of yes, from which a judge says yes to everything; much of no is what narrow explanations
# deserve
SAME = 0.98
SIDES = {True: "firing", False: "inactive"}
UNREAD = 0.5  # share of answers that could not be had

TallyCounts = dict[str, int]
Tally = dict[str, TallyCounts]
"""Counts by explainer, control and side, as `rule none firing`.

JSON, so that a part may note it; the sum of two is the tally of both.
"""


def tally_scores(scores: Iterable[Score]) -> Tally:
    """The answers in these scores, and what every exchange of an explanation changed about right
    answers.
    """
    by_explanation: dict[tuple[int, str], dict[Control, Score]] = defaultdict(dict)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for score in scores:
        by_explanation[score.feature.index, score.explained_by][score.control] = score
        said = Counter([(verdict.truth, verdict.answer) for verdict in score.verdicts])
        for (truth, answer), number in said.items():
            key = tally_key(score.explained_by, score.control, truth)
            found[key][{True: "yes", False: "no", None: "failed"}[answer]] += number
    for (_, explained_by), under in by_explanation.items():
        own = rightness_by_item(under[Control.NONE].verdicts) if Control.NONE in under else {}
        for control, score in under.items():
            exchanged = {} if control is Control.NONE else rightness_by_item(score.verdicts)
            changes = [(item[1], own[item] - exchanged[item]) for item in own.keys() & exchanged]
            for truth in {side for side, _ in changes}:
                of = [change for side, change in changes if side is truth]
                found[tally_key(explained_by, control, truth)].update(
                    pairs=len(of), change=sum(of), squares=sum(change**2 for change in of)
                )
    return {key: dict(counts) for key, counts in sorted(found.items())}


def tally_key(explained_by: str, control: Control, truth: bool) -> str:
    return f"{explained_by} {control} {SIDES[truth]}"


def split_tally(given: Tally) -> Iterator[tuple[list[str], TallyCounts]]:
    """The counts with explainer, control and side apart.

    Explainers have names of their own, which may hold blanks.
    """
    for key, counts in given.items():
        yield key.rsplit(" ", 2), counts


def rightness_by_item(verdicts: Sequence[Verdict]) -> dict[tuple[int, bool], int]:
    """Whether each context was judged rightly; a missing answer is wrong."""
    return {
        (verdict.context, verdict.truth): int(verdict.answer is verdict.truth)
        for verdict in verdicts
    }


def sum_tallies(tallies: Iterable[Tally]) -> Tally:
    """What several tallies add up to."""
    total: dict[str, Counter[str]] = defaultdict(Counter)
    for one in tallies:
        for key, counts in one.items():
            total[key].update(counts)
    return {key: dict(counts) for key, counts in total.items()}


def tallied_answers(
    given: Tally, *, truth: bool | None = None, own: bool | None = None
) -> VerdictCounts:
    """The answers of a tally: all, or those of one side, or under the explanation itself, or under
    its controls.
    """
    kept = [
        counts
        for (_, control, side), counts in split_tally(given)
        if (truth is None or side == SIDES[truth])
        and (own is None or (control == Control.NONE) == own)
    ]
    return VerdictCounts(
        *(sum(counts.get(said, 0) for counts in kept) for said in ("yes", "no", "failed"))
    )


def explanation_gain(given: Tally, explained_by: str) -> Estimate:
    """By how much the explanation itself is judged better than controls, in balanced accuracy, on
    the same contexts.

    Missing where a side has too few pairs.
    """
    means: list[float] = []
    variance = 0.0
    for side in tallied_sides(given):
        kept = [
            counts
            for (by, _, where), counts in split_tally(given)
            if (by, where) == (explained_by, side)
        ]
        pairs, change, squares = (
            sum(counts.get(which, 0) for counts in kept) for which in ("pairs", "change", "squares")
        )
        if pairs < FEWEST:
            return Estimate.missing()
        means.append(change / pairs)
        variance += (squares / pairs - means[-1] ** 2) / pairs
    value = sum(means) / len(means)
    reach = NORMAL_QUANTILE * math.sqrt(variance) / len(means)
    return Estimate(value, value - reach, value + reach)


def tallied_sides(given: Tally) -> list[str]:
    """Which sides were asked about."""
    return sorted({side for (_, _, side), _ in split_tally(given)})


def doubts_about_judge(given: Tally, *, tells: bool = False) -> Iterator[str]:
    """What a tally says against the judge, each as the end of a sentence that begins with it.

    Nothing against an honest one.

    A judge that `tells` right from wrong elsewhere may well say no to everything here.
    """
    said = tallied_answers(given)
    if said.failed > UNREAD * max(said.items, FEWEST):
        yield (
            f"gave no answer that could be read to {said.failed:,} of {said.items:,} contexts; its"
            " scores measure nothing"
        )
        return
    constant = said.yes_share >= SAME or (said.yes == 0 and not tells)
    if len(tallied_sides(given)) == 2 and said.yes + said.no >= FEWEST and constant:
        share = "all" if not said.yes * said.no else f"{100 * said.yes_share:.1f} % of"
        word = "yes" if said.yes > said.no else "no"
        yield (
            f"said {word} to {share} {said.yes + said.no:,} contexts that it was asked about; its"
            " scores measure nothing"
        )
        return
    explainers = sorted({by for (by, _, _), _ in split_tally(given)})
    gains = {
        by: found
        for by in explainers
        if math.isfinite((found := explanation_gain(given, by)).value)
    }
    if gains and all(found.low <= 0 for found in gains.values()):
        told = ", ".join(
            f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f}) for {by}"
            for by, found in gains.items()
        )
        if tells:
            yield (
                "finds no more in explanations than in other features': balanced accuracy on the"
                f" same contexts differs by {told}; it reads known words rightly, so the"
                " explanations say nothing that it could use"
            )
        else:
            yield (
                "cannot tell explanations from other features': balanced accuracy on the same"
                f" contexts differs by {told}; either it or the explanations say nothing"
            )
