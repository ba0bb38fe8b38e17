"""Stage `judge`: how often each method's judge errs, asked of contexts whose truth is known."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from gloss.models.prompts import Conversation
from gloss.records import Failure, FeatureId, Reason, Score
from gloss.run.dialogue import Dialogue
from gloss.run.experiment import called
from gloss.run.methods import method
from gloss.run.mishaps import Watch
from gloss.run.plan import Plan, named
from gloss.run.stages.packing import settled
from gloss.score.anchors import ANCHOR, Anchors, Material
from gloss.score.verdicts import Counts
from gloss.store.results import Row, failure_row, read

Asked = tuple[str, Conversation[Score | Failure]]


def judge(plan: Plan, settings: dict[str, Any], dialogue: Dialogue) -> None:
    """Have one method's judge asked about the anchors; what it said of each rule, and both error rates in the note."""
    asked = list(conversations(plan, settings))
    watch = Watch(plan, named("judge", settings), 0, after=(), size=len(asked))
    # No feature of the dictionary: rules are counted below 0.
    talks = (watch.talk(FeatureId(ANCHOR, -1 - n), partial(begun, talk)) for n, (_, talk) in enumerate(asked))
    found = dialogue.hold(talks)
    scores = [(rule, score) for (rule, _), score in zip(asked, found, strict=True) if isinstance(score, Score)]
    whole = not any(verdict.reason is Reason.REQUEST_ERROR for _, score in scores for verdict in score.verdicts)
    every = Anchors.of([verdict for _, score in scores for verdict in score.verdicts])
    rates = {name: getattr(every, name) for name in ("sensitivity", "false_positive_rate")}
    note = {name: [rate.value, rate.low, rate.high] for name, rate in rates.items()}
    rows = [row_of(called(settings), rule, Anchors.of(score.verdicts)) for rule, score in scores]
    failures = [failure_row(one) for one in found if isinstance(one, Failure) and one.reason is Reason.ERROR]
    watch.write({"anchors": rows, "failures": failures}, whole=whole, note=note)


def conversations(plan: Plan, settings: dict[str, Any]) -> Iterator[Asked]:
    """Each rule, and the method's own questions about it: the very prompts that features are judged by."""
    asked = plan.experiment.judge
    scorer, rng = method("score", settled(plan, "score", settings)), plan.generator("anchors")
    width = plan.experiment.sampling.context_length
    each = -(-asked.anchors // asked.rules)
    material = Material.of(plan.corpus, width, rng)
    for number, words in enumerate(material.words(asked.rules, each, rng)):
        explanation, evidence = material.about(words, each, rng)
        yield explanation.text, scorer.score(explanation, evidence, plan.generator("anchor", named("judge", settings), number))


def begun(talk: Conversation[Score | Failure]) -> Conversation[Score | Failure]:
    """The conversation itself."""
    return talk


def row_of(method: str, rule: str, said: Anchors) -> Row:
    """One rule's row of the table."""
    return {"method": method, "rule": rule} | {
        f"{side}_{answer}": getattr(getattr(said, side), answer) for side in ("covered", "others") for answer in ANSWERS
    }


ANSWERS = ("yes", "no", "failed")


def anchors_of(plan: Plan, settings: dict[str, Any]) -> Anchors | None:
    """What this method's judge said of the anchors; None where it was not asked."""
    stage = named("judge", settings)
    if stage not in plan.keys:
        return None
    rows = read([plan.place(stage)], "anchors")
    return Anchors(
        *(Counts(*(sum(row[f"{side}_{answer}"] for row in rows) for answer in ANSWERS)) for side in ("covered", "others"))
    )


def told(plan: Plan, settings: dict[str, Any]) -> str:
    """Both error rates with their intervals, in one line."""
    note = plan.part(named("judge", settings), 0).note()
    said = (f"{name.replace('_', ' ')} {note[name][0]:.3f} ({note[name][1]:.3f} to {note[name][2]:.3f})" for name in RATES)
    return f"the judge of {called(settings)}: {', '.join(said)}"


RATES = ("sensitivity", "false_positive_rate")
