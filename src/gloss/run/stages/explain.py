"""Stage `explain`: an explanation for every feature that has contexts, by every method that was
asked for.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from gloss.explain.candidate_selection import ChoosingExplainer, ExplanationChoice
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Examples, Explanation, Failure, FeatureId, needs_of
from gloss.run.chat_clients import ChatClient
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.experiment import method_label
from gloss.run.methods import build_method, open_packings
from gloss.run.opened_run import shard_effects, shard_token_attributions, stored_examples
from gloss.run.plan import Plan, stage_name
from gloss.run.stages.packing import with_measured_packing
from gloss.run.stages.score import scorer_evidence
from gloss.store.evidence import validation_evidence
from gloss.store.results import candidate_rows, explanation_row, failure_row
from gloss.store.token_attributions import weightiest_offsets


def explain_shard(plan: Plan, number: int, client: ChatClient, shard: int) -> None:
    """Explain one shard's features by the method with this number in the experiment.

    A shard in which requests were lost is not whole: the next run asks for those again, and for
    nothing else.
    """
    settings = plan.experiment.explain[number]
    explainer, stage = (
        build_method("explain", with_measured_packing(plan, "explain", settings)),
        stage_name("explain", settings),
    )

    measured = [
        name for name in open_packings("explain", settings) if f"packing.{name}" in plan.keys
    ]
    needs = needs_of(explainer)
    wanted = {"intervene": needs.effects, "attribute": needs.token_attributions}
    reads = [stage for stage, reads_it in wanted.items() if reads_it]
    effects = shard_effects(plan, shard) if "intervene" in reads else {}
    attributions = shard_token_attributions(plan, shard) if "attribute" in reads else {}
    guard = FeatureGuard(plan, stage, shard, after=("sample", *reads))

    def explained(
        feature: FeatureId, restore: Callable[[], Examples]
    ) -> Conversation[ExplanationChoice]:
        offsets = weightiest_offsets(attributions.get(feature.index, ()))
        return explain_feature(
            plan,
            explainer,
            replace(restore(), effects=effects.get(feature.index, ()), offsets=offsets),
        )

    def conversations() -> Iterator[Conversation[ExplanationChoice | Failure]]:
        for feature, restore in stored_examples(plan, shard).items():
            yield guard.conversation(feature, partial(explained, feature, restore))

    choices = [
        ExplanationChoice(one) if isinstance(one, Failure) else one
        for one in client.run(conversations())
    ]
    found = [choice.explanation for choice in choices]
    explanations = [
        replace(e, method=method_label(settings)) for e in found if isinstance(e, Explanation)
    ]
    failures = [replace(f, stage=stage) for f in found if isinstance(f, Failure)]
    candidates = [
        row
        for choice in choices
        for row in candidate_rows(choice.candidates, method_label(settings))
    ]
    guard.write(
        {"explanations": map(explanation_row, explanations), "failures": map(failure_row, failures)}
        | ({"candidates": candidates} if isinstance(explainer, ChoosingExplainer) else {}),
        whole=not any(choice.lost for choice in choices)
        and all(plan.part(f"packing.{name}", 0).is_done for name in measured),
    )


def explain_feature(
    plan: Plan, explainer: Any, examples: Examples
) -> Conversation[ExplanationChoice]:
    """What an explainer says of a feature.

    One that is made of others chooses on a part of the train split.
    """
    rng = plan.generator("explain", examples.feature.index)
    if isinstance(explainer, ChoosingExplainer):
        return (
            yield from explainer.choose(
                validation_evidence(scorer_evidence(plan, explainer.scorer, examples)), rng
            )
        )
    said = yield from explainer.explain(examples.for_explainer(), plan.corpus.vocabulary, rng)
    if not isinstance(said, Explanation | Failure):
        raise TypeError(
            f"{type(explainer).__name__} gave {said!r}, and not an Explanation or a Failure"
        )
    return ExplanationChoice(said)
