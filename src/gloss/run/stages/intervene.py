"""Stage `intervene`: each feature amplified inside the subject, and what that does to what comes
next.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from gloss.intervene.settings import InterventionSettings
from gloss.pages.page_records import FeaturePage
from gloss.pages.report_sections import Section
from gloss.records import Effect, Examples, Failure, FeatureId
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun, shard_effects, stored_examples
from gloss.run.reporting.interventions import interventions_section
from gloss.run.reporting.run_data import RunData
from gloss.run.stage import Job, Stage, Step, Where
from gloss.store.record_rows import effect_row, failure_row
from gloss.store.schemas import named_tables


class InterveneStage(Stage):
    """The effects of each feature, where the experiment has a table [intervene]."""

    name, after, settings, optional = "intervene", ("sample",), InterventionSettings, True
    tables = named_tables("effects", "failures")
    where = Where.DEVICE

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        return asked.sample_steps()

    def worker(self, job: Job) -> Callable[[int], None]:
        return intervention_worker(job)

    def sections(self, found: RunData) -> Iterable[Section | None]:
        return [interventions_section(found)]

    def page_fragment(
        self, run: OpenedRun, step: Step, shard: int
    ) -> Callable[[FeaturePage], FeaturePage]:
        effects = shard_effects(run, shard)
        return lambda page: replace(page, effects=effects.get(page.feature.index, ()))


def intervention_worker(job: Job) -> Callable[[int], None]:
    """Measures the effects of a shard's features that have contexts.

    A target out of reach is a failure with that reason.
    """
    from gloss.intervene.feature_effects import measure_feature_effects
    from gloss.run.run_dictionary import load_subject_and_dictionary

    run, asked = job.run, job.run.experiment.settings(InterventionSettings)
    read_with = load_subject_and_dictionary(run)

    def effects(feature: FeatureId, restore: Callable[[], Examples]) -> list[Effect | Failure]:
        rng = run.generator("intervene", feature.index)
        return list(measure_feature_effects(*read_with, restore(), asked, rng))

    def intervene_shard(shard: int) -> None:
        guard, found = job.guard(shard), list[Effect | Failure]()
        for feature, restore in stored_examples(run, shard).items():
            one = guard.attempt(feature, partial(effects, feature, restore))
            found += [one] if isinstance(one, Failure) else one
        guard.write(
            {
                "effects": [effect_row(one) for one in found if isinstance(one, Effect)],
                "failures": [failure_row(one) for one in found if isinstance(one, Failure)],
            }
        )

    return intervene_shard
