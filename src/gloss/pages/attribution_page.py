"""The page of an attribution: what the parts of a text do, by themselves and together.

The parts may be of anything else, too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gloss.pages.head_grid import HeadGrid, head_grid
from gloss.pages.number_format import format_signed, format_strength
from gloss.pages.removal_curves import HEIGHT, LEFT, RIGHT, TOP, WIDTH, CurveLine, curve_panels
from gloss.pages.set_diagram import set_diagram
from gloss.pages.single_page import page_templates, write_single_page
from gloss.pages.text_arcs import SetValues, TextPicture, text_picture
from gloss.pages.typeset import typeset
from gloss.records import Estimate

WIDE, NARROW = 98, 38  # columns of text on a desk and on a telephone
MOST_PAIRS, MOST_LARGER, MOST_ROWS = 10, 8, 12  # arcs, rows of the diagram, rows of a table
FAINT = 0.1  # share of the largest value below which a pair has no arc
POINT = 1e-6  # share of the largest value below which an interval is arithmetic
VALUE = "value"  # the fact that says what the value is, and so stands at the curves' axis
DASH = "–"  # for what was not measured


@dataclass(frozen=True, slots=True)
class SetOnPage:
    """A player or a set; what was not measured is not a number."""

    players: tuple[int, ...]
    average: Estimate  # what they do together, beyond what fewer of them do
    lost: float = math.nan  # without them
    alone: float = math.nan
    kind: str = ""
    # the last two over prompts
    lost_interval: Estimate = field(default_factory=Estimate.missing)
    alone_interval: Estimate = field(default_factory=Estimate.missing)


@dataclass(frozen=True, slots=True)
class AttributionPage:
    """Everything on the page, in plain numbers and words."""

    title: str
    # names and what they are; "value" stands at the axis of the curves as well
    facts: Mapping[str, str]
    # stretches with the player each is; none for players that are no text
    text: tuple[tuple[str, int | None], ...]
    players: tuple[str, ...]  # their names, told apart
    single: tuple[SetOnPage, ...]  # every player, the strongest first
    sets: tuple[SetOnPage, ...]  # of two and more that are beyond their intervals, the same
    told: tuple[str, ...]  # the attribution in sentences
    said: str  # how far this explains the value, in a sentence
    explained: bool
    figures: Mapping[str, str] = field(default_factory=dict)  # what is said large: names, numbers
    average: str = "on average [95 %]"  # the column of averages
    meaning: str = "on average"  # what a shade is
    curves: tuple[CurveLine, ...] = ()

    def __post_init__(self) -> None:
        used = {player for one in (*self.single, *self.sets) for player in one.players} | {
            player for _, player in self.text if player is not None
        }
        if wrong := [player for player in used if not 0 <= player < len(self.players)]:
            raise ValueError(
                f"the page was given player {wrong[0]}, but has names of players 0 to"
                f" {len(self.players) - 1} only"
            )

    @property
    def values(self) -> SetValues:
        """The averages of players and pairs, which are drawn on one scale: what larger sets do
        beyond fewer grows with their size.
        """
        small = [one for one in (*self.single, *self.sets) if len(one.players) <= 2]
        averages = {one.players: one.average.value for one in small}
        return SetValues(averages, self.players, self.meaning)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Those that have an arc."""
        values = self.values
        pairs = [one.players for one in self.sets if len(one.players) == 2][:MOST_PAIRS]
        return [(one[0], one[1]) for one in pairs if values.share(one) >= FAINT]

    @property
    def larger(self) -> dict[tuple[int, ...], float]:
        """Sets that have a row of the diagram, with their averages."""
        larger = [one for one in self.sets if len(one.players) > 2][:MOST_LARGER]
        return {one.players: one.average.value for one in larger}

    @property
    def shown(self) -> set[int]:
        """The strongest players, and those of any set that is drawn or listed."""
        sets = [
            *(one.players for one in self.single[:MOST_ROWS] if one.average.value),
            *(one.players for one in self.sets[:MOST_ROWS]),
            *self.pairs,
            *self.larger,
        ]
        return {player for one in sets for player in one}

    @property
    def grid(self) -> HeadGrid | None:
        """Layers by heads, where all players are heads."""
        return head_grid(self.players, self.values)


@dataclass(frozen=True, slots=True)
class SetTableRow:
    """One player or set in words; the ends of its bar in per cent of the track."""

    names: tuple[str, ...]
    average: str
    lost: str
    alone: str
    kind: str
    lowers: bool
    start: float
    length: float


def write_attribution_page(path: Path, page: AttributionPage) -> Path:
    """Write the page as one file that needs no other. Raises Unwritable."""
    values, drawn = page.values, bool(page.text or page.pairs or not page.grid)
    pictures = {"wide": draw_players(page, WIDE), "narrow": draw_players(page, NARROW)}
    return write_single_page(
        path,
        "attribution",
        page=page,
        pictures=pictures if drawn else {},
        left_out=0 if page.text or page.grid else len(page.players) - len(page.shown),
        larger=set_diagram(list(page.larger), SetValues(page.larger, page.players)),
        single=set_table_rows(page.single, page.players),
        sets=set_table_rows(page.sets[:MOST_ROWS], page.players),
        rows=MOST_ROWS,
        most=format_strength(values.scale),
        panels=curve_panels(page.curves),
        frame={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP},
        unit=page.facts.get(VALUE, VALUE),
    )


def attribution_cell(page: AttributionPage) -> str:
    """What a notebook shows: the sentences, the picture of the page, its strongest players and
    sets.
    """
    return (
        page_templates()
        .get_template("attribution_cell.html")
        .render(
            page=page,
            drawing=draw_players(page, WIDE),
            single=set_table_rows(page.single[:MOST_ROWS], page.players),
            sets=set_table_rows(page.sets[:MOST_ROWS], page.players),
        )
    )


def draw_players(page: AttributionPage, columns: int) -> TextPicture:
    """The text, or a row of the players that matter, in lines of so many columns."""
    shown = page.shown
    text = page.text or [(f" {page.players[player]}", player) for player in sorted(shown)]
    return text_picture(typeset(text, columns, shown), page.pairs, page.values)


def set_table_rows(terms: Sequence[SetOnPage], players: Sequence[str]) -> list[SetTableRow]:
    """Rows of a table, in the order given; all numbers have as many decimals."""
    averages = [abs(one.average.value) for one in terms]
    measured = [abs(each) for one in terms for each in (one.lost, one.alone) if math.isfinite(each)]
    largest = max(averages, default=0.0) or 1.0
    scale = max([*averages, *measured], default=1.0)
    return [set_table_row(one, players, largest, scale) for one in terms]


def set_table_row(
    one: SetOnPage, players: Sequence[str], largest: float, scale: float
) -> SetTableRow:
    """Names, numbers, and a bar from the middle of the track, full for the largest average."""
    lowers, half = one.average.value < 0, 50 * abs(one.average.value) / largest
    return SetTableRow(
        names=tuple(players[player] for player in one.players),
        average=signed_interval(one.average, scale),
        lost=measured_number(one.lost, one.lost_interval, scale),
        alone=measured_number(one.alone, one.alone_interval, scale),
        kind=one.kind,
        lowers=lowers,
        start=round(50 - half * lowers, 1),
        length=round(half, 1),
    )


def signed_interval(average: Estimate, scale: float) -> str:
    """A number, with its interval where it has one that is not a point."""
    value = signed_or_dash(average.value, scale)
    if not average.high - average.low > POINT * scale:
        return value
    return f"{value} [{format_signed(average.low, scale)}, {format_signed(average.high, scale)}]"


def measured_number(value: float, interval: Estimate, scale: float) -> str:
    """What was measured, with its interval over prompts where there is one."""
    has = interval.low < interval.high
    return signed_interval(interval, scale) if has else signed_or_dash(value, scale)


def signed_or_dash(value: float, scale: float) -> str:
    """A number with its sign; a dash for none, and 0 for a rounding error."""
    if not math.isfinite(value):
        return DASH
    return "0" if abs(value) <= POINT * scale else format_signed(value, scale)
