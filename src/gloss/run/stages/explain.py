"""Stage `explain`: an explanation for every feature that has contexts, by every method that was asked for."""

from collections.abc import Iterator
from dataclasses import replace

from gloss.models.prompts import Conversation
from gloss.records import Explanation, Failure, Reason
from gloss.run.dialogue import Dialogue
from gloss.run.experiment import called
from gloss.run.methods import method
from gloss.run.plan import Plan, named
from gloss.run.restored import effects_of, examples_of
from gloss.store.results import explanation_row, failure_row


def explain(plan: Plan, number: int, dialogue: Dialogue, shard: int) -> None:
    """Explain one shard's features by the method with this number in the experiment.

    A shard in which requests were lost is not whole: the next run asks for those again, and for nothing else.
    """
    settings = plan.experiment.explain[number]
    explainer, stage = method("explain", settings), named("explain", settings)

    effects = effects_of(plan, shard) if getattr(explainer, "reads_effects", False) else {}

    def conversations() -> Iterator[Conversation[Explanation | Failure]]:
        for found in examples_of(plan, shard):
            examples = replace(found, effects=effects.get(found.feature.index, ()))
            rng = plan.generator("explain", examples.feature.index)
            yield explainer.explain(examples.for_explainer(), plan.corpus.vocabulary, rng)

    found = dialogue.hold(conversations())
    explanations = [replace(e, method=called(settings)) for e in found if isinstance(e, Explanation)]
    failures = [replace(f, stage=stage) for f in found if isinstance(f, Failure)]
    plan.part(stage, shard).write(
        {"explanations": map(explanation_row, explanations), "failures": map(failure_row, failures)},
        whole=not any(failure.reason is Reason.REQUEST_ERROR for failure in failures),
    )
