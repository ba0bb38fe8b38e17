"""Reads sets of players off a folded Fourier spectrum: the masks of a code, the peeling of their
bins, and fits beside uniform masks.

Masks fold the spectrum into few bins, so that its largest coefficients stand alone in theirs (SPEX;
Kang et al., 2025): who stands alone is read and taken away everywhere, until nobody does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.attribute.bases import PlayerSet
from gloss.attribute.game import Evaluations, TableGame, ValuedMasks, packed_masks
from gloss.attribute.solve.parity_codes import ParityCode
from gloss.attribute.solve.sparse_regression import (
    ROUNDING_SHARE,
    Atom,
    AtomFit,
    Pursuit,
    fit_least_squares,
)


@dataclass(frozen=True)
class SpectralDesign:
    """The masks of SPEX (Kang et al., 2025, section 4): groups of 2^bits masks, each group again
    for every parity of a code.

    Of a set S, group c keeps the `bits` parities that `hashes[c]` takes of it, which name its bin.
    In the bin stands the sum of F(S), and in the same bin after shifting all masks by a parity of
    the code the sum of F(S) with the sign of that parity of S.
    """

    code: ParityCode
    hashes: Bool[ndarray, "group bit player"]

    @staticmethod
    def of(
        players: int, budget: int, groups: int, most: int, rng: np.random.Generator
    ) -> "SpectralDesign | None":
        """The largest design that the budget of masks allows; None where it does not allow two
        bins.
        """
        code = ParityCode.of(players, most)
        bits = int(np.floor(np.log2(max(budget, 1) / (groups * (len(code.parities) + 1)))))
        if bits < 1:
            return None
        return SpectralDesign(code, rng.random((groups, min(bits, players), players)) < 0.5)

    @staticmethod
    def parities(players: int, most: int) -> int:
        """How many parities name a set of up to `most` players."""
        return len(ParityCode.of(players, most).parities)

    @property
    def shifts(self) -> Bool[ndarray, "shift player"]:
        """What is added to the masks: nothing, and each parity."""
        return np.vstack([np.zeros((1, self.code.players), bool), self.code.parities])

    @property
    def bins(self) -> int:
        """In each group."""
        return 2 ** self.hashes.shape[1]

    def masks(self) -> Bool[ndarray, "mask player"]:
        """All masks, ordered by group, shift and bin; True stands for kept: the sign +1."""
        numbers = binary_digits(np.arange(self.bins), self.hashes.shape[1])
        folded = (numbers.astype(np.int64) @ self.hashes.astype(np.int64)) & 1  # group, bin, player
        ablated = folded[:, None] ^ self.shifts[None, :, None].astype(np.int64)
        return ablated.reshape(-1, self.code.players) == 0

    def fold(self, values: Float64[ndarray, " mask"]) -> Float64[ndarray, "group bin shift"]:
        """The bins: a Walsh-Hadamard transform over the masks of each group and shift."""
        table = values.reshape(len(self.hashes), len(self.shifts), self.bins)
        numbers = binary_digits(np.arange(self.bins), self.hashes.shape[1]).astype(np.float64)
        signs = 1.0 - 2.0 * ((numbers @ numbers.T) % 2)
        return np.ascontiguousarray((table @ signs / self.bins).transpose(0, 2, 1))

    def bins_of(self, members: Bool[ndarray, "set player"]) -> Int64[ndarray, "group set"]:
        """The bin of each set in each group."""
        parities = (members.astype(np.int64) @ self.hashes.astype(np.int64).transpose(0, 2, 1)) & 1
        return parities @ (1 << np.arange(self.hashes.shape[1]))

    def signs_of(self, members: Bool[ndarray, "set player"]) -> Float64[ndarray, "set shift"]:
        """The sign of each set under each shift."""
        return 1.0 - 2.0 * ((members.astype(np.float64) @ self.shifts.T.astype(np.float64)) % 2)


def binary_digits(numbers: Int64[ndarray, " number"], bits: int) -> Bool[ndarray, "number bit"]:
    """Each number's bits, the lowest first."""
    return ((numbers[:, None] >> np.arange(bits)) & 1).astype(bool)


PEELING_ROUNDS = 30


@dataclass(frozen=True, slots=True)
class BinDecoding:
    """How bins are read: so many of the least certain signs are tried both ways (Chase, 1972); 0
    takes all signs as they are.
    """

    doubted: int = 5
    most_left: float = 0.9  # of a bin's energy, or else what was read does not stand alone there
    noise_floor: float = 1e-6  # of the mean energy, below which a bin is empty


def peel_spectrum(
    design: SpectralDesign, values: Float64[ndarray, " mask"], asked: BinDecoding
) -> dict[PlayerSet, float]:
    """The sets that are found, with their Fourier coefficients (Kang et al., 2025, algorithm 1)."""
    folded = design.fold(values)
    noise_floor = asked.noise_floor * float(np.square(folded).sum(2).mean())
    found: dict[PlayerSet, float] = {}
    fresh = np.ones(folded.shape[:2], bool)
    for _ in range(PEELING_ROUNDS):
        group, bin_ = np.nonzero(fresh & (np.square(folded).sum(2) > noise_floor))
        if not len(group):
            break
        fresh[:] = False
        members, heights = read_single_sets(design, folded[group, bin_], group, bin_, asked)
        for set_, height in average_repeated_sets(members, heights):
            found[set_] = found.get(set_, 0.0) + height
            subtract_set(design, folded, fresh, set_, height)
    return {set_: height for set_, height in found.items() if height != 0}


def read_single_sets(
    design: SpectralDesign,
    content: Float64[ndarray, "bin shift"],
    group: Int64[ndarray, " bin"],
    bin_: Int64[ndarray, " bin"],
    asked: BinDecoding,
) -> tuple[Bool[ndarray, "read player"], Float64[ndarray, " read"]]:
    """The sets that explain their bins, one a bin at most, and their coefficients."""
    tried = sign_choices(content, asked.doubted)  # bin, try, shift
    number = tried.shape[1]
    answers = tried[:, :, 1:] ^ tried[:, :, :1]
    flat, which = np.unique(answers.reshape(-1, answers.shape[2]), axis=0, return_inverse=True)
    members, exists = design.code.read(flat)
    homes, signs = design.bins_of(members), design.signs_of(members)
    which = which.reshape(len(content), number)
    heights = np.einsum("bs,bts->bt", content, signs[which]) / content.shape[1]
    belongs = exists[which] & (homes[group[:, None], which] == bin_[:, None])
    explained = np.where(belongs, content.shape[1] * heights**2, 0.0)
    best = explained.argmax(1)
    rows = np.arange(len(content))
    enough = explained[rows, best] > (1 - asked.most_left) * np.square(content).sum(1)
    chosen = which[rows, best][enough]
    return members[chosen], heights[rows, best][enough]


def sign_choices(
    content: Float64[ndarray, "bin shift"], doubted: int
) -> Bool[ndarray, "bin try shift"]:
    """Each bin's signs, as bits, with every choice of the least certain ones turned round."""
    doubted = min(doubted, content.shape[1])
    turned = np.zeros((len(content), 2**doubted, content.shape[1]), bool)
    least = np.argsort(np.abs(content), axis=1, kind="stable")[:, :doubted]
    choices = binary_digits(np.arange(2**doubted), doubted)
    np.put_along_axis(
        turned,
        np.broadcast_to(least[:, None], (len(content), *choices.shape)),
        choices[None],
        axis=2,
    )
    return turned ^ (content < 0)[:, None]


def average_repeated_sets(
    members: Bool[ndarray, "read player"], heights: Float64[ndarray, " read"]
) -> list[tuple[PlayerSet, float]]:
    """Sets that were read in several bins once, with the mean of what was read."""
    sets, which = np.unique(members, axis=0, return_inverse=True)
    means = np.bincount(which.ravel(), heights) / np.bincount(which.ravel())
    return [
        (tuple(np.flatnonzero(row).tolist()), float(mean))
        for row, mean in zip(sets, means, strict=True)
    ]


def subtract_set(
    design: SpectralDesign,
    folded: Float64[ndarray, "group bin shift"],
    fresh: Bool[ndarray, "group bin"],
    set_: PlayerSet,
    height: float,
) -> None:
    """Subtract a set from its bin in every group, and mark those bins to be looked at again."""
    row = np.zeros((1, design.code.players), bool)
    row[0, list(set_)] = True
    groups, homes = np.arange(len(folded)), design.bins_of(row)[:, 0]
    folded[groups, homes] -= height * design.signs_of(row)
    fresh[groups, homes] = True


CODED_GROUPS = 3
READING_ROUNDS = 8  # of reading what is left and fitting it with all that was read before


@dataclass(frozen=True)
class CodedMasks:
    """A design that was valued: for folding, all of it; for fitting, each of its masks once."""

    design: SpectralDesign
    values: Float64[ndarray, " mask"]  # in the order of the design
    once: ValuedMasks

    @property
    def cost(self) -> int:
        """How many masks it took."""
        return len(self.once.values) + self.once.failed

    @property
    def whole(self) -> bool:
        """Whether every mask has a value, without which nothing can be folded."""
        return self.once.failed == 0

    @staticmethod
    def of(
        known: Evaluations, budget: int, order: int, rng: np.random.Generator
    ) -> "CodedMasks | None":
        """The largest that the budget allows; None where that is none, or so few masks exist that
        some would be held out too.
        """
        few = isinstance(known.game, TableGame) or known.available < budget**2
        design = (
            None if few else SpectralDesign.of(len(known.players), budget, CODED_GROUPS, order, rng)
        )
        if design is None:
            return None
        masks = design.masks()
        values = known.values(masks)
        first = sorted(
            {key: index for index, key in reversed(list(enumerate(packed_masks(masks))))}.values()
        )
        had = np.array([index for index in first if np.isfinite(values[index])], np.int64)
        return CodedMasks(
            design, values, ValuedMasks(masks[had], values[had], len(first) - len(had))
        )

    def fits(self, masks: ValuedMasks, atoms: list[Atom], order: int) -> Iterator[AtomFit]:
        """Fits to `masks` of what was read without those parities, and of what was read beside
        them.
        """
        design = self.design.masks()
        fit_parities = partial(fit_least_squares, masks.masks, values=masks.values, parity=True)
        for begun in ([], atoms):
            pursuit = Pursuit.over(masks.masks, masks.values, order, parity=True)
            pursuit.reset(begun)
            fit = fit_parities(pursuit.atoms)
            for _ in range(READING_ROUNDS):
                before = set(pursuit.atoms)
                found = peel_spectrum(self.design, self.values - fit.predict(design), BinDecoding())
                more = sorted(found.keys() - before - {()}, key=lambda one: -abs(found[one]))
                pursuit.reset([*pursuit.atoms, *more])
                pursuit.run(0.0)
                fit = fit_parities(pursuit.atoms)
                if (
                    set(pursuit.atoms) == before
                    or float(pursuit.left @ pursuit.left) <= ROUNDING_SHARE * pursuit.total
                ):
                    break
            yield fit
