"""Stage `sample`: the contexts of each feature, kept as references into the corpus."""

from collections import Counter
from functools import partial

from gloss.records import Examples, Failure, FeatureId, Negative
from gloss.run.methods import method
from gloss.run.mishaps import Watch
from gloss.run.plan import Plan
from gloss.sample.examples import gather
from gloss.sample.negatives import Near
from gloss.sample.neighbours import WANT_EMBEDDINGS, WANT_NEIGHBOURS
from gloss.store.examples import reference_rows
from gloss.store.results import Row, failure_row


def sample(plan: Plan, shard: int) -> None:
    """Choose the contexts of one shard's features. A feature with too few of them is a failure with that reason."""
    references: list[Row] = []
    failures: list[Row] = []
    negatives: Counter[int] = Counter()
    watch = Watch(plan, "sample", shard, after=("neighbours",))
    for feature in plan.shard(shard):
        found = watch.treated(feature, partial(contexts_of, plan, feature))
        if isinstance(found, Failure):
            failures.append(failure_row(found))
        else:
            references += reference_rows(found)
            negatives.update(found.silent_held_out.quantiles.tolist())
    watch.write({"examples": references, "failures": failures}, note={"negatives": named(negatives)})


def named(negatives: Counter[int]) -> dict[str, int]:
    """How many silent held-out contexts of each kind were found."""
    return {kind.name.lower(): negatives[kind] for kind in Negative if negatives[kind]}


def contexts_of(plan: Plan, feature: FeatureId) -> Examples | Failure:
    sampling = plan.experiment.sampling
    sampler = method("sample", plan.experiment.sample[0])
    activations = plan.activations.feature(feature.index)
    near = Near(
        plan.neighbours(feature.index) if sampling.negatives in WANT_NEIGHBOURS else (),
        plan.embeddings if sampling.negatives in WANT_EMBEDDINGS else None,
    )
    return gather(feature, activations, plan.corpus, sampler, sampling, plan.generator("sample", feature.index), near)
