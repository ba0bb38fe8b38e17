"""Stage `collisions`: which near features cannot be told apart by what explains them, by executing rules or by asking."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, cached_property, partial
from typing import TypeVar

from gloss.errors import BadInput
from gloss.models.prompts import Conversation
from gloss.records import Estimate, Examples, Explanation, Failure, FeatureId
from gloss.run.dialogue import Dialogue
from gloss.run.experiment import JUDGE
from gloss.run.mishaps import Watch
from gloss.run.plan import Plan
from gloss.run.restored import explanations_of, stored_examples
from gloss.run.stages.score import is_whole
from gloss.score.collisions import Explained, Pair, alike, bare, compare, groups
from gloss.score.discrimination import Discrimination
from gloss.score.rule_collisions import Claims, told_apart
from gloss.store.evidence import Evidence
from gloss.store.results import Row, failure_row, feature_of, identity, read

Explanations = Mapping[FeatureId, Explanation]
Two = tuple[FeatureId, FeatureId]
T = TypeVar("T")


class FindCollisions:
    """Compares the features of a shard with their neighbours; what all shards need is made once."""

    def __init__(self, plan: Plan, dialogue: Dialogue) -> None:
        self.plan, self.dialogue, self.asked = plan, dialogue, plan.experiment.collisions
        self.claims: dict[tuple[str, FeatureId], Claims | None] = {}

    @cached_property
    def explained(self) -> dict[str, dict[FeatureId, Explanation]]:
        """Every explanation, by its explainer."""
        stages = explanations_of(self.plan)
        return {stage.partition(".")[2]: {each.feature: each for each in found} for stage, found in stages.items()}

    def __call__(self, shard: int) -> None:
        """Write one shard: the pairs of which it holds the first feature."""
        rows: list[Row] = []
        self.watch = Watch(self.plan, "collisions", shard)
        self.lost: list[Failure] = []
        whole = is_whole(self.plan, [])
        uncompared = 0
        for explainer, found in self.explained.items():
            same = self.of_each(shard, partial(self.same_words, found, first_with(found)))
            wanted = self.of_each(shard, partial(self.near, found))
            pairs = self.judged(found, wanted) if self.asked.by == JUDGE else self.executed(explainer, found, wanted)
            rows += [row(pair, explainer) for pair in (*same, *pairs)]
            whole &= all(pair.whole for pair in pairs)
            uncompared += len(wanted) - len(pairs)
        records = {"collisions": rows, "failures": map(failure_row, self.lost)}
        self.watch.write(records, whole=whole, note={"uncompared": uncompared})

    def of_each(self, shard: int, work: Callable[[FeatureId], Iterable[T]]) -> list[T]:
        """What the features of a shard have, one after the other."""

        def whole(feature: FeatureId) -> list[T]:
            return list(work(feature))

        found: list[T] = []
        for feature in self.plan.shard(shard):
            one = self.watch.treated(feature, partial(whole, feature))
            if isinstance(one, Failure):
                self.lost.append(one)
            else:
                found += one
        return found

    def same_words(self, found: Explanations, first: Mapping[str, FeatureId], feature: FeatureId) -> Iterator[Pair]:
        """A feature with the first that bears the same words, wherever that lies."""
        if feature in found and (other := first[bare(found[feature].text)]) != feature:
            yield alike(other, feature)

    def near(self, found: Explanations, feature: FeatureId) -> Iterator[Two]:
        """A feature's pairs with other words of which one is among the other's nearest; each pair at one of the two alone."""
        for other in self.nearest(feature, found):
            met = other < feature and feature in self.nearest(other, found)
            if not met and bare(found[feature].text) != bare(found[other].text):
                yield feature, other

    def nearest(self, feature: FeatureId, found: Explanations) -> list[FeatureId]:
        """The feature's nearest explained neighbours; none where it is not explained itself."""
        near = (FeatureId(feature.dictionary, other) for other, _ in self.plan.near.get(feature.index, []))
        return [other for other in near if other in found][: self.asked.nearest] if feature in found else []

    def executed(self, explainer: str, found: Explanations, wanted: Iterable[Two]) -> list[Pair]:
        """The pairs that both have rules, told apart by these."""
        pairs: list[Pair] = []
        for two in wanted:
            pair = self.watch.treated(two[0], partial(self.executed_pair, explainer, found, two))
            if isinstance(pair, Failure):
                self.lost.append(pair)
            elif pair:
                pairs.append(pair)
        return pairs

    def executed_pair(self, explainer: str, found: Explanations, two: Two) -> Pair | None:
        """The two, told apart by their rules; None where one has no rule."""
        one, other = (self.claimed(explainer, found[feature]) for feature in two)
        if not (one and other):
            return None
        rng = self.plan.generator("collisions", explainer, *(feature.index for feature in two))
        return told_apart(one, other, self.plan.corpus, rng)

    def claimed(self, explainer: str, explanation: Explanation) -> Claims | None:
        """Where a rule fires, worked out once; None where there is no rule that can be read."""
        key = explainer, explanation.feature
        if key not in self.claims:
            activations = self.plan.activations.feature(explanation.feature.index)
            try:
                self.claims[key] = Claims.of(explanation, self.plan.corpus, activations) if explanation.rule else None
            except BadInput:
                self.claims[key] = None
        return self.claims[key]

    def judged(self, found: Explanations, wanted: list[Two]) -> list[Pair]:
        """The pairs, told apart by a language model."""
        evidence = self.evidence({feature for two in wanted for feature in two})
        method = Discrimination(2, self.asked.trials, self.asked.contexts_each, sets_per_question=10)

        def compared(two: Two) -> Conversation[Pair]:
            rng = self.plan.generator("collisions", *(feature.index for feature in two))
            one, other = (Explained(found[feature], evidence[feature]()) for feature in two)
            return compare(one, other, method, rng)

        pairs = self.dialogue.hold(self.watch.talk(two[0], partial(compared, two)) for two in wanted)
        self.lost += [pair for pair in pairs if isinstance(pair, Failure)]
        return [pair for pair in pairs if isinstance(pair, Pair)]

    def foreseen(self, found: Explanations, shard: int, watch: Watch) -> Iterator[Conversation[Pair | Failure]]:
        """What a shard's pairs would be asked with these explanations: the first round of each conversation is one direction."""
        wanted = [two for feature in self.plan.shard(shard) for two in self.near(found, feature)]
        evidence = self.evidence({feature for two in wanted for feature in two})
        method = Discrimination(2, self.asked.trials, self.asked.contexts_each, sets_per_question=10)

        def compared(one: FeatureId, other: FeatureId) -> Conversation[Pair]:
            rng = self.plan.generator("cost", one.index, other.index)
            return compare(Explained(found[one], evidence[one]()), Explained(found[other], evidence[other]()), method, rng)

        for two in wanted:
            for one, other in (two, two[::-1]):
                yield watch.talk(one, partial(compared, one, other))

    def evidence(self, wanted: set[FeatureId]) -> dict[FeatureId, Callable[[], Evidence]]:
        """What gives the evidence of these features, whatever shards they lie in; each is made once."""
        size, numbers = self.plan.experiment.run.features_per_shard, {f: n for n, f in enumerate(self.plan.features)}

        def made(restore: Callable[[], Examples]) -> Evidence:
            examples = restore()
            return Evidence(examples, self.plan.corpus, self.plan.activations.feature(examples.feature.index))

        return {
            feature: cache(partial(made, restore))
            for shard in sorted({numbers[feature] // size for feature in wanted})
            for feature, restore in stored_examples(self.plan, shard).items()
            if feature in wanted
        }


def first_with(found: Explanations) -> dict[str, FeatureId]:
    """The first feature that bears each wording."""
    return {bare(found[feature].text): feature for feature in sorted(found, reverse=True)}


def row(pair: Pair, explainer: str) -> Row:
    return identity(pair.first) | {
        "other": pair.second.index,
        "explained_by": explainer,
        "collides": pair.collides,
        "same_words": pair.same_words,
        "value": pair.told_apart.value,
        "low": pair.told_apart.low,
        "high": pair.told_apart.high,
        "n": pair.n,
        "failed": pair.failed,
    }


def pair_of(row: Row) -> Pair:
    told = Estimate(row["value"], row["low"], row["high"])
    other = FeatureId(row["dictionary"], row["other"])
    return Pair(feature_of(row), other, told, row["n"], row["failed"], row["same_words"])


def write_groups(plan: Plan) -> None:
    """Write down the groups that collisions connect, after the last shard; again until no shard is left to do."""
    part = plan.part("collisions", plan.shards)
    if part.is_done:
        return
    rows = read([plan.place("collisions")], "collisions")
    found = [
        identity(feature) | {"explained_by": explainer, "group": number, "size": len(group)}
        for explainer in dict.fromkeys(row["explained_by"] for row in rows)
        for number, group in enumerate(groups(pair_of(row) for row in rows if row["explained_by"] == explainer))
        for feature in group
    ]
    part.write({"collision_groups": found}, whole=all(plan.part("collisions", shard).is_done for shard in range(plan.shards)))
