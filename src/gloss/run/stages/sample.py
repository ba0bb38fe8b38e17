"""Stage `sample`: the contexts of each feature, kept as references into the corpus."""

from gloss.records import Examples, Failure, FeatureId
from gloss.run.methods import build, method
from gloss.run.plan import Plan
from gloss.sample.examples import Sampling, gather
from gloss.store.examples import reference_rows
from gloss.store.results import Row, failure_row


def sample(plan: Plan, shard: int) -> None:
    """Choose the contexts of one shard's features. A feature with too few of them is a failure with that reason."""
    references: list[Row] = []
    failures: list[Row] = []
    for feature in plan.shard(shard):
        found = contexts_of(plan, feature)
        if isinstance(found, Failure):
            failures.append(failure_row(found))
        else:
            references += reference_rows(found)
    plan.part("sample", shard).write({"examples": references, "failures": failures})


def contexts_of(plan: Plan, feature: FeatureId) -> Examples | Failure:
    asked = plan.experiment
    sampling = build(Sampling, asked.contexts, "[contexts]")
    sampler = method("sample", asked.sample[0])
    activations = plan.activations.feature(feature.index)
    return gather(feature, activations, plan.corpus, sampler, sampling, plan.generator("sample", feature.index))
