"""Codes that name sets of players: few parities of a set's members are enough to say who they are
(Bose & Ray-Chaudhuri, 1960).

Each player has an element of the field GF(2^m). A set's syndrome is the sum of its members'
elements, cubes, fifth powers and so on: any set of up to t members can be read from the first t odd
powers, because two such sets never have the same ones.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

# Primitive polynomials over GF(2), by degree, as bits (Peterson & Weldon, 1972, appendix C).
PRIMITIVE_POLYNOMIALS = {
    3: 0b1011, 4: 0b10011, 5: 0b100101, 6: 0b1000011, 7: 0b10001001, 8: 0b100011101,
    9: 0b1000010001, 10: 0b10000001001, 11: 0b100000000101, 12: 0b1000001010011,
    13: 0b10000000011011, 14: 0b100010001000011,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BinaryField:
    """GF(2^m): elements are integers whose bits are coefficients.

    They are multiplied by adding logarithms.
    """

    # of the generator, written out twice so that sums of two logarithms need no remainder
    powers: Int64[ndarray, " exponent"]
    logarithms: Int64[ndarray, " element"]  # of 0 it means nothing

    @property
    def order(self) -> int:
        """How many elements there are beside 0."""
        return len(self.logarithms) - 1

    @staticmethod
    @cache
    def of(bits: int) -> "BinaryField":
        """The field with 2^bits elements."""
        order = 2**bits - 1
        powers, logarithms, element = (
            np.zeros(2 * order, np.int64),
            np.zeros(order + 1, np.int64),
            1,
        )
        for exponent in range(order):
            powers[[exponent, exponent + order]], logarithms[element] = element, exponent
            element = (element << 1) ^ (PRIMITIVE_POLYNOMIALS[bits] if element >> (bits - 1) else 0)
        return BinaryField(powers, logarithms)

    def times(
        self, a: Int64[ndarray, "*shape"], b: Int64[ndarray, "*shape"]
    ) -> Int64[ndarray, "*shape"]:
        """The product."""
        product = self.powers[self.logarithms[a] + self.logarithms[b]]
        return np.where((a == 0) | (b == 0), 0, product)

    def over(
        self, a: Int64[ndarray, "*shape"], b: Int64[ndarray, "*shape"]
    ) -> Int64[ndarray, "*shape"]:
        """The quotient; `b` must not be 0 where it counts."""
        quotient = self.powers[self.logarithms[a] - self.logarithms[b] + self.order]
        return np.where(a == 0, 0, quotient)


@dataclass(frozen=True)
class ParityCode:
    """The parities to ask of a set with up to `most` members, and how to read the set from the
    answers.
    """

    players: int
    most: int
    parities: Bool[ndarray, "parity player"]  # which players each parity counts
    # how the bits of all powers follow from the parities that are asked
    completed: Bool[ndarray, "bit parity"]

    @staticmethod
    @cache
    def of(players: int, most: int) -> "ParityCode":
        """A code for so many players and for sets of up to `most`.

        Parities that follow from others are not asked.
        """
        bits = next(bits for bits in PRIMITIVE_POLYNOMIALS if 2**bits > players)
        order = BinaryField.of(bits).order
        exponents = np.outer(2 * np.arange(most) + 1, np.arange(order)) % order
        elements = BinaryField.of(bits).powers[exponents]
        rows = (
            ((elements[:, None, :] >> np.arange(bits)[None, :, None]) & 1)
            .astype(bool)
            .reshape(-1, order)
        )
        kept, completed = independent_rows(rows)
        return ParityCode(players, most, rows[kept][:, :players], completed)

    @property
    def field(self) -> BinaryField:
        """The field whose elements stand for the players."""
        return BinaryField.of(
            next(bits for bits in PRIMITIVE_POLYNOMIALS if 2**bits > self.players)
        )

    def read(
        self, answers: Bool[ndarray, "set parity"]
    ) -> tuple[Bool[ndarray, "set player"], Bool[ndarray, " set"]]:
        """Each set's members, and whether there is such a set: Berlekamp's algorithm, then every
        player is tried as a root.
        """
        bits = (answers.astype(np.int64) @ self.completed.T.astype(np.int64)) & 1
        width = bits.shape[1] // self.most
        odd = (bits.reshape(len(bits), self.most, width) << np.arange(width)).sum(2)
        locators, sizes = self.locators(self.powers_of(odd))
        members = self.roots(locators)
        return members, (members.sum(1) == sizes) & (sizes <= self.most)

    def powers_of(self, odd: Int64[ndarray, "set odd"]) -> Int64[ndarray, "set power"]:
        """The sums of all powers from the odd ones: in these fields the square of a sum is the sum
        of the squares.
        """
        sums = np.zeros((len(odd), 2 * self.most + 1), np.int64)
        sums[:, 1::2] = odd
        for power in range(2, 2 * self.most + 1, 2):
            sums[:, power] = self.field.times(sums[:, power // 2], sums[:, power // 2])
        return sums[:, 1:]

    def locators(
        self, sums: Int64[ndarray, "set power"]
    ) -> tuple[Int64[ndarray, "set degree"], Int64[ndarray, " set"]]:
        """The polynomials whose roots are the inverses of the members, and how many members there
        must be (Massey, 1969).
        """
        field, number = self.field, len(sums)
        current = np.zeros((number, 2 * self.most + 2), np.int64)
        current[:, 0] = 1
        before, size, last = current.copy(), np.zeros(number, np.int64), np.ones(number, np.int64)
        for step in range(2 * self.most):
            before = np.roll(before, 1, axis=1)
            gap = np.bitwise_xor.reduce(
                field.times(current[:, : step + 1], sums[:, step::-1]), axis=1
            )
            grows = (gap != 0) & (2 * size <= step)
            factor = np.broadcast_to(field.over(gap, last)[:, None], before.shape)
            changed = current ^ field.times(factor, before)
            before = np.where(grows[:, None], current, before)
            last, size = np.where(grows, gap, last), np.where(grows, step + 1 - size, size)
            current = changed
        return current[:, : self.most + 1], size

    def roots(self, locators: Int64[ndarray, "set degree"]) -> Bool[ndarray, "set player"]:
        """The players whose inverse element is a root of each polynomial."""
        field, value = self.field, np.zeros((len(locators), self.players), np.int64)
        for degree in range(locators.shape[1]):
            shift = (-degree * np.arange(self.players)) % field.order
            term = field.powers[field.logarithms[locators[:, degree]][:, None] + shift]
            value ^= np.where(locators[:, degree, None] == 0, 0, term)
        return value == 0


def independent_rows(
    rows: Bool[ndarray, "bit column"],
) -> tuple[Int64[ndarray, " kept"], Bool[ndarray, "bit kept"]]:
    """Rows that do not follow from those before them, modulo 2, and every row as a sum of them."""
    kept: list[int] = []
    # column of the leading bit, row, and which kept rows it is the sum of
    reduced: list[tuple[int, ndarray, ndarray]] = []
    sums = np.zeros((len(rows), len(rows)), bool)
    for number, row in enumerate(rows):
        left, made_of = row.copy(), np.zeros(len(rows), bool)
        for column, other, others in reduced:
            if left[column]:
                left, made_of = left ^ other, made_of ^ others
        if left.any():
            made_of[len(kept)] ^= True
            reduced.append((int(left.argmax()), left, made_of.copy()))
            sums[number, len(kept)] = True
            kept.append(number)
        else:
            sums[number] = made_of
    return np.array(kept), sums[:, : len(kept)]
