"""What acts together in a value, in a form that a notebook shows."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gloss.api.runs import Feature
from gloss.api.tables import RunTable
from gloss.attribute.bases import Basis
from gloss.attribute.game import Evaluations
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.attribute.result.interaction_terms import choose_truncation, interaction_kind
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.wording import (
    attribution_paragraph,
    distinct_player_names,
    join_player_names,
    share_in_percent,
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
    curves_beside_lasso,
    settle_for,
)
from gloss.run.methods import build_dataclass, build_method, installed_methods
from gloss.run.sources import model_of_features

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject

SCHEMA = pa.schema(
    [
        pa.field("players", pa.list_(pa.string())),
        pa.field("size", pa.int64()),
        pa.field("adds", pa.float64()),
        pa.field("kind", pa.string()),
    ]
)


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
        found = attribution_paragraph(self.interactions, self.value)
        return " ".join([found, *self.named_game.told])

    @cached_property
    def table(self) -> RunTable:
        """A row for each set: its players, what they add beyond their parts, and their kind."""
        found = self.interactions.into(Basis.MOBIUS)
        rows = [
            {
                "players": [found.players[player] for player in one],
                "size": len(one),
                "adds": value,
                "kind": interaction_kind(one, found.coefficients),
            }
            for one, value in found.strongest(len(found.coefficients))
        ]
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
        lines = curves_beside_lasso(self.evaluations, self.interactions, rng)
        truncation = choose_truncation(self.interactions)
        page = attribution_page(self.question, self.named_game, truncation, lines)
        return write_attribution_page(Path(path).expanduser(), page)

    @property
    def _page(self) -> AttributionPage:
        truncation = choose_truncation(self.interactions)
        return attribution_page(self.question, self.named_game, truncation, [])

    def __repr__(self) -> str:
        found = self.interactions
        what = f"{self.value} to {len(self.players)} {self.question.players_kind} by {found.method}"
        said = f"{strongest_sets(found)} " if found.faithfulness.explained else ""
        return f"<attribution of {what}. {said}{found.summary_sentence()}>"

    def _repr_html_(self) -> str:
        return attribution_cell(self._page)


def strongest_sets(found: Interactions, most: int = 3) -> str:
    """What the strongest sets add, in a sentence that says of which account these numbers are."""
    truncation = choose_truncation(found)
    part = share_in_percent(truncation.share)
    small = f"sets of up to {truncation.order} players" if truncation.order > 1 else "players alone"
    if not truncation.explains:
        return f"What {small} add is {part} of what was found, too little to tell."
    sets = [
        (one, adds) for one, adds in truncation.found.strongest(len(found.coefficients)) if adds
    ]
    if not sets:
        return "Nothing moves it."
    names = distinct_player_names(found.players)
    said = ([names[player] for player in one] for one, _ in sets[:most])
    listed = "; ".join(
        f"{join_player_names(each) if len(each) > 1 else each[0]} {adds:+.3g}"
        for each, (_, adds) in zip(said, sets, strict=False)
    )
    account = "What each set adds beyond its parts"
    if truncation.share <= 1 - 1e-9:
        beyond = " beyond their parts" if truncation.order > 1 else ""
        account = f"What {small} add{beyond} ({part} of what was found)"
    shown = f", the {most} strongest of {len(sets):,}" if len(sets) > most else ""
    return f"{account}{shown}: {listed}."


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
    subject = None if isinstance(model, str | Path) else model
    features = (str(given.get(name, "")) for name in ("feature", "features"))
    given["model"] = GIVEN if subject else model_of_features(str(model), *features)
    raw = build_dataclass(AttributionQuestion, given, "gloss.attribute")
    question = settle_for(raw, attributor, seed)
    named_game = build_named_game(question, None, subject, dictionary)
    known = Evaluations(named_game.game)
    found = attributor.attribute(known, np.random.default_rng(seed))
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
