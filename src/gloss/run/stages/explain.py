"""Stage `explain`: an explanation for every feature that has contexts, by every method that was
asked for.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from gloss.explain.candidate_selection import (
    ChoosingExplainer,
    ExplanationChoice,
    InvestigatingExplainer,
    is_choosing,
)
from gloss.models.chat_models.prompts import Answer, Conversation
from gloss.pages.report_sections import Section
from gloss.records import Examples, Explanation, Failure, FeatureId, Needs, needs_of
from gloss.run.dependencies import method_reads
from gloss.run.experiment import Experiment, method_label
from gloss.run.methods import build_method
from gloss.run.opened_run import OpenedRun, shard_effects, shard_token_attributions, stored_examples
from gloss.run.reporting.run_data import RunData
from gloss.run.reporting.selection_optimism import optimism_section
from gloss.run.stage import Job, MethodStage, Step
from gloss.run.stages.packing import with_measured_packing
from gloss.run.stages.score import scorer_evidence
from gloss.store.evidence import train_evidence, validation_evidence
from gloss.store.record_rows import candidate_rows, explanation_row, failure_row
from gloss.store.schemas import named_tables
from gloss.store.token_attributions import weightiest_offsets

T = TypeVar("T")


class ExplainStage(MethodStage):
    """The explanations of each feature that has contexts, by each method of [[explain]]."""

    name, after = "explain", ("sample", "packing", "intervene", "attribute")
    tables = named_tables("explanations", "candidates", "failures")

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        shown = asked.sample_steps(step.settings.get("sample", ""))
        return [*shown, *method_reads(asked, self.name, step.settings, before)]

    def work(self, job: Job, shard: int) -> None:
        explain_shard(job, shard)

    def sections(self, found: RunData) -> Iterable[Section | None]:
        return [optimism_section(found)]


def explain_shard(job: Job, shard: int) -> None:
    """Explain one shard's features by the method of the job.

    A shard in which requests were lost is not whole: the next run asks for those again, and for
    nothing else.
    """
    run, stage, settings = job.run, job.step.name, job.step.settings
    explainer = build_method("explain", with_measured_packing(run, "explain", settings))
    with_causes = shard_causes(run, shard, needs_of(explainer))
    guard = job.guard(shard)
    spent: Counter[str] = Counter()

    def explained(
        feature: FeatureId, restore: Callable[[], Examples]
    ) -> Conversation[ExplanationChoice]:
        return explain_feature(run, explainer, with_causes(restore()))

    def conversations() -> Iterator[Conversation[ExplanationChoice | Failure]]:
        shown = stored_examples(run, shard, settings.get("sample", ""))
        for feature, restore in shown.items():
            about = guard.conversation(feature, partial(explained, feature, restore))
            yield count_answers(about, spent)

    choices = [
        ExplanationChoice(one) if isinstance(one, Failure) else one
        for one in job.client.run(conversations())
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
        | ({"candidates": candidates} if is_choosing(explainer) else {}),
        whole=not any(choice.lost for choice in choices),
        note=dict(spent),
    )


def count_answers(conversation: Conversation[T], spent: Counter[str]) -> Conversation[T]:
    """The conversation, whose answers are counted, asked for anew or not."""
    answers: list[Answer] | None = None
    while True:
        try:
            prompts = next(conversation) if answers is None else conversation.send(answers)
        except StopIteration as over:
            return over.value
        answers = yield prompts
        spent["requests"] += len(answers)
        spent["prompt_tokens"] += sum(answer.prompt_tokens for answer in answers)
        spent["answer_tokens"] += sum(answer.completion_tokens for answer in answers)


def shard_causes(run: OpenedRun, shard: int, needs: Needs) -> Callable[[Examples], Examples]:
    """What adds the causes that a method needs to examples of a shard: effects, and where the
    tokens stand that drive a feature. None where nobody measured them.
    """
    effects = shard_effects(run, shard) if needs.effects else {}
    attributions = shard_token_attributions(run, shard) if needs.token_attributions else {}

    def with_causes(examples: Examples) -> Examples:
        index = examples.feature.index
        offsets = weightiest_offsets(attributions.get(index, ()))
        return replace(examples, effects=effects.get(index, ()), offsets=offsets)

    return with_causes


def explain_feature(
    run: OpenedRun, explainer: Any, examples: Examples
) -> Conversation[ExplanationChoice]:
    """What an explainer says of a feature.

    One that is made of others chooses on a part of the train split.
    """
    rng = run.generator("explain", examples.feature.index)
    if isinstance(explainer, ChoosingExplainer):
        return (
            yield from explainer.choose(
                validation_evidence(scorer_evidence(run, explainer.scorer, examples)), rng
            )
        )
    if isinstance(explainer, InvestigatingExplainer):
        evidence = train_evidence(scorer_evidence(run, explainer, examples))
        return (yield from explainer.investigate(evidence, rng))
    said = yield from explainer.explain(examples.for_explainer(), run.corpus.vocabulary, rng)
    if not isinstance(said, Explanation | Failure):
        raise TypeError(
            f"{type(explainer).__name__} gave {said!r}, and not an Explanation or a Failure"
        )
    return ExplanationChoice(said)
