"""How many contexts a judge can bear in a request, and in which form: measured on contexts of known
truth.

A weak judge says yes to every context of a list and still tells right from wrong when it is asked
one plain question at a time. The largest packing is taken that is not worse than single questions
on the same contexts, beyond its error.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.models.chat_models.prompts import Conversation
from gloss.records import Estimate, Failure, Reason, Score, Verdict
from gloss.score.judge.questions import MOST_CONTEXTS, QuestionForm
from gloss.statistics.intervals import NORMAL_QUANTILE, draw_rates, estimate_from_draws
from gloss.statistics.ranking import ranking_estimates, ranking_placements

SIZES = (MOST_CONTEXTS, 5)  # contexts in a request, besides one
CHANCE = 0.5


@dataclass(frozen=True, slots=True)
class Packing:
    """How many contexts a request holds at most, and the form of the question."""

    contexts: int
    form: QuestionForm

    def __str__(self) -> str:
        return (
            "one context a request, asked yes or no"
            if self.contexts == 1
            else f"{self.contexts} contexts a request, {FORM_WORDS[self.form]}"
        )


FORM_WORDS = {
    QuestionForm.NUMBERED: "numbered",
    QuestionForm.LIST: "as a list",
    QuestionForm.SINGLE: "asked yes or no",
}
ALONE = Packing(1, QuestionForm.SINGLE)


def packings_to_try(first: QuestionForm) -> list[Packing]:
    """Those that are tried, from the largest on; of each size with this form before the other."""
    forms = sorted((QuestionForm.NUMBERED, QuestionForm.LIST), key=lambda form: form != first)
    return [Packing(size, form) for size in SIZES for form in forms]


@dataclass
class SpentTokens:
    """What conversations asked for."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class PackingTrial:
    """What a judge said of contexts of known truth under one packing, in an order that all packings
    share, and what it took.
    """

    packing: Packing
    verdicts: tuple[Verdict, ...]
    spent: SpentTokens
    balanced: Estimate  # accuracy; a missing answer is wrong
    auroc: Estimate  # of its probabilities; missing unless every answer has one

    @staticmethod
    def of(
        packing: Packing, verdicts: Sequence[Verdict], spent: SpentTokens, rng: np.random.Generator
    ) -> "PackingTrial":
        """A trial with its estimates."""
        return PackingTrial(
            packing,
            tuple(verdicts),
            spent,
            estimate_balanced_accuracy(verdicts, rng),
            probability_auroc(verdicts, rng),
        )

    @property
    def tells(self) -> bool:
        """Whether it is seen to tell right from wrong at all: an interval lies above chance."""
        return any(
            found.low > CHANCE
            for found in (self.balanced, self.auroc)
            if math.isfinite(found.value)
        )

    @property
    def lost(self) -> bool:
        """Whether a request failed, so that it is to be measured again."""
        return any(verdict.reason is Reason.REQUEST_ERROR for verdict in self.verdicts)


def estimate_balanced_accuracy(verdicts: Sequence[Verdict], rng: np.random.Generator) -> Estimate:
    """The mean of the shares of right answers on both sides, its interval by Jeffreys' prior.

    Missing where a side is empty.
    """
    sides = [
        [verdict.answer is truth for verdict in verdicts if verdict.truth is truth]
        for truth in (True, False)
    ]
    if not all(sides):
        return Estimate.missing()
    draws = sum(draw_rates(sum(side), len(side), rng=rng) for side in sides) / 2
    return estimate_from_draws(sum(sum(side) / len(side) for side in sides) / 2, np.asarray(draws))


def probability_auroc(verdicts: Sequence[Verdict], rng: np.random.Generator) -> Estimate:
    """The area under the curve of the probabilities; a failed answer loses every pair."""
    if not has_probabilities(verdicts):
        return Estimate.missing()
    firing, inactive = probabilities_by_side(verdicts)
    return ranking_estimates(firing, inactive, np.zeros(len(inactive), bool), CHANCE, rng)["auroc"]


def has_probabilities(verdicts: Sequence[Verdict]) -> bool:
    """Whether there are answers, and all of them have a probability."""
    likely = [verdict.probability for verdict in verdicts if verdict.answer is not None]
    return bool(likely) and None not in likely


def probabilities_by_side(
    verdicts: Sequence[Verdict],
) -> tuple[Float64[ndarray, " firing"], Float64[ndarray, " inactive"]]:
    """The probabilities on both sides, not a number where an answer is missing."""
    values = np.array(
        [math.nan if verdict.probability is None else verdict.probability for verdict in verdicts]
    )
    truth = np.array([verdict.truth for verdict in verdicts], dtype=bool)
    return values[truth], values[~truth]


def is_worse_packing(packed: PackingTrial, alone: PackingTrial) -> bool:
    """Whether a packing judges the same contexts worse than single questions, beyond what chance
    explains (95 %).

    Judged by right answers, and by the area under the curve of probabilities where both trials have
    it.
    """
    return is_below_zero(accuracy_difference(packed, alone)) or is_below_zero(
        auroc_difference(packed, alone)
    )


def accuracy_difference(packed: PackingTrial, alone: PackingTrial) -> Estimate:
    """The difference of balanced accuracies; its error is that of pairs."""
    pairs = list(zip(packed.verdicts, alone.verdicts, strict=True))
    changes = [
        [
            float(one.answer is truth) - float(other.answer is truth)
            for one, other in pairs
            if one.truth is truth
        ]
        for truth in (True, False)
    ]
    return mean_of_sides(*(np.array(side) for side in changes))


def auroc_difference(packed: PackingTrial, alone: PackingTrial) -> Estimate:
    """The difference of the areas under the curves, by each context's placement among the other
    side (DeLong et al., 1988).
    """
    if not (has_probabilities(packed.verdicts) and has_probabilities(alone.verdicts)):
        return Estimate.missing()
    found, others = (
        ranking_placements(*probabilities_by_side(trial.verdicts)) for trial in (packed, alone)
    )
    firing, inactive = (one - other for one, other in zip(found, others, strict=True))
    if not len(firing) or not len(inactive):
        return Estimate.missing()
    reach = NORMAL_QUANTILE * math.sqrt(firing.var() / len(firing) + inactive.var() / len(inactive))
    value = float(firing.mean())
    return Estimate(value, value - reach, value + reach)


def mean_of_sides(
    firing: Float64[ndarray, " firing"], inactive: Float64[ndarray, " inactive"]
) -> Estimate:
    """The mean of two means with its normal interval; missing where a side is empty."""
    if not len(firing) or not len(inactive):
        return Estimate.missing()
    value = float(firing.mean() + inactive.mean()) / 2
    reach = (
        NORMAL_QUANTILE * math.sqrt(firing.var() / len(firing) + inactive.var() / len(inactive)) / 2
    )
    return Estimate(value, value - reach, value + reach)


def is_below_zero(difference: Estimate) -> bool:
    """Whether a difference lies below 0 with its whole interval."""
    return difference.high < 0


def try_packings(
    run: Callable[[Packing], PackingTrial], first: QuestionForm
) -> Iterator[PackingTrial]:
    """Single questions, then packings from the largest on until one is not worse."""
    alone = run(ALONE)
    yield alone
    for packing in packings_to_try(first):
        trial = run(packing)
        yield trial
        if not is_worse_packing(trial, alone):
            return


def choose_packing(trials: Sequence[PackingTrial]) -> PackingTrial:
    """The packing to use, of the trials in their order: the last one, or single questions where all
    were worse.
    """
    return trials[0] if is_worse_packing(trials[-1], trials[0]) else trials[-1]


def count_spending(
    conversation: Conversation[Score | Failure], spent: SpentTokens
) -> Conversation[Score | Failure]:
    """The same conversation, which counts what it asks for."""
    try:
        prompts = next(conversation)
        while True:
            answers = yield prompts
            spent.requests += len(answers)
            spent.prompt_tokens += sum(answer.prompt_tokens for answer in answers)
            spent.completion_tokens += sum(answer.completion_tokens for answer in answers)
            prompts = conversation.send(answers)
    except StopIteration as over:
        return over.value
