"""The page of an attribution by levels: what each level cost and explains, what was opened where,
and the sets that act together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gloss.pages.attribution_page import MOST_ROWS, SetOnPage, SetTableRow, set_table_rows
from gloss.pages.single_page import write_single_page


@dataclass(frozen=True, slots=True)
class OpenedPart:
    """A part that moves the value, and those within it that do: numbers in words."""

    unit: str  # what it is, as in "passage"
    says: str
    average: str
    lost: str
    alone: str
    lowers: bool
    shade: float  # per cent
    parts: tuple["OpenedPart", ...] = ()


@dataclass(frozen=True, slots=True)
class LevelOnPage:
    """A level: what it cost, how far it explains the value, and its tables."""

    unit: str
    players: str
    opened: str
    spent: str
    half: str  # R2 on masks that keep half
    near: str  # and on masks near the whole
    explained: bool
    said: str
    stopped: str
    names: tuple[str, ...]  # of the players
    single: tuple[SetOnPage, ...]  # the strongest first
    sets: tuple[SetOnPage, ...]

    @property
    def set_rows(self) -> list[SetTableRow]:
        """The strongest sets, for a table."""
        return set_table_rows(self.sets[:MOST_ROWS], self.names)

    @property
    def player_rows(self) -> list[SetTableRow]:
        """The strongest players, for a table."""
        return set_table_rows(self.single[:MOST_ROWS], self.names)


@dataclass(frozen=True, slots=True)
class PassagesPage:
    """Everything on the page, in plain numbers and words."""

    title: str
    figures: Mapping[str, str]  # what is said large
    told: tuple[str, ...]  # the coarsest level in sentences
    levels: tuple[LevelOnPage, ...]
    opened: tuple[OpenedPart, ...]  # of the coarsest level, with what they hold
    average: str  # the column of averages
    facts: Mapping[str, str]


def write_passages_page(path: Path, page: PassagesPage) -> Path:
    """Write the page as one file that needs no other. Raises Unwritable."""
    return write_single_page(path, "passages", sheets=("attribution",), page=page)
