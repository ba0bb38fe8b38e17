"""What earlier stages left, as records again."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from gloss.records import Effect, Examples, Explanation, FeatureId
from gloss.run.plan import Plan
from gloss.store.results import Part, Row, effect_from_row, explanation_from_row, read_rows
from gloss.store.stored_examples import restore_examples
from gloss.store.token_attributions import TokenAttribution, token_attributions_by_feature


def shard_rows(folder: Path, table: str, shard: int) -> list[Row]:
    """The rows that one shard left; none where it made none."""
    return Part(folder, shard).rows(table)


def shard_examples(plan: Plan, shard: int) -> Iterator[Examples]:
    """The examples of every feature of a shard that has them."""
    return (restore() for restore in stored_examples(plan, shard).values())


def stored_examples(plan: Plan, shard: int) -> dict[FeatureId, Callable[[], Examples]]:
    """For every feature of a shard that has examples, what gives them."""
    by_feature: dict[FeatureId, list[Row]] = {}
    for row in shard_rows(plan.place("sample"), "examples", shard):
        by_feature.setdefault(FeatureId(row["dictionary"], row["feature"]), []).append(row)
    return {
        feature: partial(restore_feature_examples, plan, feature, rows)
        for feature, rows in by_feature.items()
    }


def restore_feature_examples(plan: Plan, feature: FeatureId, rows: list[Row]) -> Examples:
    """The examples that these rows refer to."""
    described = plan.described[feature.index]
    raised = tuple(
        entry["token"]
        for entry in described["promoted_tokens"]
        if entry["value"] > described["chance_logit"]
    )
    return restore_examples(
        feature, rows, plan.corpus, plan.activations.feature(feature.index), raised
    )


def shard_effects(plan: Plan, shard: int) -> dict[int, tuple[Effect, ...]]:
    """The effects of a shard's features, by index, controls among them.

    None where nothing was changed.
    """
    by_feature: dict[int, list[Effect]] = {}
    if "intervene" in plan.keys:
        for row in shard_rows(plan.place("intervene"), "effects", shard):
            by_feature.setdefault(row["feature"], []).append(effect_from_row(row))
    return {index: tuple(effects) for index, effects in by_feature.items()}


def shard_token_attributions(plan: Plan, shard: int) -> dict[int, tuple[TokenAttribution, ...]]:
    """Why a shard's features fire where they do, by index; none where nobody asked."""
    return (
        token_attributions_by_feature(
            shard_rows(plan.place("attribute"), "token_attributions", shard)
        )
        if "attribute" in plan.keys
        else {}
    )


def run_explanations(plan: Plan) -> dict[str, list[Explanation]]:
    """Every explanation of the run, by the name of its method's stage."""
    return {
        stage: [explanation_from_row(row) for row in read_rows([plan.place(stage)], "explanations")]
        for stage in plan.stages("explain")
    }
