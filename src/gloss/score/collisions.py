"""Features whose explanations are interchangeable: from the words of either, nobody can tell which
of the two is meant.

Descriptive collision: detection with random negatives cannot see it (arXiv 2605.12874). Decided by
a judge, or without one by where the rules of both fire on held-out text.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from gloss.models.chat_models.prompts import Conversation
from gloss.records import (
    Estimate,
    Explanation,
    FeatureActivations,
    FeatureId,
    Neighbour,
    Reason,
    Verdict,
)
from gloss.rules import parse_rule
from gloss.score.discrimination import Discrimination
from gloss.score.held_out_text import held_out_tokens
from gloss.score.judge.multiple_choice import count_unanswered
from gloss.score.weighted_sums import KnownText
from gloss.statistics.intervals import estimate_from_draws, small_sample_tail, wilson_interval
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence

GUESSING = 0.5


@dataclass(frozen=True, slots=True)
class CollisionPair:
    """Two near features, and how often a judge found the one that an explanation of either belongs
    to.
    """

    first: FeatureId
    second: FeatureId
    told_apart: Estimate  # missing where each fires only where the other does
    n: int = 0  # questions, or held-out tokens at which either fires
    failed: int = 0
    same_words: bool = False
    whole: bool = True  # no request was lost, so that nothing is to be asked again

    @property
    def collides(self) -> bool | None:
        """Whether the explanations may be exchanged: the interval reaches down to what guessing
        gets. None where nothing could be told.
        """
        if self.same_words:
            return True
        return None if np.isnan(self.told_apart.value) else self.told_apart.low <= GUESSING


@dataclass(frozen=True)
class ExplainedFeature:
    """A feature with its words and its evidence."""

    explanation: Explanation
    evidence: Evidence


def compare_by_judge(
    one: ExplainedFeature,
    other: ExplainedFeature,
    discrimination: Discrimination,
    rng: np.random.Generator,
) -> Conversation[CollisionPair]:
    """Ask of either explanation which of the two features it means.

    Equal words are not asked about.
    """
    features = one.explanation.feature, other.explanation.feature
    if wording_key(one.explanation.text) == wording_key(other.explanation.text):
        return same_words_pair(*features)
    verdicts: list[Verdict] = []
    for mine, theirs in ((one, other), (other, one)):
        sibling = Neighbour(theirs.explanation.feature, np.nan, theirs.evidence.activations)
        evidence = replace(mine.evidence, neighbours=(sibling,))
        pools = discrimination.pools(evidence)
        if len(pools) == 2:
            verdicts += yield from discrimination.ask(mine.explanation, evidence, pools, rng)
    told_apart = wilson_interval(sum(verdict.answer is True for verdict in verdicts), len(verdicts))
    whole = not any(verdict.reason is Reason.REQUEST_ERROR for verdict in verdicts)
    return CollisionPair(
        *features, told_apart, len(verdicts), count_unanswered(verdicts), whole=whole
    )


def same_words_pair(first: FeatureId, second: FeatureId) -> CollisionPair:
    """Two features that are explained by the same words."""
    return CollisionPair(first, second, Estimate(GUESSING, GUESSING, GUESSING), same_words=True)


def wording_key(text: str) -> str:
    """A text without what does not change its meaning."""
    return " ".join(text.lower().split()).rstrip(".")


def group_collisions(pairs: Iterable[CollisionPair]) -> list[tuple[FeatureId, ...]]:
    """The features that share an explanation, as far as collisions connect them.

    Largest groups first.
    """
    member: dict[FeatureId, set[FeatureId]] = {}
    for pair in pairs:
        if pair.collides:
            union = member.get(pair.first, {pair.first}) | member.get(pair.second, {pair.second})
            member |= dict.fromkeys(union, union)
    distinct = {id(group): tuple(sorted(group)) for group in member.values()}
    return sorted(distinct.values(), key=lambda group: (-len(group), group))


TokenIndices = Int64[ndarray, " _"]  # held-out tokens, counted from 0, ascending


@dataclass(frozen=True, eq=False)
class RuleClaims:
    """An explanation with a rule: where it says that its feature fires among the held-out tokens,
    and where it does.
    """

    explanation: Explanation
    claimed: TokenIndices
    fires: TokenIndices
    # where the corpus was mined, what is known of the feature
    known: KnownText | None = None

    @staticmethod
    def of(
        explanation: Explanation, corpus: Corpus, activations: FeatureActivations
    ) -> "RuleClaims":
        """Run the rule over the held-out split. Raises BadInput for a rule that cannot be read."""
        held_out = held_out_tokens(corpus)
        claimed = held_out.predicted(parse_rule(explanation.rule or ""))
        known = KnownText.of(held_out, corpus, activations)
        claimed = claimed if known is None else known.known(claimed)
        fires = held_out.fires(activations).positions
        return RuleClaims(explanation, claimed.positions, fires, known)

    def weights(self, places: TokenIndices) -> Float64[ndarray, " _"] | None:
        """What these tokens stand for; None where each does for itself."""
        return None if self.known is None else self.known.weights_of(places)


def compare_by_rule(
    one: RuleClaims,
    other: RuleClaims,
    corpus: Corpus,
    rng: np.random.Generator,
    resamples: int = 500,
) -> CollisionPair:
    """How often somebody who takes either rule at its word finds its feature among the two.

    Shown a token at which the feature fires, and one at which the other fires and the feature is
    inactive, they pick the one at which the rule fires, and guess where it fires at both or
    neither: they are right in 1/2 + (p - q) / 2, with p and q the shares of such tokens at which it
    fires. The mean of both directions, as far as there are such tokens, over all held-out text; the
    interval resamples documents (Poisson bootstrap). Of a corpus that was mined, tokens at which
    the other alone fires are those of the background, where both are known.
    """
    features = one.explanation.feature, other.explanation.feature
    held_out = held_out_tokens(corpus)
    background = np.searchsorted(held_out.indices, corpus.background_tokens)
    directions = [
        (mine, np.setdiff1d(theirs.fires[theirs.fires < background], mine.fires, True))
        for mine, theirs in ((one, other), (other, one))
    ]
    documents = held_out.documents
    touched, numbers = np.unique(documents[np.union1d(one.fires, other.fires)], return_inverse=True)

    def counted(
        places: TokenIndices, weights: Float64[ndarray, " _"] | None
    ) -> Float64[ndarray, " document"]:
        there = np.searchsorted(touched, documents[places])
        return np.bincount(there, weights, minlength=len(touched)).astype(np.float64)

    sums = [
        np.stack(
            [
                counted(each, mine.weights(each) if own is mine.fires else None)
                for own in (mine.fires, alone)
                for each in (np.intersect1d(own, mine.claimed, True), own)
            ]
        )
        for mine, alone in directions
        if len(mine.fires) and len(alone)
    ]
    if not sums:
        return CollisionPair(*features, Estimate.missing(), len(numbers))
    value = float(share_answered_rightly(sums, np.ones((1, len(touched))))[0])
    if len(touched) < 2:
        return CollisionPair(*features, Estimate(value, np.nan, np.nan), len(numbers))
    draws = share_answered_rightly(
        sums, rng.poisson(1.0, (resamples, len(touched))).astype(np.float64)
    )
    return CollisionPair(
        *features,
        estimate_from_draws(value, draws, outside=small_sample_tail(len(touched))),
        len(numbers),
    )


def share_answered_rightly(
    sums: list[Float64[ndarray, "4 document"]], drawn: Float64[ndarray, "draw document"]
) -> Float64[ndarray, " draw"]:
    """The share of right answers in every draw of documents.

    Not a number where a draw lacks tokens of one kind.
    """
    shares: list[Float64[ndarray, " draw"]] = []
    for each in sums:
        hits, own, wrong, alone = each @ drawn.T
        with np.errstate(invalid="ignore", divide="ignore"):
            shares.append(0.5 + (hits / own - wrong / alone) / 2)
    return np.mean(shares, axis=0)
