"""Stage `sample`: the contexts of each feature, kept as references into the corpus."""

from collections import Counter
from functools import partial
from typing import Any

from gloss.records import Examples, Failure, FeatureId, Negative
from gloss.run.dependencies import chosen_features, code_and_weights
from gloss.run.experiment import Experiment
from gloss.run.methods import build_method
from gloss.run.opened_run import OpenedRun
from gloss.run.stage import Job, Stage, Step
from gloss.sample.examples import gather_examples
from gloss.sample.negatives import WANT_EMBEDDINGS, WANT_NEIGHBOURS, NegativeSources
from gloss.store.record_rows import failure_row
from gloss.store.results import Row
from gloss.store.schemas import named_tables
from gloss.store.stored_examples import reference_rows


class SampleStage(Stage):
    """The contexts of each feature, as references into the corpus."""

    name, after = "sample", ("collect", "neighbours", "embeddings")
    tables = named_tables("examples", "failures")

    def content(self, asked: Experiment, step: Step) -> Any:
        code = [code_and_weights("sample", settings) for settings in asked.sample]
        return asked.sample, asked.contexts, chosen_features(asked), *filter(None, code)

    def work(self, job: Job, shard: int) -> None:
        sample_shard(job, shard)


def sample_shard(job: Job, shard: int) -> None:
    """Choose the contexts of one shard's features.

    A feature with too few of them is a failure with that reason.
    """
    references: list[Row] = []
    failures: list[Row] = []
    negatives: Counter[int] = Counter()
    guard, run = job.guard(shard), job.run
    for feature in run.shard(shard):
        found = guard.attempt(feature, partial(sample_feature, run, feature))
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


def sample_feature(run: OpenedRun, feature: FeatureId) -> Examples | Failure:
    sampling = run.experiment.sampling
    sampler = build_method("sample", run.experiment.sample[0])
    activations = run.activations.feature(feature.index)
    near = NegativeSources(
        run.neighbours(feature.index) if sampling.negatives in WANT_NEIGHBOURS else (),
        run.embeddings if sampling.negatives in WANT_EMBEDDINGS else None,
    )
    return gather_examples(
        feature,
        activations,
        run.corpus,
        sampler,
        sampling,
        run.generator("sample", feature.index),
        near,
    )
