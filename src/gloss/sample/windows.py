"""Where windows stand: on a grid in each sequence, or around what makes the feature fire."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int64
from numpy import ndarray

from gloss.records import FeatureActivations
from gloss.store.contexts import corpus_windows, is_first_of_equals
from gloss.store.corpus import Corpus


@dataclass(frozen=True, slots=True)
class FiringWindows:
    """Windows in which a feature fires, in the order of the corpus.

    No two of them overlap, each begins inside its sequence.
    """

    starts: Int64[ndarray, " window"]  # global index of the first position
    maxima: Float32[ndarray, " window"]  # the strongest activation
    numbers: Int64[ndarray, " window"] | None = None  # of aligned windows

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: Int64[ndarray, " row"]) -> "FiringWindows":
        """Those in these rows."""
        numbers = None if self.numbers is None else self.numbers[rows]
        return FiringWindows(self.starts[rows], self.maxima[rows], numbers)


@dataclass(frozen=True, slots=True)
class ChosenWindows:
    """Windows that are shown, in that order."""

    starts: Int64[ndarray, " window"]
    # 0 holds the strongest; a Negative where the feature is inactive
    quantiles: Int64[ndarray, " window"]
    numbers: Int64[ndarray, " window"] | None = None  # of aligned windows, where they are known

    def __len__(self) -> int:
        return len(self.starts)


@runtime_checkable
class Placement(Protocol):
    """A way to lay windows over the corpus."""

    def firing(self, activations: FeatureActivations, corpus: Corpus, width: int) -> FiringWindows:
        """All windows in which the feature fires."""
        ...

    def around(
        self, positions: Int64[ndarray, " position"], corpus: Corpus, width: int
    ) -> Int64[ndarray, " position"]:
        """Where the window begins that shows each of these global token indices."""
        ...


@dataclass(frozen=True)
class Aligned:
    """Windows stand side by side from each sequence's first token: a peak may stand anywhere in
    its window.
    """

    def firing(self, activations: FeatureActivations, corpus: Corpus, width: int) -> FiringWindows:
        """All windows in which the feature fires."""
        windows = corpus_windows(corpus, width)
        first, held = windows.firing_rows(activations)
        maxima = (
            np.maximum.reduceat(activations.values, first)
            if len(first)
            else np.empty(0, np.float32)
        )
        return FiringWindows(windows.starts[held], maxima, held)

    def around(
        self, positions: Int64[ndarray, " position"], corpus: Corpus, width: int
    ) -> Int64[ndarray, " position"]:
        """Where the window of each position begins."""
        windows = corpus_windows(corpus, width)
        return windows.starts[windows.windows_of(positions)]


@dataclass(frozen=True)
class Centred:
    """The peak stands at index width // 2.

    Near a sequence's edge the window slides back inside, and the peak moves instead.

    A peak is the strongest activation of its own window. Peaks are taken greedily from the
    strongest; one whose window would overlap a stronger one's is not taken again. Only a sequence
    that is shorter than the window is padded, at its end.
    """

    def firing(self, activations: FeatureActivations, corpus: Corpus, width: int) -> FiringWindows:
        """A window for every peak that overlaps no stronger one."""
        starts = self.around(activations.positions, corpus, width)
        sequences = corpus.sequences_of(starts)
        ends = np.minimum(starts + width, corpus.offsets[sequences + 1])
        peaks = np.flatnonzero(activations.values == strongest_between(activations, starts, ends))
        kept = peaks[
            np.sort(
                select_disjoint(starts[peaks], sequences[peaks], activations.values[peaks], width)
            )
        ]
        return FiringWindows(starts[kept], activations.values[kept])

    def around(
        self, positions: Int64[ndarray, " position"], corpus: Corpus, width: int
    ) -> Int64[ndarray, " position"]:
        """Where the window begins that has each position in its middle, or as near to it as the
        sequence allows.
        """
        sequences = corpus.sequences_of(positions)
        firsts, ends = corpus.offsets[sequences], corpus.offsets[sequences + 1]
        return np.maximum(np.minimum(positions - width // 2, ends - width), firsts)


def strongest_between(
    activations: FeatureActivations,
    starts: Int64[ndarray, " window"],
    ends: Int64[ndarray, " window"],
) -> Float32[ndarray, " window"]:
    """The strongest activation from each start to before its end. Wants one in every window."""
    bounds = np.searchsorted(activations.positions, np.stack([starts, ends], axis=1).reshape(-1))
    return np.maximum.reduceat(np.append(activations.values, np.float32(0)), bounds)[::2]


def select_disjoint(
    starts: Int64[ndarray, " window"],
    sequences: Int64[ndarray, " window"],
    strengths: Float[ndarray, " window"],
    width: int,
) -> Int64[ndarray, " kept"]:
    """Rows of windows that do not overlap, taken greedily from the strongest, in that order.

    Wants `starts` ascending.
    """
    keys = overlap_keys(starts, sequences, width)
    distances = np.diff(keys)
    if ((distances == 0) | (distances >= width)).all():  # none overlaps but with its like
        order = np.argsort(-strengths, kind="stable")
        places = np.cumsum(distances != 0, dtype=np.uint64)
        return order[is_first_of_equals(np.append(np.uint64(0), places)[: len(keys)][order])]
    lows = np.searchsorted(keys, keys - width, side="right").tolist()
    highs = np.searchsorted(keys, keys + width, side="left").tolist()
    free = bytearray(b"\1" * len(keys))
    kept: list[int] = []
    for row in np.argsort(-strengths, kind="stable").tolist():
        if free[row]:
            kept.append(row)
            free[lows[row] : highs[row]] = bytes(highs[row] - lows[row])
    return np.array(kept, np.int64)


def overlap_keys(
    starts: Int64[ndarray, " window"], sequences: Int64[ndarray, " window"], width: int
) -> Int64[ndarray, " window"]:
    """Numbers that are less than `width` apart exactly where windows overlap: those of two
    sequences never do.
    """
    return starts + sequences * width


PLACEMENTS: dict[str, Placement] = {"aligned": Aligned(), "centred": Centred()}
