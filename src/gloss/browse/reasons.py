"""Why a feature fires where it does: the last tokens shaded by what each adds, arcs over pairs, and every set in words."""

import math
from dataclasses import dataclass

from gloss.browse.arcs import Picture, Values, picture
from gloss.browse.figures import percent, strength, whole
from gloss.browse.heatmap import spelled
from gloss.browse.typeset import typeset
from gloss.store.reasons import READABLE, Reasons

COLUMNS = 72


@dataclass(frozen=True, slots=True)
class ReasonsView:
    """One context's reasons."""

    drawing: Picture
    sentences: tuple[str, ...]
    note: str


def reasons_view(found: Reasons) -> ReasonsView:
    """The record as a picture and in words."""
    last = len(found.players) - 1
    by_player = {tuple(offset + last for offset in one): value for one, value in found.values.items() if one}
    text = [(spelled(said) + " ", player) for player, said in enumerate(found.players)]  # spaces are signs here
    lines = typeset(text, COLUMNS, range(len(text)))
    pairs = [(one[0], one[1]) for one in by_player if len(one) == 2]
    names = tuple(f"“{spelled(said)}”" for said in found.players)
    return ReasonsView(picture(lines, pairs, Values(by_player, names)), sentences(found), note(found))


def sentences(found: Reasons) -> tuple[str, ...]:
    """One for each set, the strongest first; none where the sets account for less than half."""
    if not found.share >= READABLE:
        return ()
    sets = sorted(((one, value) for one, value in found.values.items() if one), key=lambda each: -abs(each[1]))
    return tuple(sentence(found, one, value) for one, value in sets)


def sentence(found: Reasons, one: tuple[int, ...], value: float) -> str:
    """What one set does."""
    said = [f"“{spelled(found.players[offset - 1])}” ({place(offset)})" for offset in one]
    moves = "raises" if value > 0 else "lowers"
    if len(said) == 1:
        return f"{said[0]} {moves} the activation by {strength(abs(value))}."
    together = f"{', '.join(said[:-1])} and {said[-1]}"
    return f"Together, {together} {moves.removesuffix('s')} the activation by {strength(abs(value))}."


def place(offset: int) -> str:
    """Where a token stands, seen from the peak."""
    return "the token itself" if offset == 0 else "the one before" if offset == -1 else f"{-offset} back"


def note(found: Reasons) -> str:
    """What is there without any of the tokens, and how far the sets can be trusted."""
    tokens = f"the last {whole(len(found.players))} tokens"
    if math.isnan(found.share):
        return f"None of {tokens} changes the activation: it is {strength(found.values.get((), 0.0))} whatever stands there."
    masks = f"{percent(max(found.share, 0.0))} of the variation over all {whole(found.n)} ways to keep and exchange {tokens}"
    if found.share < READABLE:
        return f"Not explained: few sets of tokens account for {masks} only."
    return f"With all exchanged it is {strength(found.values.get((), 0.0))}. This accounts for {masks}."
