"""What an experiment would ask of a language model, counted on its real contexts before anything is asked."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from gloss.explain.choosing import Chooser
from gloss.models.prices import Cost, estimate
from gloss.models.prompts import Conversation
from gloss.records import Examples, Explanation
from gloss.run.experiment import Experiment, settings_of
from gloss.run.methods import asks, method
from gloss.run.pipeline import run_until
from gloss.run.plan import Plan, named
from gloss.run.progress import out
from gloss.run.restored import examples_of
from gloss.run.stages.judge import conversations as anchors
from gloss.run.stages.packing import every, packing_of, settled
from gloss.run.stages.score import evidence_of, nobodys, reads_explanation
from gloss.score.asking import MOST
from gloss.store.selection import selection_of

TYPICAL = "names of functions and classes that are defined in the lines before, especially in error messages"
SAMPLED_SHARDS = 4  # enough to know the mean length of a prompt


def report(experiment: Experiment) -> None:
    """Collect and sample, which is local and free, then print requests, tokens and money by method."""
    plan = run_until(experiment, "sample")
    prices = settings_of(experiment.chat).prices
    table = Table(
        "method", "requests", "prompt tokens", "answer tokens at most", "money at most", title="what this run would ask"
    )
    totals = [0.0, 0.0, 0.0, 0.0]
    for verb in ("explain", "score"):
        for settings in getattr(experiment, verb):
            if not asks(verb, settings):
                table.add_row(named(verb, settings), "0", "0", "0", "0")
                continue
            cost = estimate(conversations(plan, verb, settings), prices)
            row = scaled(plan, cost)
            totals = [a + b for a, b in zip(totals, row, strict=True)]
            table.add_row(named(verb, settings), *shown(row, priced=cost.money_at_most is not None))
    for stage in plan.stages("packing"):
        cost = estimate(every(plan, stage.partition(".")[2]), prices)
        row = counts(cost)
        totals = [a + b for a, b in zip(totals, row, strict=True)]
        table.add_row(stage, *shown(row, priced=cost.money_at_most is not None))
    for stage in plan.stages("judge"):
        settings = next(settings for settings in experiment.score if named("judge", settings) == stage)
        cost = estimate((talk for _, talk in anchors(plan, settings)), prices)
        row = counts(cost)
        totals = [a + b for a, b in zip(totals, row, strict=True)]
        table.add_row(stage, *shown(row, priced=cost.money_at_most is not None))
    table.add_row("all", *shown(totals, priced=prices.of(1, 1) is not None), style="bold")
    out.print(table)
    for name in (stage.partition(".")[2] for stage in plan.stages("packing")):
        out.print(assumed(plan, name), highlight=False)
    out.print(
        "Tokens are counted as a quarter of the characters. Answers that a ledger holds already cost nothing.", highlight=False
    )


def assumed(plan: Plan, name: str) -> str:
    """By which packing a method's scores are counted."""
    if found := packing_of(plan, name):
        return f"{name} is counted by the packing that was measured: {found}."
    return (
        f"{name} is counted at {MOST} contexts a request; a judge who is found not to bear that is asked about fewer at a time, "
        f"in up to {MOST} times as many requests."
    )


def conversations(plan: Plan, verb: str, settings: dict[str, Any]) -> Iterator[Conversation[Any]]:
    """The conversations of the first shards; scores are asked for every explainer's explanation and its two controls."""
    asked = {name: value for name, value in settings.items() if name != "precision"}  # which may spare nothing
    chosen = method(verb, settled(plan, verb, asked))
    for shard in range(min(SAMPLED_SHARDS, plan.shards)):
        for examples in examples_of(plan, shard):
            rng = plan.generator("cost", examples.feature.index)
            if isinstance(chosen, Chooser):
                yield from choosings(plan, chosen, examples)
            elif verb == "explain":
                yield chosen.explain(examples.for_explainer(), plan.corpus.vocabulary, rng)
            else:
                yield from scorings(plan, chosen, examples)


def choosings(plan: Plan, chooser: Any, examples: Examples) -> Iterator[Conversation[Any]]:
    """The conversations of a choice, as if every try were made and each gave another explanation."""
    evidence = selection_of(evidence_of(plan, chooser.scorer, examples))
    for number in range(chooser.tries):
        rng = plan.generator("cost", examples.feature.index, number)
        yield chooser.explainer.explain(evidence.examples.for_explainer(), plan.corpus.vocabulary, rng)
        explanation = Explanation(examples.feature, f"{TYPICAL} ({number})", "cost")
        yield chooser.scorer.score(explanation, evidence, rng)


def scorings(plan: Plan, scorer: Any, examples: Examples) -> Iterator[Conversation[Any]]:
    evidence = evidence_of(plan, scorer, examples)
    if not reads_explanation(scorer):
        for _, explanation in nobodys(examples):
            yield scorer.score(explanation, evidence, plan.generator("cost", examples.feature.index))
        return
    for explainer in plan.experiment.explain:
        for control in ("own", "random", "shuffled"):
            explanation = Explanation(examples.feature, f"{TYPICAL} ({explainer['method']}, {control})", explainer["method"])
            yield scorer.score(explanation, evidence, plan.generator("cost", examples.feature.index))


def scaled(plan: Plan, cost: Cost) -> list[float]:
    """From the shards that were looked at to all of them."""
    seen = sum(len(plan.shard(shard)) for shard in range(min(SAMPLED_SHARDS, plan.shards)))
    factor = len(plan.features) / seen if seen else 0.0
    return [count * factor for count in counts(cost)]


def counts(cost: Cost) -> list[float]:
    return [cost.requests, cost.prompt_tokens, cost.completion_tokens_at_most, cost.money_at_most or 0.0]


def shown(row: list[float], *, priced: bool) -> list[str]:
    return [*(f"{number:,.0f}" for number in row[:3]), f"{row[3]:,.2f}" if priced else "unknown: set [chat.prices]"]
