"""The page of an attribution: which parts of a text, alone and together, make up a value.

The parts may be of anything else, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gloss.pages.number_format import format_strength
from gloss.pages.removal_curves import HEIGHT, LEFT, RIGHT, TOP, WIDTH, CurveLine, curve_panels
from gloss.pages.set_diagram import set_diagram
from gloss.pages.single_page import page_templates, write_single_page
from gloss.pages.text_arcs import SetValues, TextPicture, text_picture
from gloss.pages.typeset import typeset

WIDE, NARROW = 98, 38  # columns of text on a desk and on a telephone
MOST_PAIRS, MOST_LARGER, MOST_SETS = 10, 8, 12  # arcs, rows of the diagram, rows of the table
FAINT = 0.1  # share of the largest value below which a pair has no arc
VALUE = "value"  # the fact that says what the value is, and so stands at the curves' axis


@dataclass(frozen=True, slots=True)
class AttributionPage:
    """Everything on the page, in plain numbers and words."""

    title: str
    # names and what they are; "value" stands at the axis of the curves as well
    facts: Mapping[str, str]
    # stretches with the player each is; none for players that are no text
    text: tuple[tuple[str, int | None], ...]
    players: tuple[str, ...]  # their names, told apart
    # in the Möbius basis: what sets of players add together
    coefficients: Mapping[tuple[int, ...], float]
    said: str  # how far this explains the value, in a sentence
    explained: bool
    curves: tuple[CurveLine, ...] = ()

    def __post_init__(self) -> None:
        used = {player for one in self.coefficients for player in one} | {
            player for _, player in self.text if player is not None
        }
        if wrong := [player for player in used if not 0 <= player < len(self.players)]:
            raise ValueError(
                f"the page was given player {wrong[0]}, but has names of players 0 to"
                f" {len(self.players) - 1} only"
            )

    def strongest(
        self, count: int, least: int = 1, most: int | None = None
    ) -> list[tuple[int, ...]]:
        """The sets of `least` to `most` players that add or take most."""
        sets = [
            one
            for one, value in self.coefficients.items()
            if value and least <= len(one) <= (most or len(one))
        ]
        return sorted(sets, key=lambda one: (-abs(self.coefficients[one]), len(one), one))[:count]

    @property
    def shown(self) -> set[int]:
        """The players of any set that is drawn or listed."""
        sets = [
            *self.strongest(MOST_SETS),
            *self.strongest(MOST_PAIRS, 2, 2),
            *self.strongest(MOST_LARGER, 3),
        ]
        return {player for one in sets for player in one}


@dataclass(frozen=True, slots=True)
class SetTableRow:
    """One set with its value; the bar's ends in per cent of the track."""

    names: tuple[str, ...]
    value: str
    lowers: bool
    start: float
    length: float


def write_attribution_page(path: Path, page: AttributionPage) -> Path:
    """Write the page as one file that needs no other. Raises Unwritable."""
    values = SetValues(page.coefficients, page.players)
    return write_single_page(
        path,
        "attribution",
        page=page,
        pictures={
            "wide": draw_players(page, values, WIDE),
            "narrow": draw_players(page, values, NARROW),
        },
        left_out=0 if page.text else len(page.players) - len(page.shown),
        larger=set_diagram(page.strongest(MOST_LARGER, 3), values),
        rows=[set_table_row(one, values) for one in page.strongest(MOST_SETS)],
        sets=count_sets(page),
        most=format_strength(values.scale),
        panels=curve_panels(page.curves),
        frame={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP},
        unit=page.facts.get(VALUE, VALUE),
    )


def attribution_cell(page: AttributionPage) -> str:
    """What a notebook shows: the sentence, the picture of the page, and its strongest sets."""
    values = SetValues(page.coefficients, page.players)
    return (
        page_templates()
        .get_template("attribution_cell.html")
        .render(
            page=page,
            drawing=draw_players(page, values, WIDE),
            rows=[set_table_row(one, values) for one in page.strongest(MOST_SETS)],
            sets=count_sets(page),
        )
    )


def count_sets(page: AttributionPage) -> int:
    """How many sets add or take anything."""
    return sum(1 for one, value in page.coefficients.items() if one and value)


def draw_players(page: AttributionPage, values: SetValues, columns: int) -> TextPicture:
    """The text, or a row of the players that matter, in lines of so many columns."""
    shown = page.shown
    text = page.text or [(f" {page.players[player]}", player) for player in sorted(shown)]
    pairs = [
        (one[0], one[1]) for one in page.strongest(MOST_PAIRS, 2, 2) if values.share(one) >= FAINT
    ]
    return text_picture(typeset(text, columns, shown), pairs, values)


def set_table_row(one: tuple[int, ...], values: SetValues) -> SetTableRow:
    """A set's names, its value and its bar from the middle of the track."""
    lowers, half = values.coefficients[one] < 0, 50 * values.share(one)
    names = tuple(values.players[player] for player in one)
    return SetTableRow(
        names, values.written(one), lowers, round(50 - half * lowers, 1), round(half, 1)
    )
