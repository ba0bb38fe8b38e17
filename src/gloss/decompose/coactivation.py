"""How features of two dictionaries fire together on the same text: the correlation of their
activations, token by token, as in Lan et al. (2024, arXiv 2410.06981).
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray
from scipy.sparse import csc_matrix

from gloss.decompose.all_pairs import AllPairs, Index
from gloss.errors import BadInput, Mismatch
from gloss.store.activations import Activations
from gloss.store.corpus import Corpus

ROWS_AT_ONCE = 512  # features of one side whose sums with all others are held at once


@dataclass(frozen=True, eq=False)
class SharedTokens:
    """What two runs read alike: their first tokens, of which those count that count in both."""

    counted: Bool[ndarray, " token"]

    @staticmethod
    def of(left: Corpus, right: Corpus) -> "SharedTokens":
        """The tokens of the shorter corpus, with which the longer one begins; of corpora that were
        mined, their background.

        Tokens are told apart by what they say, whatever their numbers are. Raises Mismatch where
        the corpora differ before that.
        """
        if (left.background is None) != (right.background is None):
            raise Mismatch(
                "one of the runs was mined, and the other keeps all of its texts; collect both with"
                " the same [collect] store"
            )
        number = min(left.background_tokens, right.background_tokens)
        known = {piece: i for i, piece in enumerate(dict.fromkeys(left.vocabulary.pieces))}
        for piece in right.vocabulary.pieces:
            known.setdefault(piece, len(known))
        read = [
            np.array([known[piece] for piece in side.vocabulary.pieces])[side.tokens[:number]]
            for side in (left, right)
        ]
        if len(other := np.flatnonzero(read[0] != read[1])):
            raise Mismatch(
                f"the runs did not read the same tokens: token {other[0]:,} of {number:,} is the"
                " first that differs; run both on the same texts, cut into tokens alike, and"
                " with the same seed where they are mined"
            )
        return SharedTokens(left.counted[:number] & right.counted[:number])

    def __len__(self) -> int:
        return int(self.counted.sum())

    def matrix(self, activations: Activations, features: Int64[ndarray, " feature"]) -> csc_matrix:
        """The activations of these features, a row for each token that counts."""
        rows_of = np.cumsum(self.counted) - 1
        rows: list[ndarray] = []
        values: list[ndarray] = []
        for feature in features.tolist():
            own = activations.feature(feature)
            inside = own.positions < len(self.counted)
            inside[inside] = self.counted[own.positions[inside]]
            rows.append(rows_of[own.positions[inside]])
            values.append(own.values[inside])
        ends = np.cumsum([0, *map(len, rows)])
        data = np.concatenate([*values, np.empty(0, np.float32)])
        indices = np.concatenate([*rows, np.empty(0, np.int64)])
        return csc_matrix((data, indices, ends), shape=(len(self), len(features)), dtype=np.float32)


def activation_correlations(left: csc_matrix, right: csc_matrix) -> AllPairs:
    """Pearson's correlation of every two columns, tokens with nothing counting as 0; 0 for a
    column that is constant.

    Raises BadInput where there are fewer than two tokens.
    """
    (tokens, features), others = size_of(left), size_of(right)[1]
    if tokens < 2:
        raise BadInput(f"{tokens} tokens count in both runs, and 2 are the fewest; read more text")
    (means, spreads), (other_means, other_spreads) = (
        column_moments(side) for side in (left, right)
    )

    def correlations(rows: Index, columns: Index) -> Float32[ndarray, "row column"]:
        products = (left[:, rows].T @ right[:, columns]).toarray().astype(np.float64) / tokens
        covariance = products - np.outer(means[rows], other_means[columns])
        scale = np.outer(spreads[rows], other_spreads[columns])
        found = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
        return found.astype(np.float32)

    return AllPairs(
        (features, others),
        correlations,
        (ROWS_AT_ONCE, max(1, others)),
        lambda: activation_correlations(right, left),
    )


def size_of(side: csc_matrix) -> tuple[int, int]:
    """Tokens and features."""
    tokens, features = cast("tuple[int, int]", side.shape)
    return tokens, features


def column_moments(side: csc_matrix) -> tuple[ndarray, ndarray]:
    """Mean and standard deviation of each column."""
    tokens, _ = size_of(side)
    wide = side.astype(np.float64)
    means = np.asarray(wide.sum(axis=0)).ravel() / tokens
    squares = np.asarray(wide.multiply(wide).sum(axis=0)).ravel() / tokens
    return means, np.sqrt(np.maximum(squares - means**2, 0))


def moved_in_time(side: csc_matrix, rng: np.random.Generator) -> csc_matrix:
    """The same columns begun elsewhere: each fires as often and as long, at other tokens.

    The shift is drawn between a quarter and three quarters of the text, and what leaves at the end
    comes in at the beginning.
    """
    tokens, _ = size_of(side)
    moved = csc_matrix(side, copy=True)
    shift = int(rng.integers(tokens // 4, max(tokens // 4 + 1, 3 * tokens // 4)))
    moved.indices = ((moved.indices.astype(np.int64) + shift) % tokens).astype(moved.indices.dtype)
    moved.has_sorted_indices = False
    return moved
