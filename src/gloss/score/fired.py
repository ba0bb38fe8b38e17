"""What new texts did to a feature: how often and how strongly it fired, beside chance and beside texts for contrast."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32
from numpy import ndarray

from gloss.models.prompts import Answer
from gloss.records import Estimate, Reason, Split, Verdict
from gloss.score.intervals import bootstrap, from_draws, rate_draws, wilson
from gloss.score.ranking import area, estimated, with_failed
from gloss.store.base_rate import share_of_windows
from gloss.store.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Attempt:
    """One text that was to be written: its tokens, or why there are none."""

    tokens: Int32[ndarray, " token"] | None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Fired:
    """How strongly a feature fired in each of several texts; not a number in a text that there is not."""

    maxima: Float64[ndarray, " text"]
    lengths: tuple[int, ...]  # in tokens, of the texts that there are
    verdicts: tuple[Verdict, ...]

    @property
    def failed(self) -> int:
        return int(np.isnan(self.maxima).sum())

    @property
    def firing(self) -> int:
        """In how many texts the feature fired; it did not in a text that there is not."""
        return int((self.maxima > 0).sum())


def fired(attempts: Sequence[Attempt], evidence: Evidence, *, truth: bool) -> Fired:
    """Run the subject over the texts. `truth` says whether the feature was to fire in them."""
    assert evidence.reader is not None
    sequences = [attempt.tokens for attempt in attempts if attempt.tokens is not None]
    values = iter(evidence.reader.read(sequences, evidence.examples.feature.index))
    maxima = np.array([np.nan if attempt.tokens is None else strongest(next(values)) for attempt in attempts])
    verdicts = tuple(
        Verdict(number, truth, None if attempt.reason else bool(value > 0), attempt.reason)
        for number, (attempt, value) in enumerate(zip(attempts, maxima, strict=True))
    )
    return Fired(maxima, tuple(map(len, sequences)), verdicts)


def strongest(values: Float32[ndarray, " token"]) -> float:
    return float(values.max(initial=0.0))


def unwritten(answer: Answer, number: int) -> list[Attempt]:
    """So many texts of which there is none, because the answer cannot be had or read."""
    return [Attempt(None, answer.reason or Reason.UNPARSABLE)] * number


def estimates(own: Fired, contrast: Fired, evidence: Evidence, rng: np.random.Generator) -> dict[str, Estimate]:
    """Every metric with its interval. A text that there is not did not fire; one of the contrast is left out.

    `chance` is the share of held-out windows, each as long as one of the texts, in which the feature fires.
    """
    width = evidence.examples.held_out.tokens.shape[1]
    chance = chance_of(evidence, own.lengths or (width,))
    share = wilson(own.firing, len(own.maxima))
    compared = contrast.maxima[~np.isnan(contrast.maxima)]
    relative = np.nan_to_num(own.maxima) / (evidence.examples.strongest or np.nan)
    return {
        "firing_above_chance": Estimate(*(above(x, chance) for x in (share.value, share.low, share.high))),
        "share_firing": share,
        "chance": Estimate(chance, chance, chance),
        "share_firing_contrast": wilson(contrast.firing, len(compared)),
        "firing_above_contrast": apart(own, contrast, rng),
        "relative_maximum": bootstrap(lambda x: x.mean(axis=-1), relative, rng=rng),
        "auroc": estimated(area, with_failed(own.maxima, -np.inf), compared, rng),
    }


def chance_of(evidence: Evidence, lengths: Sequence[int]) -> float:
    """The mean over texts of the share of windows of their length in which the feature fires."""
    found, counts = np.unique(np.array(lengths), return_counts=True)
    shares = [share_of_windows(evidence.corpus, evidence.activations, Split.HELD_OUT, length) for length in found.tolist()]
    return float(np.average(shares, weights=counts))


def above(share: float, chance: float) -> float:
    """How much of the way from chance to 1; not a number where chance is 1 already."""
    return (share - chance) / (1 - chance) if chance < 1 else np.nan


def apart(own: Fired, contrast: Fired, rng: np.random.Generator) -> Estimate:
    """The share that fired less that of the contrast, between -1 and 1."""
    asked = len(contrast.maxima) - contrast.failed
    if asked == 0:
        return Estimate.missing()
    value = own.firing / len(own.maxima) - contrast.firing / asked
    draws = rate_draws(own.firing, len(own.maxima), rng=rng) - rate_draws(contrast.firing, asked, rng=rng)
    return from_draws(value, draws)
