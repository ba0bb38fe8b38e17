"""What a simulator foretells of each token, held against the truth: correlation over all tokens, calibration, failures kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.models.marks import Spelled, spell_all
from gloss.models.prompts import Answer, Conversation, Prompt
from gloss.records import Contexts, Estimate, Explanation, Failure, Negative, Reason, Score, Verdict
from gloss.score.calibration import calibrated, fit
from gloss.score.intervals import drawn_apart, from_draws, widened
from gloss.score.verdicts import too_few
from gloss.store.evidence import Evidence

CALIBRATION_SHARE = 0.2  # of the held-out documents: calibration is fitted on them, and nothing is reported of them
FEWEST_TO_CALIBRATE = 2  # contexts of each kind


@runtime_checkable
class Simulator(Protocol):
    """One way to have a language model foretell activations."""

    def prompts(self, explanation: str, pieces: Sequence[str]) -> list[Prompt]:
        """What to ask about one context, whose tokens are these."""
        ...

    def foretold(self, answers: Sequence[Answer], prompts: Sequence[Prompt], pieces: Sequence[str]) -> "Foretold":
        """What the answers say of its tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Foretold:
    """A value for each token, not a number where there is none; then there is a reason."""

    values: Float64[ndarray, " token"]
    reason: Reason | None = None

    @staticmethod
    def nothing(tokens: int, reason: Reason | None) -> "Foretold":
        """No value for any token."""
        return Foretold(np.full(tokens, np.nan), reason or Reason.UNPARSABLE)

    def at(self, counted: Bool[ndarray, " token"]) -> "Foretold":
        """The values at tokens that count; what is missing elsewhere is no failure."""
        values = self.values[counted]
        return Foretold(values, self.reason if np.isnan(values).any() else None)


@dataclass(frozen=True, slots=True)
class Simulated:
    """One context: what is true of its tokens that count, and what was foretold."""

    start: int
    document: int
    firing: bool
    hard: bool  # silent, and holds one of the feature's favourite tokens
    truth: Float64[ndarray, " token"]
    foretold: Foretold


def simulated(
    method: str, simulator: Simulator, explanation: Explanation, evidence: Evidence, contexts: int, rng: np.random.Generator
) -> Conversation[Score | Failure]:
    """Ask about held-out contexts, half of them firing; the score, or a failure where a side is empty."""
    examples, vocabulary = evidence.examples, evidence.corpus.vocabulary
    firing = drawn(examples.held_out, -(-contexts // 2), rng)
    silent = drawn(examples.silent_held_out, contexts // 2, rng)
    if len(firing) == 0 or len(silent) == 0:
        return too_few(explanation, len(firing), len(silent))
    spelled = [without_gaps(one) for one in (*spell_all(firing, vocabulary), *spell_all(silent, vocabulary))]
    asked = [simulator.prompts(explanation.text, one.pieces) for one in spelled]
    answers = yield [prompt for prompts in asked for prompt in prompts]
    ends = np.cumsum([len(prompts) for prompts in asked])
    found: list[Simulated] = []
    for row, (one, prompts, end) in enumerate(zip(spelled, asked, ends.tolist(), strict=True)):
        side, at = (firing, row) if row < len(firing) else (silent, row - len(firing))
        foretold = simulator.foretold(answers[end - len(prompts) : end], prompts, one.pieces).at(one.counted)
        hard = side is silent and int(silent.quantiles[at]) != Negative.RANDOM
        place = (int(side.starts[at]), int(side.documents[at]), side is firing, hard)
        found.append(Simulated(*place, one.activations[one.counted].astype(np.float64), foretold))
    return scored(method, explanation, found, examples.share_held_out, rng)


def drawn(contexts: Contexts, number: int, rng: np.random.Generator) -> Contexts:
    """At most so many of them, at random."""
    return contexts[np.sort(rng.permutation(len(contexts))[:number])]


def without_gaps(spelled: Spelled) -> Spelled:
    """The positions that say something; padding and beginnings of characters do not."""
    there = np.array([bool(piece) for piece in spelled.pieces], dtype=bool)
    return Spelled(tuple(piece for piece in spelled.pieces if piece), spelled.activations[there], spelled.counted[there])


def scored(
    method: str, explanation: Explanation, found: Sequence[Simulated], share_firing: float, rng: np.random.Generator
) -> Score:
    """The score of what is reported. Some documents only serve to calibrate, if there are enough."""
    aside = set_aside(found, rng)
    reported = [one for one, out in zip(found, aside, strict=True) if not out]
    fitted = [one for one, out in zip(found, aside, strict=True) if out]
    failed = sum(int(np.isnan(one.foretold.values).sum()) for one in reported)
    rate_is_known = any(not one.firing and not one.hard for one in reported)
    return Score(
        feature=explanation.feature,
        method=method,
        explained_by=explanation.method,
        n=sum(len(one.truth) for one in reported),
        failed=failed,
        estimates=estimates(reported, fitted, share_firing, rng),
        headline="pearson_at_base_rate" if rate_is_known else "pearson",
        verdicts=tuple(Verdict(one.start, one.firing, None, one.foretold.reason) for one in reported if one.foretold.reason),
    )


def set_aside(found: Sequence[Simulated], rng: np.random.Generator) -> Bool[ndarray, " context"]:
    """Which contexts are left to calibration: those of a share of the documents; none where too few would be left."""
    documents = np.array([one.document for one in found], dtype=np.int64)
    firing = np.array([one.firing for one in found], dtype=bool)
    chosen: set[int] = set()
    for side in (firing, ~firing):
        there = np.unique(documents[side])
        chosen |= set(rng.permutation(there)[: round(CALIBRATION_SHARE * len(there))].tolist())
    aside = np.isin(documents, list(chosen))
    enough = all(int((side & part).sum()) >= FEWEST_TO_CALIBRATE for side in (firing, ~firing) for part in (aside, ~aside))
    return aside if enough else np.zeros(len(found), dtype=bool)


def estimates(
    reported: Sequence[Simulated], fitted: Sequence[Simulated], share_firing: float, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Every metric with its interval, from contexts drawn with replacement, firing and silent ones apart."""
    firing = np.array([one.firing for one in reported], dtype=bool)
    hard = np.array([one.hard for one in reported], dtype=bool)
    draws = np.vstack([np.ones(len(reported)), drawn_apart(firing, rng)])
    plain = int((~firing & ~hard).sum())
    true_rate = np.where(firing, share_firing / max(1, firing.sum()), (1 - share_firing) / max(1, plain))
    raw = np.array([moments(one.truth, one.foretold.values) for one in reported])
    values = {
        "pearson": correlation(draws @ raw),
        "pearson_firing": correlation(draws[:, firing] @ raw[firing]),
        "pearson_at_base_rate": correlation((draws * true_rate * ~hard) @ raw) if plain else np.full(len(draws), np.nan),
    }
    calibration = fit([one.truth for one in fitted], [one.foretold.values for one in fitted])
    for name in ("linear", "percentile"):
        parts: list[ndarray] = []
        for one in reported:
            guess = calibrated(calibration, name, one.foretold.values)
            error = one.truth - guess
            parts.append(np.array([(error**2).sum(), (one.truth**2).sum(), np.abs(error).sum(), np.abs(one.truth).sum()]))
        sums = draws @ np.array(parts)
        with np.errstate(invalid="ignore", divide="ignore"):
            values[f"r_squared_{name}"] = 1 - sums[:, 0] / sums[:, 1]
            values[f"absolute_deviation_explained_{name}"] = 1 - sums[:, 2] / sums[:, 3]
    fewest = min(int(firing.sum()), int((~firing).sum()))
    outside = widened(fewest) if fewest > 1 else math.nan
    return {name: estimated(found, outside) for name, found in values.items()}


def estimated(values: Float64[ndarray, " draw"], outside: float) -> Estimate:
    """The first value, with the interval of the others; without one where a kind of context is there only once."""
    if math.isnan(outside):
        return Estimate(float(values[0]), math.nan, math.nan)
    return from_draws(float(values[0]), values[1:], outside=outside)


def moments(truth: Float64[ndarray, " token"], values: Float64[ndarray, " token"]) -> Float64[ndarray, " 8"]:
    """Sums over a context: of all tokens 1, a, a²; of those with a value 1, s, s², a, s a."""
    there = ~np.isnan(values)
    a, s = truth[there], values[there]
    return np.array(
        [len(truth), truth.sum(), (truth**2).sum(), len(s), s.sum(), (s**2).sum(), a.sum(), (s * a).sum()], np.float64
    )


def correlation(sums: Float64[ndarray, "draw 8"]) -> Float64[ndarray, " draw"]:
    """Pearson's over all tokens, where a token without a value counts as foretold at the mean of the others.

    It adds nothing to the covariance and its truth stays in the variance, so failures cost what they are worth. A simulator
    that says the same of every token, or nothing at all, foretells nothing: 0. Not a number where the truth does not vary.
    """
    n, a, aa, m, s, ss, a_there, sa = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(m > 0, s / m, 0.0)
        spread = np.where(ss - s * mean > 1e-12 * ss, ss - s * mean, 0.0)
        found = (sa - mean * a_there) / np.sqrt(spread * (aa - a**2 / n))
        return np.where(aa - a**2 / n <= 1e-12 * aa, np.nan, np.where(spread > 0, found, 0.0))
