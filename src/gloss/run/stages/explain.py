"""Stage `explain`: an explanation for every feature that has contexts, by every method that was asked for."""

from collections.abc import Iterator

from gloss.models.prompts import Conversation
from gloss.records import Explanation, Failure
from gloss.run.dialogue import Dialogue
from gloss.run.methods import method
from gloss.run.plan import Plan, named
from gloss.run.restored import examples_of
from gloss.store.results import explanation_row, failure_row


def explain(plan: Plan, number: int, dialogue: Dialogue, shard: int) -> None:
    """Explain one shard's features by the method with this number in the experiment."""
    settings = plan.experiment.explain[number]
    explainer = method("explain", {k: v for k, v in settings.items() if k != "name"})

    def conversations() -> Iterator[Conversation[Explanation | Failure]]:
        for examples in examples_of(plan, shard):
            rng = plan.generator("explain", examples.feature.index)
            yield explainer.explain(examples.for_explainer(), plan.corpus.vocabulary, rng)

    found = dialogue.hold(conversations())
    plan.part(named("explain", settings), shard).write(
        {
            "explanations": [explanation_row(e) for e in found if isinstance(e, Explanation)],
            "failures": [failure_row(f) for f in found if isinstance(f, Failure)],
        }
    )
