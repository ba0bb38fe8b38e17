"""Stage `intervene`: each feature amplified inside the subject, and what that does to what comes
next.
"""

from collections.abc import Callable
from functools import partial

from gloss.intervene.feature_effects import measure_feature_effects
from gloss.intervene.settings import InterventionSettings
from gloss.models.dictionary import Dictionary, require_fit
from gloss.models.subject import Subject
from gloss.records import Effect, Examples, Failure, FeatureId
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.methods import build_dataclass
from gloss.run.opened_run import stored_examples
from gloss.run.plan import Plan
from gloss.run.stages.decompose import load_run_dictionary, load_run_subject
from gloss.store.results import effect_row, failure_row


def load_subject_and_dictionary(plan: Plan) -> tuple[Subject, Dictionary]:
    """What is changed and by what. Raises Mismatch for a dictionary that does not fit."""
    subject = load_run_subject(plan)
    dictionary = load_run_dictionary(plan, subject)
    require_fit(dictionary, subject)
    return subject, dictionary


def intervene_shard(plan: Plan, read_with: tuple[Subject, Dictionary], shard: int) -> None:
    """Measure the effects of one shard's features that have contexts.

    A target out of reach is a failure with that reason.
    """
    asked = build_dataclass(InterventionSettings, plan.experiment.intervene or {}, "[intervene]")
    guard, found = FeatureGuard(plan, "intervene", shard), list[Effect | Failure]()

    def effects(feature: FeatureId, restore: Callable[[], Examples]) -> list[Effect | Failure]:
        return list(
            measure_feature_effects(
                *read_with, restore(), asked, plan.generator("intervene", feature.index)
            )
        )

    for feature, restore in stored_examples(plan, shard).items():
        one = guard.attempt(feature, partial(effects, feature, restore))
        found += [one] if isinstance(one, Failure) else one
    guard.write(
        {
            "effects": [effect_row(one) for one in found if isinstance(one, Effect)],
            "failures": [failure_row(one) for one in found if isinstance(one, Failure)],
        }
    )
