"""Windows of the corpus with one feature's activations, and the split that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int32, Int64
    from numpy import ndarray

PADDING = -1  # the token of a position that lies outside the document


class Split(StrEnum):
    """The part of the corpus that a document and its near copies belong to.

    A hash of the document's text decides it before anything is sampled.
    """

    TRAIN = "train"
    HELD_OUT = "held_out"


class Negative(IntEnum):
    """How an inactive context was found; `Contexts.quantiles` holds it where a firing one has its
    quantile.

    Only random ones are as frequent as in text.
    """

    RANDOM = -1
    SAME_TOKEN = -2  # it holds a token at which the feature often fires
    NEIGHBOURS = -3  # a feature fires in it whose direction lies near
    SIBLINGS = -4  # such a feature fires in it, at a token at which this one fires elsewhere
    SIMILAR = -5  # it says much the same as a context in which the feature fires


@dataclass(frozen=True, slots=True)
class Contexts:
    """Windows of the corpus with one feature's true activation at every position.

    A window never leaves its document: positions past the document's edge hold the token PADDING
    and activation 0. At a token that is left out nobody knows whether the feature fires: it holds
    0, and counts neither as firing nor as inactive.

        >>> shown = feature.examples.train
        >>> shown.tokens.shape == (len(shown), 32)
        True
        >>> len(shown[:5])
        5
    """

    # global index of the first position; before the document's first token if padded in front
    starts: Int64[ndarray, " context"]
    documents: Int64[ndarray, " context"]  # number of the document in the corpus
    quantiles: Int64[ndarray, " context"]  # 0 holds the strongest; a Negative where inactive
    tokens: Int32[ndarray, "context position"]
    activations: Float32[ndarray, "context position"]
    # where the first position stands in its sequence, from 0; negative if padded in front
    sequence_positions: Int64[ndarray, " context"] | None = None
    # (context, 2): bytes outside that complete the first and the last character, where they are cut
    edges: ndarray | None = None
    # first document of the document's group of near copies; None: itself
    groups: Int64[ndarray, " context"] | None = None
    # tokens where nothing is stored; None: none is
    left_out: Bool[ndarray, "context position"] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: ndarray | slice) -> Contexts:
        """The contexts in these rows, in that order."""
        columns: list[Any] = [getattr(self, name) for name in self.__slots__]
        chosen: list[Any] = [None if each is None else each[rows] for each in columns]
        return Contexts(*chosen)

    @property
    def counted(self) -> Bool[ndarray, "context position"]:
        """At which positions the feature is known to fire or to be inactive: padding and tokens
        that are left out do not count.
        """
        there = self.tokens != PADDING
        return there if self.left_out is None else there & ~self.left_out

    @property
    def units(self) -> Int64[ndarray, " context"]:
        """The unit that each context is split by: the first document of its near copies."""
        return self.documents if self.groups is None else self.groups

    @property
    def maxima(self) -> Float32[ndarray, " context"]:
        """The strongest activation of each context."""
        return self.activations.max(axis=1, initial=0.0)

    def spaced(self, number: int) -> Contexts:
        """At most `number` of them, evenly spaced, in their order.

        >>> len(feature.examples.train.spaced(3))
        3
        """
        import numpy as np

        return self[
            np.unique(np.linspace(0, len(self) - 1, min(number, len(self))).astype(np.int64))
        ]

    @staticmethod
    def empty(width: int) -> Contexts:
        """A record of no contexts, for `width` positions each.

        >>> Contexts.empty(32).tokens.shape
        (0, 32)
        """
        import numpy as np

        none = np.empty(0, np.int64)
        return Contexts(
            none, none, none, np.empty((0, width), np.int32), np.empty((0, width), np.float32)
        )
