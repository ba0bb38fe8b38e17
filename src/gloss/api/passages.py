"""Which of many passages act together in a value, in a form that a notebook shows."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gloss.api.attributions import SCHEMA, feature_name, term_rows
from gloss.api.tables import RunTable
from gloss.attribute.levels.by_levels import LevelFound, LevelsFound
from gloss.attribute.players.passage_text import ContextPassage, passage_of, read_passages
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.errors import BadInput, BadSettings, suggestion
from gloss.pages.passages_page import write_passages_page
from gloss.run.commands.attribute import GIVEN, AttributionSettings
from gloss.run.commands.attribute_passages import PassagesQuestion, levels_attributor
from gloss.run.commands.levels_view import levels_sentences, passages_page
from gloss.run.sources import model_of_features

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject

Passages = str | Path | Iterable[Any]
"""A file of passages, or texts, or mappings with `text` and perhaps `title` and `id`."""

METHOD_SETTINGS = ("budget", "order", "near")
LEVELS_SCHEMA = pa.schema([pa.field("level", pa.string()), *SCHEMA])


@dataclass(frozen=True)
class PassagesAttribution:
    """Which passages, and which of their sentences and words, make up a value.

    `found` has every level with all its coefficients; `table` a row for each player and set of each
    level.
    """

    question: PassagesQuestion
    found: LevelsFound
    named_game: NamedGame

    @property
    def value(self) -> str:
        """What the value is, with its unit."""
        return self.named_game.value

    @property
    def levels(self) -> tuple[LevelFound, ...]:
        """The levels that were reached, the coarsest first."""
        return self.found.levels

    @property
    def text(self) -> str:
        """What was found, in words, and how far each level explains the value."""
        return " ".join([*levels_sentences(self.value, self.found), *self.named_game.told])

    @cached_property
    def table(self) -> RunTable:
        """A row for each player of each level, and for each set that is beyond its interval."""
        rows = [
            {"level": level.unit} | row for level in self.levels for row in term_rows(level.found)
        ]
        return RunTable("levels", pa.Table.from_pylist(rows, schema=LEVELS_SCHEMA))

    def write_page(self, path: str | Path) -> Path:
        """Write the page that `gloss attribute` writes with the same seed. Raises Unwritable."""
        page = passages_page(self.question.about.model, self.named_game, self.found)
        return write_passages_page(Path(path).expanduser(), page)

    def __repr__(self) -> str:
        return f"<attribution of {self.value} by levels. {self.text}>"


def attribute_passages(
    passages: Passages,
    asked: dict[str, Any],
    model: "Subject | str | Path",
    dictionary: "Dictionary | None",
    method: str,
    seed: int,
) -> PassagesAttribution:
    """Attribute to passages, then to their parts.

    Raises BadSettings for a setting that there is not, and what `gloss attribute` raises.
    """
    known = {field.name for field in fields(AttributionQuestion)} - {"model", "seed"}
    own = {"question", "template", "block", *METHOD_SETTINGS}
    if wrong := next((name for name in asked if name not in known | own | {"prompts"}), None):
        said = suggestion(wrong, dict.fromkeys([*known, *own]))
        raise BadSettings(f"gloss.attribute has no setting {wrong!r} beside passages{said}")
    given = {name: value for name, value in asked.items() if name in known | {"prompts"}}
    if "feature" in given and not isinstance(given["feature"], str):
        given["feature"] = feature_name(given["feature"], dictionary)
    subject = None if isinstance(model, str | Path) else model
    given["model"] = GIVEN if subject else model_of_features(str(model), given.get("feature", ""))
    options = AttributionSettings(
        method, asked.get("budget"), asked.get("order"), asked.get("near"), seed=seed
    )
    by_levels = levels_attributor(options, asked.get("block", 1))
    texts = as_passages(passages)
    question = PassagesQuestion.of(
        texts, asked.get("question", ""), asked.get("template", ""), given
    ).settle(seed)
    named_game, tree = question.build(None, subject, dictionary)
    found = by_levels.attribute(named_game.game, tree, seed)
    return PassagesAttribution(question, found, named_game)


def as_passages(given: Passages) -> list[ContextPassage]:
    """From a file, texts or mappings. Raises BadInput for what is no passage."""
    if isinstance(given, str | Path):
        return read_passages(Path(given))
    try:
        return [passage_of({"text": one} if isinstance(one, str) else dict(one)) for one in given]
    except (TypeError, ValueError) as problem:
        raise BadInput(
            f"a passage is no text ({problem}); give texts, or mappings with a text"
        ) from problem
