"""Which features fire more or less, or more or less strongly, in one subject than in another: the
same dictionary, the same text, document by document.

A feature's rate is the share of tokens at which it fires, its strength the mean of its activations
over all tokens. Documents are what is independent: the difference of two rates has the error of a
ratio over documents (Cochran, 1977, chapter 6), and the features that moved are those that the
procedure of Benjamini and Hochberg (1995) picks at a false discovery rate of 5 %.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from scipy.sparse import csc_matrix, csr_matrix
from scipy.special import stdtr

FALSE_DISCOVERIES = 0.05
FEWEST_DOCUMENTS = 10  # in which a feature fires on either side, or else it is not tested
COLUMNS = 512  # features that are worked on at once
FLIPS = 20  # draws of chance: each document's two sides change places or do not


@dataclass(frozen=True, eq=False)
class ByDocument:
    """Of each feature a sum over each document's tokens: of firings, or of activations."""

    sums: csc_matrix  # a row a document, a column a feature
    tokens: Float64[ndarray, " document"]  # that count

    @staticmethod
    def of(side: csc_matrix, documents: Int64[ndarray, " token"]) -> "ByDocument":
        """The sums of each column over the tokens of each document. Documents without tokens that
        count are left out.
        """
        _, numbers = np.unique(documents, return_inverse=True)
        tokens = np.bincount(numbers).astype(np.float64)
        ones = np.ones(len(numbers))
        which = csr_matrix((ones, (numbers, np.arange(len(numbers)))))
        return ByDocument(csc_matrix(which @ side.astype(np.float64)), tokens)

    def of_some(self, which: Bool[ndarray, " document"]) -> "ByDocument":
        return ByDocument(csc_matrix(self.sums[which]), self.tokens[which])

    @property
    def documents(self) -> Int64[ndarray, " feature"]:
        """In how many each feature fires."""
        return np.diff(self.sums.indptr).astype(np.int64)

    def rates(self) -> Float64[ndarray, " feature"]:
        return np.asarray(self.sums.sum(axis=0)).ravel() / self.tokens.sum()


@dataclass(frozen=True, eq=False)
class Moves:
    """How each tested feature differs between two sides, and how sure that is."""

    features: Int64[ndarray, " tested"]  # columns
    before: Float64[ndarray, " tested"]
    after: Float64[ndarray, " tested"]
    error: Float64[ndarray, " tested"]  # standard error of the difference
    moved: Bool[ndarray, " tested"]

    def __len__(self) -> int:
        return len(self.features)

    @property
    def difference(self) -> Float64[ndarray, " tested"]:
        return self.after - self.before

    @property
    def twofold(self) -> Bool[ndarray, " tested"]:
        """Which moved, and to twice as much as before or more, or half or less."""
        before, after = np.abs(self.before), np.abs(self.after)
        return self.moved & ((after >= 2 * before) | (2 * after <= before))

    @property
    def statistic(self) -> Float64[ndarray, " tested"]:
        """The difference over its error."""
        return over(self.difference, self.error)


def moved_on_the_same_text(before: ByDocument, after: ByDocument) -> Moves:
    """Differences within documents, which both sides read."""
    features = tested(before, after)
    error = np.concatenate(
        [
            ratio_errors(difference, before.tokens)
            for difference in blocks(after.sums - before.sums, features)
        ]
        or [np.empty(0)]
    )
    return moves_of(features, before, after, error, len(before.tokens) - 1)


def moved_on_other_text(before: ByDocument, after: ByDocument) -> Moves:
    """Differences between documents that one side read and others that the other did."""
    features = tested(before, after)
    squares = [
        np.concatenate(
            [ratio_errors(sums, side.tokens) for sums in blocks(side.sums, features)]
            or [np.empty(0)]
        )
        ** 2
        for side in (before, after)
    ]
    freedom = min(len(before.tokens), len(after.tokens)) - 1
    return moves_of(features, before, after, np.sqrt(sum(squares)), freedom)


def moved_by_chance(
    before: ByDocument, after: ByDocument, rng: np.random.Generator
) -> Int64[ndarray, " draw"]:
    """How many features moved where each document's sides changed places at random: nothing can
    have moved in these.
    """
    found: list[int] = []
    for _ in range(FLIPS):
        changes = rng.integers(0, 2, len(before.tokens)).astype(np.float64)
        changed = csc_matrix((after.sums - before.sums).multiply(changes[:, None]))
        sides = (
            ByDocument(csc_matrix(one), before.tokens)
            for one in (before.sums + changed, after.sums - changed)
        )
        found.append(int(moved_on_the_same_text(*sides).moved.sum()))
    return np.array(found)


def tested(before: ByDocument, after: ByDocument) -> Int64[ndarray, " tested"]:
    """The features that fire in enough documents of a side."""
    return np.flatnonzero(np.maximum(before.documents, after.documents) >= FEWEST_DOCUMENTS)


def blocks(
    sums: csc_matrix, features: Int64[ndarray, " tested"]
) -> Iterator[Float64[ndarray, "document some"]]:
    for begin in range(0, len(features), COLUMNS):
        yield sums[:, features[begin : begin + COLUMNS]].toarray()


def ratio_errors(
    sums: Float64[ndarray, "document feature"], tokens: Float64[ndarray, " document"]
) -> Float64[ndarray, " feature"]:
    """The standard error of sums over tokens, where documents are drawn."""
    number = len(tokens)
    if number < 2:
        return np.full(sums.shape[1], np.nan)
    residuals = sums - np.outer(tokens, sums.sum(0) / tokens.sum())
    return np.sqrt(number / (number - 1) * (residuals**2).sum(0)) / tokens.sum()


def moves_of(
    features: Int64[ndarray, " tested"],
    before: ByDocument,
    after: ByDocument,
    error: Float64[ndarray, " tested"],
    freedom: int,
) -> Moves:
    rates, later = before.rates()[features], after.rates()[features]
    chances = 2 * stdtr(max(1, freedom), -np.abs(over(later - rates, error)))
    return Moves(features, rates, later, error, discoveries(chances))


def over(difference: ndarray, error: ndarray) -> Float64[ndarray, " tested"]:
    """One by the other; 0 where nothing varies."""
    zero = np.zeros_like(difference, dtype=np.float64)
    return np.divide(difference, error, out=zero, where=error > 0)


def discoveries(
    chances: Float64[ndarray, " tested"], share: float = FALSE_DISCOVERIES
) -> Bool[ndarray, " tested"]:
    """Which of many tests count, so that at most this share of them is false (Benjamini and
    Hochberg, 1995).

    >>> discoveries(np.array([0.001, 0.02, 0.04, 0.9])).tolist()
    [True, True, False, False]
    """
    order = np.argsort(chances, kind="stable")
    line = share * np.arange(1, len(chances) + 1) / max(1, len(chances))
    below = np.flatnonzero(chances[order] <= line)
    found = np.zeros(len(chances), bool)
    found[order[: below[-1] + 1 if len(below) else 0]] = True
    return found
