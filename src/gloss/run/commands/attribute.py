"""Behind `gloss attribute`: poses the game that is meant, attributes it, prints what was found and
keeps it: a record, a page, every value paid for.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray
from rich.text import Text

from gloss.attribute.game import Evaluations, Game, Redrawn, TableGame
from gloss.attribute.methods.lasso import Lasso
from gloss.attribute.players.endpoint_game import (
    EndpointGame,
    EndpointWithLedger,
    best_value_source,
)
from gloss.attribute.players.prompt_parts import PromptUnit
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.attribute.result.attribution_record import attribution_record
from gloss.attribute.result.interaction_terms import Truncation, choose_truncation
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.removal_curves import RemovalCurve, method_curves
from gloss.attribute.result.wording import attribution_paragraph, distinct_player_names
from gloss.errors import BadInput
from gloss.installed import load_installed
from gloss.models.chat_models.client import Chat
from gloss.pages.attribution_page import AttributionPage, CurveLine, write_attribution_page
from gloss.records import needs_of
from gloss.run.chat_capabilities import print_key_use
from gloss.run.commands.attribution_view import shaded_prompt, strongest_sets_table
from gloss.run.keys import result_key, source_hash
from gloss.run.methods import build_method, installed_methods
from gloss.run.progress import out, progress_bar
from gloss.run.sources import NamedDictionary, NamedModel
from gloss.store.atomic import write_bytes
from gloss.store.lock import sole_writer
from gloss.store.progress import Progress

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject

GIVEN = "given"  # the name of a model or a dictionary that was handed over as an object
NEARLY_ALL = 0.995  # share of what was found from which on nothing is said of the rest
FEWEST_BESIDE_LASSO = 64  # masks from which LASSO is drawn beside another method
MOST_SETS_PRINTED = 12  # strongest sets in the terminal


@dataclass(frozen=True)
class AttributionSettings:
    """How the question is answered, and where the outcome is kept."""

    method: str = "auto"
    budget: int | None = None  # masks; each method has its own where it is left out
    order: int | None = None
    folder: Path = Path("runs/attribute")
    seed: int = 0


@dataclass(frozen=True)
class CountingGame:
    """A game that says how many masks it has valued."""

    game: Game
    progress: Progress
    done: list[int]

    @property
    def players(self) -> tuple[str, ...]:
        """The game's own."""
        return self.game.players

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The game's own, counted."""
        return self._counted(self.game.values(masks))

    def values_again(
        self, masks: Bool[ndarray, "mask player"], time: int
    ) -> Float64[ndarray, " mask"]:
        """Another draw of each, counted."""
        if isinstance(self.game, Redrawn):
            return self._counted(self.game.values_again(masks, time))
        return self.values(masks)

    def _counted(self, found: Float64[ndarray, " mask"]) -> Float64[ndarray, " mask"]:
        self.done[0] += len(found)
        self.progress(self.done[0], None)
        return found


def report_attribution(
    question: AttributionQuestion, options: AttributionSettings, *, wait: bool = False
) -> None:
    """Attribute, print, and write the record and the page.

    Raises BadInput, BadSettings, Mismatch, and Busy for one at a time.
    """
    attributor = build_method("attribute", attributor_settings(options))
    question = settle_for(question, attributor, options.seed)
    named_game = build_named_game(question, options.folder)
    asked = (asdict(question), named_game.value, named_game.reading)
    name = result_key(*asked, question_content_hashes(question))
    values = options.folder / f"values-{name}"
    with sole_writer(options.folder, wait=wait, of=name):
        with progress_bar("attribute", "masks") as progress:
            known = Evaluations(count_masks(named_game.game, progress), values)
            before = len(known)
            found = attributor.attribute(known, np.random.default_rng(options.seed))
            lines = curves_beside_lasso(known, found, np.random.default_rng(options.seed))
        truncation = choose_truncation(found)
        print_attribution(named_game, found, truncation)
        for note in named_game.told:
            out.print(note, highlight=False, markup=False)
        record = options.folder / f"{options.method}-{name}.json"
        settings = asdict(options) | {"folder": str(options.folder)}
        content = attribution_record(question, settings, named_game, found)
        write_bytes(record, json.dumps(content, indent=1).encode())
        page = record.with_suffix(".html")
        write_attribution_page(page, attribution_page(question, named_game, truncation, lines))
    where = f"record in {record}, page in {page.resolve().as_uri()}"
    out.print(
        f"{len(known) - before:,} values were new; {where}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def settle_for(question: AttributionQuestion, attributor: Any, seed: int) -> AttributionQuestion:
    """The question with all that was left open decided as this method needs it."""
    return question.settle(slopes=needs_of(attributor).slopes, seed=seed)


def build_named_game(
    question: AttributionQuestion,
    folder: Path | None = None,
    subject: "Subject | None" = None,
    dictionary: "Dictionary | None" = None,
) -> NamedGame:
    """The game of a settled question. What an endpoint answers is kept in the folder.

    Without a subject the one that the question names is loaded, as are dictionaries that it calls
    by another name than the one handed over has. Raises BadInput,
    BadSettings or Mismatch for what cannot be loaded or does not fit.
    """
    if question.data:
        from gloss.attribute.players.table_file import load_table_game

        return NamedGame(load_table_game(Path(question.data)), "the value in the table")
    if question.base_url:
        asked = endpoint_game(question, folder)
        return NamedGame(asked, asked.label, asked.stretches())
    from gloss.attribute.players.subject_games import build_subject_game

    reader = subject or named_model(question).load()

    def load(source: str) -> "Dictionary":
        if dictionary and source == GIVEN:
            return dictionary
        return NamedDictionary.of(source).load(reader)

    return build_subject_game(question, reader, load)


def named_model(question: AttributionQuestion) -> NamedModel:
    """The model that is to be loaded here.

    Raises BadSettings for a device or a type that there is not.
    """
    return NamedModel.of(question.model, question.device, question.dtype, question.adapter)


def endpoint_game(question: AttributionQuestion, folder: Path | None) -> EndpointGame:
    """The game of a prompt whose answer an endpoint gives, read as exactly as it allows."""
    chat = Chat(question.model, question.base_url)
    print_key_use(chat.base_url, chat.api_key_env)
    known = chat.capabilities(np.random.default_rng(question.seed))
    return EndpointGame(
        EndpointWithLedger(chat, folder and folder / "answers.sqlite", known),
        question.prompt,
        question.answer,
        PromptUnit(question.unit),
        question.kind,
        question.other,
        best_value_source(known, exact=bool(question.value or question.other)),
    )


def attributor_settings(options: AttributionSettings) -> dict[str, Any]:
    """The method's settings, as far as it has them.

    Raises BadInput for a budget or an order where the method has none.
    """
    chosen: dict[str, Any] = {"method": options.method}
    known = installed_methods("attribute")
    for name in ("budget", "order"):
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


def count_masks(game: Game, progress: Progress) -> Game:
    """The game with a count.

    A table, and a game with slopes, stay what they are, because methods look for that.
    """
    return (
        game
        if isinstance(game, TableGame) or hasattr(game, "gradients")
        else CountingGame(game, progress, [0])
    )


def question_content_hashes(question: AttributionQuestion) -> list[object]:
    """What stands behind the names in a question: hashes of local files, so that other weights have
    values of their own.
    """
    dictionaries = [
        name.rpartition("@")[0] for name in (question.feature, question.features) if name
    ]
    model = question.model if question.base_url or question.data else named_model(question).content
    return [
        model,
        *(NamedDictionary.of(source).content for source in dictionaries),
        *(source_hash(file) for file in (question.data, question.other_prompts) if file),
    ]


def print_attribution(named_game: NamedGame, found: Interactions, truncation: Truncation) -> None:
    """The sentence, coloured, then what acts together, then how far to trust it."""
    own = truncation.found
    out.print(Text(named_game.value, "bold"))
    if named_game.text:
        parts = {player: own.coefficients.get((player,), 0.0) for player in range(len(own.players))}
        out.print(shaded_prompt(named_game.text, parts))
    out.print(strongest_sets_table(own, MOST_SETS_PRINTED))
    if truncation.share < NEARLY_ALL:
        small = (
            "Players alone"
            if truncation.order == 1
            else f"Sets of up to {truncation.order} players"
        )
        out.print(
            f"{small}, as above, make up {truncation.share:.0%} of what was found.", highlight=False
        )
    out.print(attribution_paragraph(found, named_game.value), highlight=False, markup=False)


def curves_beside_lasso(
    known: Evaluations, found: Interactions, rng: np.random.Generator
) -> list[RemovalCurve]:
    """Removal and insertion, beside first-order LASSO and chance.

    Not where each value costs money or cannot be asked for.
    """
    known = known.from_the_start()
    game = known.game.game if isinstance(known.game, CountingGame) else known.game
    if isinstance(game, TableGame | EndpointGame):
        return []
    masks = min(found.evaluations, known.available)
    if found.method == "lasso" or masks < FEWEST_BESIDE_LASSO:
        return method_curves(known, [found], rng)
    lasso = Lasso(budget=min(masks, 2000), order=1).attribute(known, rng)
    return method_curves(known, [found, lasso], rng)


def attribution_page(
    question: AttributionQuestion,
    named_game: NamedGame,
    truncation: Truncation,
    lines: list[RemovalCurve],
) -> AttributionPage:
    """What the page shows."""
    found = truncation.found
    facts = ({} if question.data else {"model": question.model}) | {
        "value": named_game.value,
        **({"what is removed": " ".join(named_game.told)} if named_game.told else {}),
        "method": found.method,
        "players": f"{len(found.players):,} {question.players_kind}",
        "evaluations": f"{found.evaluations:,}, {found.failed} failed",
        "shown": (
            f"sets of up to {truncation.order} players, {truncation.share:.0%} of what was found"
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
        coefficients=dict(truncation.found.coefficients),
        said=found.summary_sentence(),
        explained=found.faithfulness.explained,
        curves=drawn,
    )
