"""Stage `packing`: how many contexts the judge of each method can bear in a request, and in which form of the question."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from gloss.errors import BadInput
from gloss.models.prompts import Conversation
from gloss.records import Estimate, Explanation, Failure, FeatureId, Reason, Score, Verdict
from gloss.run.capabilities import capabilities_of
from gloss.run.dialogue import Dialogue
from gloss.run.experiment import Table
from gloss.run.methods import installed, left_open, method, packs, parts
from gloss.run.mishaps import Watch
from gloss.run.plan import Plan
from gloss.score.anchors import ANCHOR, Material
from gloss.score.asking import MOST, Form
from gloss.score.packing import ALONE, Packing, Spent, Trial, chosen, counted, packings, tried
from gloss.store.evidence import Evidence
from gloss.store.results import Row, failure_row, read

RULES = 4  # that the contexts are spread over, so that each fills a request
STAGE = "packing"


def measure(plan: Plan, name: str, dialogue: Dialogue) -> None:
    """Try packings of one method's questions out; every trial in the table `packings`, the chosen packing in the note.

    An error with one rule costs that rule, where single questions fail at it, or else its contexts under that packing.
    """
    first, watch = preferred(plan), Watch(plan, f"{STAGE}.{name}", 0, after=(), size=RULES)
    try:
        material = anchors(plan)
    except BadInput as problem:
        watch.write({"packings": []}, note={"contexts": MOST, "form": first, "missing": str(problem)})
        return
    alone: dict[int, tuple[Verdict, ...]] = {}
    failures: list[Failure] = []

    def trial(packing: Packing) -> Trial:
        spent = Spent()
        rules = range(len(material)) if packing == ALONE else list(alone)
        talks = (watch.talk(FeatureId(ANCHOR, -1 - n), partial(asked, plan, name, packing, n, material[n])) for n in rules)
        found = dict(zip(rules, dialogue.hold(counted(talk, spent) for talk in talks), strict=True))
        said = {rule: one.verdicts for rule, one in found.items() if isinstance(one, Score)}
        failures.extend(one for one in found.values() if isinstance(one, Failure) and one.reason is Reason.ERROR)
        if packing == ALONE:
            alone.update(said)
        verdicts = [verdict for rule in alone for verdict in said.get(rule) or missing(alone[rule])]
        return Trial.of(packing, verdicts, spent, plan.generator(STAGE, "intervals"))

    trials = list(tried(trial, first))
    best = chosen(trials)
    rows = [row_of(name, one, best=one is best) for one in trials if one.verdicts]
    note = {"contexts": best.packing.contexts, "form": best.packing.form, "tells": best.tells}
    records = {"packings": rows, "failures": map(failure_row, dict.fromkeys(failures))}
    watch.write(records, whole=not any(one.lost for one in trials), note=note if rows else note | {"missing": UNJUDGED})


UNJUDGED = "no context of known truth could be judged"


def missing(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The same contexts without an answer."""
    return [replace(verdict, answer=None, reason=Reason.ERROR, probability=None) for verdict in verdicts]


def preferred(plan: Plan) -> Form:
    """The form that is tried first: a server that keeps to schemas is held to the length of a list, which is the shortest."""
    found = capabilities_of(plan)
    return Form.LIST if found is not None and found.json_schema else Form.NUMBERED


def anchors(plan: Plan) -> list[tuple[Explanation, Evidence]]:
    """Rules about words, each with contexts of known truth. Raises BadInput where the corpus has no such words."""
    width = plan.experiment.sampling.context_length
    each, rng = plan.experiment.judge.packing // RULES, plan.generator(STAGE)
    material = Material.of(plan.corpus, width, rng)
    return [material.about(words, each, rng) for words in material.words(RULES, each, rng)]


def asked(
    plan: Plan, name: str, packing: Packing, number: int, rule: tuple[Explanation, Evidence]
) -> Conversation[Score | Failure]:
    """The method's own questions about a rule; each packing asks about the same contexts in the same order."""
    scorer = replace(method("score", {"method": name}), contexts_per_question=packing.contexts, form=packing.form)
    return scorer.score(*rule, plan.generator(STAGE, name, number))


def every(plan: Plan, name: str) -> Iterator[Conversation[Score | Failure]]:
    """Everything that could be asked of one method's judge: every packing. Nothing where the corpus has no words for it."""
    try:
        material = anchors(plan)
    except BadInput:
        return
    for packing in (ALONE, *packings(preferred(plan))):
        yield from (asked(plan, name, packing, number, rule) for number, rule in enumerate(material))


def row_of(name: str, tried_: Trial, *, best: bool) -> Row:
    """One trial's row of the table."""
    answers = [verdict.answer for verdict in tried_.verdicts]
    row: Row = {"method": name, "contexts": tried_.packing.contexts, "form": str(tried_.packing.form), "chosen": best}
    row |= {"n": len(answers), "failed": answers.count(None), "yes": answers.count(True)}
    for metric in ("balanced", "auroc"):
        found: Estimate = getattr(tried_, metric)
        row |= {metric: found.value, f"{metric}_low": found.low, f"{metric}_high": found.high}
    return row | vars(tried_.spent)


def settled(plan: Plan, verb: str, settings: Table) -> Table:
    """A method's settings with the measured packing in place of what was left to be measured, its parts' included.

    Where nothing was measured, as many contexts as usual are asked about in the form that suits the server.
    """
    kind = installed(verb)[settings["method"]].load()
    found = dict(settings)
    for part, of, table in parts(kind, settings):
        inner = settled(plan, of, dict(table))
        if inner != table:
            found[part] = inner
    if packs(verb, settings):
        packing = packing_of(plan, settings["method"]) if left_open(settings) else None
        size = packing.contexts if packing else settings.get("contexts_per_question") or MOST
        form = packing.form if packing else preferred(plan)
        if settings.get("form", Form.AUTO) == Form.AUTO:
            found |= {"contexts_per_question": size, "form": str(form if size > 1 else Form.SINGLE)}
    return found


def packing_of(plan: Plan, name: str) -> Packing | None:
    """The packing that was chosen for a method, be it that some of it is to be measured again; None where none was measured."""
    stage = f"{STAGE}.{name}"
    if stage not in plan.keys:
        return None
    for row in read([plan.place(stage)], "packings"):
        if row["chosen"]:
            return Packing(row["contexts"], Form(row["form"]))
    part = plan.part(stage, 0)
    return Packing(part.note()["contexts"], Form(part.note()["form"])) if part.is_done else None


def told(plan: Plan, name: str) -> str:
    """Which packing was chosen and what it costs, in one line; nothing where it is still to be measured."""
    part = plan.part(f"{STAGE}.{name}", 0)
    rows = [row for row in part.rows("packings") if row["chosen"] or row["contexts"] == 1]
    if not rows:
        note = part.note() if part.is_done else {}
        return f"the judge of {name}: {note['contexts']} contexts a request, not measured: {note['missing']}" if note else ""
    best = next(row for row in rows if row["chosen"])
    alone = next(row for row in rows if row["contexts"] == 1)
    said = f"the judge of {name}: {Packing(best['contexts'], Form(best['form']))}, {accuracy(best)}"
    if best is alone:
        return f"{said}; more at once are judged worse; {spent(best)} for {best['n']} contexts"
    return f"{said}; one at a time {accuracy(alone)}; {spent(best)} for {best['n']} contexts instead of {spent(alone)}"


def accuracy(row: Row) -> str:
    return f"balanced accuracy {row['balanced']:.3f} ({row['balanced_low']:.3f} to {row['balanced_high']:.3f})"


def spent(row: Row) -> str:
    return f"{row['requests']:,} requests and {row['prompt_tokens']:,} prompt tokens"
