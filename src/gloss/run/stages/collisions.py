"""Stage `collisions`: which near features cannot be told apart by what explains them, by executing
rules or by asking.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any, TypeVar

from gloss.errors import BadInput
from gloss.models.chat_models.prompts import Conversation
from gloss.pages.page_records import FeaturePage
from gloss.pages.report_sections import Section
from gloss.records import Estimate, Examples, Explanation, Failure, FeatureId
from gloss.run.dependencies import answer_dependencies
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun, run_explanations, stored_examples
from gloss.run.reporting.collisions import collisions_section
from gloss.run.reporting.run_data import RunData
from gloss.run.stage import Job, Stage, Step, Where, where_many_run
from gloss.score.collisions import (
    CollisionPair,
    ExplainedFeature,
    RuleClaims,
    compare_by_judge,
    compare_by_rule,
    group_collisions,
    same_words_pair,
    wording_key,
)
from gloss.score.discrimination import Discrimination
from gloss.store.evidence import Evidence
from gloss.store.record_rows import failure_row, feature_columns, feature_from_row
from gloss.store.results import Row, read_rows
from gloss.store.schemas import named_tables

Explanations = Mapping[FeatureId, Explanation]
FeaturePair = tuple[FeatureId, FeatureId]
T = TypeVar("T")


MANY = 500  # features that are compared by rules: each takes some ten milliseconds
RULES, JUDGE, NO_COLLISIONS = "rules", "judge", "none"  # who finds collisions


@dataclass(frozen=True)
class CollisionSettings:
    """How features are found whose explanations may be exchanged."""

    by: str = RULES  # executing rules, which asks nobody; or judge, asking; or none
    nearest: int = 5  # neighbours of each feature that it is compared with
    trials: int = 10  # of a judge, for each pair in each direction
    contexts_each: int = 2  # of each of the two in a trial
    chat: str = ""  # which language model judges, where there are several

    def __post_init__(self) -> None:
        if self.by not in (RULES, JUDGE, NO_COLLISIONS):
            raise ValueError(f"by must be {RULES}, {JUDGE} or {NO_COLLISIONS}, got {self.by!r}")
        for name in ("nearest", "trials", "contexts_each"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.chat and self.by != JUDGE:
            raise ValueError(f"by = {self.by!r} asks no language model; leave chat out")


class CollisionsStage(Stage):
    """Which near features cannot be told apart by what explains them."""

    name, after, settings = "collisions", ("explain", "judge", "score"), CollisionSettings
    tables = named_tables("collisions", "collision_groups", "failures")

    def steps(self, asked: Experiment) -> Iterator[Step]:
        if asked.settings(CollisionSettings).by != NO_COLLISIONS:
            yield from super().steps(asked)

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        return [name for name in before if name.partition(".")[0] == "explain"]

    def content(self, asked: Experiment, step: Step) -> Any:
        settings = asked.settings(CollisionSettings)
        judge = {"method": "discrimination", "chat": settings.chat}
        own = {name: value for name, value in step.settings.items() if name != "chat"}
        if settings.by != JUDGE:
            return own, []
        asked.chat_of(judge, "[collisions] judge")  # refuses what it cannot be, by its own name
        return own, answer_dependencies(asked, "score", judge)

    def where_to_run(self, asked: Experiment, step: Step) -> Where:
        asks = asked.settings(CollisionSettings).by == JUDGE
        return Where.EVENT_LOOP if asks else where_many_run(asked, MANY)

    def worker(self, job: Job) -> Callable[[int], None]:
        return CollisionFinder(job)

    def finish(self, job: Job) -> None:
        write_collision_groups(job.run)

    def sections(self, found: RunData) -> Iterable[Section | None]:
        return [collisions_section(found)]

    def page_fragment(
        self, run: OpenedRun, step: Step, shard: int
    ) -> Callable[[FeaturePage], FeaturePage]:
        return lambda page: replace(page, collisions=exchangeable_features(run, page.explanations))


def exchangeable_features(
    run: OpenedRun, explanations: Sequence[Explanation]
) -> tuple[FeatureId, ...]:
    """The other features that the first explanation fits as well."""
    if not explanations:
        return ()
    first = explanations[0]
    own = run.collision_groups.get(first.method, {}).get(first.feature, ())
    return tuple(other for other in own if other != first.feature)


class CollisionFinder:
    """Compares the features of a shard with their neighbours; what all shards need is made once in
    each process. Shards share nothing else: where a rule fires is found again, not passed on.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.run, self.client = job, job.run, job.client
        self.asked = self.run.experiment.settings(CollisionSettings)
        self.claims: dict[tuple[str, FeatureId], RuleClaims | None] = {}
        self.guard: FeatureGuard
        self.lost: list[Failure]

    @cached_property
    def explained(self) -> dict[str, dict[FeatureId, Explanation]]:
        """Every explanation, by its explainer."""
        stages = run_explanations(self.run)
        return {
            stage.partition(".")[2]: {each.feature: each for each in found}
            for stage, found in stages.items()
        }

    @cached_property
    def first_bearers(self) -> dict[str, dict[str, FeatureId]]:
        """Of each explainer, the first feature that bears each wording."""
        return {explainer: first_by_wording(found) for explainer, found in self.explained.items()}

    @cached_property
    def numbers(self) -> dict[FeatureId, int]:
        """Which of the run's features each is."""
        return {feature: number for number, feature in enumerate(self.run.features)}

    def __call__(self, shard: int) -> None:
        """Write one shard: the pairs of which it holds the first feature.

        Shards may be under way at the same time, so each has a guard and losses of its own.
        """
        _ = self.first_bearers, self.numbers  # of all shards
        own = copy(self)
        own.guard, own.lost = self.job.guard(shard), []
        own.write(shard)

    def write(self, shard: int) -> None:
        """Compare and write one shard."""
        rows: list[Row] = []
        whole = self.job.reads_done
        uncompared = 0
        for explainer, found in self.explained.items():
            first = self.first_bearers[explainer]
            same = self.for_each_feature(shard, partial(self.same_words, found, first))
            wanted = self.for_each_feature(shard, partial(self.near, found))
            pairs = (
                self.pairs_by_judge(found, wanted)
                if self.asked.by == JUDGE
                else self.pairs_by_rules(explainer, found, wanted)
            )
            rows += [collision_row(pair, explainer) for pair in (*same, *pairs)]
            whole &= all(pair.whole for pair in pairs)
            uncompared += len(wanted) - len(pairs)
        records = {"collisions": rows, "failures": map(failure_row, self.lost)}
        self.guard.write(records, whole=whole, note={"uncompared": uncompared})

    def for_each_feature(self, shard: int, work: Callable[[FeatureId], Iterable[T]]) -> list[T]:
        """What the features of a shard have, one after the other."""

        def whole(feature: FeatureId) -> list[T]:
            return list(work(feature))

        found: list[T] = []
        for feature in self.run.shard(shard):
            one = self.guard.attempt(feature, partial(whole, feature))
            if isinstance(one, Failure):
                self.lost.append(one)
            else:
                found += one
        return found

    def same_words(
        self, found: Explanations, first: Mapping[str, FeatureId], feature: FeatureId
    ) -> Iterator[CollisionPair]:
        """A feature with the first that bears the same words, wherever that lies."""
        if feature in found and (other := first[wording_key(found[feature].text)]) != feature:
            yield same_words_pair(other, feature)

    def near(self, found: Explanations, feature: FeatureId) -> Iterator[FeaturePair]:
        """A feature's pairs with other words of which one is among the other's nearest.

        Each pair at one of the two alone.
        """
        for other in self.nearest(feature, found):
            met = other < feature and feature in self.nearest(other, found)
            if not met and wording_key(found[feature].text) != wording_key(found[other].text):
                yield feature, other

    def nearest(self, feature: FeatureId, found: Explanations) -> list[FeatureId]:
        """The feature's nearest explained neighbours; none where it is not explained itself."""
        near = (
            FeatureId(feature.dictionary, other)
            for other, _ in self.run.near.get(feature.index, [])
        )
        return (
            [other for other in near if other in found][: self.asked.nearest]
            if feature in found
            else []
        )

    def pairs_by_rules(
        self, explainer: str, found: Explanations, wanted: Iterable[FeaturePair]
    ) -> list[CollisionPair]:
        """The pairs that both have rules, told apart by these."""
        pairs: list[CollisionPair] = []
        for two in wanted:
            pair = self.guard.attempt(two[0], partial(self.pair_by_rules, explainer, found, two))
            if isinstance(pair, Failure):
                self.lost.append(pair)
            elif pair:
                pairs.append(pair)
        return pairs

    def pair_by_rules(
        self, explainer: str, found: Explanations, two: FeaturePair
    ) -> CollisionPair | None:
        """The two, told apart by their rules; None where one has no rule."""
        one, other = (self.rule_claims(explainer, found[feature]) for feature in two)
        if not (one and other):
            return None
        rng = self.run.generator("collisions", explainer, *(feature.index for feature in two))
        return compare_by_rule(one, other, self.run.corpus, rng)

    def rule_claims(self, explainer: str, explanation: Explanation) -> RuleClaims | None:
        """Where a rule fires, worked out once; None where there is no rule that can be read."""
        key = explainer, explanation.feature
        if key not in self.claims:
            activations = self.run.activations.feature(explanation.feature.index)
            try:
                self.claims[key] = (
                    RuleClaims.of(explanation, self.run.corpus, activations)
                    if explanation.rule
                    else None
                )
            except BadInput:
                self.claims[key] = None
        return self.claims[key]

    def pairs_by_judge(self, found: Explanations, wanted: list[FeaturePair]) -> list[CollisionPair]:
        """The pairs, told apart by a language model."""
        evidence = self.evidence({feature for two in wanted for feature in two})
        method = Discrimination(
            2, self.asked.trials, self.asked.contexts_each, sets_per_question=10
        )

        def compared(two: FeaturePair) -> Conversation[CollisionPair]:
            rng = self.run.generator("collisions", *(feature.index for feature in two))
            one, other = (ExplainedFeature(found[feature], evidence[feature]()) for feature in two)
            return compare_by_judge(one, other, method, rng)

        pairs = self.client.run(
            self.guard.conversation(two[0], partial(compared, two)) for two in wanted
        )
        self.lost += [pair for pair in pairs if isinstance(pair, Failure)]
        return [pair for pair in pairs if isinstance(pair, CollisionPair)]

    def foreseen(
        self, found: Explanations, shard: int, guard: FeatureGuard
    ) -> Iterator[Conversation[CollisionPair | Failure]]:
        """What a shard's pairs would be asked with these explanations: the first round of each
        conversation is one direction.
        """
        wanted = [two for feature in self.run.shard(shard) for two in self.near(found, feature)]
        evidence = self.evidence({feature for two in wanted for feature in two})
        method = Discrimination(
            2, self.asked.trials, self.asked.contexts_each, sets_per_question=10
        )

        def compared(one: FeatureId, other: FeatureId) -> Conversation[CollisionPair]:
            rng = self.run.generator("cost", one.index, other.index)
            return compare_by_judge(
                ExplainedFeature(found[one], evidence[one]()),
                ExplainedFeature(found[other], evidence[other]()),
                method,
                rng,
            )

        for two in wanted:
            for one, other in (two, two[::-1]):
                yield guard.conversation(one, partial(compared, one, other))

    def evidence(self, wanted: set[FeatureId]) -> dict[FeatureId, Callable[[], Evidence]]:
        """What gives the evidence of these features, whatever shards they lie in.

        Each is made once.
        """
        size = self.run.experiment.run.features_per_shard

        def made(restore: Callable[[], Examples]) -> Evidence:
            examples = restore()
            return Evidence(
                examples, self.run.corpus, self.run.activations.feature(examples.feature.index)
            )

        return {
            feature: cache(partial(made, restore))
            for shard in sorted({self.numbers[feature] // size for feature in wanted})
            for feature, restore in stored_examples(self.run, shard).items()
            if feature in wanted
        }


def first_by_wording(found: Explanations) -> dict[str, FeatureId]:
    """The first feature that bears each wording."""
    return {wording_key(found[feature].text): feature for feature in sorted(found, reverse=True)}


def collision_row(pair: CollisionPair, explainer: str) -> Row:
    return feature_columns(pair.first) | {
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


def collision_pair(row: Row) -> CollisionPair:
    told = Estimate(row["value"], row["low"], row["high"])
    other = FeatureId(row["dictionary"], row["other"])
    return CollisionPair(
        feature_from_row(row), other, told, row["n"], row["failed"], row["same_words"]
    )


def write_collision_groups(run: OpenedRun) -> None:
    """Write down the groups that collisions connect, after the last shard.

    Again until no shard is left to do.
    """
    part = run.part("collisions", run.shards)
    if part.is_done:
        return
    rows = read_rows([run.place("collisions")], "collisions")
    found = [
        feature_columns(feature) | {"explained_by": explainer, "group": number, "size": len(group)}
        for explainer in dict.fromkeys(row["explained_by"] for row in rows)
        for number, group in enumerate(
            group_collisions(
                collision_pair(row) for row in rows if row["explained_by"] == explainer
            )
        )
        for feature in group
    ]
    part.write(
        {"collision_groups": found},
        whole=run.is_finished("collisions"),
    )
