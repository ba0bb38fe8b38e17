"""Stage `audit`: of every explanation, whether it is to be believed, and what shows it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gloss.pages.page_records import FeaturePage
from gloss.pages.report_sections import Facts, Section
from gloss.records import (
    Contexts,
    Control,
    Estimate,
    Examples,
    Explanation,
    Failure,
    Score,
    needs_of,
)
from gloss.run.experiment import Experiment, method_label, stage_name
from gloss.run.judge_doubts import judge_beats_chance, stage_answer_tally
from gloss.run.methods import SettingsMapping, build_method
from gloss.run.opened_run import OpenedRun, stored_examples
from gloss.run.reporting.feature_pages import contexts_around, rows_by_feature, score_verdicts
from gloss.run.reporting.label_verdicts import label_verdicts_section
from gloss.run.reporting.run_data import RunData
from gloss.run.stage import Job, Stage, Step, Where
from gloss.score.execution import find_rule_mistakes
from gloss.score.held_out_text import runnable_label
from gloss.score.judge.doubts import doubts_about_judge
from gloss.score.label_audit import LINE, LabelAudit, Trust, audit_label
from gloss.store.contexts import cut_contexts
from gloss.store.record_rows import (
    explanation_from_row,
    failure_row,
    feature_columns,
    score_from_row,
)
from gloss.store.results import Row
from gloss.store.schemas import named_tables

FIRES, BEYOND, MISSED = (
    "the feature fires",
    "the label holds, the feature is silent",
    ("the feature fires, the label does not hold"),
)
WIDTH = 32  # tokens of a context that is shown


@dataclass(frozen=True)
class AuditSettings:
    """Where the line lies above which a label is precise and complete, and what is shown."""

    line: float = LINE  # of precision and recall, which the bounds of their intervals must clear
    contexts: int = 3  # of each label, that show why

    def __post_init__(self) -> None:
        if not 0 < self.line < 1:
            raise ValueError(f"line is {self.line}; give a share between 0 and 1")


class AuditStage(Stage):
    """Of every explanation, whether it is to be believed, and why."""

    name, after, settings, optional = "audit", ("explain", "score"), AuditSettings, True
    tables = named_tables("label_verdicts", "failures")
    where = Where.PROCESSES

    def content(self, asked: Experiment, step: Step) -> Any:
        return asdict(asked.settings(AuditSettings))

    def work(self, job: Job, shard: int) -> None:
        audit_shard(job, shard)

    def sections(self, found: RunData) -> Iterable[Section | None]:
        return [label_verdicts_section(found)]

    def page_fragment(
        self, run: OpenedRun, step: Step, shard: int
    ) -> Callable[[FeaturePage], FeaturePage]:
        rows = run.rows(self.name, "label_verdicts", shard)

        def add(page: FeaturePage) -> FeaturePage:
            said = tuple(
                (f"{row['verdict']} ({row['explained_by']})", row["reason"])
                for row in rows
                if row["feature"] == page.feature.index
            )
            lead = "Whether the explanation is to be believed, by the bounds of its scores."
            own = Section("Verdict", lead, (Facts(said),))
            return replace(page, sections=(*page.sections, own)) if said else page

        return add


def audit_shard(job: Job, shard: int) -> None:
    """The verdicts on the explanations of one shard's features."""
    run, guard = job.run, job.guard(shard)
    explanations = [explanation_from_row(row) for row in run.rows("explain", "explanations", shard)]
    scores = rows_by_feature(iter(run.rows("score", "scores", shard)))
    verdicts = rows_by_feature(
        row for row in run.rows("score", "verdicts", shard) if row["control"] == Control.NONE
    )
    counted = ScorersThatCount.of(run)
    rows: list[Row] = []
    failures: list[Failure] = []
    for feature, restore in stored_examples(run, shard).items():
        own = [one for one in explanations if one.feature == feature]
        found = [
            (
                counted.methods[row["method"]],
                score_from_row(row, score_verdicts(row, verdicts[feature.index])),
            )
            for row in scores[feature.index]
            if row["method"] in counted.methods
        ]
        made = guard.attempt(feature, partial(audited_rows, run, own, found, restore, counted))
        if isinstance(made, Failure):
            failures.append(made)
        else:
            rows += made
    guard.write({"label_verdicts": rows, "failures": map(failure_row, failures)})


@dataclass(frozen=True)
class ScorersThatCount:
    """The scorers of a run whose word counts, and the judges that were seen to tell nothing."""

    methods: Mapping[str, str]  # by their names in the run
    doubted: tuple[str, ...]

    @classmethod
    def of(cls, run: OpenedRun) -> "ScorersThatCount":
        methods: dict[str, str] = {}
        doubted: list[str] = []
        for settings in run.experiment.score:
            stage, needs = stage_name("score", settings), needs_of(build_method("score", settings))
            if stage not in run.keys or not needs.explanation:
                continue
            if needs.correctable and not judge_tells(run, stage, settings):
                doubted.append(method_label(settings))
            else:
                methods[method_label(settings)] = str(settings["method"])
        return cls(methods, tuple(doubted))


def judge_tells(run: OpenedRun, stage: str, settings: SettingsMapping) -> bool:
    """Whether a judge was seen better than chance on known truth, and nothing speaks against it.

    What it says of the labels themselves does not: they may all be wrong.
    """
    tells = judge_beats_chance(run, settings)
    doubts = doubts_about_judge(stage_answer_tally(run, stage), tells=tells is True)
    said_the_same = any(doubt.startswith(("said ", "gave no answer")) for doubt in doubts)
    return tells is not False and not said_the_same


def audited_rows(
    run: OpenedRun,
    explanations: Sequence[Explanation],
    scores: Sequence[tuple[str, Score]],
    restore: Callable[[], Examples],
    counted: ScorersThatCount,
) -> list[Row]:
    """A row for each explanation of a feature."""
    asked = run.experiment.settings(AuditSettings)
    rows: list[Row] = []
    for explanation in explanations:
        own = [(name, one) for name, one in scores if one.explained_by == explanation.method]
        activations = run.activations.feature(explanation.feature.index)
        found = audit_label(explanation, own, run.corpus, activations, asked.line)
        if found.evidence is None and counted.doubted:
            why = f"the judge of {' and '.join(counted.doubted)} tells nothing; {found.reason}"
            found = replace(found, reason=why)
        shown = list(shown_contexts(run, explanation, found, own, restore(), asked.contexts))
        rows.append(verdict_row_of_label(explanation, found) | {"contexts": shown})
    return rows


def shown_contexts(
    run: OpenedRun,
    explanation: Explanation,
    found: LabelAudit,
    scores: Sequence[tuple[str, Score]],
    examples: Examples,
    number: int,
) -> Iterable[Row]:
    """The contexts that show a verdict: what a label takes in beside the feature, what it misses,
    or where the feature fires.
    """
    kind = {Trust.TOO_BROAD: BEYOND, Trust.TOO_NARROW: MISSED}.get(found.trust, FIRES)
    activations = run.activations.feature(explanation.feature.index)
    starts = examples.held_out.spaced(number).starts
    if kind != FIRES and found.evidence and found.evidence.exact:
        label = runnable_label(explanation, run.corpus)
        assert label is not None  # it was run
        read = label.reading is not None
        wrong = find_rule_mistakes(label.rule, run.corpus, activations, number, read)
        at = wrong.false_positives if kind == BEYOND else wrong.false_negatives
        starts = contexts_around(run.corpus, at, activations).starts
    elif kind != FIRES and found.evidence:
        judged = {name: score for name, score in scores if score.control is Control.NONE}
        starts = np.array(
            [
                verdict.context
                for verdict in judged[found.evidence.scorer].verdicts
                if verdict.answer == (kind == BEYOND) and verdict.truth == (kind == MISSED)
            ][:number],
            np.int64,
        )
    contexts = cut_contexts(run.corpus, activations, starts, WIDTH, np.full(len(starts), -1))
    for start, text in zip(starts.tolist(), marked_texts(contexts, run), strict=True):
        yield {"kind": kind, "start": start, "text": text}


def marked_texts(contexts: Contexts, run: OpenedRun) -> Iterable[str]:
    """Contexts as text, with marks around the tokens at which the feature fires."""
    from gloss.models.chat_models.token_marks import spell_contexts, suitable_marks, where_above

    for spelled in spell_contexts(contexts, run.corpus.vocabulary):
        marked = where_above(spelled, 0.3)
        yield suitable_marks([(spelled.pieces, marked)]).wrap(spelled.pieces, marked)


def verdict_row_of_label(explanation: Explanation, found: LabelAudit) -> Row:
    """A verdict as a row, with nulls where nobody decided."""
    evidence = found.evidence
    missing = Estimate.missing()
    return feature_columns(explanation.feature) | {
        "explained_by": explanation.method,
        "text": explanation.text,
        "rule": explanation.rule,
        "read_as": str(evidence.reading.rule) if evidence and evidence.reading else None,
        "verdict": str(found.trust),
        "near": found.near,
        "reason": found.reason,
        "scorer": found.scorer,
        "precision": asdict(evidence.precision if evidence else missing),
        "recall": asdict(evidence.recall if evidence else missing),
        "score": asdict(evidence.headline if evidence else missing),
        "control": evidence.control if evidence else math.nan,
        "base_rate": evidence.base_rate if evidence else math.nan,
        "n": evidence.n if evidence else 0,
        "failed": evidence.failed if evidence else 0,
        "beside": list(found.beside),
        "flags": list(found.flags),
        "contexts": [],
    }
