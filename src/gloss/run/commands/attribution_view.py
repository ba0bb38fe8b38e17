"""An attribution on the terminal: the prompt coloured by what each player adds alone, and a table
of the strongest sets.
"""

import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from gloss.attribute.bases import Basis
from gloss.attribute.result.interaction_terms import interaction_kind
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.wording import distinct_player_names

# Black on amber for what raises, black on blue for what lowers: told apart by colour-blind readers,
# on light and dark terminals.
RAISES = ("black on #fdebcf", "black on #f9cc87", "black on #f29d1f")
LOWERS = ("black on #dbe9f7", "black on #a9cbec", "black on #6fa8dc")
LEAST_SHADED_SHARE = 0.05  # share of the largest value below which a player stays plain


def shaded_prompt(
    text: Sequence[tuple[str, int | None]], players_values: Mapping[int, float]
) -> Text:
    """The prompt, each player shaded by its value, and a legend below.

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
        styled.append("  (alone, beyond what it does with others)", "dim")
    return styled


def shade_style(value: float, largest: float) -> str:
    """One of three depths by size; none for next to nothing."""
    share = abs(value) / largest if largest else 0.0
    return (
        ""
        if share < LEAST_SHADED_SHARE
        else (RAISES if value > 0 else LOWERS)[min(math.ceil(share * 3), 3) - 1]
    )


def strongest_sets_table(found: Interactions, most: int) -> Table:
    """The sets with the largest Möbius coefficients: value and kind."""
    read = found.into(Basis.MOBIUS)
    names = distinct_player_names(read.players)
    sets = read.strongest(most)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("players", "adds", "kind"):
        table.add_column(column, justify="right" if column == "adds" else "left")
    for one, value in sets:
        kind = interaction_kind(one, read.coefficients)
        players = Text(" + ".join(names[player] for player in one))
        table.add_row(players, signed_number(value), kind)
    if (weaker := sum(1 for one in read.coefficients if one) - len(sets)) > 0:
        table.caption = f"and {weaker:,} weaker"
    return table


def signed_number(value: float) -> str:
    """With its sign, to three figures."""
    return f"{value:+.3g}".replace("-", "−")
