"""What a judge's yes and no on contexts add up to, with the answers that are missing in place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.records import Estimate, Examples, Explanation, Failure, Negative, Reason, Score, Verdict
from gloss.score.judge.questions import JudgeVerdicts
from gloss.statistics.intervals import draw_rates, estimate_from_draws
from gloss.statistics.ranking import ranking_estimates
from gloss.statistics.rates import rate_metrics

HARD = tuple(kind for kind in Negative if kind is not Negative.RANDOM)


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """How often a judge said yes and no, and how often nothing that could be had."""

    yes: int
    no: int
    failed: int

    @property
    def items(self) -> int:
        """How many were asked."""
        return self.yes + self.no + self.failed

    @property
    def yes_share(self) -> float:
        """Of yes, among answers; not a number where there are none."""
        return self.yes / (self.yes + self.no) if self.yes + self.no else math.nan

    def share_of(self, successes: int) -> Float64[ndarray, " one"]:
        """A count as a share of the items; not a number where there are none."""
        return np.array([successes / self.items if self.items else np.nan])

    def draws(self, successes: int, rng: np.random.Generator) -> Float64[ndarray, " draw"]:
        """Rates that could lie behind the count."""
        return draw_rates(successes, self.items, rng=rng)


def count_verdicts(verdicts: Sequence[Verdict]) -> VerdictCounts:
    """What the verdicts on one kind of context add up to."""
    answers = [verdict.answer for verdict in verdicts]
    return VerdictCounts(answers.count(True), answers.count(False), answers.count(None))


def verdict_score(
    method: str,
    explanation: Explanation,
    said: JudgeVerdicts,
    examples: Examples,
    rng: np.random.Generator,
) -> Score:
    """The score that the verdicts give."""
    verdicts = said.verdicts
    firing, plain, hard = counts_by_side(verdicts, examples)
    found = verdict_estimates(firing, plain, hard, examples.share_held_out, rng)
    return Score(
        feature=explanation.feature,
        method=method,
        explained_by=explanation.method,
        n=len(verdicts),
        failed=sum(verdict.answer is None for verdict in verdicts),
        estimates=found | probability_estimates(verdicts, examples, rng),
        # hard contexts alone have no rate in text
        headline="f1_at_base_rate" if plain.items else "balanced_accuracy",
        verdicts=verdicts,
        spared=said.spared,
    )


def counts_by_side(
    verdicts: Sequence[Verdict], examples: Examples
) -> tuple[VerdictCounts, VerdictCounts, dict[Negative, VerdictCounts]]:
    """What was said of firing contexts, of inactive ones drawn at random, and of each kind of hard
    ones.
    """
    kinds = negative_kinds(examples)
    firing = count_verdicts([verdict for verdict in verdicts if verdict.truth])
    plain, *hard = (
        count_verdicts(
            [
                verdict
                for verdict in verdicts
                if not verdict.truth and kinds[verdict.context] == kind
            ]
        )
        for kind in Negative
    )
    return firing, plain, dict(zip(HARD, hard, strict=True))


def negative_kinds(examples: Examples) -> dict[int, int]:
    """How each inactive context was found, by where it starts."""
    inactive = examples.inactive_held_out
    return dict(zip(inactive.starts.tolist(), inactive.quantiles.tolist(), strict=True))


def probability_estimates(
    verdicts: Sequence[Verdict], examples: Examples, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Areas under the curves of the judge's probabilities; none unless every answer has one."""
    likely = [verdict.probability for verdict in verdicts if verdict.answer is not None]
    if not likely or None in likely:
        return {}
    values = np.array(
        [np.nan if verdict.probability is None else verdict.probability for verdict in verdicts]
    )
    truth, kinds = np.array([verdict.truth for verdict in verdicts]), negative_kinds(examples)
    hard = np.array(
        [kinds[verdict.context] != Negative.RANDOM for verdict in verdicts if not verdict.truth],
        dtype=bool,
    )
    return ranking_estimates(values[truth], values[~truth], hard, examples.share_held_out, rng)


def verdict_estimates(
    firing: VerdictCounts,
    plain: VerdictCounts,
    hard: Mapping[Negative, VerdictCounts],
    share_firing: float,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Every metric with its interval, from rates redrawn under Jeffreys' prior (a parametric
    bootstrap).

    A missing answer is wrong: it lowers the true positive rate where the feature fires and the true
    negative rate where it is inactive. It claims nothing: precision does not see it.
    `..._at_base_rate` weighs firing contexts and inactive ones drawn at random as they come in
    text, `share_firing` of them firing; hard inactive contexts do not enter.
    """
    every = (plain, *hard.values())
    inactive = VerdictCounts(
        *(sum(getattr(kind, name) for kind in every) for name in ("yes", "no", "failed"))
    )
    judged = firing.items / (firing.items + inactive.items)
    values = rate_metrics(
        firing.share_of(firing.yes),
        inactive.share_of(inactive.no),
        inactive.share_of(inactive.yes),
        judged,
    )
    found = firing.draws(firing.yes, rng)
    draws = rate_metrics(
        found, inactive.draws(inactive.no, rng), inactive.draws(inactive.yes, rng), judged
    )
    true = rate_metrics(
        firing.share_of(firing.yes),
        plain.share_of(plain.no),
        plain.share_of(plain.yes),
        share_firing,
    )
    true_draws = rate_metrics(
        found, plain.draws(plain.no, rng), plain.draws(plain.yes, rng), share_firing
    )
    for name in ("precision", "f1"):
        values[f"{name}_at_base_rate"], draws[f"{name}_at_base_rate"] = true[name], true_draws[name]
    values["auprc_at_base_rate"], draws["auprc_at_base_rate"] = (
        two_step_auprc(true, share_firing),
        two_step_auprc(true_draws, share_firing),
    )
    for kind, counts in hard.items():
        if counts.items or kind is Negative.SAME_TOKEN:
            name = f"true_negative_rate_{kind.name.lower()}"
            values[name], draws[name] = counts.share_of(counts.no), counts.draws(counts.no, rng)
    return {
        name: estimate_from_draws(float(value[0]), draws[name]) for name, value in values.items()
    }


def two_step_auprc(
    rates: Mapping[str, Float64[ndarray, " draw"]], share: float
) -> Float64[ndarray, " draw"]:
    """The area under precision against recall of plain yes and no: first all that was claimed, then
    the rest.
    """
    precision = np.where(np.isfinite(rates["precision"]), rates["precision"], share)
    return rates["recall"] * precision + (1 - rates["recall"]) * share


def too_few_contexts(explanation: Explanation, firing: int, inactive: int) -> Failure:
    """The failure of a feature that cannot be judged from both sides."""
    return Failure(
        explanation.feature,
        "score",
        Reason.TOO_FEW_EXAMPLES,
        f"{firing} firing and {inactive} inactive held-out contexts, wants at least 1 of each",
    )
