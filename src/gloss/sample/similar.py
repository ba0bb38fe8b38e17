"""Silent windows that say much the same as windows in which the feature fires."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from gloss.errors import BadInput
from gloss.records import Negative, Split
from gloss.sample.negatives import Ground, Silent


@dataclass(frozen=True)
class Similar:
    """The silent windows nearest to each of those in which the feature fires, by their embeddings; the firing ones take turns.

    Only what lies closer than the nearest of as many unlike windows would lie by chance.
    """

    firing: int = 64  # windows that silent ones are compared with, drawn at random

    def choose(self, ground: Ground, split: Split, number: int, rng: np.random.Generator) -> Silent:
        """`number` silent windows, or as many as are close; fewer is no error. Raises BadInput where nothing is embedded."""
        index = ground.near.embeddings
        if index is None:
            raise BadInput('negatives = "similar" looks windows up in an index of embeddings, got none; give Near one')
        of_split = ground.corpus.shown[index.starts] == (split is Split.SHOWN)
        is_silent = ground.is_silent(index.starts)
        drawn = rng.permutation(np.flatnonzero(of_split & ~is_silent))[: self.firing]
        silent = of_split & is_silent
        silent[silent] = ground.fresh(index.starts[silent])
        rows = np.empty(0, np.int64)
        if number and len(drawn) and silent.any():
            rows = in_turns(index.cosines(drawn), silent, number, index.least(int(silent.sum())))
        return Silent(index.starts[rows], np.full(len(rows), int(Negative.SIMILAR)))


def in_turns(
    cosines: Float32[ndarray, "firing window"], silent: Bool[ndarray, " window"], number: int, least: float
) -> Int64[ndarray, " chosen"]:
    """The silent window nearest to each firing one, then the second nearest of each, and so on; none twice, none too far."""
    cosines = np.where(silent, cosines, np.float32(-2))
    most = min(number, int(silent.sum()))
    nearest = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
    close = np.take_along_axis(cosines, nearest, axis=1)
    order = np.argsort(-close, axis=1, kind="stable")
    nearest, close = (np.take_along_axis(each, order, axis=1) for each in (nearest, close))
    turns = nearest.T[least < close.T]
    return turns[np.sort(np.unique(turns, return_index=True)[1])][:number]
