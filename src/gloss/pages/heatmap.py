"""Contexts as rows of tokens, each coloured by how strongly the feature fires there.

A row is cut in two at its peak, so that a style sheet alone can set rows under each other with
their peaks aligned, as a concordance does.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from html import escape

import numpy as np
from jaxtyping import Float, Int
from markupsafe import Markup
from numpy import ndarray

from gloss.pages.number_format import format_strength
from gloss.records import PADDING, Contexts
from gloss.store.context_text import context_pieces
from gloss.store.vocabulary import Vocabulary

LEVELS = 9  # shades of the heat map
# categories that show nothing, or change how their neighbours show
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Palette:
    """What all rows of one page share."""

    vocabulary: Vocabulary
    strongest: float  # the activation that gets the deepest shade
    document_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContextRow:
    """One context, ready to be printed."""

    before: Markup
    after: Markup  # from the peak on
    strength: str
    origin: str
    held_out: bool
    copies: int = 1  # contexts with the same tokens that this row stands for


def paint_context(
    contexts: Contexts,
    row: int,
    palette: Palette,
    held_out: bool,
    predicted: ndarray | None = None,
    cut_at: int | None = None,
) -> ContextRow:
    """The row's tokens as marked-up text. `predicted` (position) underlines where a rule fires.

    Cut at its peak, or at this position of the context.
    """
    inside = contexts.tokens[row] != PADDING
    ids = contexts.tokens[row][inside].tolist()
    activations = contexts.activations[row][inside]
    predicted = np.zeros(len(ids), np.float32) if predicted is None else predicted[inside]
    texts = [
        text
        for text, real in zip(
            context_pieces(contexts, row, palette.vocabulary), inside, strict=True
        )
        if real
    ]
    shades = heat_levels(activations, palette.strongest).tolist()
    tokens = [
        _token_html(
            text or (palette.vocabulary.strings[token] if shade or rule > 0 else ""),
            shade,
            value,
            rule,
        )
        for text, token, shade, value, rule in zip(
            texts, ids, shades, activations.tolist(), predicted.tolist(), strict=True
        )
    ]
    for place in np.flatnonzero(~contexts.counted[row][inside]).tolist():
        tokens[place] = _left_out_token_html(texts[place])
    peak = _peak_position(activations, predicted)
    cut = peak if cut_at is None else int(inside[:cut_at].sum())
    largest = float(activations[np.argmax(np.abs(activations))]) if len(ids) else 0.0
    return ContextRow(
        before=Markup("".join(tokens[:cut])),
        after=Markup("".join(tokens[cut:])),
        strength=format_strength(largest),
        origin=_context_origin(contexts, row, palette.document_names),
        held_out=held_out,
    )


def heat_levels(
    activations: Float[ndarray, " position"], strongest: float
) -> Int[ndarray, " position"]:
    """Shades from 1 to LEVELS by share of the strongest; 0 where inactive.

    Negative where the activation is.
    """
    if not strongest > 0:
        strongest = float(np.abs(activations).max(initial=0.0)) or 1.0
    shades = np.ceil(np.abs(activations).astype(np.float64) / strongest * LEVELS).clip(0, LEVELS)
    return (np.sign(activations) * shades).astype(np.int64)


@lru_cache(maxsize=65536)
def visible_text(text: str) -> str:
    """The text on one line, with two spaces at most in a row.

    ↵ stands for a line break, ⇥ for a tab, an escape for what cannot be seen.
    """
    parts: list[str] = []
    spaces = 0
    for character in text:
        spaces = spaces + 1 if character == " " else 0
        if spaces <= 2:
            parts.append(_visible_character(character))
    return "".join(parts)


@lru_cache(maxsize=65536)
def spell_characters(text: str) -> str:
    """The text with every character written out: for tooltips and for lists of tokens.

    Spaces are ␣, many of them their number.
    """
    counted = re.sub(" {5,}", lambda run: f"[{len(run[0])}␣]", text)
    return "".join(
        "␣" if character == " " else _visible_character(character) for character in counted
    )


def _visible_character(character: str) -> str:
    named = {"\n": "↵", "\t": "⇥", "\r": "␍"}
    if character in named:
        return named[character]
    if unicodedata.category(character) in HIDDEN or (character.isspace() and character != " "):
        return character.encode("unicode_escape").decode("ascii")
    return character


def _token_html(text: str, shade: int, value: float, predicted: float) -> str:
    """One token as escaped HTML. Plain strings, as a page holds two thousand of them."""
    if shade == 0 and predicted <= 0:
        return _inactive_token_html(text)
    tooltip = f"{escape(spell_characters(text))}  {format_strength(value) if shade else 'inactive'}"
    classes = [f"h{abs(shade)}"] if shade else []
    if shade < 0:
        classes.append("cold")
    if predicted > 0:
        classes.append("rule")
        tooltip += f", rule predicted {format_strength(predicted)}"
    tag = "b" if shade else "i"
    return (
        f'<{tag} class="{" ".join(classes)}" title="{tooltip}">{escape(visible_text(text))}</{tag}>'
    )


@lru_cache(maxsize=65536)
def _inactive_token_html(text: str) -> str:
    """Without a title, unless more than a sign stands for a character of the text."""
    if not text:  # part of a character that a later token completes
        return ""
    shown = visible_text(text)
    if len(shown) >= len(text):
        return f"<i>{escape(shown)}</i>"
    return f'<i title="{escape(spell_characters(text))}">{escape(shown)}</i>'


def _left_out_token_html(text: str) -> str:
    """A token of which nobody knows whether the feature fires there."""
    return (
        f'<i class="out" title="{escape(spell_characters(text))}  left'
        f' out">{escape(visible_text(text))}</i>'
        if text
        else ""
    )


def _peak_position(activations: ndarray, predicted: ndarray) -> int:
    """Where the feature is strongest.

    Where it is inactive throughout, where the rule is; else the middle.
    """
    for values in (np.abs(activations), predicted):
        if len(values) and values.max() > 0:
            return int(values.argmax())
    return len(activations) // 2


def _context_origin(contexts: Contexts, row: int, names: tuple[str, ...]) -> str:
    document = int(contexts.documents[row])
    name = names[document] if 0 <= document < len(names) else f"document {document}"
    return f"{name}, token {int(contexts.starts[row]):,}"
