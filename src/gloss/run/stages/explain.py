"""Stage `explain`: an explanation for every feature that has contexts, by every method that was asked for."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gloss.explain.choosing import Choice, Chooser
from gloss.models.prompts import Conversation
from gloss.records import Examples, Explanation, Failure
from gloss.run.dialogue import Dialogue
from gloss.run.experiment import called
from gloss.run.methods import method, unpacked
from gloss.run.plan import Plan, named
from gloss.run.restored import effects_of, examples_of, reasons_of
from gloss.run.stages.packing import settled
from gloss.run.stages.score import evidence_of
from gloss.store.reasons import offsets_that_matter
from gloss.store.results import candidate_rows, explanation_row, failure_row
from gloss.store.selection import selection_of


def explain(plan: Plan, number: int, dialogue: Dialogue, shard: int) -> None:
    """Explain one shard's features by the method with this number in the experiment.

    A shard in which requests were lost is not whole: the next run asks for those again, and for nothing else.
    """
    settings = plan.experiment.explain[number]
    explainer, stage = method("explain", settled(plan, "explain", settings)), named("explain", settings)

    measured = [name for name in unpacked("explain", settings) if f"packing.{name}" in plan.keys]
    effects = effects_of(plan, shard) if getattr(explainer, "reads_effects", False) else {}
    reasons = reasons_of(plan, shard) if getattr(explainer, "reads_reasons", False) else {}

    def conversations() -> Iterator[Conversation[Choice]]:
        for examples in examples_of(plan, shard):
            index = examples.feature.index
            offsets = offsets_that_matter(reasons.get(index, ()))
            yield chosen(plan, explainer, replace(examples, effects=effects.get(index, ()), offsets=offsets))

    choices = dialogue.hold(conversations())
    found = [choice.explanation for choice in choices]
    explanations = [replace(e, method=called(settings)) for e in found if isinstance(e, Explanation)]
    failures = [replace(f, stage=stage) for f in found if isinstance(f, Failure)]
    candidates = [row for choice in choices for row in candidate_rows(choice.candidates, called(settings))]
    plan.part(stage, shard).write(
        {"explanations": map(explanation_row, explanations), "failures": map(failure_row, failures)}
        | ({"candidates": candidates} if isinstance(explainer, Chooser) else {}),
        whole=not any(choice.lost for choice in choices) and all(plan.part(f"packing.{name}", 0).is_done for name in measured),
    )


def chosen(plan: Plan, explainer: Any, examples: Examples) -> Conversation[Choice]:
    """What an explainer says of a feature; one that is made of others chooses on a part of the shown split."""
    rng = plan.generator("explain", examples.feature.index)
    if isinstance(explainer, Chooser):
        return (yield from explainer.choose(selection_of(evidence_of(plan, explainer.scorer, examples)), rng))
    return Choice((yield from explainer.explain(examples.for_explainer(), plan.corpus.vocabulary, rng)))
