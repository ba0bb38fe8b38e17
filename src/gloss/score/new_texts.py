"""What new texts did to a feature: how often and how strongly it fired, beside chance and beside
texts for contrast.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32
from numpy import ndarray

from gloss.errors import BadInput
from gloss.models.chat_models.prompts import Answer
from gloss.records import Estimate, Reason, Split, Verdict
from gloss.statistics.intervals import bootstrap, draw_rates, estimate_from_draws, wilson_interval
from gloss.statistics.ranking import auroc_estimate, fill_failed
from gloss.store.evidence import Evidence, NewTextReader
from gloss.store.window_shares import firing_window_share


@dataclass(frozen=True, slots=True)
class TextAttempt:
    """One text that was to be written: its tokens, or why there are none."""

    tokens: Int32[ndarray, " token"] | None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class NewTextActivity:
    """How strongly a feature fired in each of several texts.

    Not a number in a text that there is not.
    """

    maxima: Float64[ndarray, " text"]
    lengths: tuple[int, ...]  # in tokens, of the texts that there are
    verdicts: tuple[Verdict, ...]

    @property
    def failed(self) -> int:
        return int(np.isnan(self.maxima).sum())

    @property
    def firing_texts(self) -> int:
        """In how many texts the feature fired; it did not in a text that there is not."""
        return int((self.maxima > 0).sum())


def require_reader(evidence: Evidence, method: str) -> NewTextReader:
    """What reads new texts. Raises BadInput where the evidence has nothing that does."""
    if evidence.reader is None:
        raise BadInput(
            f"{method} has the model read new texts, and the evidence has no reader; give"
            " Evidence(..., reader=...)"
        )
    return evidence.reader


def active_in_new_texts(
    attempts: Sequence[TextAttempt], evidence: Evidence, *, truth: bool
) -> NewTextActivity:
    """Run the subject over the texts. `truth` says whether the feature was to fire in them."""
    assert evidence.reader is not None
    sequences = [attempt.tokens for attempt in attempts if attempt.tokens is not None]
    values = iter(evidence.reader.read(sequences, evidence.examples.feature.index))
    maxima = np.array(
        [
            np.nan if attempt.tokens is None else strongest_or_zero(next(values))
            for attempt in attempts
        ]
    )
    verdicts = tuple(
        Verdict(number, truth, None if attempt.reason else bool(value > 0), attempt.reason)
        for number, (attempt, value) in enumerate(zip(attempts, maxima, strict=True))
    )
    return NewTextActivity(maxima, tuple(map(len, sequences)), verdicts)


def strongest_or_zero(values: Float32[ndarray, " token"]) -> float:
    return float(values.max(initial=0.0))


def unwritten_attempts(answer: Answer, number: int) -> list[TextAttempt]:
    """So many texts of which there is none, because the answer cannot be had or read."""
    return [TextAttempt(None, answer.reason or Reason.UNPARSABLE)] * number


def new_text_estimates(
    own: NewTextActivity, contrast: NewTextActivity, evidence: Evidence, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Every metric with its interval.

    A text that there is not did not fire; one of the contrast is left out.

    `chance` is the share of held-out windows, each as long as one of the texts, in which the
    feature fires.
    """
    width = evidence.examples.held_out.tokens.shape[1]
    chance = chance_of_firing(evidence, own.lengths or (width,))
    share = wilson_interval(own.firing_texts, len(own.maxima))
    compared = contrast.maxima[~np.isnan(contrast.maxima)]
    relative = np.nan_to_num(own.maxima) / (evidence.examples.strongest or np.nan)
    return {
        "firing_above_chance": Estimate(
            *(share_above_chance(x, chance) for x in (share.value, share.low, share.high))
        ),
        "share_firing": share,
        "chance": Estimate(chance, chance, chance),
        "share_firing_contrast": wilson_interval(contrast.firing_texts, len(compared)),
        "firing_above_contrast": contrast_difference(own, contrast, rng),
        "relative_maximum": bootstrap(lambda x: x.mean(axis=-1), relative, rng=rng),
        "auroc": auroc_estimate(fill_failed(own.maxima, -np.inf), compared, rng),
    }


def chance_of_firing(evidence: Evidence, lengths: Sequence[int]) -> float:
    """The mean over texts of the share of windows of their length in which the feature fires."""
    found, counts = np.unique(np.array(lengths), return_counts=True)
    shares = [
        firing_window_share(evidence.corpus, evidence.activations, Split.HELD_OUT, length)
        for length in found.tolist()
    ]
    return float(np.average(shares, weights=counts))


def share_above_chance(share: float, chance: float) -> float:
    """How much of the way from chance to 1; not a number where chance is 1 already."""
    return (share - chance) / (1 - chance) if chance < 1 else np.nan


def contrast_difference(
    own: NewTextActivity, contrast: NewTextActivity, rng: np.random.Generator
) -> Estimate:
    """The share that fired less that of the contrast, between -1 and 1."""
    asked = len(contrast.maxima) - contrast.failed
    if asked == 0:
        return Estimate.missing()
    value = own.firing_texts / len(own.maxima) - contrast.firing_texts / asked
    draws = draw_rates(own.firing_texts, len(own.maxima), rng=rng) - draw_rates(
        contrast.firing_texts, asked, rng=rng
    )
    return estimate_from_draws(value, draws)
