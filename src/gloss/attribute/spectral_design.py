"""Masks whose values fold a function's Fourier spectrum into few bins, so that its largest coefficients stand alone in theirs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.attribute.codes import Code


@dataclass(frozen=True)
class Design:
    """The masks of SPEX (Kang et al., 2025, section 4): groups of 2^bits masks, each group again for every parity of a code.

    Of a set S, group c keeps the `bits` parities that `hashes[c]` takes of it, which name its bin. In the bin stands the sum of
    F(S), and in the same bin after shifting all masks by a parity of the code the sum of F(S) with the sign of that parity of S.
    """

    code: Code
    hashes: Bool[ndarray, "group bit player"]

    @staticmethod
    def of(players: int, budget: int, groups: int, most: int, rng: np.random.Generator) -> "Design | None":
        """The largest design that the budget of masks allows; None where it does not allow two bins."""
        code = Code.of(players, most)
        bits = int(np.floor(np.log2(max(budget, 1) / (groups * (len(code.parities) + 1)))))
        if bits < 1:
            return None
        return Design(code, rng.random((groups, min(bits, players), players)) < 0.5)

    @staticmethod
    def parities(players: int, most: int) -> int:
        """How many parities name a set of up to `most` players."""
        return len(Code.of(players, most).parities)

    @property
    def shifts(self) -> Bool[ndarray, "shift player"]:
        """What is added to the masks: nothing, and each parity."""
        return np.vstack([np.zeros((1, self.code.players), bool), self.code.parities])

    @property
    def bins(self) -> int:
        """In each group."""
        return 2 ** self.hashes.shape[1]

    def kept(self) -> Bool[ndarray, "mask player"]:
        """All masks, ordered by group, shift and bin; True stands for kept, which is the sign +1."""
        numbers = bits_of(np.arange(self.bins), self.hashes.shape[1])
        folded = (numbers.astype(np.int64) @ self.hashes.astype(np.int64)) & 1  # group, bin, player
        ablated = folded[:, None] ^ self.shifts[None, :, None].astype(np.int64)
        return ablated.reshape(-1, self.code.players) == 0

    def folded(self, values: Float64[ndarray, " mask"]) -> Float64[ndarray, "group bin shift"]:
        """The bins: a Walsh-Hadamard transform over the masks of each group and shift."""
        table = values.reshape(len(self.hashes), len(self.shifts), self.bins)
        numbers = bits_of(np.arange(self.bins), self.hashes.shape[1]).astype(np.float64)
        signs = 1.0 - 2.0 * ((numbers @ numbers.T) % 2)
        return np.ascontiguousarray((table @ signs / self.bins).transpose(0, 2, 1))

    def bins_of(self, members: Bool[ndarray, "set player"]) -> Int64[ndarray, "group set"]:
        """The bin of each set in each group."""
        parities = (members.astype(np.int64) @ self.hashes.astype(np.int64).transpose(0, 2, 1)) & 1
        return parities @ (1 << np.arange(self.hashes.shape[1]))

    def signs_of(self, members: Bool[ndarray, "set player"]) -> Float64[ndarray, "set shift"]:
        """The sign of each set under each shift."""
        return 1.0 - 2.0 * ((members.astype(np.float64) @ self.shifts.T.astype(np.float64)) % 2)


def bits_of(numbers: Int64[ndarray, " number"], bits: int) -> Bool[ndarray, "number bit"]:
    """Each number's bits, the lowest first."""
    return ((numbers[:, None] >> np.arange(bits)) & 1).astype(bool)
