"""Stage `sample`: the contexts of each feature, kept as references into the corpus."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from gloss.records import Contexts, Failure, FeatureId, Negative, Reason, Split
from gloss.run.dependencies import chosen_features, code_and_weights
from gloss.run.experiment import Experiment, method_label
from gloss.run.methods import build_method
from gloss.run.opened_run import OpenedRun
from gloss.run.stage import Job, Stage, Step
from gloss.sample.examples import CommonContexts, Draws, FeatureWindows
from gloss.sample.negatives import NO_SOURCES, WANT_EMBEDDINGS, WANT_NEIGHBOURS, NegativeSources
from gloss.store.record_rows import failure_row
from gloss.store.results import Row
from gloss.store.schemas import named_tables
from gloss.store.stored_examples import reference_rows


class SampleStage(Stage):
    """The contexts of each feature, as references into the corpus: those that are the same for all
    samples in one step, and what explainers are shown in a step for each [[sample]].
    """

    name, after = "sample", ("collect", "directions", "neighbours", "embeddings")
    tables = named_tables("examples", "failures")

    def steps(self, asked: Experiment) -> Iterator[Step]:
        yield Step(self, asked.held_out_sampler)
        for settings in asked.sample:
            yield Step(self, settings, method_label(settings))

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        return ["collect"] if step.label else super().reads(asked, step, before)

    def content(self, asked: Experiment, step: Step) -> Any:
        sampler = {name: value for name, value in step.settings.items() if name != "name"}
        held_out = ("held_out_sample",)
        contexts = {name: value for name, value in asked.contexts.items() if name not in held_out}
        code = code_and_weights("sample", step.settings)
        return bool(step.label), sampler, contexts, chosen_features(asked), *filter(None, code)

    def work(self, job: Job, shard: int) -> None:
        if job.step.label:
            sample_shown_contexts(job, shard)
        else:
            sample_common_contexts(job, shard)


def sample_common_contexts(job: Job, shard: int) -> None:
    """Choose the held-out and the inactive contexts of one shard's features.

    A feature with too few windows is a failure with that reason.
    """
    references: list[Row] = []
    failures: list[Row] = []
    negatives: Counter[int] = Counter()
    guard, run, sampling = job.guard(shard), job.run, job.run.experiment.sampling
    sampler = build_method("sample", job.step.settings)

    def common(feature: FeatureId) -> CommonContexts | Failure:
        near = NegativeSources(
            run.neighbours(feature.index) if sampling.negatives in WANT_NEIGHBOURS else (),
            run.embeddings if sampling.negatives in WANT_EMBEDDINGS else None,
        )
        found = feature_windows(run, feature, near)
        return (
            found
            if isinstance(found, Failure)
            else found.common_contexts(sampling, sampler, feature_draws(run, feature))
        )

    for feature in run.shard(shard):
        found = guard.attempt(feature, partial(common, feature))
        if isinstance(found, Failure):
            failures.append(failure_row(found))
        else:
            references += reference_rows(feature, found._asdict())
            negatives.update(found.inactive_held_out.quantiles.tolist())
    guard.write(
        {"examples": references, "failures": failures},
        note={"negatives": negative_counts(negatives)},
    )


def sample_shown_contexts(job: Job, shard: int) -> None:
    """Choose what explainers of one sample are shown of each of a shard's features.

    Too few windows are told with the contexts that are the same for all samples, and only there.
    """
    references: list[Row] = []
    failures: list[Row] = []
    guard, run, sampling = job.guard(shard), job.run, job.run.experiment.sampling
    sampler = build_method("sample", job.step.settings)

    def shown(feature: FeatureId) -> Contexts | Failure:
        found = feature_windows(run, feature)
        if isinstance(found, Failure):
            return found
        rng = feature_draws(run, feature).train
        return found.contexts(Split.TRAIN, sampler, sampling.train, rng)

    for feature in run.shard(shard):
        found = guard.attempt(feature, partial(shown, feature))
        if isinstance(found, Contexts):
            references += reference_rows(feature, {"train": found}, job.step.label)
        elif found.reason is Reason.ERROR:
            failures.append(failure_row(found))
    guard.write({"examples": references, "failures": failures})


def feature_windows(
    run: OpenedRun, feature: FeatureId, near: NegativeSources = NO_SOURCES
) -> FeatureWindows | Failure:
    """The windows in which a feature fires."""
    activations = run.activations.feature(feature.index)
    return FeatureWindows.of(feature, activations, run.corpus, run.experiment.sampling, near)


def feature_draws(run: OpenedRun, feature: FeatureId) -> Draws:
    """What a feature's contexts are drawn by: the same for all samples, and whatever others there
    are.
    """
    return Draws.of(run.generator("sample", feature.index))


def negative_counts(negatives: Counter[int]) -> dict[str, int]:
    """How many inactive held-out contexts of each kind were found."""
    return {kind.name.lower(): negatives[kind] for kind in Negative if negatives[kind]}
