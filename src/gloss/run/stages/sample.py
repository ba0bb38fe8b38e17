"""Stage `sample`: the contexts of each feature, kept as references into the corpus."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from gloss.records import Failure, FeatureId, Negative, Reason, Split
from gloss.run.dependencies import chosen_features, code_and_weights
from gloss.run.experiment import Experiment, method_label
from gloss.run.keys import result_key
from gloss.run.methods import build_method
from gloss.run.opened_run import OpenedRun
from gloss.run.stage import Job, Stage, Step, Where, where_many_run
from gloss.sample.examples import CommonWindows, Draws, FeatureWindows, SamplingSettings
from gloss.sample.negatives import NO_SOURCES, WANT_EMBEDDINGS, WANT_NEIGHBOURS, NegativeSources
from gloss.sample.windows import ChosenWindows
from gloss.store.feature_facts import FeatureFacts, feature_facts
from gloss.store.record_rows import failure_row, feature_columns
from gloss.store.results import Row
from gloss.store.schemas import named_tables
from gloss.store.stored_examples import ContextReferences, reference_table

DRAWS = 2  # of what is drawn at random: with another number it is drawn anew
MANY = 1000  # features: each takes a few milliseconds, another process a second or two


class SampleStage(Stage):
    """The contexts of each feature, as references into the corpus: those that are the same for all
    samples in one step, and what explainers are shown in a step for each [[sample]].
    """

    name, after = "sample", ("collect", "directions", "neighbours", "embeddings")
    tables = named_tables("examples", "feature_facts", "failures")

    def steps(self, asked: Experiment) -> Iterator[Step]:
        yield Step(self, asked.held_out_sampler)
        for settings in asked.sample:
            yield Step(self, settings, method_label(settings))

    def where_to_run(self, asked: Experiment, step: Step) -> Where:
        return where_many_run(asked, MANY)

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        return ["collect"] if step.label else super().reads(asked, step, before)

    def content(self, asked: Experiment, step: Step) -> Any:
        sampler = {name: value for name, value in step.settings.items() if name != "name"}
        held_out = ("held_out_sample",)
        contexts = {name: value for name, value in asked.contexts.items() if name not in held_out}
        code = code_and_weights("sample", step.settings)
        return (
            DRAWS,
            bool(step.label),
            sampler,
            contexts,
            chosen_features(asked),
            *filter(None, code),
        )

    def work(self, job: Job, shard: int) -> None:
        if job.step.label:
            sample_shown_contexts(job, shard)
        else:
            sample_common_contexts(job, shard)


def sample_common_contexts(job: Job, shard: int) -> None:
    """Choose the held-out and the inactive contexts of one shard's features.

    A feature with too few windows is a failure with that reason.
    """
    references: dict[FeatureId, ContextReferences] = {}
    facts: list[Row] = []
    failures: list[Row] = []
    negatives: Counter[int] = Counter()
    guard, run, sampling = job.guard(shard), job.run, job.run.experiment.sampling
    sampler = build_method("sample", job.step.settings)

    def common(feature: FeatureId) -> tuple[CommonWindows, FeatureFacts] | Failure:
        near = NegativeSources(
            run.neighbours(feature.index) if sampling.negatives in WANT_NEIGHBOURS else (),
            run.embeddings if sampling.negatives in WANT_EMBEDDINGS else None,
        )
        found = feature_windows(run, feature, sampling, near)
        if isinstance(found, Failure):
            return found
        return (
            found.common(sampling, sampler, feature_draws(run, feature)),
            feature_facts(run.corpus, found.search.activations, sampling.context_length),
        )

    for feature in run.shard(shard):
        found = guard.attempt(feature, partial(common, feature))
        if isinstance(found, Failure):
            failures.append(failure_row(found))
        else:
            windows, known = found
            references[feature] = window_references(windows._asdict(), sampling.context_length)
            facts.append(feature_columns(feature) | known._asdict())
            negatives.update(windows.inactive_held_out.quantiles.tolist())
    guard.write(
        {"examples": reference_table(references), "feature_facts": facts, "failures": failures},
        note={"negatives": negative_counts(negatives)},
    )


def sample_shown_contexts(job: Job, shard: int) -> None:
    """Choose what explainers of one sample are shown of each of a shard's features.

    Too few windows are told with the contexts that are the same for all samples, and only there.
    """
    references: dict[FeatureId, ContextReferences] = {}
    failures: list[Row] = []
    guard, run, sampling = job.guard(shard), job.run, job.run.experiment.sampling
    sampler = build_method("sample", job.step.settings)

    def shown(feature: FeatureId) -> ChosenWindows | Failure:
        found = feature_windows(run, feature, sampling)
        if isinstance(found, Failure):
            return found
        rng = feature_draws(run, feature).stream("train")
        return found.chosen(Split.TRAIN, sampler, sampling.train, rng)

    for feature in run.shard(shard):
        found = guard.attempt(feature, partial(shown, feature))
        if isinstance(found, ChosenWindows):
            references[feature] = window_references({"train": found}, sampling.context_length)
        elif found.reason is Reason.ERROR:
            failures.append(failure_row(found))
    table = reference_table(references, job.step.label)
    guard.write({"examples": table, "failures": failures})


def window_references(windows: Mapping[str, ChosenWindows], width: int) -> ContextReferences:
    """Where the windows of each role begin."""
    chosen = {role: (found.starts, found.quantiles) for role, found in windows.items()}
    return ContextReferences.of(chosen, width)


def feature_windows(
    run: OpenedRun,
    feature: FeatureId,
    sampling: SamplingSettings,
    near: NegativeSources = NO_SOURCES,
) -> FeatureWindows | Failure:
    """The windows in which a feature fires."""
    activations = run.activations.feature(feature.index)
    return FeatureWindows.of(feature, activations, run.corpus, sampling, near)


def feature_draws(run: OpenedRun, feature: FeatureId) -> Draws:
    """What a feature's contexts are drawn by: the same for all samples, and whatever others there
    are.
    """
    return Draws(f"{run.experiment.run.seed} {result_key('sample', feature.index)}".encode())


def negative_counts(negatives: Counter[int]) -> dict[str, int]:
    """How many inactive held-out contexts of each kind were found."""
    return {kind.name.lower(): negatives[kind] for kind in Negative if negatives[kind]}
