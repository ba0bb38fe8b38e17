"""Stage `intervene`: each feature amplified inside the subject, and what that does to what comes next."""

from collections.abc import Callable
from functools import partial

from gloss.intervene.effects import effects_of
from gloss.intervene.settings import Intervening
from gloss.models.dictionary import Dictionary, require_fit
from gloss.models.subject import Subject
from gloss.records import Effect, Examples, Failure, FeatureId
from gloss.run.methods import build
from gloss.run.mishaps import Watch
from gloss.run.plan import Plan
from gloss.run.restored import stored_examples
from gloss.run.stages.decompose import load, load_subject
from gloss.store.effects import effect_row
from gloss.store.results import failure_row


def models(plan: Plan) -> tuple[Subject, Dictionary]:
    """What is changed and by what. Raises Mismatch for a dictionary that does not fit."""
    subject = load_subject(plan)
    dictionary = load(plan, subject)
    require_fit(dictionary, subject)
    return subject, dictionary


def intervene(plan: Plan, read_with: tuple[Subject, Dictionary], shard: int) -> None:
    """Measure the effects of one shard's features that have contexts. A target out of reach is a failure with that reason."""
    asked = build(Intervening, plan.experiment.intervene or {}, "[intervene]")
    watch, found = Watch(plan, "intervene", shard), list[Effect | Failure]()

    def effects(feature: FeatureId, restore: Callable[[], Examples]) -> list[Effect | Failure]:
        return list(effects_of(*read_with, restore(), asked, plan.generator("intervene", feature.index)))

    for feature, restore in stored_examples(plan, shard).items():
        one = watch.treated(feature, partial(effects, feature, restore))
        found += [one] if isinstance(one, Failure) else one
    watch.write(
        {
            "effects": [effect_row(one) for one in found if isinstance(one, Effect)],
            "failures": [failure_row(one) for one in found if isinstance(one, Failure)],
        }
    )
