"""What earlier stages left, as records again."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from gloss.records import Effect, Examples, Explanation, FeatureId
from gloss.run.plan import Plan
from gloss.store.effects import effect_of
from gloss.store.examples import restored
from gloss.store.reasons import Reasons
from gloss.store.reasons import reasons_of as reasons_from
from gloss.store.results import Part, Row, explanation_of, read


def rows_of(folder: Path, table: str, shard: int) -> list[Row]:
    """The rows that one shard left; none where it made none."""
    return Part(folder, shard).rows(table)


def examples_of(plan: Plan, shard: int) -> Iterator[Examples]:
    """The examples of every feature of a shard that has them."""
    return (restore() for restore in stored_examples(plan, shard).values())


def stored_examples(plan: Plan, shard: int) -> dict[FeatureId, Callable[[], Examples]]:
    """For every feature of a shard that has examples, what gives them."""
    by_feature: dict[FeatureId, list[Row]] = {}
    for row in rows_of(plan.place("sample"), "examples", shard):
        by_feature.setdefault(FeatureId(row["dictionary"], row["feature"]), []).append(row)
    return {feature: partial(examples_from, plan, feature, rows) for feature, rows in by_feature.items()}


def examples_from(plan: Plan, feature: FeatureId, rows: list[Row]) -> Examples:
    """The examples that these rows refer to."""
    described = plan.described[feature.index]
    raised = tuple(entry["token"] for entry in described["top_tokens"] if entry["value"] > described["chance_logit"])
    return restored(feature, rows, plan.corpus, plan.activations.feature(feature.index), raised)


def effects_of(plan: Plan, shard: int) -> dict[int, tuple[Effect, ...]]:
    """The effects of a shard's features, by index, controls among them; none where nothing was changed."""
    by_feature: dict[int, list[Effect]] = {}
    if "intervene" in plan.keys:
        for row in rows_of(plan.place("intervene"), "effects", shard):
            by_feature.setdefault(row["feature"], []).append(effect_of(row))
    return {index: tuple(effects) for index, effects in by_feature.items()}


def reasons_of(plan: Plan, shard: int) -> dict[int, tuple[Reasons, ...]]:
    """Why a shard's features fire where they do, by index; none where nobody asked."""
    return reasons_from(rows_of(plan.place("attribute"), "reasons", shard)) if "attribute" in plan.keys else {}


def explanations_of(plan: Plan) -> dict[str, list[Explanation]]:
    """Every explanation of the run, by the name of its method's stage."""
    return {stage: [explanation_of(row) for row in read([plan.place(stage)], "explanations")] for stage in plan.stages("explain")}
