"""What an experiment would take of this machine, and what it would ask of a language model, before
anything of it is done or asked.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import isnan, nan
from typing import Any

from rich.table import Table as Printed

from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.manner import Manner
from gloss.models.chat_models.prices import CostEstimate, estimate_cost
from gloss.models.chat_models.prompts import Conversation, Prompt
from gloss.models.chat_models.stand_in import SENTENCE, stand_in_answer
from gloss.records import Examples, Explanation, Failure, FeatureId, needs_of
from gloss.run.chat_capabilities import (
    abilities_by_chat,
    capabilities_path,
    known_capabilities,
)
from gloss.run.chat_tables import ChatTable, prices_of
from gloss.run.commands.forecast import Forecast, asking_steps, pilots, print_forecast
from gloss.run.control_runs import wanted_controls
from gloss.run.dependencies import experiment_packings, packing_step, scored_explainers
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.experiment import Experiment, stage_name
from gloss.run.methods import ROOM, SettingsMapping, build_method, method_asks
from gloss.run.opened_run import OpenedRun, shard_effects, stored_examples
from gloss.run.pipeline import run_until
from gloss.run.planning import plan_run
from gloss.run.progress import out, print_notes
from gloss.run.stage import Job, Step
from gloss.run.stages.collisions import JUDGE, CollisionFinder, CollisionSettings, CollisionsStage
from gloss.run.stages.explain import explain_feature, shard_causes
from gloss.run.stages.judge import calibration_conversations
from gloss.run.stages.packing import (
    RULES,
    JudgeSettings,
    measured_packing,
    packing_conversations,
    with_measured_packing,
)
from gloss.run.stages.score import empty_explanations, scorer_evidence
from gloss.score.judge.questions import MOST_CONTEXTS
from gloss.store.evidence import Evidence
from gloss.store.results import read_rows

# enough to know the mean length of a prompt: shards, and features where shards are small
SAMPLED_SHARDS, SAMPLED_FEATURES = 4, 32
READY = 120.0  # seconds of local work that counting requests on real contexts is worth
MOST_REQUESTS = 100_000  # from here on the command says what would lower them
CostRow = list[float]


def print_cost_estimate(experiment: Experiment, *, only_requests: bool = False) -> None:
    """Print time, disk and memory, foretold from pilots, then what each method would ask.

    Collects, samples and intervenes for that, all of which is local and free; where this takes
    longer than READY seconds, requests are counted on the larger pilot's contexts.
    """
    last = "intervene" if asks_about_effects(experiment) else "sample"
    if only_requests:
        return print_request_costs(run_until(experiment, last))
    with pilots(experiment) as (small, large, piloted):
        forecast = Forecast.of(experiment, small, large)
        print_forecast(experiment, forecast)
        if not asking_steps(experiment):
            out.print("Nobody is asked.", highlight=False)
            return None
        if forecast.seconds_until(last) <= READY or is_sampled(experiment):
            return print_request_costs(run_until(experiment, last))
        out.print(
            "Requests are counted on the contexts of the pilot; gloss sample and gloss cost"
            " --requests count them on the experiment's own.",
            highlight=False,
        )
        sampled = plan_run(piloted)
        for chat in experiment.chats.values():  # what is known of whom it asks
            if (known := capabilities_path(plan_run(experiment), chat)).exists():
                shutil.copy(known, capabilities_path(sampled, chat))
        return print_request_costs(sampled, forecast.amounts.features)


def is_sampled(experiment: Experiment) -> bool:
    """Whether all contexts of an experiment are there."""
    run = plan_run(experiment)
    return run.part("collect", 0).is_done and all(
        run.part(step, shard).is_done
        for step in run.stages("sample")
        for shard in range(run.shards)
    )


def print_request_costs(run: OpenedRun, features: int = 0) -> None:
    """Print what each method would ask about so many features, by default the run's own."""
    experiment, features = run.experiment, features or len(run.features)
    guard = FeatureGuard(run, "cost", 0, size=len(run.features))
    rows = method_costs(run, guard, features)
    rows |= (
        control_costs(run, rows, features)
        | packing_costs(run)
        | calibration_costs(run)
        | collision_costs(run, guard, features)
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
    if sum(row[0] for row in rows.values()) > MOST_REQUESTS:
        out.print(many_requests_line(rows), highlight=False, markup=False)
    out.print(
        "Prompt tokens are those of a usual tokenizer: 1.08 for each word, number or sign. Answers"
        " that a ledger holds already cost nothing.",
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


def asks_about_effects(experiment: Experiment) -> bool:
    """Whether a method that asks reads effects of interventions."""
    return any(
        method_asks(verb, settings) and needs_of(build_method(verb, settings)).effects
        for verb in ("explain", "score")
        for settings in experiment.methods(verb)
    )


def many_requests_line(rows: dict[str, CostRow]) -> str:
    """What makes for so many requests, and what lowers them."""
    total = sum(row[0] for row in rows.values())
    name = max(rows, key=lambda each: rows[each][0])
    return (
        f"These are more than {MOST_REQUESTS:,} requests, {rows[name][0] / total:.0%} of them by"
        f" {name}. To ask less, lower [run] features, its contexts or trials, or ask for controls"
        " of a sample: controls = 100 in [[score]]."
    )


def method_costs(run: OpenedRun, guard: FeatureGuard, features: int = 0) -> dict[str, CostRow]:
    """What each explainer and each scorer would ask about so many features, by default the run's
    own.
    """
    features = features or len(run.features)
    return {
        stage_name(verb, settings): (
            method_cost(run, guard, verb, settings, features)
            if method_asks(verb, settings)
            else [0.0] * 4
        )
        for verb in ("explain", "score")
        for settings in run.experiment.methods(verb)
    }


def method_cost(
    run: OpenedRun, guard: FeatureGuard, verb: str, settings: dict[str, Any], features: int
) -> CostRow:
    """What one method would ask; of some features alone, where it has controls of these alone."""

    def cost(*, controls: bool) -> CostRow:
        conversations = sampled_conversations(guard, verb, settings, controls=controls)
        found = conversation_cost(run, settings, conversations, whole=verb == "explain")
        return scale_to_run(run, found, features, second_questions(run, verb, settings))

    every = cost(controls=True)
    if "controls" not in settings:
        return every
    share = min(1.0, settings["controls"] / max(1, features))
    own = cost(controls=False)
    row = [each + share * (whole - each) for each, whole in zip(own, every, strict=True)]
    out.print(
        f"{stage_name(verb, settings)}: controls of {settings['controls']:,} features save"
        f" {every[0] - row[0]:,.0f} of {every[0]:,.0f} requests.",
        highlight=False,
    )
    return row


def second_questions(run: OpenedRun, verb: str, settings: SettingsMapping) -> float:
    """How many requests the judge of a score took for each that was planned, when its packing was
    measured: what an answer left out is asked for once more. 1 where nothing was measured.
    """
    step = packing_step(run.experiment, settings["method"], settings)
    if verb != "score" or step not in run.keys:
        return 1.0
    for row in read_rows([run.place(step)], "packings"):
        if row["chosen"]:
            each = run.experiment.settings(JudgeSettings).packing // RULES
            planned = RULES * -(-each // row["contexts"])
            return max(1.0, row["requests"] / planned)
    return 1.0


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


def collision_costs(run: OpenedRun, guard: FeatureGuard, features: int) -> dict[str, CostRow]:
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
        for shard in sampled_shards(run)
        for conversation in finder.foreseen(found, shard, guard)
    )
    row = scale_to_run(run, conversation_cost(run, {"chat": asked.chat}, conversations), features)
    return {"collisions": [number * len(run.experiment.explain) for number in row]}


def control_costs(run: OpenedRun, rows: dict[str, CostRow], features: int) -> dict[str, CostRow]:
    """What runs without training would ask: as much for each of their features as the run for each
    of its own.
    """
    share = (run.experiment.controls.features or features) / max(1, features)
    total = [share * sum(column) for column in zip(*rows.values(), strict=True)]
    return {f"controls.{name}": total for name in wanted_controls(run)}


def conversation_cost(
    run: OpenedRun,
    settings: SettingsMapping,
    conversations: Iterable[Conversation[Any]],
    *,
    whole: bool = False,
) -> CostEstimate:
    """What conversations ask, and how long their answers may be with the room that a method gives
    them.

    An explainer's are had to their end with somebody who stands in for the language model; a score
    asks in one round what can be read at once.
    """
    table = run.experiment.chat_of(settings) or ChatTable("", {})
    chat = table.build({name: settings[name] for name in ROOM if name in settings})
    known = known_capabilities(run, table)
    manner = known.manner if known else Manner()

    def room(prompt: Prompt) -> int:
        if isinstance(chat, Chat):
            return chat.room(prompt, prompt.max_tokens, manner)
        return prompt.max_tokens + max(0, chat.thinking_tokens)

    stand_in = stand_in_answer if whole else None
    return estimate_cost(conversations, prices_of(chat), room=room, stand_in=stand_in)


def typical_explanation(feature: FeatureId, more: str = "") -> Explanation:
    """An explanation of ordinary length, which no other feature has."""
    return Explanation(feature, f"{SENTENCE} ({feature.index}{more})", "cost")


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
    shards = sampled_shards(run)
    explained = [feature for shard in shards for feature in stored_examples(run, shard)]
    for shard in shards:
        if verb == "explain":
            with_causes = shard_causes(run, shard, needs_of(chosen))
            for feature, restore in stored_examples(run, shard, asked.get("sample", "")).items():
                yield guard.conversation(
                    feature, partial(explained_feature, run, chosen, restore, with_causes)
                )
        else:
            scored = scored_explainers(run.experiment, settings)
            yield from scoring_conversations(
                guard, chosen, shard, scored, explained, controls=controls
            )


def explained_feature(
    run: OpenedRun,
    explainer: Any,
    restore: Callable[[], Examples],
    with_causes: Callable[[Examples], Examples],
) -> Conversation[Any]:
    """The very conversation that the run will have."""
    return explain_feature(run, explainer, with_causes(restore()))


def scoring_conversations(
    guard: FeatureGuard,
    scorer: Any,
    shard: int,
    explainers: Iterable[str],
    explained: Sequence[FeatureId],
    *,
    controls: bool,
) -> Iterator[Conversation[Any]]:
    """The conversations about a shard's features, with what stands in for the explanation of each,
    and of others as its two controls, which may be the same, by each explainer that is scored.
    """
    run, needs = guard.run, needs_of(scorer)
    stored = stored_examples(run, shard)
    effects = shard_effects(run, shard) if needs.effects else {}
    wanted = 3 if controls and needs.controls and len(explained) > 1 else 1

    def evidence_for(feature: FeatureId) -> Evidence:
        its = effects.get(feature.index, ())
        return scorer_evidence(run, scorer, stored[feature](), its)

    for feature in stored:
        evidence = guard.attempt(feature, partial(evidence_for, feature))
        if isinstance(evidence, Failure):
            continue
        others = [each for each in explained if each != feature]
        drawn = run.generator("cost", feature.index, "controls").integers(
            max(1, len(others)), size=2
        )
        whose = [feature, *(others[one] for one in drawn.tolist()[: wanted - 1])]
        given = (
            [
                replace(typical_explanation(one, f", {by}"), feature=feature)
                for by in explainers
                for one in whose
            ]
            if needs.explanation
            else [explanation for _, explanation in empty_explanations(feature)]
        )
        for turn, explanation in enumerate(given):
            rng = run.generator("cost", feature.index, turn)
            yield guard.conversation(feature, partial(scorer.score, explanation, evidence, rng))


def sampled_shards(run: OpenedRun) -> range:
    """The shards that are looked at."""
    enough = -(-SAMPLED_FEATURES // run.experiment.run.features_per_shard)
    return range(min(max(SAMPLED_SHARDS, enough), run.shards))


def scale_to_run(run: OpenedRun, cost: CostEstimate, features: int, again: float = 1.0) -> CostRow:
    """From the shards that were looked at to so many features, `again` times over."""
    seen = sum(len(run.shard(shard)) for shard in sampled_shards(run))
    factor = again * features / seen if seen else 0.0
    return [count * factor for count in cost_row(cost)]


def cost_row(cost: CostEstimate) -> CostRow:
    return [
        float(cost.requests),
        float(cost.prompt_tokens),
        float(cost.completion_tokens_at_most),
        # nobody knows what the language model costs
        nan if cost.money_at_most is None and cost.requests else cost.money_at_most or 0.0,
    ]


def cost_cells(row: CostRow) -> list[str]:
    return [
        *(f"{number:,.0f}" for number in row[:3]),
        "unknown: set [chat.prices]" if isnan(row[3]) else f"{row[3]:,.2f}",
    ]
