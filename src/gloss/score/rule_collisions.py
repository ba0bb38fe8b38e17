"""Collisions without a judge: whose explanation a rule is, is decided by where it fires on held-out text."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from gloss.records import Estimate, Explanation, FeatureActivations
from gloss.rules import parse
from gloss.score.collisions import Pair
from gloss.score.execution import held_out_of
from gloss.score.intervals import from_draws, widened
from gloss.store.corpus import Corpus

Places = Int64[ndarray, " _"]  # held-out tokens, counted from 0, ascending


@dataclass(frozen=True, eq=False)
class Claims:
    """An explanation with a rule: where it says that its feature fires among the held-out tokens, and where it does."""

    explanation: Explanation
    claimed: Places
    fires: Places

    @staticmethod
    def of(explanation: Explanation, corpus: Corpus, activations: FeatureActivations) -> "Claims":
        """Run the rule over the held-out split. Raises BadInput for a rule that cannot be read."""
        held_out = held_out_of(corpus)
        strengths = held_out.foretold(parse(explanation.rule or ""))
        return Claims(explanation, np.flatnonzero(strengths > 0), np.flatnonzero(held_out.dense(activations)))


def told_apart(one: Claims, other: Claims, corpus: Corpus, rng: np.random.Generator, resamples: int = 500) -> Pair:
    """How often somebody who takes either rule at its word finds its feature among the two.

    Shown a token at which the feature fires, and one at which the other fires and the feature is silent, they pick the one at
    which the rule fires, and guess where it fires at both or neither: they are right in 1/2 + (p - q) / 2, with p and q the
    shares of such tokens at which it fires. The mean of both directions, as far as there are such tokens, over all held-out
    text; the interval resamples documents (Poisson bootstrap).
    """
    features = one.explanation.feature, other.explanation.feature
    directions = [
        (mine, np.setdiff1d(theirs.fires, mine.fires, assume_unique=True)) for mine, theirs in ((one, other), (other, one))
    ]
    documents = held_out_of(corpus).documents
    touched, numbers = np.unique(documents[np.union1d(one.fires, other.fires)], return_inverse=True)

    def counted(places: Places) -> Float64[ndarray, " document"]:
        return np.bincount(np.searchsorted(touched, documents[places]), minlength=len(touched)).astype(np.float64)

    sums = [
        np.stack([counted(each) for own in (mine.fires, alone) for each in (np.intersect1d(own, mine.claimed, True), own)])
        for mine, alone in directions
        if len(mine.fires) and len(alone)
    ]
    if not sums:
        return Pair(*features, Estimate.missing(), len(numbers))
    value = float(right(sums, np.ones((1, len(touched))))[0])
    if len(touched) < 2:
        return Pair(*features, Estimate(value, np.nan, np.nan), len(numbers))
    draws = right(sums, rng.poisson(1.0, (resamples, len(touched))).astype(np.float64))
    return Pair(*features, from_draws(value, draws, outside=widened(len(touched))), len(numbers))


def right(sums: list[Float64[ndarray, "4 document"]], drawn: Float64[ndarray, "draw document"]) -> Float64[ndarray, " draw"]:
    """The share of right answers in every draw of documents; not a number where a draw lacks tokens of one kind."""
    shares: list[Float64[ndarray, " draw"]] = []
    for each in sums:
        hits, own, wrong, alone = each @ drawn.T
        with np.errstate(invalid="ignore", divide="ignore"):
            shares.append(0.5 + (hits / own - wrong / alone) / 2)
    return np.mean(shares, axis=0)
