"""What a simulator predicts of each token, held against the truth: correlation over all tokens,
calibration, failures kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.models.chat_models.prompts import Answer, Conversation, Prompt
from gloss.models.chat_models.token_marks import SpelledContext, spell_contexts
from gloss.records import Contexts, Estimate, Explanation, Failure, Negative, Reason, Score, Verdict
from gloss.score.judge.verdict_metrics import too_few_contexts
from gloss.statistics.intervals import estimate_from_draws, resample_by_side, small_sample_tail
from gloss.statistics.scale_calibration import apply_scale, fit_scale
from gloss.store.evidence import Evidence

HIGHEST = 10
# of the held-out documents: calibration is fitted on them, and nothing is reported of them
CALIBRATION_SHARE = 0.2
FEWEST_TO_CALIBRATE = 2  # contexts of each kind


def expected_number(alternatives: Sequence[tuple[str, float]], highest: int) -> float:
    """The mean of the whole numbers 0 to `highest` among the alternatives, by their probabilities.

    Not a number without any.
    """
    found = [
        (int(token), logprob)
        for token, logprob in alternatives
        if is_scale_number(token, highest) and logprob > -math.inf
    ]
    if not found:
        return math.nan
    values, logprobs = np.array(found, dtype=np.float64).T
    weights = np.exp(logprobs - logprobs.max())
    return float((values * weights).sum() / weights.sum())


def is_scale_number(token: str, highest: int) -> bool:
    """Whether a token is one of the numbers, spaces around it left aside."""
    bare = token.strip()
    return (
        bare.isascii()
        and bare.isdigit()
        and len(bare) <= len(str(highest))
        and int(bare) <= highest
    )


def escape_line_breaks(piece: str) -> str:
    """A token on one line, its line breaks and tabs written out."""
    return (
        piece.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    )


@runtime_checkable
class Simulator(Protocol):
    """One way to have a language model predict activations."""

    def prompts(self, explanation: str, pieces: Sequence[str]) -> list[Prompt]:
        """What to ask about one context, whose tokens are these."""
        ...

    def predicted(
        self, answers: Sequence[Answer], prompts: Sequence[Prompt], pieces: Sequence[str]
    ) -> "TokenPredictions":
        """What the answers say of its tokens."""
        ...


@dataclass(frozen=True, slots=True)
class TokenPredictions:
    """A value for each token, not a number where there is none; then there is a reason."""

    values: Float64[ndarray, " token"]
    reason: Reason | None = None

    @staticmethod
    def nothing(tokens: int, reason: Reason | None) -> "TokenPredictions":
        """No value for any token."""
        return TokenPredictions(np.full(tokens, np.nan), reason or Reason.UNPARSABLE)

    def where_counted(self, counted: Bool[ndarray, " token"]) -> "TokenPredictions":
        """The values at tokens that count; what is missing elsewhere is no failure."""
        values = self.values[counted]
        return TokenPredictions(values, self.reason if np.isnan(values).any() else None)


@dataclass(frozen=True, slots=True)
class SimulatedContext:
    """One context: what is true of its tokens that count, and what was predicted."""

    start: int
    document: int
    firing: bool
    hard: bool  # inactive, and holds one of the feature's top tokens
    truth: Float64[ndarray, " token"]
    predicted: TokenPredictions


def simulate_contexts(
    method: str,
    simulator: Simulator,
    explanation: Explanation,
    evidence: Evidence,
    contexts: int,
    rng: np.random.Generator,
) -> Conversation[Score | Failure]:
    """Ask about held-out contexts, half of them firing.

    The score, or a failure where a side is empty.
    """
    examples, vocabulary = evidence.examples, evidence.corpus.vocabulary
    firing = draw_contexts(examples.held_out, -(-contexts // 2), rng)
    inactive = draw_contexts(examples.inactive_held_out, contexts // 2, rng)
    if len(firing) == 0 or len(inactive) == 0:
        return too_few_contexts(explanation, len(firing), len(inactive))
    spelled = [
        drop_empty_pieces(one)
        for one in (*spell_contexts(firing, vocabulary), *spell_contexts(inactive, vocabulary))
    ]
    asked = [simulator.prompts(explanation.text, one.pieces) for one in spelled]
    answers = yield [prompt for prompts in asked for prompt in prompts]
    ends = np.cumsum([len(prompts) for prompts in asked])
    found: list[SimulatedContext] = []
    for row, (one, prompts, end) in enumerate(zip(spelled, asked, ends.tolist(), strict=True)):
        side, at = (firing, row) if row < len(firing) else (inactive, row - len(firing))
        predicted = simulator.predicted(
            answers[end - len(prompts) : end], prompts, one.pieces
        ).where_counted(one.counted)
        hard = side is inactive and int(inactive.quantiles[at]) != Negative.RANDOM
        place = (int(side.starts[at]), int(side.documents[at]), side is firing, hard)
        found.append(
            SimulatedContext(*place, one.activations[one.counted].astype(np.float64), predicted)
        )
    return simulation_score(method, explanation, found, examples.share_held_out, rng)


def draw_contexts(contexts: Contexts, number: int, rng: np.random.Generator) -> Contexts:
    """At most so many of them, at random."""
    return contexts[np.sort(rng.permutation(len(contexts))[:number])]


def drop_empty_pieces(spelled: SpelledContext) -> SpelledContext:
    """The positions that say something; padding and beginnings of characters do not."""
    there = np.array([bool(piece) for piece in spelled.pieces], dtype=bool)
    return SpelledContext(
        tuple(piece for piece in spelled.pieces if piece),
        spelled.activations[there],
        spelled.counted[there],
    )


def simulation_score(
    method: str,
    explanation: Explanation,
    found: Sequence[SimulatedContext],
    share_firing: float,
    rng: np.random.Generator,
) -> Score:
    """The score of what is reported.

    Some documents only serve to calibrate, if there are enough.
    """
    aside = choose_calibration_contexts(found, rng)
    reported = [one for one, out in zip(found, aside, strict=True) if not out]
    fitted = [one for one, out in zip(found, aside, strict=True) if out]
    failed = sum(int(np.isnan(one.predicted.values).sum()) for one in reported)
    rate_is_known = any(not one.firing and not one.hard for one in reported)
    return Score(
        feature=explanation.feature,
        method=method,
        explained_by=explanation.method,
        n=sum(len(one.truth) for one in reported),
        failed=failed,
        estimates=simulation_estimates(reported, fitted, share_firing, rng),
        headline="pearson_at_base_rate" if rate_is_known else "pearson",
        verdicts=tuple(
            Verdict(one.start, one.firing, None, one.predicted.reason)
            for one in reported
            if one.predicted.reason
        ),
    )


def choose_calibration_contexts(
    found: Sequence[SimulatedContext], rng: np.random.Generator
) -> Bool[ndarray, " context"]:
    """Which contexts are left to calibration: those of a share of the documents.

    None where too few would be left.
    """
    documents = np.array([one.document for one in found], dtype=np.int64)
    firing = np.array([one.firing for one in found], dtype=bool)
    chosen: set[int] = set()
    for side in (firing, ~firing):
        there = np.unique(documents[side])
        chosen |= set(rng.permutation(there)[: round(CALIBRATION_SHARE * len(there))].tolist())
    aside = np.isin(documents, list(chosen))
    enough = all(
        int((side & part).sum()) >= FEWEST_TO_CALIBRATE
        for side in (firing, ~firing)
        for part in (aside, ~aside)
    )
    return aside if enough else np.zeros(len(found), dtype=bool)


def simulation_estimates(
    reported: Sequence[SimulatedContext],
    fitted: Sequence[SimulatedContext],
    share_firing: float,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Every metric with its interval, from contexts drawn with replacement, firing and inactive
    ones apart.
    """
    firing = np.array([one.firing for one in reported], dtype=bool)
    hard = np.array([one.hard for one in reported], dtype=bool)
    draws = np.vstack([np.ones(len(reported)), resample_by_side(firing, rng)])
    plain = int((~firing & ~hard).sum())
    true_rate = np.where(
        firing, share_firing / max(1, firing.sum()), (1 - share_firing) / max(1, plain)
    )
    raw = np.array([context_moments(one.truth, one.predicted.values) for one in reported])
    values = {
        "pearson": correlation_with_failures(draws @ raw),
        "pearson_firing": correlation_with_failures(draws[:, firing] @ raw[firing]),
        "pearson_at_base_rate": (
            correlation_with_failures((draws * true_rate * ~hard) @ raw)
            if plain
            else np.full(len(draws), np.nan)
        ),
    }
    calibration = fit_scale([one.truth for one in fitted], [one.predicted.values for one in fitted])
    for name in ("linear", "percentile"):
        parts: list[ndarray] = []
        for one in reported:
            guess = apply_scale(calibration, name, one.predicted.values)
            error = one.truth - guess
            parts.append(
                np.array(
                    [
                        (error**2).sum(),
                        (one.truth**2).sum(),
                        np.abs(error).sum(),
                        np.abs(one.truth).sum(),
                    ]
                )
            )
        sums = draws @ np.array(parts)
        with np.errstate(invalid="ignore", divide="ignore"):
            values[f"r_squared_{name}"] = 1 - sums[:, 0] / sums[:, 1]
            values[f"absolute_deviation_explained_{name}"] = 1 - sums[:, 2] / sums[:, 3]
    fewest = min(int(firing.sum()), int((~firing).sum()))
    outside = small_sample_tail(fewest) if fewest > 1 else math.nan
    return {name: first_with_interval(found, outside) for name, found in values.items()}


def first_with_interval(values: Float64[ndarray, " draw"], outside: float) -> Estimate:
    """The first value, with the interval of the others.

    Without one where a kind of context is there only once.
    """
    if math.isnan(outside):
        return Estimate(float(values[0]), math.nan, math.nan)
    return estimate_from_draws(float(values[0]), values[1:], outside=outside)


def context_moments(
    truth: Float64[ndarray, " token"], values: Float64[ndarray, " token"]
) -> Float64[ndarray, " 8"]:
    """Sums over a context: of all tokens 1, a, a²; of those with a value 1, s, s², a, s a."""
    there = ~np.isnan(values)
    a, s = truth[there], values[there]
    return np.array(
        [
            len(truth),
            truth.sum(),
            (truth**2).sum(),
            len(s),
            s.sum(),
            (s**2).sum(),
            a.sum(),
            (s * a).sum(),
        ],
        np.float64,
    )


def correlation_with_failures(sums: Float64[ndarray, "draw 8"]) -> Float64[ndarray, " draw"]:
    """Pearson's over all tokens, where a token without a value counts as predicted at the mean of
    the others.

    It adds nothing to the covariance and its truth stays in the variance, so failures cost what
    they are worth. A simulator that says the same of every token, or nothing at all, predicts
    nothing: 0. Not a number where the truth does not vary.
    """
    n, a, aa, m, s, ss, a_there, sa = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(m > 0, s / m, 0.0)
        spread = np.where(ss - s * mean > 1e-12 * ss, ss - s * mean, 0.0)
        found = (sa - mean * a_there) / np.sqrt(spread * (aa - a**2 / n))
        return np.where(aa - a**2 / n <= 1e-12 * aa, np.nan, np.where(spread > 0, found, 0.0))
