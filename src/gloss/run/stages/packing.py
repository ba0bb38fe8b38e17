"""Stage `packing`: how many contexts the judge of each method can bear in a request, and in which
form of the question.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gloss.errors import BadInput
from gloss.installed import load_installed
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Estimate, Explanation, Failure, FeatureId, Reason, Score, Verdict
from gloss.run.chat_capabilities import known_capabilities
from gloss.run.dependencies import (
    answer_dependencies,
    asking_the_same,
    experiment_packings,
    packing_step,
)
from gloss.run.experiment import Experiment, SettingsTable
from gloss.run.methods import (
    SettingsMapping,
    build_method,
    installed_methods,
    is_packing_open,
    method_packs,
    wrapped_methods,
)
from gloss.run.opened_run import OpenedRun
from gloss.run.stage import Job, Step, Where, WholeStage, where_method_runs
from gloss.score.judge.calibration_items import CALIBRATION_ITEM, CalibrationTexts
from gloss.score.judge.packing import (
    ALONE,
    Packing,
    PackingTrial,
    SpentTokens,
    choose_packing,
    count_spending,
    packings_to_try,
    try_packings,
)
from gloss.score.judge.questions import MOST_CONTEXTS, QuestionForm
from gloss.store.evidence import Evidence
from gloss.store.record_rows import failure_row
from gloss.store.results import Row, read_rows
from gloss.store.schemas import named_tables

RULES = 4  # that the contexts are spread over, so that each fills a request
STAGE = "packing"


@dataclass(frozen=True)
class JudgeSettings:
    """How a judge is measured, for each method of scoring that can be corrected by its errors, or
    asked in several ways.
    """

    # contexts of known truth to ask about; 0 measures and corrects nothing
    calibration_items: int = 0
    rules: int = 20  # that they are spread over
    # contexts of known truth by which it is found how many a request may hold; 0 takes 25
    packing: int = 96

    def __post_init__(self) -> None:
        if self.packing != 0 and self.packing < 8:
            raise ValueError(f"packing must be 0, or 8 or more contexts, got {self.packing}")
        if (
            self.calibration_items < 0
            or self.rules < 1
            or 0 < self.calibration_items < 2 * self.rules
        ):
            raise ValueError(
                "calibration_items must be 0 or at least two for each rule, and rules 1 or more,"
                f" got {self.calibration_items} and {self.rules}"
            )


class PackingStage(WholeStage):
    """How many contexts a request may hold, once for each method whose settings leave that open."""

    name, after = STAGE, ("collect", "sample")
    tables = named_tables("packings", "failures")
    where = Where.EVENT_LOOP

    def steps(self, asked: Experiment) -> Iterator[Step]:
        if asked.settings(JudgeSettings).packing:
            for name, settings in experiment_packings(asked).items():
                yield Step(self, settings, name.partition(".")[2])

    def reads(self, asked: Experiment, step: Step, before: Sequence[str]) -> Iterable[str]:
        return ("collect",)

    def content(self, asked: Experiment, step: Step) -> Any:
        cut = (asked.sampling.context_length, asked.run.seed)
        number, method = asked.settings(JudgeSettings).packing, step.settings["method"]
        return number, cut, method, answer_dependencies(asked, "score", step.settings)

    def where_to_run(self, asked: Experiment, step: Step) -> Where:
        return where_method_runs("score", step.settings)

    def work(self, job: Job, shard: int) -> None:
        measure_packing(job)

    def lines(self, run: OpenedRun, step: Step) -> Iterable[str]:
        return [packing_line(run, step.label)]


def measure_packing(job: Job) -> None:
    """Try packings of one method's questions out.

    Every trial in the table `packings`, the chosen packing in the note.

    An error with one rule costs that rule, where single questions fail at it, or else its contexts
    under that packing.
    """
    run, client, name = job.run, job.client, job.step.settings["method"]
    first, guard = preferred_form(run, job.step.settings), job.guard(0, RULES)
    try:
        material = rules_with_contexts(run)
    except BadInput as problem:
        guard.write(
            {"packings": []},
            note={"contexts": MOST_CONTEXTS, "form": first, "missing": str(problem)},
        )
        return
    alone: dict[int, tuple[Verdict, ...]] = {}
    failures: list[Failure] = []

    def trial(packing: Packing) -> PackingTrial:
        spent = SpentTokens()
        rules = range(len(material)) if packing == ALONE else list(alone)
        conversations = (
            guard.conversation(
                FeatureId(CALIBRATION_ITEM, -1 - n),
                partial(packing_conversation, run, name, packing, n, material[n]),
            )
            for n in rules
        )
        found = dict(
            zip(
                rules,
                client.run(count_spending(conversation, spent) for conversation in conversations),
                strict=True,
            )
        )
        said = {rule: one.verdicts for rule, one in found.items() if isinstance(one, Score)}
        failures.extend(
            one for one in found.values() if isinstance(one, Failure) and one.reason is Reason.ERROR
        )
        if packing == ALONE:
            alone.update(said)
        verdicts = [
            verdict for rule in alone for verdict in said.get(rule) or without_answers(alone[rule])
        ]
        return PackingTrial.of(packing, verdicts, spent, run.generator(STAGE, "intervals"))

    trials = list(try_packings(trial, first))
    best = choose_packing(trials)
    rows = [
        packing_trial_row(job.step.label, one, best=one is best) for one in trials if one.verdicts
    ]
    note = {"contexts": best.packing.contexts, "form": best.packing.form, "tells": best.tells}
    records = {"packings": rows, "failures": map(failure_row, dict.fromkeys(failures))}
    guard.write(
        records,
        whole=not any(one.lost for one in trials),
        note=note if rows else note | {"missing": NOTHING_JUDGED},
    )


NOTHING_JUDGED = "no context of known truth could be judged"


def without_answers(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The same contexts without an answer."""
    return [
        replace(verdict, answer=None, reason=Reason.ERROR, probability=None) for verdict in verdicts
    ]


def preferred_form(run: OpenedRun, settings: SettingsMapping) -> QuestionForm:
    """The form that is tried first: a server that keeps to schemas is held to the length of a list,
    which is the shortest.
    """
    chat = run.experiment.chat_of(settings)
    found = known_capabilities(run, chat) if chat else None
    return QuestionForm.LIST if found is not None and found.json_schema else QuestionForm.NUMBERED


def rules_with_contexts(run: OpenedRun) -> list[tuple[Explanation, Evidence]]:
    """Rules about words, each with contexts of known truth.

    Raises BadInput where the corpus has no such words.
    """
    width = run.experiment.sampling.context_length
    each, rng = run.experiment.settings(JudgeSettings).packing // RULES, run.generator(STAGE)
    material = CalibrationTexts.of(run.corpus, width, rng)
    return [material.about(words, each, rng) for words in material.draw_words(RULES, each, rng)]


def packing_conversation(
    run: OpenedRun, name: str, packing: Packing, number: int, rule: tuple[Explanation, Evidence]
) -> Conversation[Score | Failure]:
    """The method's own questions about a rule.

    Each packing asks about the same contexts in the same order.
    """
    scorer = replace(
        build_method("score", {"method": name}),
        contexts_per_question=packing.contexts,
        form=packing.form,
    )
    return scorer.score(*rule, run.generator(STAGE, name, number))


def packing_conversations(
    run: OpenedRun, settings: SettingsMapping
) -> Iterator[Conversation[Score | Failure]]:
    """Everything that could be asked of one method's judge: every packing.

    Nothing where the corpus has no words for it.
    """
    try:
        material = rules_with_contexts(run)
    except BadInput:
        return
    for packing in (ALONE, *packings_to_try(preferred_form(run, settings))):
        yield from (
            packing_conversation(run, settings["method"], packing, number, rule)
            for number, rule in enumerate(material)
        )


def packing_trial_row(name: str, trial: PackingTrial, *, best: bool) -> Row:
    """One trial's row of the table."""
    answers = [verdict.answer for verdict in trial.verdicts]
    row: Row = {
        "method": name,
        "contexts": trial.packing.contexts,
        "form": str(trial.packing.form),
        "chosen": best,
    }
    row |= {"n": len(answers), "failed": answers.count(None), "yes": answers.count(True)}
    for metric in ("balanced", "auroc"):
        found: Estimate = getattr(trial, metric)
        row |= {metric: found.value, f"{metric}_low": found.low, f"{metric}_high": found.high}
    return row | vars(trial.spent)


def with_measured_packing(run: OpenedRun, verb: str, settings: SettingsMapping) -> SettingsTable:
    """A method's settings with the measured packing in place of what was left to be measured, its
    parts' included.

    Where nothing was measured, as many contexts as usual are asked about in the form that suits the
    server.
    """
    kind = load_installed(installed_methods(verb)[settings["method"]])
    found = dict(settings)
    for part, of, table in wrapped_methods(kind, settings):
        inner = with_measured_packing(run, of, asking_the_same(settings, table))
        inner.pop("chat", None)
        if inner != table:
            found[part] = inner
    if method_packs(verb, settings):
        step = packing_step(run.experiment, settings["method"], settings)
        packing = measured_packing(run, step) if is_packing_open(settings) else None
        size = (
            packing.contexts if packing else settings.get("contexts_per_question") or MOST_CONTEXTS
        )
        form = packing.form if packing else preferred_form(run, settings)
        if settings.get("form", QuestionForm.AUTO) == QuestionForm.AUTO:
            found |= {
                "contexts_per_question": size,
                "form": str(form if size > 1 else QuestionForm.SINGLE),
            }
    return found


def measured_packing(run: OpenedRun, stage: str) -> Packing | None:
    """The packing that was chosen by a step, be it that some of it is to be measured again; None
    where none was measured.
    """
    if stage not in run.keys:
        return None
    for row in read_rows([run.place(stage)], "packings"):
        if row["chosen"]:
            return Packing(row["contexts"], QuestionForm(row["form"]))
    part = run.part(stage, 0)
    return (
        Packing(part.note()["contexts"], QuestionForm(part.note()["form"]))
        if part.is_done
        else None
    )


def packing_line(run: OpenedRun, name: str) -> str:
    """Which packing was chosen and what it costs, in one line.

    Nothing where it is still to be measured.
    """
    part = run.part(f"{STAGE}.{name}", 0)
    rows = [row for row in part.rows("packings") if row["chosen"] or row["contexts"] == 1]
    if not rows:
        note = part.note() if part.is_done else {}
        return (
            f"the judge of {name}: {note['contexts']} contexts a request, not measured:"
            f" {note['missing']}"
            if note
            else ""
        )
    best = next(row for row in rows if row["chosen"])
    alone = next(row for row in rows if row["contexts"] == 1)
    said = (
        f"the judge of {name}: {Packing(best['contexts'], QuestionForm(best['form']))},"
        f" {accuracy_words(best)}"
    )
    if best is alone:
        return (
            f"{said}; more at once are judged worse; {spending_words(best)} for {best['n']}"
            " contexts"
        )
    return (
        f"{said}; one at a time {accuracy_words(alone)}; {spending_words(best)} for {best['n']}"
        f" contexts instead of {spending_words(alone)}"
    )


def accuracy_words(row: Row) -> str:
    return (
        f"balanced accuracy {row['balanced']:.3f} ({row['balanced_low']:.3f} to"
        f" {row['balanced_high']:.3f})"
    )


def spending_words(row: Row) -> str:
    return f"{row['requests']:,} requests and {row['prompt_tokens']:,} prompt tokens"
