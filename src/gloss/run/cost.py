"""What an experiment would ask of a language model, counted on its real contexts before anything is asked."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rich.table import Table as Printed

from gloss.explain.choosing import Chooser, asked_about
from gloss.models.chat import Chat
from gloss.models.manner import Manner
from gloss.models.prices import Cost, estimate
from gloss.models.prompts import Conversation, Prompt
from gloss.records import Examples, Explanation, Failure, FeatureId
from gloss.run.capabilities import capabilities_of
from gloss.run.controls import wanted
from gloss.run.dialogue import Silence
from gloss.run.experiment import JUDGE, Experiment, called, settings_of
from gloss.run.methods import ROOM, Table, asks, method
from gloss.run.mishaps import Watch
from gloss.run.pipeline import run_until
from gloss.run.plan import Plan, named
from gloss.run.progress import out, tell
from gloss.run.restored import stored_examples
from gloss.run.stages.collisions import FindCollisions
from gloss.run.stages.judge import begun
from gloss.run.stages.judge import conversations as anchors
from gloss.run.stages.packing import every, packing_of, settled
from gloss.run.stages.score import evidence_of, nobodys, reads_explanation
from gloss.score.asking import MOST
from gloss.store.selection import selection_of

TYPICAL = "names of functions and classes that are defined in the lines before, especially in error messages"
SAMPLED_SHARDS = 4  # enough to know the mean length of a prompt
Row = list[float]


def report(experiment: Experiment) -> None:
    """Collect and sample, which is local and free, then print requests, tokens and money by method."""
    plan = run_until(experiment, "sample")
    prices = settings_of(experiment.chat).prices
    watch = Watch(plan, "cost", 0, size=len(plan.features))
    rows = by_method(plan, watch)
    rows |= of_controls(plan, rows) | of_packings(plan) | of_judges(plan) | of_collisions(plan, watch)
    table = Printed(
        "method", "requests", "prompt tokens", "answer tokens at most", "money at most", title="what this run would ask"
    )
    priced = prices.of(1, 1) is not None
    for name, row in rows.items():
        table.add_row(name, *(shown(row, priced=priced) if any(row) else ("0", "0", "0", "0")))
    table.add_row("all", *shown([sum(column) for column in zip(*rows.values(), strict=True)], priced=priced), style="bold")
    out.print(table)
    for name in (stage.partition(".")[2] for stage in plan.stages("packing")):
        out.print(assumed(plan, name), highlight=False)
    out.print(
        "Tokens are counted as a quarter of the characters. Answers that a ledger holds already cost nothing.", highlight=False
    )
    if capabilities_of(plan) is None and experiment.chat:
        out.print("Whether the model thinks before it answers is not known yet; gloss probe finds out.", highlight=False)
    tell(*watch.told())


def by_method(plan: Plan, watch: Watch) -> dict[str, Row]:
    """What each explainer and each scorer would ask."""
    return {
        named(verb, settings): scaled(plan, counted(plan, settings, conversations(watch, verb, settings)))
        if asks(verb, settings)
        else [0.0] * 4
        for verb in ("explain", "score")
        for settings in getattr(plan.experiment, verb)
    }


def of_packings(plan: Plan) -> dict[str, Row]:
    """What is asked to find out how many contexts a judge can bear in a request."""
    return {stage: counts(counted(plan, {}, every(plan, stage.partition(".")[2]))) for stage in plan.stages("packing")}


def of_judges(plan: Plan) -> dict[str, Row]:
    """What is asked about contexts of known truth."""
    settings = {named("judge", settings): settings for settings in plan.experiment.score}
    return {
        stage: counts(counted(plan, settings[stage], (talk for _, talk in anchors(plan, settings[stage]))))
        for stage in plan.stages("judge")
    }


def of_collisions(plan: Plan, watch: Watch) -> dict[str, Row]:
    """What a judge of near features is asked, if each were explained by each explainer in words of its own."""
    if plan.experiment.collisions.by != JUDGE:
        return {}
    finder = FindCollisions(plan, Silence())
    found = {feature: stand_in(feature) for feature in plan.features}
    talks = (talk for shard in range(min(SAMPLED_SHARDS, plan.shards)) for talk in finder.foreseen(found, shard, watch))
    row = scaled(plan, counted(plan, {}, talks))
    return {"collisions": [number * len(plan.experiment.explain) for number in row]}


def of_controls(plan: Plan, rows: dict[str, Row]) -> dict[str, Row]:
    """What runs without training would ask: as much for each of their features as the run for each of its own."""
    share = (plan.experiment.controls.features or len(plan.features)) / max(1, len(plan.features))
    total = [share * sum(column) for column in zip(*rows.values(), strict=True)]
    return {f"controls.{name}": total for name in wanted(plan)}


def counted(plan: Plan, settings: Table, talks: Iterable[Conversation[Any]]) -> Cost:
    """What conversations open with, and how long their answers may be with the room that a method gives them."""
    chat = settings_of(plan.experiment.chat | {name: settings[name] for name in ROOM if name in settings})
    known = capabilities_of(plan)
    manner = known.manner if known else Manner()

    def room(prompt: Prompt) -> int:
        if isinstance(chat, Chat):
            return chat.room(prompt, prompt.max_tokens, manner)
        return prompt.max_tokens + max(0, chat.thinking_tokens)

    return estimate(talks, chat.prices, room=room)


def stand_in(feature: FeatureId, more: str = "") -> Explanation:
    """An explanation of ordinary length, which no other feature has."""
    return Explanation(feature, f"{TYPICAL} ({feature.index}{more})", "cost")


def assumed(plan: Plan, name: str) -> str:
    """By which packing a method's scores are counted."""
    if found := packing_of(plan, name):
        return f"{name} is counted by the packing that was measured: {found}."
    return (
        f"{name} is counted at {MOST} contexts a request; a judge who is found not to bear that is asked about fewer at a time, "
        f"in up to {MOST} times as many requests."
    )


def conversations(watch: Watch, verb: str, settings: dict[str, Any]) -> Iterator[Conversation[Any]]:
    """The conversations of the first shards; scores are asked for every explainer's explanation and its two controls."""
    plan = watch.plan
    asked = {name: value for name, value in settings.items() if name != "precision"}  # which may spare nothing
    chosen = method(verb, settled(plan, verb, asked))
    shards = range(min(SAMPLED_SHARDS, plan.shards))
    stored = [watch.treated(*each) for shard in shards for each in stored_examples(plan, shard).items()]
    found = [examples for examples in stored if not isinstance(examples, Failure)]

    def talks(number: int) -> list[Conversation[Any]]:
        examples = found[number]
        if isinstance(chosen, Chooser):
            return list(choosings(plan, chosen, examples))
        if verb == "explain":
            rng = plan.generator("cost", examples.feature.index)
            return [chosen.explain(examples.for_explainer(), plan.corpus.vocabulary, rng)]
        explained = [found[(number + step) % len(found)].feature for step in (0, 1, 2)]  # itself, and as its controls
        return list(scorings(plan, chosen, examples, explained))

    for number, examples in enumerate(found):
        one = watch.treated(examples.feature, partial(talks, number))
        yield from (watch.talk(examples.feature, partial(begun, talk)) for talk in ([] if isinstance(one, Failure) else one))


def choosings(plan: Plan, chooser: Any, examples: Examples) -> Iterator[Conversation[Any]]:
    """The conversations of a choice, as if every try were made and each gave another explanation."""
    evidence = selection_of(evidence_of(plan, chooser.scorer, examples))
    tried = [stand_in(examples.feature, f", {number}") for number in range(chooser.tries)]
    if (foreseen := getattr(chooser, "foreseen", None)) is not None:
        yield from foreseen(evidence, tried, plan.generator("cost", examples.feature.index))
        return
    for number, explanation in enumerate(tried):
        rng = plan.generator("cost", examples.feature.index, number)
        yield chooser.explainer.explain(evidence.examples.for_explainer(), plan.corpus.vocabulary, rng)
        yield chooser.scorer.score(explanation, asked_about(evidence, chooser.scorer), rng)


def scorings(plan: Plan, scorer: Any, examples: Examples, explained: Sequence[FeatureId]) -> Iterator[Conversation[Any]]:
    """The conversations about one feature, with what stands in for the explanations of these."""
    evidence = evidence_of(plan, scorer, examples)
    if not reads_explanation(scorer):
        for _, explanation in nobodys(examples.feature):
            yield scorer.score(explanation, evidence, plan.generator("cost", examples.feature.index))
        return
    for explainer in plan.experiment.explain:
        for feature in explained:
            explanation = replace(stand_in(feature, f", {called(explainer)}"), feature=examples.feature)
            yield scorer.score(explanation, evidence, plan.generator("cost", examples.feature.index, feature.index))


def scaled(plan: Plan, cost: Cost) -> Row:
    """From the shards that were looked at to all of them."""
    seen = sum(len(plan.shard(shard)) for shard in range(min(SAMPLED_SHARDS, plan.shards)))
    factor = len(plan.features) / seen if seen else 0.0
    return [count * factor for count in counts(cost)]


def counts(cost: Cost) -> Row:
    return [cost.requests, cost.prompt_tokens, cost.completion_tokens_at_most, cost.money_at_most or 0.0]


def shown(row: Row, *, priced: bool) -> list[str]:
    return [*(f"{number:,.0f}" for number in row[:3]), f"{row[3]:,.2f}" if priced else "unknown: set [chat.prices]"]
