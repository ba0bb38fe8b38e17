"""Features whose explanations are interchangeable: from the words of either, nobody can tell which of the two is meant.

Descriptive collision: detection with random negatives cannot see it (arXiv 2605.12874).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from gloss.models.prompts import Conversation
from gloss.records import Estimate, Explanation, FeatureId, Neighbour, Reason, Verdict
from gloss.score.choices import lost
from gloss.score.discrimination import Discrimination
from gloss.score.intervals import wilson
from gloss.store.evidence import Evidence

GUESSING = 0.5


@dataclass(frozen=True, slots=True)
class Pair:
    """Two near features, and how often a judge found the one that an explanation of either belongs to."""

    first: FeatureId
    second: FeatureId
    told_apart: Estimate  # missing where each fires only where the other does
    n: int = 0  # riddles, or held-out tokens at which either fires
    failed: int = 0
    same_words: bool = False
    whole: bool = True  # no request was lost, so that nothing is to be asked again

    @property
    def collides(self) -> bool:
        """Whether the explanations may be exchanged: the interval reaches down to what guessing gets."""
        return self.same_words or self.told_apart.low <= GUESSING


@dataclass(frozen=True)
class Explained:
    """A feature with its words and its evidence."""

    explanation: Explanation
    evidence: Evidence


def compare(one: Explained, other: Explained, discrimination: Discrimination, rng: np.random.Generator) -> Conversation[Pair]:
    """Ask of either explanation which of the two features it means. Equal words are not asked about."""
    features = one.explanation.feature, other.explanation.feature
    if bare(one.explanation.text) == bare(other.explanation.text):
        return alike(*features)
    verdicts: list[Verdict] = []
    for mine, theirs in ((one, other), (other, one)):
        sibling = Neighbour(theirs.explanation.feature, np.nan, theirs.evidence.activations)
        evidence = replace(mine.evidence, neighbours=(sibling,))
        pools = discrimination.pools(evidence)
        if len(pools) == 2:
            verdicts += yield from discrimination.ask(mine.explanation, evidence, pools, rng)
    told_apart = wilson(sum(verdict.answer is True for verdict in verdicts), len(verdicts))
    whole = not any(verdict.reason is Reason.REQUEST_ERROR for verdict in verdicts)
    return Pair(*features, told_apart, len(verdicts), lost(verdicts), whole=whole)


def alike(first: FeatureId, second: FeatureId) -> Pair:
    """Two features that are explained by the same words."""
    return Pair(first, second, Estimate(GUESSING, GUESSING, GUESSING), same_words=True)


def bare(text: str) -> str:
    """A text without what does not change its meaning."""
    return " ".join(text.lower().split()).rstrip(".")


def groups(pairs: Iterable[Pair]) -> list[tuple[FeatureId, ...]]:
    """The features that share an explanation, as far as collisions connect them; largest groups first."""
    member: dict[FeatureId, set[FeatureId]] = {}
    for pair in pairs:
        if pair.collides:
            union = member.get(pair.first, {pair.first}) | member.get(pair.second, {pair.second})
            member |= dict.fromkeys(union, union)
    distinct = {id(group): tuple(sorted(group)) for group in member.values()}
    return sorted(distinct.values(), key=lambda group: (-len(group), group))
