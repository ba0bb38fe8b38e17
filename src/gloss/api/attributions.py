"""What acts together in a value, in a form that a notebook shows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gloss.api.runs import Feature
from gloss.api.tables import RunTable
from gloss.attribute.game import Evaluations
from gloss.attribute.judged import attribute_game
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.attribute.result.attribution_record import number_or_null
from gloss.attribute.result.interaction_terms import (
    average_title,
    player_terms,
    set_terms,
    sort_terms,
    told_players,
)
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.wording import (
    amount_with_sign,
    attribution_paragraph,
    distinct_player_names,
    join_player_names,
)
from gloss.errors import BadSettings, suggestion
from gloss.installed import load_installed
from gloss.pages.attribution_page import (
    AttributionPage,
    attribution_cell,
    write_attribution_page,
)
from gloss.run.commands.attribute import (
    GIVEN,
    attribution_page,
    build_named_game,
    page_curves,
    settle_for,
)
from gloss.run.commands.attribution_proxy import PROXY_VALUES, open_proxy
from gloss.run.commands.training_runs import training_processes
from gloss.run.methods import build_dataclass, build_method, installed_methods
from gloss.run.sources import model_of_features

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject
    from gloss.run.commands.attribute import PromptReader

SCHEMA = pa.schema(
    [
        pa.field("players", pa.list_(pa.string())),
        pa.field("size", pa.int64()),
        pa.field("average", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("lost", pa.float64()),
        pa.field("alone", pa.float64()),
        pa.field("kind", pa.string()),
    ]
)


def term_rows(found: Interactions) -> list[dict[str, Any]]:
    """A row for each player and each set that is told, the strongest first; what was not measured
    is missing.
    """
    return [
        {
            "players": [found.players[player] for player in term.players],
            "size": len(term.players),
            "average": term.average.value,
            "low": number_or_null(term.average.low),
            "high": number_or_null(term.average.high),
            "lost": number_or_null(term.lost),
            "alone": number_or_null(term.alone),
            "kind": term.kind and str(term.kind),
        }
        for term in sort_terms([*player_terms(found), *set_terms(found)])
    ]


@dataclass(frozen=True)
class Attribution:
    """Which players, alone and together, make up a value.

    `interactions` has every coefficient and other bases and indices; `table` has a row for each
    set, the strongest first.
    """

    question: AttributionQuestion
    interactions: Interactions
    named_game: NamedGame
    evaluations: Evaluations  # every value that was paid for
    seed: int = 0  # of all that is drawn

    @property
    def value(self) -> str:
        """What the value is, with its unit."""
        return self.named_game.value

    @property
    def players(self) -> tuple[str, ...]:
        """Whose part in the value was asked for."""
        return self.interactions.players

    @property
    def text(self) -> str:
        """What was found, in words, and how far it explains the value."""
        found, proxy = attribution_paragraph(self.interactions, self.value), self.interactions.proxy
        return " ".join([found, *([proxy.sentence] if proxy else []), *self.named_game.told])

    @cached_property
    def table(self) -> RunTable:
        """A row for each player, and for each set that is beyond its interval, the strongest first.

        `average` is what they do together beyond what fewer of them do, over masks that keep half
        of the others, from `low` to `high`. `lost`, without them, and `alone` are measured. What
        was not is missing.
        """
        rows = term_rows(self.interactions)
        return RunTable("interactions", pa.Table.from_pylist(rows, schema=SCHEMA))

    def to_pandas(self) -> Any:
        """The table as a data frame of pandas. Raises BadInput where pandas is not installed."""
        return self.table.to_pandas()

    def to_polars(self) -> Any:
        """The table as a data frame of polars. Raises BadInput where polars is not installed."""
        return self.table.to_polars()

    def to_arrow(self) -> pa.Table:
        """The table of pyarrow."""
        return self.table.to_arrow()

    def to_pylist(self) -> list[dict[str, Any]]:
        """The table as one dictionary a row."""
        return self.table.to_pylist()

    def write_page(self, path: str | Path) -> Path:
        """Write the page that `gloss attribute` writes with the same seed, with removal curves.

        Raises Unwritable.
        """
        rng = np.random.default_rng(self.seed)
        lines = page_curves(self.evaluations, self.interactions, rng)
        page = attribution_page(self.question, self.named_game, self.interactions, lines)
        return write_attribution_page(Path(path).expanduser(), page)

    @property
    def _page(self) -> AttributionPage:
        return attribution_page(self.question, self.named_game, self.interactions, [])

    def __repr__(self) -> str:
        found = self.interactions
        what = f"{self.value} to {len(self.players)} {self.question.players_kind} by {found.method}"
        said = f"{strongest_sets(found)} " if found.faithfulness.explained else ""
        return f"<attribution of {what}. {said}{found.summary_sentence()}>"

    def _repr_html_(self) -> str:
        return attribution_cell(self._page)


def strongest_sets(found: Interactions, most: int = 3) -> str:
    """What the strongest players and sets do, in a sentence that says what these numbers are."""
    terms = sort_terms([*told_players(found), *set_terms(found)])
    if not terms:
        return "Nothing moves it beyond its interval."
    names = distinct_player_names(found.players)
    said = ([names[player] for player in term.players] for term in terms[:most])
    listed = "; ".join(
        f"{join_player_names(each) if len(each) > 1 else each[0]} {amount_with_sign(term.average)}"
        for each, term in zip(said, terms, strict=False)
    )
    shown = f", the {most} strongest of {len(terms):,}" if len(terms) > most else ""
    what = f"What players do {average_title(found)}, and sets beyond their parts{shown}"
    return f"{what}: {listed}."


def attribute_prompt(
    asked: dict[str, Any],
    model: "Subject | str | Path",
    dictionary: "Dictionary | None",
    method: str,
    seed: int,
) -> Attribution:
    """Pose and attribute the game that these settings of a question and of a method mean.

    Raises BadSettings for a setting that neither has.
    """
    asked = dict(asked)
    proxy, proxy_budget = asked.pop("proxy", None), asked.pop("proxy_budget", PROXY_VALUES)
    jobs = asked.pop("jobs", 1)
    question, attributor = posed_question(asked, model, dictionary, method, seed)
    subject = None if isinstance(model, str | Path) else model
    if jobs > 1 and subject:
        raise BadSettings(
            "several jobs load the model each; give it by its name, or leave jobs out"
        )
    opened = open_proxy(question, attributor, proxy)

    def beside(named_game: NamedGame) -> Any:
        return opened.beside(attributor, named_game, proxy_budget) if opened else attributor

    return attribute_posed(question, attributor, subject, dictionary, seed, jobs, beside)


def posed_question(
    asked: dict[str, Any],
    model: "Subject | str | Path",
    dictionary: "Dictionary | None",
    method: str,
    seed: int,
) -> tuple[AttributionQuestion, Any]:
    """The settled question that these settings mean, and the method. Raises BadSettings."""
    question_settings = {field.name for field in fields(AttributionQuestion)} - {"model", "seed"}
    own = {name: value for name, value in asked.items() if name not in question_settings}
    refuse_unknown(method, own, question_settings)
    attributor = build_method("attribute", {"method": method, **own})
    given = {name: value for name, value in asked.items() if name in question_settings}
    given |= {
        name: feature_name(given[name], dictionary)
        for name in ("feature", "features")
        if name in given and not isinstance(given[name], str)
    }
    features = (str(given.get(name, "")) for name in ("feature", "features"))
    named = isinstance(model, str | Path)
    given["model"] = model_of_features(str(model), *features) if named else GIVEN
    raw = build_dataclass(AttributionQuestion, given, "gloss.attribute")
    return settle_for(raw, attributor, seed), attributor


def attribute_posed(
    question: AttributionQuestion,
    attributor: Any,
    reader: "PromptReader | None",
    dictionary: "Dictionary | None",
    seed: int,
    jobs: int = 1,
    beside: Callable[[NamedGame], Any] | None = None,
) -> Attribution:
    """What is found; without a reader the one that the question names is opened. `beside` makes
    another method of the game.
    """
    named_game = build_named_game(question, None, reader, dictionary)
    if beside:
        attributor = beside(named_game)
    known = Evaluations(named_game.game)
    with training_processes(named_game.game, jobs):
        found = attribute_game(attributor, known, np.random.default_rng(seed))
    return Attribution(question, found, named_game, known, seed)


def feature_name(given: Any, dictionary: "Dictionary | None") -> str:
    """What a feature, or several of them, are called in a question: numbers, or those of one run.

    Raises BadSettings for numbers without a dictionary, and for what is neither.
    """
    several = isinstance(given, Iterable) and getattr(given, "ndim", 1)
    chosen: list[Any] = list(given) if several else [given]
    of_runs = [one for one in chosen if isinstance(one, Feature)]
    folders = {str(one.run.plan.folder) for one in of_runs}
    if len(folders) > 1 or 0 < len(of_runs) < len(chosen):
        raise BadSettings("the features are not all of one run; give those of one run")
    if of_runs:
        return f"{folders.pop()}@{','.join(str(one.index) for one in of_runs)}"
    try:
        numbers = [index(one) for one in chosen]
    except TypeError as problem:
        raise BadSettings(
            f"{given!r} names no feature; give numbers, features of a run, or a name, as in"
            " embedded@17"
        ) from problem
    if dictionary is None:
        raise BadSettings(
            f"the feature is {given!r}; give dictionary=..., or its name too, as in embedded@17"
        )
    return f"{GIVEN}@{','.join(map(str, numbers))}"


def refuse_unknown(method: str, own: dict[str, Any], others: set[str]) -> None:
    """Raises BadSettings for a setting that neither the method nor a question has."""
    if (point := installed_methods("attribute").get(method)) is None:
        return
    known = {field.name for field in fields(load_installed(point))} | others
    if wrong := next((name for name in own if name not in known), None):
        raise BadSettings(f"gloss.attribute has no setting {wrong!r}{suggestion(wrong, known)}")
