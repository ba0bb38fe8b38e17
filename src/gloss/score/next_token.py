"""Do the tokens that an explanation names come next where its feature fires?

Counted over all held-out tokens, without any language model and without touching the subject.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.errors import require_at_least
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Aspect, Estimate, Explanation, Failure, Needs, Reason, Score
from gloss.score.held_out_text import HeldOutTokens, held_out_tokens
from gloss.score.intervention_tokens import named_tokens
from gloss.score.weighted_sums import KnownText
from gloss.statistics.intervals import estimate_from_draws, small_sample_tail
from gloss.store.evidence import Evidence

METHOD = "next_token"


@dataclass(frozen=True)
class NextToken:
    """Counts how often one of the named tokens follows where the feature fires, beside everywhere.

    A feature that speaks is followed by what it says; one that reads need not be.
    """

    needs: ClassVar[Needs] = Needs(about=(Aspect.OUTPUT,))
    resamples: int = 500  # of documents, for the intervals

    def __post_init__(self) -> None:
        require_at_least(1, self, "resamples")

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """The share that is followed by a named token, by chance, and above chance: how much of
        the way from chance to 1. Yields no prompts.
        """
        yield from ()
        named = named_tokens(explanation, evidence.corpus.vocabulary)
        if len(named) == 0:
            return Failure(
                explanation.feature,
                METHOD,
                Reason.NOT_APPLICABLE,
                "the explanation names no token of the vocabulary",
            )
        held_out = held_out_tokens(evidence.corpus)
        fires = held_out.dense(evidence.activations) > 0
        followed, inside = followed_by(named, held_out)
        if not (fires & inside).any():
            return Failure(
                evidence.examples.feature,
                METHOD,
                Reason.TOO_FEW_EXAMPLES,
                "it fires at no held-out token that another follows",
            )
        known = KnownText.of(held_out, evidence.corpus, evidence.activations)
        weights = (
            np.ones(len(held_out)) if known is None else known.weights_of(np.arange(len(held_out)))
        )
        number = len(held_out.sizes)
        columns = (fires & inside, fires & followed, inside, followed)
        sums = np.stack(
            [
                np.bincount(held_out.documents[each], weights[each], minlength=number)
                for each in columns
            ],
            axis=1,
        )
        return Score(
            feature=evidence.examples.feature,
            method=METHOD,
            explained_by=explanation.method,
            n=int(columns[0].sum()),
            failed=0,
            estimates=followed_estimates(sums.astype(np.float64), self.resamples, rng),
            headline="followed_above_chance",
        )


def followed_by(
    named: ndarray, held_out: HeldOutTokens
) -> tuple[Bool[ndarray, " token"], Bool[ndarray, " token"]]:
    """Whether a named token follows each token that counts, and whether any does."""
    passage = held_out.passage
    inside = passage.following > 0
    follows = np.zeros(len(passage), bool)
    follows[:-1] = np.isin(passage.ids[1:], named)
    return (follows & inside)[held_out.counted], inside[held_out.counted]


def followed_estimates(
    sums: Float64[ndarray, "document 4"], resamples: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Every share with its interval, from documents drawn with replacement."""
    number = len(sums)
    drawn = rng.multinomial(number, np.full(number, 1 / number), resamples).astype(np.float64)
    values, draws = followed_shares(sums.sum(0)[None]), followed_shares(drawn @ sums)
    if number < 2:
        return {name: Estimate(float(value[0]), np.nan, np.nan) for name, value in values.items()}
    outside = small_sample_tail(number)
    return {
        name: estimate_from_draws(float(values[name][0]), draws[name], outside=outside)
        for name in values
    }


def followed_shares(sums: Float64[ndarray, "draw 4"]) -> dict[str, Float64[ndarray, " draw"]]:
    """Of every draw: not a number where it does not say."""
    firing, hits, everything, followed = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        share, chance = hits / firing, followed / everything
        return {
            "followed_above_chance": (share - chance) / (1 - chance),
            "followed": share,
            "followed_by_chance": chance,
        }
