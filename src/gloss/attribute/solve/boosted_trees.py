"""Boosted trees on masks, and their exact Fourier transform: which products of players' signs they
add up to.

Trees are grown level by level with matrix products: masks are bits, so that no feature needs
sorting.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt64
from numpy import ndarray

from gloss.attribute.bases import PlayerSet

NO_SPLIT = -1  # the feature of a node whose rows stay together
MOST_SETS = 50_000  # of a forest's spectrum
MOST_GROWN = 1 << 22  # masks times players that a tree is grown on, where rows are drawn for each


@dataclass(frozen=True, slots=True)
class BoostingSettings:
    """How trees are grown. A leaf holds at least `smallest_leaf` of the masks that grow its tree.

    Growth ends after `patience` trees that help no more.
    """

    depth: int = 3
    rate: float = 0.2
    most_trees: int = 500
    smallest_leaf: int = 20
    patience: int = 30
    rows: float = 1.0  # share of the masks that each tree is grown on, drawn anew (Friedman, 2002)


@dataclass(frozen=True, slots=True)
class TreeForest:
    """Trees of one depth, complete: below a node that is not split all leaves are alike.

    Its value is `base` plus their sum.

    Nodes are numbered by level, the root 0 and the children of node k at 2 k + 1, where the player
    is kept, and 2 k + 2.
    """

    base: float
    players: Int64[ndarray, "tree node"]  # that each node asks for, or NO_SPLIT
    leaves: Float64[ndarray, "tree leaf"]

    @property
    def depth(self) -> int:
        """Splits between the root and a leaf."""
        return int(self.leaves.shape[1]).bit_length() - 1

    def predict(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value at each mask."""
        found = np.full(len(masks), self.base)
        for asks, leaves in zip(self.players, self.leaves, strict=True):
            found += leaves[leaf_places(masks, asks, self.depth)]
        return found

    def fourier(self, share: float = 1.0) -> dict[PlayerSet, float]:
        """`share` times the function, as Fourier coefficients; of millions the largest."""
        if not len(self.leaves):
            return {(): share * self.base}
        players = int(self.players.max(initial=0)) + 1
        spectrum = forest_spectrum(self, players, MOST_SETS)
        return {one: share * value for one, value in spectrum.items()}


def boost_trees(
    kept: Bool[ndarray, "mask player"],
    values: Float64[ndarray, " mask"],
    held_out: Bool[ndarray, " mask"],
    asked: BoostingSettings,
    rng: np.random.Generator | None = None,
) -> tuple[TreeForest, float]:
    """Fit trees one after the other to what is left of the values (Friedman, 2001), and stop where
    held-out masks say so.

    Gives the forest up to its best tree, and its mean squared error on the held-out masks. Where
    none are held out, all trees are grown and the error is not a number. `rng` draws the rows of
    each tree, where it is not grown on all.
    """
    x = np.concatenate([kept[~held_out], kept[held_out]])
    y = np.concatenate([values[~held_out], values[held_out]])
    fitted = int(np.count_nonzero(~held_out))
    base = float(y[:fitted].mean())
    left = y - base
    players = np.full((asked.most_trees, 2**asked.depth - 1), NO_SPLIT)
    leaves = np.zeros((asked.most_trees, 2**asked.depth))
    best, least, grown = (
        0,
        float(np.square(left[fitted:]).mean()) if fitted < len(y) else np.nan,
        asked.most_trees,
    )
    for tree in range(asked.most_trees):
        grown_on = np.arange(fitted)
        if rng and asked.rows < 1:
            most = min(round(asked.rows * fitted), MOST_GROWN // x.shape[1])
            grown_on = np.sort(rng.permutation(fitted)[: max(1, most)])
        grow_tree(x[grown_on], left[grown_on].astype(np.float32), asked, players[tree])
        at = leaf_places(x, players[tree], asked.depth)
        leaves[tree] = asked.rate * leaf_values(
            at[grown_on], left[grown_on], players[tree], asked.depth
        )
        left -= leaves[tree][at]
        if fitted == len(y):
            continue
        error = float(np.square(left[fitted:]).mean())
        if error < least:
            best, least = tree + 1, error
        elif tree + 1 - best >= asked.patience:
            break
    if fitted < len(y):
        grown = best
    return TreeForest(base, players[:grown], leaves[:grown]), least


def grow_tree(
    kept: Bool[ndarray, "mask player"],
    left: Float32[ndarray, " mask"],
    asked: BoostingSettings,
    players: Int64[ndarray, " node"],
) -> None:
    """Split level by level, each node where the squared error falls most; fills in `players`."""
    x, at = kept.astype(np.float32), np.zeros(len(kept), np.int64)
    rows = np.arange(len(x))
    for level in range(asked.depth):
        nodes = 2**level
        chosen = best_splits(x, left, at, nodes, asked.smallest_leaf)
        if (chosen == NO_SPLIT).all():
            return
        players[nodes - 1 : 2 * nodes - 1] = chosen
        asks = chosen[at]
        at = 2 * at + ((asks != NO_SPLIT) & ~kept[rows, asks])


def leaf_places(
    kept: Bool[ndarray, "mask player"], players: Int64[ndarray, " node"], depth: int
) -> Int64[ndarray, " mask"]:
    """The leaf of each mask."""
    at, rows = np.zeros(len(kept), np.int64), np.arange(len(kept))
    for level in range(depth):
        asks = players[2**level - 1 + at]
        at = 2 * at + ((asks != NO_SPLIT) & ~kept[rows, asks])
    return at


def best_splits(
    x: Float32[ndarray, "mask player"],
    left: Float32[ndarray, " mask"],
    at: Int64[ndarray, " mask"],
    nodes: int,
    smallest_leaf: int,
) -> Int64[ndarray, " node"]:
    """The player on which each node is split best; NO_SPLIT where no split helps or a child would
    be too small.
    """
    inside = (at == np.arange(nodes)[:, None]).astype(np.float32)
    weighted = inside * left
    both = np.concatenate([weighted, inside]) @ x
    sums, counts = weighted.sum(1)[:, None], inside.sum(1)[:, None]
    sums_kept, counts_kept = both[:nodes], both[nodes:]
    sums_gone, counts_gone = sums - sums_kept, counts - counts_kept
    gain = sums_kept**2 / np.maximum(counts_kept, 1) + sums_gone**2 / np.maximum(counts_gone, 1)
    gain[(counts_kept < smallest_leaf) | (counts_gone < smallest_leaf)] = 0
    best = gain.argmax(1)
    helps = (
        gain[np.arange(nodes), best] > (sums**2 / np.maximum(counts, 1))[:, 0] * (1 + 1e-6) + 1e-12
    )
    return np.where(helps, best, NO_SPLIT)


def leaf_values(
    at: Int64[ndarray, " mask"],
    left: Float64[ndarray, " mask"],
    players: Int64[ndarray, " node"],
    depth: int,
) -> Float64[ndarray, " leaf"]:
    """The mean of what is left in each leaf.

    The leaves below a node that is not split all get that node's.
    """
    number = 2**depth
    mean = np.bincount(at, left, number) / np.maximum(np.bincount(at, minlength=number), 1)
    for level in reversed(range(depth)):
        blocks = mean.reshape(2**level, 2, -1)
        unsplit = players[2**level - 1 : 2 ** (level + 1) - 1] == NO_SPLIT
        blocks[unsplit, 1] = blocks[unsplit, 0]
    return mean


def forest_spectrum(forest: TreeForest, players: int, keep: int) -> dict[PlayerSet, float]:
    """The `keep` largest Fourier coefficients of a forest, by the set of players whose signs they
    multiply; +1 stands for kept.

    A node that asks for player i with children l and r is (l + r) / 2 + sign_i (l - r) / 2 (Butler
    et al., 2025, section 4). Sets are told apart by the exclusive or of random 64-bit numbers, one
    a player: with a million sets, two are mistaken for one less than once in ten million times.
    """
    names = np.random.default_rng(0).integers(1, 2**63, players).astype(np.uint64)
    keys, weights = expand_trees(forest, names)
    terms = np.flatnonzero(weights)
    found, first, which = np.unique(keys.ravel()[terms], return_index=True, return_inverse=True)
    sums = np.bincount(which, weights.ravel()[terms], len(found))
    order = np.argsort(-np.abs(sums), kind="stable")[:keep]
    weighed = {
        term_players(forest, int(terms[first[row]]), keys.shape[1]): float(sums[row])
        for row in order
    }
    return weighed | {(): forest.base + weighed.get((), 0.0)}


def expand_trees(
    forest: TreeForest, names: UInt64[ndarray, " player"]
) -> tuple[UInt64[ndarray, "tree term"], Float64[ndarray, "tree term"]]:
    """Every tree as a sum of 4^depth terms: each term's set, as a key, and its weight.

    The empty set has the key 0.

    Goes from the leaves to the root. A node's terms are those of both children, halved, without its
    player and with it.
    """
    weights = forest.leaves[:, :, None]
    keys = np.zeros(weights.shape, np.uint64)
    for level in reversed(range(forest.depth)):
        asks = forest.players[:, 2**level - 1 : 2 ** (level + 1) - 1, None]
        own = np.where(asks == NO_SPLIT, np.uint64(0), names[asks])
        kept, gone = weights[:, 0::2] / 2, weights[:, 1::2] / 2
        keys_kept, keys_gone = keys[:, 0::2], keys[:, 1::2]
        weights = np.concatenate([kept, gone, kept, -gone], axis=2)
        keys = np.concatenate([keys_kept, keys_gone, keys_kept ^ own, keys_gone ^ own], axis=2)
    return keys[:, 0], weights[:, 0]


def term_players(forest: TreeForest, term: int, terms: int) -> PlayerSet:
    """The set of a term, read off its number: a digit to base 4 says which child it is from, and if
    it takes the player.
    """
    tree, term = divmod(term, terms)
    found: set[int] = set()
    node = 0
    for level in range(forest.depth):
        terms //= 4
        digit, term = divmod(term, terms)
        gone, taken = digit & 1, digit >> 1
        asked = int(forest.players[tree, 2**level - 1 + node])
        if taken and asked != NO_SPLIT:
            found ^= {asked}
        node = 2 * node + gone
    return tuple(sorted(found))
