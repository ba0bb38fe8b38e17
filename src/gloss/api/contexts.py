"""Contexts of a feature as people read them: where it fires, and where its words are wrong."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import overload

import numpy as np

from gloss.pages import notebook_view
from gloss.pages.heatmap import ContextRow, Palette, paint_context
from gloss.pages.page_records import MistakenContexts
from gloss.records import PADDING, Contexts
from gloss.store.context_text import context_pieces
from gloss.store.vocabulary import Vocabulary


@dataclass(frozen=True)
class ContextList:
    """Contexts as people read them: text, tokens, and the activation at each token.

    `contexts[0]` is the text of the first, and a notebook shows them as a heat map.

        >>> top = feature.contexts.top(3)
        >>> [type(text).__name__ for text in top]
        ['str', 'str', 'str']
    """

    contexts: tuple[Contexts, Contexts]  # of the train split, and held out
    palette: Palette
    most: int | None = None

    def top(self, number: int) -> "ContextList":
        """The strongest of them, so many at most.

        >>> len(feature.contexts.top(2))
        2
        """
        return replace(self, most=number)

    @property
    def train(self) -> "ContextList":
        """Those that explainers may see."""
        return replace(self, contexts=(self.contexts[0], self.contexts[1][:0]))

    @property
    def held_out(self) -> "ContextList":
        """Those that no explainer saw, by which scores are measured."""
        return replace(self, contexts=(self.contexts[0][:0], self.contexts[1]))

    @property
    def ordered(self) -> list[tuple[Contexts, int]]:
        """Each context's record and row, strongest first."""
        rows = [(each, row) for each in self.contexts for row in range(len(each))]
        rows.sort(key=lambda one: -float(one[0].maxima[one[1]]))
        return rows[: self.most]

    @property
    def vocabulary(self) -> Vocabulary:
        """What each token says."""
        return self.palette.vocabulary

    @property
    def tokens(self) -> list[list[str]]:
        """The tokens of each, as text."""
        return [
            np.array(context_pieces(each, row, self.vocabulary))[_inside(each, row)].tolist()
            for each, row in self.ordered
        ]

    @property
    def activations(self) -> list[np.ndarray]:
        """The activation at each token: an array of shape (token,) for each context.

        >>> peaks = [each.max() for each in feature.contexts.activations]
        >>> peaks == sorted(peaks, reverse=True)
        True
        """
        return [each.activations[row][_inside(each, row)] for each, row in self.ordered]

    @property
    def peaks(self) -> list[tuple[str, float]]:
        """The token of each at which the feature is strongest, and its activation there."""
        return [
            (tokens[values.argmax()], float(values.max()))
            for tokens, values in zip(self.tokens, self.activations, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.ordered)

    def __iter__(self) -> Iterator[str]:
        """The text of each."""
        return ("".join(tokens) for tokens in self.tokens)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        return list(self)[number]

    def __repr__(self) -> str:
        shown = self.top(min(20, len(self)))
        lines = [
            f"{peaks.max():.3g}  {text!r}"
            for peaks, text in zip(shown.activations, shown, strict=True)
        ]
        left = len(self) - len(shown)
        return "\n".join([*lines, *([f"and {left:,} more"] if left else [])])

    def _repr_html_(self) -> str:
        return notebook_view.contexts_html([self._row(*one) for one in self.ordered[:20]])

    def _row(self, contexts: Contexts, row: int) -> ContextRow:
        return paint_context(contexts, row, self.palette, held_out=contexts is self.contexts[1])


def _inside(contexts: Contexts, row: int) -> np.ndarray:
    return contexts.tokens[row] != PADDING


@dataclass(frozen=True)
class MistakeList:
    """Held-out contexts that rules get wrong: false positives, then false negatives."""

    found: tuple[MistakenContexts, ...]
    palette: Palette

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[MistakenContexts]:
        return iter(self.found)

    def __repr__(self) -> str:
        counts = ", ".join(f"{one.total or len(one.contexts):,} {one.kind}" for one in self.found)
        return f"<mistakes on held-out text: {counts or 'none'}>"

    def _repr_html_(self) -> str:
        return notebook_view.mistakes_html(self.found, self.palette)
