"""Attributes to coarse parts first and opens those where the effect is: passages, then the
sentences of the passages that matter, then the words of the sentences that matter.

The players of a level's game are the parts of what was opened above it; parts that matter and were
not opened, for want of masks; and everything else as one player. So a value of any level is a value
of the whole text with some of its words removed. A game of few players needs few masks, whatever
the length of the text.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, all_masks
from gloss.attribute.game import Evaluations, Game
from gloss.attribute.judged import judged_by_unseen
from gloss.attribute.levels.part_tree import GroupedGame, PartTree, TextPart
from gloss.attribute.mask_budget import TRIED_AGAIN
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.exact import Exact
from gloss.attribute.result.faithfulness import FEWEST_VALUES
from gloss.attribute.result.interaction_terms import player_terms, set_terms, told_players
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.result.measured import measure_sets
from gloss.errors import BadSettings, require_at_least

FEWEST_MASKS = 48  # of a level whose masks are not all valued
# masks near the whole by which a level is judged whose method was judged on fewer
JUDGED_NEAR, MOST_NEAR = 16, 32
FEWEST_JUDGED, MOST_JUDGED = 64, 512  # masks of a level between which some are kept back for that
TOP_SHARE = 2  # times as much of the budget for the coarsest level as for each below
MOST_SPREAD = 0.5  # of the players: where more hold the effect, it is spread and nothing is opened
ALWAYS_FEW = 8  # players that may hold the effect, of however few
LEAST_SHARE = 0.01  # of the variation, that a part to be opened makes up
MASKS_A_PLAYER = 2  # of the level below: more parts are not opened


@runtime_checkable
class Attributor(Protocol):
    """Finds what acts together in a game."""

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions: ...


Keep = Callable[[GroupedGame, str], Evaluations]
"""The memory of a level's game, by a name for it that no other game of this tree has."""


@dataclass(frozen=True)
class LevelFound:
    """What was found among the parts of one level."""

    unit: str  # what those are
    parts: tuple[TextPart, ...]  # the players; there may be one more: everything else
    found: Interactions
    budget: int  # values that it might use
    opened: tuple[TextPart, ...] = ()  # whose parts are players of the level below
    stopped: str = ""  # why nothing below is attributed to, in a sentence

    @property
    def spent(self) -> int:
        """Values that it used, failed ones included."""
        return self.found.evaluations + self.found.failed


@dataclass(frozen=True)
class LevelsFound:
    """What was found at each level that was reached, the coarsest first."""

    tree: PartTree
    levels: tuple[LevelFound, ...]

    @property
    def spent(self) -> int:
        """Values of all levels."""
        return sum(level.spent for level in self.levels)

    def told_inside(self, part: TextPart, depth: int) -> list[TextPart]:
        """The parts within one that was opened at a level, as far as they move the value at the
        next.
        """
        if depth + 1 == len(self.levels):
            return []
        below, own = self.levels[depth + 1], self.tree.leaves(part)
        return [one for one in told_parts(below) if own[self.tree.begin(one)]]


@dataclass(frozen=True)
class ByLevels:
    """Attributes to the parts of a tree, within a budget of values for all levels together."""

    budget: int = 1024
    near: float = 0.9  # share of the players that masks near the whole keep
    block: int = 1  # neighbouring parts of the coarsest level that are joined, above it
    method: Callable[[int], Attributor] | None = None  # for a budget; `auto` where there is none

    def __post_init__(self) -> None:
        require_at_least(FEWEST_MASKS, self, "budget")
        require_at_least(1, self, "block")
        self.attributor(self.budget)

    def attributor(self, budget: int) -> Attributor:
        """Who attributes at each level."""
        return self.method(budget) if self.method else Auto(budget=budget, near=self.near)

    def attribute(
        self, game: Game, tree: PartTree, seed: int = 0, keep: Keep | None = None
    ) -> LevelsFound:
        """What acts together at each level. `game` has the tree's leaves as players.

        A level whose parts are those that were opened, as sentences of passages of one sentence, is
        passed over. Raises BadSettings where there are not as many players as leaves, and what the
        method raises.
        """
        if len(game.players) != tree.count:
            raise BadSettings(
                f"the game has {len(game.players):,} players and the tree {tree.count:,} leaves;"
                " give a game of the tree's leaves"
            )
        levels, left = list[LevelFound](), self.budget
        weights = [1] * (self.block > 1) + [TOP_SHARE] + [1] * (len(tree.levels) - 1)
        tree = tree.in_blocks(self.block) if self.block > 1 else tree
        whole, opened, parts = list[TextPart](), list[TextPart](), list(tree.parts[0])
        for number, level in enumerate(tree.levels):
            if number:
                parts = [child for part in opened for child in tree.children(part)]
            if number and len(parts) == len(opened):
                opened = parts
                continue
            players = sorted([*whole, *parts], key=tree.begin)
            grouped = GroupedGame.of_parts(game, tree, players)
            budget = share_of_budget(left, weights[number:])
            if levels and budget < min(FEWEST_MASKS, 2 ** len(grouped.players) + TRIED_AGAIN):
                levels[-1] = replace(levels[-1], opened=(), stopped="The budget is spent.")
                break
            known = (keep or keep_nothing)(grouped, f"{number}-{level.unit}")
            found = self.judged(known, budget, np.random.default_rng([seed, number]))
            left -= found.evaluations + found.failed
            reached = LevelFound(level.unit, tuple(players), found, budget)
            if following := weights[number + 1 :]:
                share = share_of_budget(left, following)
                reached = choose_opened(reached, number, tree, share)
            levels.append(reached)
            opened = list(levels[-1].opened)
            if not opened:
                break
            whole = [part for part in told_parts(levels[-1]) if part not in opened]
        if levels[-1].opened and len(parts) == len(opened):
            levels[-1] = replace(levels[-1], opened=())  # they are no more than one word each
        return LevelsFound(tree, tuple(levels))

    def judged(self, known: Evaluations, budget: int, rng: np.random.Generator) -> Interactions:
        """What the method finds. Where it was judged on few masks near the whole, or none, it is
        judged on others that it learnt nothing from; a game of few masks is valued whole.
        """
        judged = FEWEST_JUDGED <= budget < min(MOST_JUDGED, known.available)
        method = self.attributor(budget - JUDGED_NEAR * judged)
        if known.available < FEWEST_VALUES:
            # or a run that goes on would ask about none twice, for it knows the noise
            known.ask_again(all_masks(len(known.players))[:TRIED_AGAIN])
            method = Exact()
        found = method.attribute(known, rng)
        if found.faithfulness.whole:
            told = [term.players for term in (*player_terms(found), *set_terms(found))]
            found = replace(found, measured=measure_sets(known, told, told))
        elif found.faithfulness.near_n < JUDGED_NEAR <= (left := budget - sum(known.used())):
            most, percent = min(left, MOST_NEAR), round(100 * self.near)
            found = judged_by_unseen(known, found, most, percent, rng)
        used = known.used()
        return replace(found, evaluations=used.numbers, failed=used.failed)


def share_of_budget(left: int, weights: list[int]) -> int:
    """What a level may spend of what is left for it and those below."""
    return max(left * weights[0] // sum(weights), min(left, FEWEST_MASKS))


def keep_nothing(grouped: GroupedGame, _: str) -> Evaluations:
    """A memory that lives as long as it is used."""
    return Evaluations(grouped)


def told_parts(level: LevelFound) -> list[TextPart]:
    """Parts that move the value beyond their intervals, by themselves or in a set."""
    terms = [*told_players(level.found), *set_terms(level.found)]
    told = {player for term in terms for player in term.players}
    return [part for player, part in enumerate(level.parts) if player in told]


def variation_of_players(found: Interactions) -> Float64[ndarray, " player"]:
    """The share of the variation of what was found that each player makes up, over masks that keep
    half; what a set makes up is its players' in equal parts. Nothing where nothing varies.
    """
    shares = np.zeros(len(found.players))
    for one, value in found.into(Basis.FOURIER).coefficients.items():
        if one:
            shares[list(one)] += value**2 / len(one)
    total = shares.sum()
    return shares / total if total else shares


def choose_opened(level: LevelFound, number: int, tree: PartTree, budget: int) -> LevelFound:
    """With the parts that are opened: those that are beyond their intervals and make up at least a
    hundredth of the variation, the strongest first, as far as the budget of the level below goes.

    None where the effect is spread: 1 / Σ share² players hold it, as many as would in equal parts.
    """
    shares, players = variation_of_players(level.found), len(level.found.players)
    told = [part for part in told_parts(level) if part.level == number]
    if not (told and shares.any()):
        why = f"None of the {level.unit} moves it beyond its interval, so none is opened."
        return replace(level, stopped=why)
    holders = 1 / float(shares @ shares)
    if holders > max(MOST_SPREAD * players, ALWAYS_FEW):
        why = f"The effect is spread over some {holders:.0f} of {players} players; none is opened."
        return replace(level, stopped=why)
    share = dict(zip(level.parts, shares.tolist(), strict=False))
    strong = [part for part in told if share[part] >= LEAST_SHARE]
    opened, many = list[TextPart](), len(told)
    for part in sorted(strong, key=lambda each: -share[each]):
        children = len(tree.children(part))
        if not opened or MASKS_A_PLAYER * (many + children) <= budget:
            opened.append(part)
            many += children - 1
    if not opened:
        why = f"None of the {level.unit} makes up 1 % of the variation, so none is opened."
        return replace(level, stopped=why)
    return replace(level, opened=tuple(sorted(opened)))
