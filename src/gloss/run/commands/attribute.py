"""Behind `gloss attribute`: poses the game that is meant, attributes it, prints what was found and
keeps it: a record, a page, every value paid for.
"""

import json
import math
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from gloss.attribute.game import Evaluations, Game, TableGame, costs_money
from gloss.attribute.judged import attribute_game
from gloss.attribute.players.endpoint_game import (
    EndpointGame,
    EndpointWithLedger,
    best_value_source,
)
from gloss.attribute.players.prompt_parts import PromptUnit
from gloss.attribute.prompt_average import AverageGame
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.attribute.result.attribution_record import attribution_record
from gloss.attribute.result.interaction_terms import (
    InteractionTerm,
    player_terms,
    set_terms,
    share_of_rest,
    variation_shares,
)
from gloss.attribute.result.interactions import MISSING, Interactions
from gloss.attribute.result.removal_curves import RemovalCurve, method_curves
from gloss.attribute.result.wording import (
    attribution_paragraph,
    attribution_sentences,
    distinct_player_names,
    share_in_percent,
)
from gloss.errors import BadInput
from gloss.installed import load_installed
from gloss.models.chat_models.client import Chat
from gloss.pages.attribution_page import (
    AttributionPage,
    CurveLine,
    SetOnPage,
    write_attribution_page,
)
from gloss.pages.number_format import format_decimal, format_interval, format_strength
from gloss.records import Estimate, needs_of
from gloss.run.chat_capabilities import print_key_use
from gloss.run.commands.attribution_proxy import (
    PROXY_VALUES,
    lock_of,
    open_proxy,
    planned_of_proxy,
)
from gloss.run.commands.attribution_values import PlannedValues, new_values_sentence
from gloss.run.commands.attribution_view import (
    average_column,
    average_meaning,
    player_table,
    set_table,
    shaded_prompt,
)
from gloss.run.commands.counted_game import Spent, count_masks
from gloss.run.commands.training_runs import (
    named_training_game,
    training_processes,
    values_in_batch,
)
from gloss.run.keys import result_key, source_hash
from gloss.run.methods import build_method, installed_methods
from gloss.run.progress import out, progress_bar
from gloss.run.sources import NamedDictionary, NamedModel
from gloss.store.atomic import write_bytes
from gloss.store.lock import sole_writer
from gloss.store.progress import Progress, ignore_progress

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject

    PromptReader = Subject | EndpointWithLedger

GIVEN = "given"  # the name of a model or a dictionary that was handed over as an object


@dataclass(frozen=True)
class AttributionSettings:
    """How the question is answered, and where the outcome is kept."""

    method: str = "auto"
    budget: int | None = None  # masks; each method has its own where it is left out
    order: int | None = None
    near: float | None = None  # share of the players that masks near the whole keep
    jobs: int = 1  # processes that train at a time
    folder: Path = Path("runs/attribute")
    seed: int = 0
    curves: bool = True  # on the page, which values are asked for
    proxy: str = ""  # a smaller model that proposes
    proxy_budget: int = PROXY_VALUES

    def recorded(self) -> dict[str, Any]:
        """All that a record depends on, as JSON holds it: neither where it lies nor how many
        processes trained.
        """
        left_out = ("folder", "jobs")
        return {name: each for name, each in asdict(self).items() if name not in left_out}

    def record_path(self, game: str, *more: object) -> Path:
        """Where the record of a game of this name lies: with other settings, or `more` that it
        depends on, elsewhere.
        """
        return self.folder / f"{self.method}-{game}-{result_key(self.recorded(), *more)}.json"


@dataclass(frozen=True)
class KeptAttribution:
    """What was found, where it is kept, and how many values were new."""

    found: Interactions
    record: Path
    page: Path
    paid: str  # a sentence


def report_attribution(
    question: AttributionQuestion, options: AttributionSettings, *, wait: bool = False
) -> None:
    """Attribute, print, and write the record and the page.

    Raises BadInput, BadSettings, Mismatch, and Busy for one at a time.
    """
    attributor = build_method("attribute", attributor_settings(options))
    question = settle_for(question, attributor, options.seed)
    named_game = build_named_game(question, options.folder)
    planned = PlannedValues.of(attributor, named_game.game, curves=options.curves)
    bar = nullcontext(ignore_progress)
    if not isinstance(named_game.game, TableGame):
        out.print(planned.sentence(options.method, named_game.rows), highlight=False)
        bar = progress_bar("attribute", "values")
    if options.proxy:
        out.print(planned_of_proxy(options.proxy, options.proxy_budget), highlight=False)
    with bar as progress:
        kept = keep_attribution(question, named_game, attributor, options, progress, wait=wait)
    print_attribution(named_game, kept.found)
    screened = [kept.found.proxy.sentence] if kept.found.proxy else []
    for note in (*screened, *named_game.told):
        out.print(note, highlight=False, markup=False)
    where = f"record in {kept.record}, page in {kept.page.resolve().as_uri()}"
    out.print(f"{kept.paid}; {where}", highlight=False, markup=False, soft_wrap=True)


def keep_attribution(
    question: AttributionQuestion,
    named_game: NamedGame,
    attributor: Any,
    options: AttributionSettings,
    progress: Progress = ignore_progress,
    *,
    wait: bool = False,
) -> KeptAttribution:
    """Attribute a settled question's game, with every value kept, and write the record and the
    page. Raises as `report_attribution`.
    """
    asked = (asdict(question), named_game.value, named_game.reading)
    name = result_key(*asked, question_content_hashes(question))
    planned = PlannedValues.of(attributor, named_game.game, curves=options.curves)
    proxy = open_proxy(question, attributor, options.proxy)
    spent, of_proxy = Spent(), Spent()
    values, writer = (
        options.folder / f"values-{name}",
        sole_writer(options.folder, wait=wait, of=name),
    )
    processes = training_processes(named_game.game, options.jobs)
    with writer, processes, lock_of(proxy, options.folder, wait=wait):
        game = keep_each_prompt(named_game.game, options.folder / f"prompts-{name}")
        counted = count_masks(game, progress, spent, planned.total)
        known = Evaluations(counted, values, values_in_batch(game))
        before, again = len(known), known.asked_again
        if proxy:
            attributor = proxy.beside(
                attributor,
                named_game,
                options.proxy_budget,
                options.folder,
                lambda game: count_masks(game, ignore_progress, of_proxy),
            )
        found = attribute_game(attributor, known, np.random.default_rng(options.seed))
        new, again = len(known) - before, known.asked_again - again
        rng = np.random.default_rng(options.seed)
        lines = page_curves(known, found, rng) if options.curves else []
        record = options.record_path(name, *([proxy.values_name] if proxy else []))
        content = attribution_record(question, options.recorded(), named_game, found)
        write_bytes(record, json.dumps(content, indent=1).encode())
        page = record.with_suffix(".html")
        write_attribution_page(page, attribution_page(question, named_game, found, lines))
    paid = new_values_sentence(new, again, len(known) - before - new)
    if proxy:
        paid = f"{proxy_cost(spent, of_proxy)} {paid}"
    return KeptAttribution(found, record, page, paid)


def keep_each_prompt(game: Game, path: Path) -> Game:
    """The mean game of many prompts with a file for each prompt's values; any other as it is."""
    return replace(game, path=path) if isinstance(game, AverageGame) else game


def settle_for(question: AttributionQuestion, attributor: Any, seed: int) -> AttributionQuestion:
    """The question with all that was left open decided as this method needs it."""
    return question.settle(slopes=needs_of(attributor).slopes, seed=seed)


def build_named_game(
    question: AttributionQuestion,
    folder: Path | None = None,
    reader: "PromptReader | None" = None,
    dictionary: "Dictionary | None" = None,
) -> NamedGame:
    """The game of a settled question. What an endpoint answers is kept in the folder.

    Without a reader the one that the question names is opened, as are dictionaries that it calls
    by another name than the one handed over has. Raises BadInput,
    BadSettings or Mismatch for what cannot be loaded or does not fit.
    """
    there, here = (reader, None) if isinstance(reader, EndpointWithLedger) else (None, reader)
    if question.data:
        from gloss.attribute.players.table_file import load_table_game

        return NamedGame(load_table_game(Path(question.data)), "the value in the table")
    if question.examples:
        return named_training_game(question, here)
    if question.base_url:
        asked = endpoint_game(question, folder, there)
        return NamedGame(asked, asked.label, asked.stretches())
    from gloss.attribute.players.many_prompts import build_prompts_game
    from gloss.attribute.players.subject_games import build_subject_game

    subject = here or named_model(question).load()

    def load(source: str) -> "Dictionary":
        if dictionary and source == GIVEN:
            return dictionary
        return NamedDictionary.of(source).load(subject)

    build = build_prompts_game if question.prompts else build_subject_game
    return build(question, subject, load)


def named_model(question: AttributionQuestion) -> NamedModel:
    """The model that is to be loaded here.

    Raises BadSettings for a device or a type that there is not.
    """
    return NamedModel.of(question.model, question.device, question.dtype, question.adapter)


def open_reader(question: AttributionQuestion, folder: Path | None = None) -> "PromptReader":
    """The model that the question names, loaded, or the endpoint, tried out: once for all questions
    about it. What an endpoint answers is kept in the folder.

    Raises BadSettings, Unreachable and what `Subject.load` raises.
    """
    return open_endpoint(question, folder) if question.base_url else named_model(question).load()


def open_endpoint(question: AttributionQuestion, folder: Path | None) -> EndpointWithLedger:
    """The endpoint that the question names, and what it is seen to do."""
    chat = Chat(question.model, question.base_url)
    print_key_use(chat.base_url, chat.api_key_env)
    known = chat.capabilities(np.random.default_rng(question.seed))
    return EndpointWithLedger(chat, folder and folder / "answers.sqlite", known)


def endpoint_game(
    question: AttributionQuestion, folder: Path | None, opened: EndpointWithLedger | None = None
) -> EndpointGame:
    """The game of a prompt whose answer an endpoint gives, read as exactly as it allows."""
    endpoint = opened or open_endpoint(question, folder)
    return EndpointGame(
        endpoint,
        question.prompt,
        question.answer,
        PromptUnit(question.unit),
        question.kind,
        question.other,
        best_value_source(endpoint.known, exact=bool(question.value or question.other)),
    )


def attributor_settings(options: AttributionSettings) -> dict[str, Any]:
    """The method's settings, as far as it has them.

    Raises BadInput for a budget or an order where the method has none.
    """
    chosen: dict[str, Any] = {"method": options.method}
    known = installed_methods("attribute")
    for name in ("budget", "order", "near"):
        if (given := getattr(options, name)) is None:
            continue
        if options.method in known and name not in {
            field.name for field in fields(load_installed(known[options.method]))
        }:
            raise BadInput(
                f"{options.method} takes no --{name}; leave it out, or choose another --method"
            )
        chosen[name] = given
    return chosen


def proxy_cost(spent: Spent, of_proxy: Spent) -> str:
    """What new values took, of the proxy and of the model that was asked."""
    return (
        f"{of_proxy.values:,} new values of the proxy took {of_proxy.seconds:.1f} CPU seconds,"
        f" {spent.values:,} of the model {spent.seconds:.1f}."
    )


def question_content_hashes(question: AttributionQuestion) -> list[object]:
    """What stands behind the names in a question: hashes of local files, so that other weights have
    values of their own.
    """
    dictionaries = [
        name.rpartition("@")[0] for name in (question.feature, question.features) if name
    ]
    here = question.model and not question.base_url
    model = named_model(question).content if here else question.model
    return [
        model,
        *(NamedDictionary.of(source).content for source in dictionaries),
        *(
            source_hash(file)
            for file in (question.data, question.other_prompts, question.examples)
            if file
        ),
    ]


def print_attribution(named_game: NamedGame, found: Interactions) -> None:
    """The sentence, coloured, then what acts by itself and together, then both in words and how far
    to trust it.
    """
    out.print(Text(named_game.value, "bold"))
    if named_game.text:
        parts = {term.players[0]: term.average.value for term in player_terms(found)}
        out.print(shaded_prompt(named_game.text, parts, average_meaning(found)))
    out.print(player_table(found))
    if sets := set_table(found):
        out.print(sets)
    else:
        out.print("No set of two or more acts together beyond its interval.", highlight=False)
    out.print(attribution_paragraph(found, named_game.value), highlight=False, markup=False)


def page_curves(
    known: Evaluations, found: Interactions, rng: np.random.Generator
) -> list[RemovalCurve]:
    """Removal and insertion, beside chance.

    Not where each value costs money or cannot be asked for.
    """
    if isinstance(known.game, TableGame) or costs_money(known.game):
        return []
    return method_curves(known.from_the_start(), [found], rng)


def attribution_page(
    question: AttributionQuestion,
    named_game: NamedGame,
    found: Interactions,
    lines: list[RemovalCurve],
) -> AttributionPage:
    """What the page shows."""
    shares: dict[int | str, float] = {**variation_shares(found), "many": share_of_rest(found)}
    facts = ({"model": question.model} if question.model else {}) | {
        "value": named_game.value,
        **({"what is removed": " ".join(named_game.told)} if named_game.told else {}),
        **({"proxy": found.proxy.sentence} if found.proxy else {}),
        "method": found.method,
        "players": f"{len(found.players):,} {question.players_kind}",
        "evaluations": f"{found.evaluations:,}, {found.failed} failed",
        "variation by size of set": ", ".join(
            f"{size}: {share_in_percent(share)}" for size, share in shares.items() if share
        ),
    }
    drawn = tuple(
        CurveLine(
            each.name, each.counts, tuple(each.removal.tolist()), tuple(each.insertion.tolist())
        )
        for each in lines
    )
    return AttributionPage(
        title=named_game.value,
        facts=facts,
        text=named_game.text,
        players=distinct_player_names(found.players),
        single=tuple(map(set_on_page, player_terms(found))),
        sets=tuple(map(set_on_page, set_terms(found))),
        told=tuple(attribution_sentences(found, named_game.value)),
        said=found.summary_sentence(),
        explained=found.faithfulness.explained,
        figures=page_figures(found),
        average=average_column(found),
        meaning=average_meaning(found),
        curves=drawn,
    )


def set_on_page(term: InteractionTerm) -> SetOnPage:
    """A player or a set for the page."""
    kind = str(term.kind) if term.kind else ""
    return SetOnPage(
        term.players,
        term.average,
        term.lost,
        term.alone,
        kind,
        term.lost_interval,
        term.alone_interval,
    )


def page_figures(found: Interactions) -> dict[str, str]:
    """The value at both ends, both R2s and the noise: what the page says in large figures."""
    trust, measured = found.faithfulness, found.measured
    figures: dict[str, str] = {}
    if measured:
        over = found.over_prompts
        ends = (measured.everybody, measured.nobody)
        intervals = (over.everybody, over.nobody) if over else (MISSING, MISSING)
        for what, end, interval in zip(("everything", "nothing"), ends, intervals, strict=True):
            figures[f"with {what} kept"] = f"{format_strength(end)} {interval_of(interval)}".strip()
        if over and over.right is not None:
            figures["answered rightly"] = f"{over.right:,} of {over.prompts:,} prompts"
    masks = f"all {trust.n:,} masks" if trust.whole else f"{trust.n:,} masks that keep half"
    figures[f"R2 on {masks}"] = r2_in_words(trust.r2)
    if trust.near_n and math.isfinite(trust.near.value):
        on = "" if trust.whole else f" on {trust.near_n:,} masks"
        near = f"R2{on} near the whole ({trust.kept} % kept)"
        figures[near] = r2_in_words(trust.near)
    if trust.noise is not None and trust.noise.deviation:
        figures["a value differs when asked again by"] = (
            f"± {format_strength(trust.noise.deviation)}"
        )
        figures["R2 that this noise leaves"] = format_decimal(trust.most)
    return figures


def interval_of(found: Estimate) -> str:
    """An interval in brackets, where there is one."""
    if not found.low < found.high:
        return ""
    return f"[{format_strength(found.low)}, {format_strength(found.high)}]"


def r2_in_words(found: Estimate) -> str:
    """R2 with its interval, where it has one."""
    interval = format_interval(found) if found.low < found.high else ""
    return f"{format_decimal(found.value)} {interval}".strip()
