"""Why a feature fires where it does, as a picture and in words.

The last tokens are shaded by what each adds, arcs lie over pairs, and every set is a sentence.
"""

import math
from dataclasses import dataclass

from gloss.pages.heatmap import spell_characters
from gloss.pages.number_format import format_percent, format_strength, format_whole
from gloss.pages.text_arcs import SetValues, TextPicture, text_picture
from gloss.pages.typeset import typeset
from gloss.store.token_attributions import LEAST_SHARE, TokenAttribution

COLUMNS = 72


@dataclass(frozen=True, slots=True)
class TokenAttributionView:
    """The token attribution of one context."""

    drawing: TextPicture
    sentences: tuple[str, ...]
    note: str


def token_attribution_view(found: TokenAttribution) -> TokenAttributionView:
    """The record as a picture and in words."""
    last = len(found.players) - 1
    by_player = {
        tuple(offset + last for offset in one): value for one, value in found.values.items() if one
    }
    # spaces are signs here
    text = [(spell_characters(said) + " ", player) for player, said in enumerate(found.players)]
    lines = typeset(text, COLUMNS, range(len(text)))
    pairs = [(one[0], one[1]) for one in by_player if len(one) == 2]
    names = tuple(f"“{spell_characters(said)}”" for said in found.players)
    return TokenAttributionView(
        text_picture(lines, pairs, SetValues(by_player, names)),
        token_set_sentences(found),
        trust_note(found),
    )


def token_set_sentences(found: TokenAttribution) -> tuple[str, ...]:
    """One for each set, the strongest first; none where the sets account for less than half."""
    if not found.share >= LEAST_SHARE:
        return ()
    sets = sorted(
        ((one, value) for one, value in found.values.items() if one), key=lambda each: -abs(each[1])
    )
    return tuple(token_set_sentence(found, one, value) for one, value in sets)


def token_set_sentence(found: TokenAttribution, one: tuple[int, ...], value: float) -> str:
    """What one set does."""
    said = [
        f"“{spell_characters(found.players[offset - 1])}” ({offset_phrase(offset)})"
        for offset in one
    ]
    moves = "raises" if value > 0 else "lowers"
    if len(said) == 1:
        return f"{said[0]} {moves} the activation by {format_strength(abs(value))}."
    together = f"{', '.join(said[:-1])} and {said[-1]}"
    return (
        f"Together, {together} {moves.removesuffix('s')} the activation by"
        f" {format_strength(abs(value))}."
    )


def offset_phrase(offset: int) -> str:
    """Where a token stands, seen from the peak."""
    return (
        "the token itself"
        if offset == 0
        else "the one before"
        if offset == -1
        else f"{-offset} back"
    )


def trust_note(found: TokenAttribution) -> str:
    """What is there without any of the tokens, and how far the sets can be trusted."""
    tokens = f"the last {format_whole(len(found.players))} tokens"
    if math.isnan(found.share):
        return (
            f"None of {tokens} changes the activation: it is"
            f" {format_strength(found.values.get((), 0.0))} whatever stands there."
        )
    masks = (
        f"{format_percent(max(found.share, 0.0))} of the variation over all {format_whole(found.n)}"
        f" ways to keep and exchange {tokens}"
    )
    if found.share < LEAST_SHARE:
        return f"Not explained: few sets of tokens account for {masks} only."
    return (
        f"With all exchanged it is {format_strength(found.values.get((), 0.0))}. This accounts for"
        f" {masks}."
    )
