"""Attributes, tells the outcome and keeps it: a record, a page, and every value that was paid for."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray
from rich.text import Text

from gloss.attribute.curves import Curve, curves
from gloss.attribute.evaluations import Evaluations
from gloss.attribute.game import Game, Table
from gloss.attribute.games.asked import Asked
from gloss.attribute.interactions import Interactions
from gloss.attribute.lasso import Lasso
from gloss.attribute.reading import Reading, reading
from gloss.attribute.transforms import Basis
from gloss.attribute.wording import in_words, told_apart
from gloss.browse.attribution import AttributionPage, CurveLine, write_page
from gloss.errors import BadInput
from gloss.run.attributing.games import Posed, posed
from gloss.run.attributing.question import Question, Way
from gloss.run.attributing.shown import sentence, strongest_table
from gloss.run.keys import key, of_source, of_weights
from gloss.run.methods import installed, method
from gloss.run.plan import model_content
from gloss.run.progress import bar, out
from gloss.store.atomic import write_bytes
from gloss.store.lock import sole_writer
from gloss.store.progress import Progress

WHOLE = 0.995  # share of what was found from which on nothing is said of the rest
FEWEST = 64  # masks from which LASSO is drawn beside another method
SHOWN = 12  # strongest sets in the terminal


@dataclass(frozen=True)
class Counted:
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
        found = self.game.values(masks)
        self.done[0] += len(masks)
        self.progress(self.done[0], None)
        return found


def report(question: Question, way: Way, *, wait: bool = False) -> None:
    """Attribute, print, and write the record and the page. Raises BadInput, BadSettings, Mismatch, and Busy for one at a time."""
    attributor = method("attribute", settings(way))
    asked = posed(question, way)
    name = key(asdict(question), content(question))
    values = way.folder / f"values-{name}"
    with sole_writer(way.folder, wait=wait, of=name):
        with bar("attribute", "masks") as progress:
            known = Evaluations(counted(asked.game, progress), values)
            found = attributor.attribute(known, np.random.default_rng(way.seed))
        told = reading(found)
        tell(asked, found, told)
        lines = tested(asked, found, values, way)
        record = way.folder / f"{way.method}-{name}.json"
        write_bytes(record, json.dumps(recorded(question, way, asked, found), indent=1).encode())
        page = record.with_suffix(".html")
        write_page(page, page_of(question, asked, told, lines))
    where = f"record in {record}, page in {page.resolve().as_uri()}"
    out.print(f"{known.paid:,} values were new; {where}", highlight=False, markup=False, soft_wrap=True)


def settings(way: Way) -> dict[str, Any]:
    """The method's settings, as far as it has them. Raises BadInput for a budget or an order where the method has none."""
    chosen: dict[str, Any] = {"method": way.method}
    known = installed("attribute")
    for name in ("budget", "order"):
        if (given := getattr(way, name)) is None:
            continue
        if way.method in known and name not in {field.name for field in fields(known[way.method].load())}:
            raise BadInput(f"{way.method} takes no --{name}; leave it out, or choose another --method")
        chosen[name] = given
    return chosen


def counted(game: Game, progress: Progress) -> Game:
    """The game with a count; a table, and a game with slopes, stay what they are, because methods look for that."""
    return game if isinstance(game, Table) or hasattr(game, "gradients") else Counted(game, progress, [0])


def content(question: Question) -> list[str]:
    """What stands behind the names in a question: hashes of local files, so that other weights have values of their own."""
    dictionaries = [name.rpartition("@")[0] for name in (question.feature, question.players.features)]
    model = question.model if question.base_url or question.players.data else model_content(question.model)
    adapter = question.place.adapter and of_weights(question.place.adapter)
    return [model, adapter, *(source and of_source(source) for source in (*dictionaries, question.players.data))]


def tell(asked: Posed, found: Interactions, told: Reading) -> None:
    """The sentence, coloured, then what acts together, then how far to trust it."""
    own = told.found
    out.print(Text(asked.value, "bold"))
    if asked.text:
        parts = {player: own.coefficients.get((player,), 0.0) for player in range(len(own.players))}
        out.print(sentence(asked.text, parts))
    out.print(strongest_table(own, SHOWN))
    if told.share < WHOLE:
        small = "Players alone" if told.order == 1 else f"Sets of up to {told.order} players"
        out.print(f"{small}, as above, make up {told.share:.0%} of what was found.", highlight=False)
    out.print(in_words(found, asked.value), highlight=False, markup=False)


def tested(asked: Posed, found: Interactions, values: Path, way: Way) -> list[Curve]:
    """Removal and insertion, beside first-order LASSO and chance; not where each value costs money or cannot be asked for."""
    if isinstance(asked.game, Table | Asked):
        return []
    known = Evaluations(asked.game, values)
    rng = np.random.default_rng(way.seed)
    if found.method == "lasso" or found.evaluations < FEWEST:
        return curves(known, [found], rng)
    lasso = Lasso(budget=min(found.evaluations, 2000), order=1).attribute(known, rng)
    return curves(known, [found, lasso], rng)


def recorded(question: Question, way: Way, asked: Posed, found: Interactions) -> Mapping[str, Any]:
    """All that was asked and found, as JSON holds it."""
    own = found.into(Basis.MOBIUS)
    trust = found.faithfulness
    return {
        "question": asdict(question),
        "way": asdict(way) | {"folder": str(way.folder)},
        "value": asked.value,
        "players": list(found.players),
        "coefficients": {"mobius": rows(own), "fourier": rows(found.into(Basis.FOURIER))},
        "method": found.method,
        "evaluations": found.evaluations,
        "failed": found.failed,
        "held_out_r2": {"value": trust.r2.value, "low": trust.r2.low, "high": trust.r2.high, "n": trust.n},
        "explained": trust.explained,
        "said": found.plainly(),
    }


def rows(found: Interactions) -> list[dict[str, Any]]:
    """Every set with its coefficient, the strongest first."""
    return [{"players": list(each), "value": value} for each, value in found.strongest(len(found.coefficients), least_order=0)]


def page_of(question: Question, asked: Posed, told: Reading, lines: list[Curve]) -> AttributionPage:
    """What the page shows."""
    found = told.found
    facts = {
        "model": question.model,
        "value": asked.value,
        "method": found.method,
        "players": f"{len(found.players):,} {question.players.components or question.players.unit}",
        "evaluations": f"{found.evaluations:,}, {found.failed} failed",
        "shown": f"sets of up to {told.order} players, {told.share:.0%} of what was found",
    }
    drawn = tuple(
        CurveLine(each.name, each.counts, tuple(each.removal.tolist()), tuple(each.insertion.tolist())) for each in lines
    )
    return AttributionPage(
        title=asked.value,
        facts=facts,
        text=asked.text,
        players=told_apart(found.players),
        coefficients=dict(told.found.coefficients),
        said=found.plainly(),
        explained=found.faithfulness.explained,
        curves=drawn,
    )
