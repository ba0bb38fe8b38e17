"""How many values an attribution asks for: said before, and what they were for afterwards."""

from dataclasses import dataclass
from math import comb
from typing import Any

from gloss.attribute.game import Game, TableGame, costs_money
from gloss.attribute.judged import most_beside
from gloss.attribute.mask_budget import MOST_AGAIN
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.exact import Exact
from gloss.attribute.methods.occlusion import Occlusion
from gloss.attribute.methods.proxied import Proxied
from gloss.attribute.result.removal_curves import values_at_most


@dataclass(frozen=True)
class PlannedValues:
    """At most."""

    attribution: int | None  # None for a method that does not say
    curves: int  # of the page

    @staticmethod
    def of(attributor: Any, game: Game, *, curves: bool = True) -> "PlannedValues":
        """Those of one game; none are asked for of a table."""
        if isinstance(game, TableGame):
            return PlannedValues(0, 0)
        players = len(game.players)
        own = method_values(attributor, players)
        if own is not None and not isinstance(attributor, Auto | Exact | Proxied):
            own = min(own + most_beside(game, own), 2**players + MOST_AGAIN)
        drawn = curves and not costs_money(game)
        return PlannedValues(own, values_at_most(players) if drawn else 0)

    @property
    def total(self) -> int | None:
        """All of them."""
        return None if self.attribution is None else self.attribution + self.curves

    def sentence(self, method: str, rows: int) -> str:
        """What is going to be asked, and how many rows were read already."""
        own = f"{self.attribution:,} values" if self.attribution is not None else "its own values"
        said = f"{method} asks for up to {own}"
        if self.curves:
            said += f", and the curves of the page for {self.curves:,} more"
        return f"{said}{f'; {rows} rows were read already, to check the prompt' if rows else ''}."


def method_values(attributor: Any, players: int) -> int | None:
    """The values that a method asks for at most; None where it does not say."""
    everything = 2**players
    held_out = getattr(attributor, "held_out", 0)
    match attributor:
        case Exact():
            return everything + MOST_AGAIN
        case Auto() | Proxied():
            # where the budget pays for all masks, those that are asked about again come on top
            whole = attributor.budget >= everything
            return everything + MOST_AGAIN if whole else attributor.budget
        case Occlusion():
            sets = sum(comb(players, size) for size in range(attributor.order + 1))
            return min(sets + 1 + held_out, everything)
        case _:
            budget = getattr(attributor, "budget", None)
            return min(budget + held_out, everything) if isinstance(budget, int) else None


def new_values_sentence(attribution: int, again: int, curves: int) -> str:
    """How many values were new, and what they were for."""
    said = f"{attribution + curves:,} values were new"
    if not attribution + curves:
        return said
    twice = f", {again} of them of masks that were asked about again" if again else ""
    parts = [f"{attribution:,} for the attribution{twice}"] if attribution else []
    parts += [f"{curves:,} for the curves of the page"] if curves else []
    return f"{said}: {' and '.join(parts)}"
