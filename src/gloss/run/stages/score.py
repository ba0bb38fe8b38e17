"""Stage `score`: every explanation against held-out text, and beside it what other features'
explanations would have got.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.models.chat_models.prompts import Conversation
from gloss.records import (
    NOBODY,
    Control,
    Effect,
    Examples,
    Explanation,
    Failure,
    FeatureId,
    Reason,
    Score,
    Split,
    needs_of,
)
from gloss.run.dependencies import method_reads, scored_explainers
from gloss.run.experiment import Experiment, method_label
from gloss.run.explained_features import ExplainedFeatures
from gloss.run.judge_doubts import TALLY_NOTE, position_bias_line, yes_share_line
from gloss.run.methods import SettingsMapping, build_method, method_needs
from gloss.run.opened_run import OpenedRun, shard_effects, stored_examples
from gloss.run.stage import Job, MethodStage, Step
from gloss.run.stages.judge import judge_calibration
from gloss.run.stages.packing import with_measured_packing
from gloss.score.judge.doubts import tally_scores
from gloss.score.judge.error_correction import add_corrections
from gloss.store.evidence import Evidence
from gloss.store.record_rows import failure_row, score_row, verdict_rows
from gloss.store.schemas import named_tables

Exchanged = tuple[Control, Explanation]
MOST_RIVALS = 200  # explanations of other features, for scorers that hold one against them


class ScoreStage(MethodStage):
    """The scores of each explanation and of its controls, by each method of [[score]]."""

    name, after = "score", ("explain", "judge", "intervene", "packing")
    tables = named_tables("scores", "verdicts", "failures")

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        scored = scored_explainers(asked, step.settings)
        explained = [name for name in before if name in {f"explain.{each}" for each in scored}]
        judged = [name for name in before if name == f"judge.{step.label}"]
        return [
            *asked.sample_steps(),
            *explained,
            *method_reads(asked, self.name, step.settings, before),
            *judged,
        ]

    def worker(self, job: Job) -> Callable[[int], None]:
        _ = job.reads_done  # looked up once, here, whichever process a shard is done in
        return ShardScorer(job)

    def work(self, job: Job, shard: int) -> None:
        ShardScorer(job)(shard)

    def lines(self, run: OpenedRun, step: Step) -> Iterable[str]:
        notes = run.notes(step.name)
        return [
            nothing_scored_line(run.experiment, step.settings),
            spared_controls_line(notes),
            spared_requests_line(notes),
            yes_share_line(notes),
            position_bias_line(run, step.name),
        ]


@dataclass(frozen=True)
class ShardScorer:
    """Scores explanations shard by shard; what is the same for all shards is made once."""

    job: Job

    @cached_property
    def controls(self) -> "ControlAssignment":
        settings = self.job.step.settings
        explainers = scored_explainers(self.job.run.experiment, settings)
        return ControlAssignment(self.job.run, explainers, settings.get("controls"))

    def __call__(self, shard: int) -> None:
        score_shard(self.job, shard, self.controls)


def score_shard(job: Job, shard: int, assigned: "ControlAssignment") -> None:
    """Score one shard's explanations by the method of the job, with both controls."""
    run, stage, settings = job.run, job.step.name, job.step.settings
    scorer = build_method("score", with_measured_packing(run, "score", settings))
    spared = 0  # controls of the features that were asked about
    tried: list[tuple[Control, str]] = []
    calibration_items = judge_calibration(run, settings)
    needs = needs_of(scorer)
    effects = shard_effects(run, shard) if needs.effects else {}
    guard = job.guard(shard)
    lost: list[Failure] = []  # before anything could be asked

    def scored(
        explanation: Explanation, control: Control, evidence: Evidence
    ) -> Conversation[Score | Failure]:
        purpose = (stage, evidence.examples.feature.index, control, explanation.method)
        score = yield from scorer.score(explanation, evidence, run.generator("score", *purpose))
        if not isinstance(score, Score | Failure):
            raise TypeError(f"{type(scorer).__name__} gave {score!r}, and not a Score or a Failure")
        if isinstance(score, Score) and calibration_items is not None:
            purpose = (stage, evidence.examples.feature.index, control, score.explained_by)
            score = add_corrections(
                score, evidence.examples, calibration_items, run.generator("correction", *purpose)
            )
        return (
            score
            if isinstance(score, Failure)
            else replace(score, control=control, method=method_label(settings))
        )

    def evidence_for(feature: FeatureId, restore: Callable[[], Examples]) -> Evidence:
        return scorer_evidence(run, scorer, restore(), effects.get(feature.index, ()))

    def conversations() -> Iterator[Conversation[Score | Failure]]:
        nonlocal spared
        for feature, restore in stored_examples(run, shard).items():
            evidence = guard.attempt(feature, partial(evidence_for, feature, restore))
            if isinstance(evidence, Failure):
                lost.append(evidence)
                continue
            if needs.explanation and needs.controls:
                spared += assigned.spared(feature)
            for control, explanation in (
                assigned.to(feature) if needs.explanation else empty_explanations(feature)
            ):
                if control is not Control.NONE and not needs.controls:
                    continue
                tried.append((control, explanation.method))
                given = assigned.with_rivals(evidence, explanation) if needs.rivals else evidence
                yield guard.conversation(feature, partial(scored, explanation, control, given))

    found = list(zip(job.client.run(conversations()), tried, strict=True))
    scores = [one for one, _ in found if isinstance(one, Score)]
    # That a control could not be scored says nothing about the feature, but an error is kept
    # wherever it comes from.
    failures = lost + [
        replace(f, stage=stage, explained_by=by)
        for f, (control, by) in found
        if isinstance(f, Failure) and (control is Control.NONE or f.reason is Reason.ERROR)
    ]
    guard.write(
        {
            "scores": map(score_row, scores),
            "verdicts": [row for s in scores for row in verdict_rows(s)],
            "failures": map(failure_row, failures),
        },
        whole=job.reads_done and not is_any_lost([one for one, _ in found]),
        note=request_counts(scores)
        | {"controls": sum(control is not Control.NONE for control, _ in tried)}
        | {"spared_controls": spared}
        | ({TALLY_NOTE: tally_scores(scores)} if needs.correctable else {}),
    )


def nothing_scored_line(asked: Experiment, settings: SettingsMapping) -> str:
    """That a score is given no explanation, in one line; nothing where it is."""
    needs = method_needs("score", settings)
    if not needs.explanation or scored_explainers(asked, settings):
        return ""
    names = [method_label(each) for each in asked.explain]
    return (
        f"nothing to score: {method_label(settings)} tests what explanations say of the"
        f" {' and '.join(needs.about)} of features, and {' and '.join(names)} say nothing of it;"
        f" of = {names!r} has them scored all the same"
    )


def spared_controls_line(notes: Sequence[Mapping[str, Any]]) -> str:
    """How many scorings a sample of features for the controls saved, in one line."""
    asked, saved = (
        sum(note.get(name, 0) for note in notes) for name in ("controls", "spared_controls")
    )
    return (
        f"{asked:,} controls instead of {asked + saved:,} ({saved / (asked + saved):.0%} fewer)"
        if saved
        else ""
    )


def spared_requests_line(notes: Sequence[Mapping[str, Any]]) -> str:
    """What a wanted precision saved, in one line.

    Nothing where none was wanted or all had to be asked.
    """
    asked, saved = (sum(note.get(name, 0) for note in notes) for name in ("requests", "spared"))
    every = asked + saved
    return (
        f"{asked:,} requests were enough for the precision, instead of {every:,}"
        f" ({saved / every:.0%} fewer)"
        if saved
        else ""
    )


def request_counts(scores: Sequence[Score]) -> dict[str, Any]:
    """How many requests the verdicts took, and how many a wanted precision spared."""
    asked = sum(
        len({verdict.question for verdict in score.verdicts if verdict.question is not None})
        for score in scores
    )
    return {"requests": asked, "spared": sum(score.spared for score in scores)}


def is_any_lost(found: Sequence[Score | Failure]) -> bool:
    """Whether a request was lost, so that it is to be asked again."""
    return any(
        one.reason is Reason.REQUEST_ERROR
        for result in found
        for one in (result.verdicts if isinstance(result, Score) else (result,))
    )


def scorer_evidence(
    run: OpenedRun, scorer: Any, examples: Examples, effects: tuple[Effect, ...] = ()
) -> Evidence:
    """What the scorer gets to see of a feature.

    Its neighbours and the subject only where it asks for them.
    """
    index = examples.feature.index
    needs = needs_of(scorer)
    neighbours = run.neighbours(index) if needs.neighbours else ()
    reader = run.reader if needs.texts else None
    held_out = tuple(effect for effect in effects if effect.split is Split.HELD_OUT)
    return Evidence(
        examples, run.corpus, run.activations.feature(index), neighbours, reader, held_out
    )


def empty_explanations(feature: FeatureId) -> Iterator[Exchanged]:
    """For scores of the feature itself: no explanation, by nobody."""
    yield Control.NONE, Explanation(feature, "", NOBODY)


class ControlAssignment:
    """Which explanations a feature is scored with: its own, a random one, and its part of a
    permutation without fixed points.

    With a number of `controls`, of each explainer only so many features get these, drawn before
    anything is scored: the same for every score.
    """

    def __init__(
        self, run: OpenedRun, explainers: Iterable[str], controls: int | None = None
    ) -> None:
        self.run = run
        wanted = {f"explain.{name}" for name in explainers}
        self.explained = {
            stage: ExplainedFeatures.read(run, stage)
            for stage in run.stages("explain")
            if stage in wanted
        }
        self.shuffled = {
            stage: self.derangement(stage, len(found)) for stage, found in self.explained.items()
        }
        order = run.generator("controls").permutation(len(run.features))
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        indices = np.array([feature.index for feature in run.features], np.int64)
        self.controlled: dict[str, set[int] | range] = {}  # places, by stage
        for stage, found in self.explained.items():
            ranks = rank[np.searchsorted(indices, found.features)]
            self.controlled[stage] = (
                range(len(found))
                if controls is None
                else set(np.argsort(ranks)[:controls].tolist())
            )

    def to(self, feature: FeatureId) -> Iterator[Exchanged]:
        """Each explanation to try on a feature, as if it were the feature's own."""
        for stage, found in self.explained.items():
            if (place := found.place(feature.index)) is None:
                continue
            yield Control.NONE, found[place]
            if len(found) == 1 or place not in self.controlled[stage]:
                continue
            rng = self.run.generator("random explanation", stage, feature.index)
            other = int(rng.integers(len(found) - 1))
            drawn = found[other + (other >= place)]  # any but its own
            yield Control.RANDOM_EXPLANATION, replace(drawn, feature=feature)
            yield (
                Control.SHUFFLED_EXPLANATION,
                replace(found[int(self.shuffled[stage][place])], feature=feature),
            )

    def spared(self, feature: FeatureId) -> int:
        """How many controls a feature would have had, were it one of those that get them."""
        places = {stage: found.place(feature.index) for stage, found in self.explained.items()}
        return 2 * sum(
            place is not None
            and len(self.explained[stage]) > 1
            and place not in self.controlled[stage]
            for stage, place in places.items()
        )

    def with_rivals(self, evidence: Evidence, explanation: Explanation) -> Evidence:
        """The evidence with what the same explainer says of other features."""
        return replace(evidence, rivals=self.rivals[f"explain.{explanation.method}"])

    @cached_property
    def rivals(self) -> Mapping[str, tuple[str, ...]]:
        """Of each explainer, what it says of drawn features: the same for every explanation."""
        drawn: dict[str, tuple[str, ...]] = {}
        for stage, found in self.explained.items():
            number = len(found.texts)
            order = self.run.generator("rivals", stage).permutation(number)[:MOST_RIVALS]
            drawn[stage] = tuple(found.texts.take(np.sort(order)).to_pylist())
        return drawn

    def derangement(self, stage: str, number: int) -> Int64[ndarray, " explanation"]:
        """The place of the explanation that each is exchanged for, the next one along a random
        circle: a permutation that leaves none at home.
        """
        circle = self.run.generator("shuffled explanation", stage).permutation(number)
        others = np.empty(number, np.int64)
        others[circle] = np.roll(circle, -1)
        return others
