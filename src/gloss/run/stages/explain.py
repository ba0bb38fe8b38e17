"""Stage `explain`: an explanation for every feature that has contexts, by every method that was asked for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from gloss.explain.choosing import Choice, Chooser
from gloss.models.prompts import Conversation
from gloss.records import Examples, Explanation, Failure, FeatureId
from gloss.run.dialogue import Dialogue
from gloss.run.experiment import called
from gloss.run.methods import method, unpacked
from gloss.run.mishaps import Watch
from gloss.run.plan import Plan, named
from gloss.run.restored import effects_of, reasons_of, stored_examples
from gloss.run.stages.packing import settled
from gloss.run.stages.score import evidence_of
from gloss.store.reasons import offsets_that_matter
from gloss.store.results import candidate_rows, explanation_row, failure_row
from gloss.store.selection import selection_of

READS = {"intervene": "reads_effects", "attribute": "reads_reasons"}  # stages, and what says that a method reads them


def explain(plan: Plan, number: int, dialogue: Dialogue, shard: int) -> None:
    """Explain one shard's features by the method with this number in the experiment.

    A shard in which requests were lost is not whole: the next run asks for those again, and for nothing else.
    """
    settings = plan.experiment.explain[number]
    explainer, stage = method("explain", settled(plan, "explain", settings)), named("explain", settings)

    measured = [name for name in unpacked("explain", settings) if f"packing.{name}" in plan.keys]
    reads = [stage for stage, flag in READS.items() if getattr(explainer, flag, False)]
    effects = effects_of(plan, shard) if "intervene" in reads else {}
    reasons = reasons_of(plan, shard) if "attribute" in reads else {}
    watch = Watch(plan, stage, shard, after=("sample", *reads))

    def explained(feature: FeatureId, restore: Callable[[], Examples]) -> Conversation[Choice]:
        offsets = offsets_that_matter(reasons.get(feature.index, ()))
        return chosen(plan, explainer, replace(restore(), effects=effects.get(feature.index, ()), offsets=offsets))

    def conversations() -> Iterator[Conversation[Choice | Failure]]:
        for feature, restore in stored_examples(plan, shard).items():
            yield watch.talk(feature, partial(explained, feature, restore))

    choices = [Choice(one) if isinstance(one, Failure) else one for one in dialogue.hold(conversations())]
    found = [choice.explanation for choice in choices]
    explanations = [replace(e, method=called(settings)) for e in found if isinstance(e, Explanation)]
    failures = [replace(f, stage=stage) for f in found if isinstance(f, Failure)]
    candidates = [row for choice in choices for row in candidate_rows(choice.candidates, called(settings))]
    watch.write(
        {"explanations": map(explanation_row, explanations), "failures": map(failure_row, failures)}
        | ({"candidates": candidates} if isinstance(explainer, Chooser) else {}),
        whole=not any(choice.lost for choice in choices) and all(plan.part(f"packing.{name}", 0).is_done for name in measured),
    )


def chosen(plan: Plan, explainer: Any, examples: Examples) -> Conversation[Choice]:
    """What an explainer says of a feature; one that is made of others chooses on a part of the shown split."""
    rng = plan.generator("explain", examples.feature.index)
    if isinstance(explainer, Chooser):
        return (yield from explainer.choose(selection_of(evidence_of(plan, explainer.scorer, examples)), rng))
    said = yield from explainer.explain(examples.for_explainer(), plan.corpus.vocabulary, rng)
    if not isinstance(said, Explanation | Failure):
        raise TypeError(f"{type(explainer).__name__} gave {said!r}, and not an Explanation or a Failure")
    return Choice(said)
