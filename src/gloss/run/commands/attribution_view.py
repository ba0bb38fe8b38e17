"""An attribution on the terminal: the prompt coloured by what each player does on average, a table
of players and one of sets.
"""

import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from gloss.attribute.result.interaction_terms import (
    InteractionTerm,
    average_title,
    player_terms,
    set_terms,
)
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.wording import ROUNDING, amount_with_sign, distinct_player_names
from gloss.records import Estimate

# Black on amber for what raises, black on blue for what lowers: told apart by colour-blind readers,
# on light and dark terminals.
RAISES = ("black on #fdebcf", "black on #f9cc87", "black on #f29d1f")
LOWERS = ("black on #dbe9f7", "black on #a9cbec", "black on #6fa8dc")
LEAST_SHADED_SHARE = 0.05  # share of the largest value below which a player stays plain
MOST_ROWS = 12  # of a table in the terminal
NUMBER_COLUMNS = (1, 2, 3)
DASH = "–"  # for what was not measured
ON_AVERAGE = "on average, while half of the others are kept"


def shaded_prompt(
    text: Sequence[tuple[str, int | None]],
    players_values: Mapping[int, float],
    meaning: str = ON_AVERAGE,
) -> Text:
    """The prompt, each player shaded by its value, and a legend below that says what this means.

    `text` holds stretches with the player that each is.
    """
    largest = max((abs(value) for value in players_values.values()), default=0.0)
    styled = Text()
    for said, player in text:
        value = 0.0 if player is None else players_values.get(player, 0.0)
        body = said.strip()
        before, after = (
            said[: len(said) - len(said.lstrip())],
            (said[len(said.rstrip()) :] if body else ""),
        )
        styled.append(before)
        styled.append(body, shade_style(value, largest))
        styled.append(after)
    styled.append("\n")
    if largest:
        styled.append("lowers", LOWERS[2]).append(f" −{largest:.3g} … ").append(
            "raises", RAISES[2]
        ).append(f" +{largest:.3g}")
        styled.append(f"  ({meaning})", "dim")
    return styled


def shade_style(value: float, largest: float) -> str:
    """One of three depths by size; none for next to nothing."""
    share = abs(value) / largest if largest else 0.0
    return (
        ""
        if share < LEAST_SHADED_SHARE
        else (RAISES if value > 0 else LOWERS)[min(math.ceil(share * 3), 3) - 1]
    )


def average_meaning(found: Interactions) -> str:
    """What shades and averages mean, in words."""
    if found.averages:
        return ON_AVERAGE
    return f"{average_title(found)}, while half of the others are kept"


def player_table(found: Interactions, most: int = MOST_ROWS) -> Table:
    """The strongest players: on average with an interval, lost without each, alone."""
    terms = player_terms(found)
    columns = ("player", average_column(found), "lost\nwithout it", "alone")
    return term_table(columns, terms, most, found)


def set_table(found: Interactions, most: int = MOST_ROWS) -> Table | None:
    """The strongest sets of two and more; None where none is beyond its interval."""
    terms = set_terms(found)
    if not terms:
        return None
    together = f"together,\n{average_column(found)}"
    columns = ("players", together, "lost\nwithout all", "these\nalone", "kind")
    return term_table(columns, terms, most, found)


def average_column(found: Interactions) -> str:
    """The title of averages."""
    return f"{average_title(found)} [95 %]"


def term_table(
    columns: Sequence[str], terms: Sequence[InteractionTerm], most: int, found: Interactions
) -> Table:
    """Rows with as many columns as there are titles: a fifth is the kind."""
    names = distinct_player_names(found.players)
    scale = largest_size(terms)
    rows = [
        (
            Text(" + ".join(names[player] for player in term.players)),
            estimate_cell(term.average, scale),
            measured_cell(term.lost, term.lost_interval, scale),
            measured_cell(term.alone, term.alone_interval, scale),
            str(term.kind) if term.kind else "",
        )
        for term in terms[:most]
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        right = "right" if number in NUMBER_COLUMNS else "left"
        table.add_column(column, justify=right, no_wrap=number > 0)
    for row in rows:
        table.add_row(*row[: len(columns)])
    if (weaker := len(terms) - most) > 0:
        table.caption = f"and {weaker:,} weaker"
    return table


def largest_size(terms: Sequence[InteractionTerm]) -> float:
    """Of any number in a table."""
    sizes = (abs(each) for one in terms for each in (one.average.value, one.lost, one.alone))
    return max((size for size in sizes if math.isfinite(size)), default=0.0)


def estimate_cell(estimate: Estimate, scale: float) -> str:
    """A number, with its interval where it has one that is not a point."""
    if not estimate.high - estimate.low > ROUNDING * scale:
        return signed_number(estimate.value, scale)
    return amount_with_sign(estimate)


def measured_cell(value: float, interval: Estimate, scale: float) -> str:
    """What was measured; with half its interval over prompts where there are several, both with as
    many decimals as the largest number of the table needs.
    """
    if not interval.low < interval.high:
        return signed_number(value, scale)
    places = max(0, 2 - math.floor(math.log10(scale)))
    half = (interval.high - interval.low) / 2
    return f"{value:+.{places}f} ±{half:.{places}f}".replace("-", "−")


def signed_number(value: float, scale: float) -> str:
    """With its sign, to three figures; a rounding error beside the scale is 0."""
    if not math.isfinite(value):
        return DASH
    return "0" if abs(value) <= ROUNDING * scale else f"{value:+.3g}".replace("-", "−")
