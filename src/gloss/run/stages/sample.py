"""Stage `sample`: the contexts of each feature, kept as references into the corpus."""

from collections import Counter
from functools import partial

from gloss.records import Examples, Failure, FeatureId, Negative
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.methods import build_method
from gloss.run.plan import Plan
from gloss.sample.examples import gather_examples
from gloss.sample.negatives import WANT_EMBEDDINGS, WANT_NEIGHBOURS, NegativeSources
from gloss.store.results import Row, failure_row
from gloss.store.stored_examples import reference_rows


def sample_shard(plan: Plan, shard: int) -> None:
    """Choose the contexts of one shard's features.

    A feature with too few of them is a failure with that reason.
    """
    references: list[Row] = []
    failures: list[Row] = []
    negatives: Counter[int] = Counter()
    guard = FeatureGuard(plan, "sample", shard, after=("neighbours",))
    for feature in plan.shard(shard):
        found = guard.attempt(feature, partial(sample_feature, plan, feature))
        if isinstance(found, Failure):
            failures.append(failure_row(found))
        else:
            references += reference_rows(found)
            negatives.update(found.inactive_held_out.quantiles.tolist())
    guard.write(
        {"examples": references, "failures": failures},
        note={"negatives": negative_counts(negatives)},
    )


def negative_counts(negatives: Counter[int]) -> dict[str, int]:
    """How many inactive held-out contexts of each kind were found."""
    return {kind.name.lower(): negatives[kind] for kind in Negative if negatives[kind]}


def sample_feature(plan: Plan, feature: FeatureId) -> Examples | Failure:
    sampling = plan.experiment.sampling
    sampler = build_method("sample", plan.experiment.sample[0])
    activations = plan.activations.feature(feature.index)
    near = NegativeSources(
        plan.neighbours(feature.index) if sampling.negatives in WANT_NEIGHBOURS else (),
        plan.embeddings if sampling.negatives in WANT_EMBEDDINGS else None,
    )
    return gather_examples(
        feature,
        activations,
        plan.corpus,
        sampler,
        sampling,
        plan.generator("sample", feature.index),
        near,
    )
