"""Stage `score`: every explanation against held-out text, and beside it what other features' explanations would have got."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gloss.models.prompts import Conversation
from gloss.records import NOBODY, Control, Examples, Explanation, Failure, Score
from gloss.run.dialogue import Dialogue
from gloss.run.methods import method
from gloss.run.plan import Plan, named
from gloss.run.restored import examples_of, explanations_of
from gloss.store.evidence import Evidence
from gloss.store.results import failure_row, score_row, verdict_rows

Exchanged = tuple[Control, Explanation]


def score(plan: Plan, number: int, dialogue: Dialogue, shard: int) -> None:
    """Score one shard's explanations by the method with this number in the experiment, with both controls."""
    settings = plan.experiment.score[number]
    scorer = method("score", {k: v for k, v in settings.items() if k != "name"})
    assigned = Assignment(plan)
    controls: list[Control] = []

    def conversations() -> Iterator[Conversation[Score | Failure]]:
        for examples in examples_of(plan, shard):
            index = examples.feature.index
            evidence = evidence_of(plan, scorer, examples)
            for control, explanation in assigned.to(examples) if reads_explanation(scorer) else nobodys(examples):
                controls.append(control)
                rng = plan.generator("score", settings["method"], index, control, explanation.method)
                yield scorer.score(explanation, evidence, rng)

    found = dialogue.hold(conversations())
    scores = [replace(s, control=control) for s, control in zip(found, controls, strict=True) if isinstance(s, Score)]
    plan.part(named("score", settings), shard).write(
        {
            "scores": [score_row(s) for s in scores],
            "verdicts": [row for s in scores for row in verdict_rows(s)],
            # That a control could not be scored says nothing about the feature.
            "failures": [
                failure_row(f)
                for f, control in zip(found, controls, strict=True)
                if isinstance(f, Failure) and control is Control.NONE
            ],
        }
    )


def evidence_of(plan: Plan, scorer: Any, examples: Examples) -> Evidence:
    """What the scorer gets to see of a feature; its neighbours only where it asks for them, because each has to be read."""
    index = examples.feature.index
    neighbours = plan.neighbours(index) if getattr(scorer, "reads_neighbours", False) else ()
    return Evidence(examples, plan.corpus, plan.activations.feature(index), neighbours)


def reads_explanation(scorer: Any) -> bool:
    """Whether the score depends on the explanation; one that does not is made once a feature, and has no controls."""
    return getattr(scorer, "reads_explanation", True)


def nobodys(examples: Examples) -> Iterator[Exchanged]:
    """For scores of the feature itself: no explanation, by nobody."""
    yield Control.NONE, Explanation(examples.feature, "", NOBODY)


class Assignment:
    """Which explanations a feature is scored with: its own, a random one, and its part of a permutation without fixed points."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.by_method = {stage: {e.feature: e for e in found} for stage, found in explanations_of(plan).items()}
        self.shuffled = {stage: self.derangement(stage, list(found.values())) for stage, found in self.by_method.items()}

    def to(self, examples: Examples) -> Iterator[Exchanged]:
        """Each explanation to try on a feature, as if it were the feature's own."""
        feature = examples.feature
        for stage, found in self.by_method.items():
            if feature not in found:
                continue
            yield Control.NONE, found[feature]
            others = [e for e in found.values() if e.feature != feature]
            if others:
                drawn = others[self.plan.generator("random explanation", stage, feature.index).integers(len(others))]
                yield Control.RANDOM_EXPLANATION, replace(drawn, feature=feature)
                yield Control.SHUFFLED_EXPLANATION, replace(self.shuffled[stage][feature], feature=feature)

    def derangement(self, stage: str, explanations: list[Explanation]) -> dict:
        """Every explanation given to the next feature along a random circle: a permutation that leaves none at home."""
        order = self.plan.generator("shuffled explanation", stage).permutation(len(explanations))
        circle = [explanations[i] for i in order]
        return {mine.feature: other for mine, other in zip(circle, circle[1:] + circle[:1], strict=True)}
