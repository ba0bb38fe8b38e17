"""What an experiment would ask of a language model, counted on its real contexts before anything is
asked.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import isnan, nan
from typing import Any

from rich.table import Table as Printed

from gloss.explain.candidate_selection import is_choosing, limit_evidence
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.manner import Manner
from gloss.models.chat_models.prices import CostEstimate, estimate_cost
from gloss.models.chat_models.prompts import Conversation, Prompt
from gloss.records import Examples, Explanation, Failure, FeatureId, needs_of
from gloss.run.chat_capabilities import abilities_by_chat, known_capabilities
from gloss.run.chat_tables import ChatTable
from gloss.run.control_runs import wanted_controls
from gloss.run.dependencies import experiment_packings, scored_explainers
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.experiment import Experiment, stage_name
from gloss.run.methods import ROOM, SettingsMapping, build_method, method_asks
from gloss.run.opened_run import OpenedRun, stored_examples
from gloss.run.pipeline import run_until
from gloss.run.progress import out, print_notes
from gloss.run.stage import Job, Step
from gloss.run.stages.collisions import JUDGE, CollisionFinder, CollisionSettings, CollisionsStage
from gloss.run.stages.judge import calibration_conversations, given_conversation
from gloss.run.stages.packing import measured_packing, packing_conversations, with_measured_packing
from gloss.run.stages.score import empty_explanations, scorer_evidence
from gloss.score.judge.questions import MOST_CONTEXTS
from gloss.store.evidence import validation_evidence

TYPICAL = (
    "names of functions and classes that are defined in the lines before, especially in error"
    " messages"
)
SAMPLED_SHARDS = 4  # enough to know the mean length of a prompt
CostRow = list[float]


def print_cost_estimate(experiment: Experiment) -> None:
    """Collect and sample, which is local and free, then print what each method would ask."""
    run = run_until(experiment, "sample")
    guard = FeatureGuard(run, "cost", 0, size=len(run.features))
    rows = method_costs(run, guard)
    rows |= (
        control_costs(run, rows)
        | packing_costs(run)
        | calibration_costs(run)
        | collision_costs(run, guard)
    )
    table = Printed(
        "method",
        "requests",
        "prompt tokens",
        "answer tokens at most",
        "money at most",
        title="what this run would ask",
    )
    for name, row in rows.items():
        table.add_row(name, *(cost_cells(row) if any(row) else ("0", "0", "0", "0")))
    table.add_row(
        "all",
        *cost_cells([sum(column) for column in zip(*rows.values(), strict=True)]),
        style="bold",
    )
    out.print(table)
    for stage in run.stages("packing"):
        out.print(packing_assumption(run, stage), highlight=False)
    out.print(
        "Tokens are counted as a quarter of the characters. Answers that a ledger holds already"
        " cost nothing.",
        highlight=False,
    )
    for chat, stages in abilities_by_chat(experiment):
        if stages and known_capabilities(run, chat) is None:
            out.print(
                f"Whether {chat.settings.get('model', 'the model')} thinks before it answers is not"
                " known yet; gloss probe finds out.",
                highlight=False,
            )
    print_notes(*guard.summary_lines())


def method_costs(run: OpenedRun, guard: FeatureGuard) -> dict[str, CostRow]:
    """What each explainer and each scorer would ask."""
    return {
        stage_name(verb, settings): (
            method_cost(run, guard, verb, settings) if method_asks(verb, settings) else [0.0] * 4
        )
        for verb in ("explain", "score")
        for settings in run.experiment.methods(verb)
    }


def method_cost(
    run: OpenedRun, guard: FeatureGuard, verb: str, settings: dict[str, Any]
) -> CostRow:
    """What one method would ask; of some features alone, where it has controls of these alone."""

    def cost(*, controls: bool) -> CostRow:
        conversations = sampled_conversations(guard, verb, settings, controls=controls)
        return scale_to_run(run, conversation_cost(run, settings, conversations))

    every = cost(controls=True)
    if "controls" not in settings:
        return every
    share = min(1.0, settings["controls"] / max(1, len(run.features)))
    own = cost(controls=False)
    row = [each + share * (whole - each) for each, whole in zip(own, every, strict=True)]
    out.print(
        f"{stage_name(verb, settings)}: controls of {settings['controls']:,} features save"
        f" {every[0] - row[0]:,.0f} of {every[0]:,.0f} requests.",
        highlight=False,
    )
    return row


def packing_costs(run: OpenedRun) -> dict[str, CostRow]:
    """What is asked to find out how many contexts a judge can bear in a request."""
    measured = experiment_packings(run.experiment)
    return {
        stage: cost_row(
            conversation_cost(run, measured[stage], packing_conversations(run, measured[stage]))
        )
        for stage in run.stages("packing")
    }


def calibration_costs(run: OpenedRun) -> dict[str, CostRow]:
    """What is asked about contexts of known truth."""
    settings = {stage_name("judge", settings): settings for settings in run.experiment.score}
    return {
        stage: cost_row(
            conversation_cost(
                run,
                settings[stage],
                (
                    conversation
                    for _, conversation in calibration_conversations(run, settings[stage])
                ),
            )
        )
        for stage in run.stages("judge")
    }


def collision_costs(run: OpenedRun, guard: FeatureGuard) -> dict[str, CostRow]:
    """What a judge of near features is asked, if each were explained by each explainer in words of
    its own.
    """
    asked = run.experiment.settings(CollisionSettings)
    if asked.by != JUDGE:
        return {}
    finder = CollisionFinder(Job(run, Step(CollisionsStage())))
    found = {feature: typical_explanation(feature) for feature in run.features}
    conversations = (
        conversation
        for shard in range(min(SAMPLED_SHARDS, run.shards))
        for conversation in finder.foreseen(found, shard, guard)
    )
    row = scale_to_run(run, conversation_cost(run, {"chat": asked.chat}, conversations))
    return {"collisions": [number * len(run.experiment.explain) for number in row]}


def control_costs(run: OpenedRun, rows: dict[str, CostRow]) -> dict[str, CostRow]:
    """What runs without training would ask: as much for each of their features as the run for each
    of its own.
    """
    share = (run.experiment.controls.features or len(run.features)) / max(1, len(run.features))
    total = [share * sum(column) for column in zip(*rows.values(), strict=True)]
    return {f"controls.{name}": total for name in wanted_controls(run)}


def conversation_cost(
    run: OpenedRun, settings: SettingsMapping, conversations: Iterable[Conversation[Any]]
) -> CostEstimate:
    """What conversations open with, and how long their answers may be with the room that a method
    gives them.
    """
    table = run.experiment.chat_of(settings) or ChatTable("", {})
    chat = table.build({name: settings[name] for name in ROOM if name in settings})
    known = known_capabilities(run, table)
    manner = known.manner if known else Manner()

    def room(prompt: Prompt) -> int:
        if isinstance(chat, Chat):
            return chat.room(prompt, prompt.max_tokens, manner)
        return prompt.max_tokens + max(0, chat.thinking_tokens)

    return estimate_cost(conversations, chat.prices, room=room)


def typical_explanation(feature: FeatureId, more: str = "") -> Explanation:
    """An explanation of ordinary length, which no other feature has."""
    return Explanation(feature, f"{TYPICAL} ({feature.index}{more})", "cost")


def packing_assumption(run: OpenedRun, stage: str) -> str:
    """By which packing a method's scores are counted."""
    name = stage.partition(".")[2]
    if found := measured_packing(run, stage):
        return f"{name} is counted by the packing that was measured: {found}."
    return (
        f"{name} is counted at {MOST_CONTEXTS} contexts a request; a judge who is found not to bear"
        f" that is asked about fewer at a time, in up to {MOST_CONTEXTS} times as many requests."
    )


def sampled_conversations(
    guard: FeatureGuard, verb: str, settings: dict[str, Any], *, controls: bool = True
) -> Iterator[Conversation[Any]]:
    """The conversations of the first shards.

    Scores are asked for every explainer's explanation and its two controls.
    """
    run = guard.run
    # which may spare nothing
    asked = {name: value for name, value in settings.items() if name != "precision"}
    chosen = build_method(verb, with_measured_packing(run, verb, asked))
    shards = range(min(SAMPLED_SHARDS, run.shards))
    stored = [
        guard.attempt(*each)
        for shard in shards
        for each in stored_examples(run, shard, settings.get("sample", "")).items()
    ]
    found = [examples for examples in stored if not isinstance(examples, Failure)]

    def conversations_about(number: int) -> list[Conversation[Any]]:
        examples = found[number]
        if is_choosing(chosen):
            return list(choice_conversations(run, chosen, examples))
        if verb == "explain":
            rng = run.generator("cost", examples.feature.index)
            return [chosen.explain(examples.for_explainer(), run.corpus.vocabulary, rng)]
        # itself, and as its controls
        steps = (0, 1, 2) if controls else (0,)
        explained = [found[(number + step) % len(found)].feature for step in steps]
        scored = scored_explainers(run.experiment, settings)
        return list(scoring_conversations(run, chosen, examples, explained, scored))

    for number, examples in enumerate(found):
        one = guard.attempt(examples.feature, partial(conversations_about, number))
        yield from (
            guard.conversation(examples.feature, partial(given_conversation, conversation))
            for conversation in ([] if isinstance(one, Failure) else one)
        )


def choice_conversations(
    run: OpenedRun, chooser: Any, examples: Examples
) -> Iterator[Conversation[Any]]:
    """The conversations of a choice, if every try is made and each gives another explanation."""
    evidence = validation_evidence(scorer_evidence(run, chooser.scorer, examples))
    tried = [
        typical_explanation(examples.feature, f", {number}") for number in range(chooser.tries)
    ]
    if (foreseen := getattr(chooser, "foreseen", None)) is not None:
        yield from foreseen(evidence, tried, run.generator("cost", examples.feature.index))
        return
    for number, explanation in enumerate(tried):
        rng = run.generator("cost", examples.feature.index, number)
        yield chooser.explainer.explain(
            evidence.examples.for_explainer(), run.corpus.vocabulary, rng
        )
        yield chooser.scorer.score(explanation, limit_evidence(evidence, chooser.scorer), rng)


def scoring_conversations(
    run: OpenedRun,
    scorer: Any,
    examples: Examples,
    explained: Sequence[FeatureId],
    explainers: Iterable[str],
) -> Iterator[Conversation[Any]]:
    """The conversations about one feature, with what stands in for the explanations of these by
    each explainer that is scored.
    """
    evidence = scorer_evidence(run, scorer, examples)
    if not needs_of(scorer).explanation:
        for _, explanation in empty_explanations(examples.feature):
            yield scorer.score(explanation, evidence, run.generator("cost", examples.feature.index))
        return
    for explainer in explainers:
        for feature in explained:
            explanation = replace(
                typical_explanation(feature, f", {explainer}"),
                feature=examples.feature,
            )
            yield scorer.score(
                explanation, evidence, run.generator("cost", examples.feature.index, feature.index)
            )


def scale_to_run(run: OpenedRun, cost: CostEstimate) -> CostRow:
    """From the shards that were looked at to all of them."""
    seen = sum(len(run.shard(shard)) for shard in range(min(SAMPLED_SHARDS, run.shards)))
    factor = len(run.features) / seen if seen else 0.0
    return [count * factor for count in cost_row(cost)]


def cost_row(cost: CostEstimate) -> CostRow:
    return [
        cost.requests,
        cost.prompt_tokens,
        cost.completion_tokens_at_most,
        # nobody knows what the language model costs
        nan if cost.money_at_most is None and cost.requests else cost.money_at_most or 0.0,
    ]


def cost_cells(row: CostRow) -> list[str]:
    return [
        *(f"{number:,.0f}" for number in row[:3]),
        "unknown: set [chat.prices]" if isnan(row[3]) else f"{row[3]:,.2f}",
    ]
