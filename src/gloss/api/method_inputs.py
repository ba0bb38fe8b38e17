"""What a method is given here: what a run has of a feature, or evidence that was put together by
hand. One sentence says what lacks.
"""

from typing import Any

from gloss.api.runs import Feature
from gloss.errors import BadInput, BadSettings
from gloss.records import (
    NOBODY,
    Effect,
    Examples,
    Explanation,
    FeatureId,
    Needs,
    needs_of,
)
from gloss.rules import parse_rule
from gloss.run.chat_clients import ChatClient, NoClient
from gloss.run.methods import SettingsMapping, build_method
from gloss.run.opened_run import shard_effects
from gloss.run.pipeline import chat_client
from gloss.run.stages.explain import shard_causes
from gloss.run.stages.score import scorer_evidence
from gloss.store.evidence import Evidence

# what a method may need of evidence, as an attribute of it, in words
OF_EVIDENCE = {
    "effects": "the effects of interventions",
    "neighbours": "the evidence of near features",
    "reader": "the model, to read texts of its own",
}


def require_feature(given: object, verb: str, others: str = "") -> Feature:
    """The feature that was given. Raises BadSettings for anything else."""
    if not isinstance(given, Feature):
        raise BadSettings(
            f"gloss.{verb} was given {type(given).__name__} {given!r:.60}; give a feature of a run,"
            f' as in gloss.open("runs/demo")[999]{others}'
        )
    return given


def scored_explanation(
    feature: FeatureId,
    given: object,
    own: Explanation | None,
    settings: SettingsMapping,
) -> Explanation:
    """What is scored: the words or the rule that were given, or else the feature's own; nothing
    where the method of these settings scores the feature itself.

    A text is a rule where it can be read as one, and words otherwise. Raises BadSettings where
    there is nothing to score, or nothing that reads it.
    """
    method = settings["method"]
    if method and not needs_of(build_method("score", settings)).explanation:
        if given is not None:
            raise BadSettings(
                f"{method} scores the feature itself, whatever is said of it; leave the explanation"
                " out"
            )
        return Explanation(feature, "", NOBODY)
    match given if given is not None else own:
        case Explanation() as said:
            return said
        case str() as text:
            try:
                parse_rule(text)
            except BadInput:
                return Explanation(feature, text, "given")
            return Explanation(feature, text, "given", rule=text)
        case None:
            raise BadSettings(
                f"feature {feature.index} has no explanation of its own; give one as text"
            )
        case other:
            raise BadSettings(
                f"{other!r:.60} explains nothing; give a text, a rule, or an Explanation"
            )


def explained_examples(feature: Feature, explainer: Any, settings: SettingsMapping) -> Examples:
    """The contexts of a feature, with what the run knows of causes, where the method needs that.

    Raises BadInput where the run drew no contexts, and BadSettings where it measured no effects.
    """
    examples, needs = feature.examples_of(settings.get("sample", "")), needs_of(explainer)
    require_effects(feature, needs, settings["method"])
    return shard_causes(feature.run.plan, feature.run.shards[feature.index], needs)(examples)


def feature_evidence(feature: Feature, scorer: Any, method: str) -> Evidence:
    """What the run has of a feature that the scorer needs, as for its own scores.

    Raises BadInput where the run drew no contexts, and BadSettings where it measured no effects.
    """
    plan, examples, needs = feature.run.plan, feature.examples, needs_of(scorer)
    require_effects(feature, needs, method)
    effects: tuple[Effect, ...] = ()
    if needs.effects:
        shard = feature.run.shards[feature.index]
        effects = shard_effects(plan, shard).get(feature.index, ())
    return scorer_evidence(plan, scorer, examples, effects)


def require_effects(feature: Feature, needs: Needs, method: str) -> None:
    """Raises BadSettings where the method needs effects and the run has measured none."""
    plan = feature.run.plan
    steps, shard = plan.stages("intervene"), feature.run.shards[feature.index]
    if needs.effects and not any(plan.part(step, shard).is_done for step in steps):
        raise BadSettings(
            f"{method} needs {OF_EVIDENCE['effects']}, and the run in {plan.folder} has measured"
            " none; run its experiment with a table [intervene], or choose another method"
        )


def require_evidence(evidence: Evidence, scorer: Any, method: str) -> None:
    """Raises BadInput where evidence lacks what the method needs."""
    needs = needs_of(scorer)
    if needs.asks:
        raise BadSettings(
            f"{method} asks a language model, and evidence names none; score a feature of a run"
            " that has a table [chat]"
        )
    wanted = {"effects": needs.effects, "neighbours": needs.neighbours, "reader": needs.texts}
    for name in (name for name, needed in wanted.items() if needed):
        if not getattr(evidence, name):
            raise BadInput(
                f"{method} needs {OF_EVIDENCE[name]}, and the evidence has none; give"
                f" Evidence(..., {name}=...), or a feature of a run in its place"
            )


def answering_client(feature: Feature, method: object, settings: SettingsMapping) -> ChatClient:
    """Who answers the method: the run's language model, or nobody where it asks nothing.

    Raises BadSettings where it asks and the run names none.
    """
    if not needs_of(method).asks:
        return NoClient()
    plan = feature.run.plan
    if not plan.experiment.chat:
        raise BadSettings(
            f"{settings['method']} asks a language model, and the run in {plan.folder} names none;"
            " run its experiment with a table [chat], or choose a method that asks nobody"
        )
    return chat_client(plan, settings)
