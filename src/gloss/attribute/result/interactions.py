"""What acts together in a game: coefficients of sets of players, and how far they predict its
values.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import Basis, PlayerSet, convert_basis, evaluate_coefficients
from gloss.attribute.result.indices import Index, compute_index
from gloss.records import Estimate

EXPLAINED_R2 = 0.5  # the held-out R2 from which on a game counts as explained


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How well coefficients predict masks that none of them was fitted to."""

    r2: Estimate  # at most 1; at most 0 where they predict no better than the mean
    n: int  # held-out masks, or all that there are
    whole: bool = False  # over all masks of the game, so that none is left to predict

    @property
    def explained(self) -> bool:
        """Whether R2 reaches the least at which coefficients are worth reading."""
        return self.r2.value >= EXPLAINED_R2


@dataclass(frozen=True, slots=True)
class Interactions:
    """A game as a sum over sets of players: the value is the sum of coefficients times what the
    basis makes of each set.
    """

    players: tuple[str, ...]
    # in the game's unit; () holds the constant
    coefficients: Mapping[PlayerSet, float] = field(repr=False)
    basis: Basis
    method: str
    faithfulness: Faithfulness
    evaluations: int  # different masks whose value the method used, held-out ones included
    failed: int = 0  # masks besides, for which the game gave no number
    # coefficients over a bootstrap of masks
    stability: Mapping[PlayerSet, Estimate] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for one in self.coefficients:
            if list(one) != sorted(set(one)) or (
                one and not 0 <= one[0] <= one[-1] < len(self.players)
            ):
                raise ValueError(f"{one} is no sorted set of players 0 to {len(self.players) - 1}")

    def into(self, basis: Basis) -> "Interactions":
        """The same function in another basis, exactly; stability is not carried over.

        Raises BadInput for huge sets.
        """
        if basis == self.basis:
            return self
        return replace(
            self,
            coefficients=convert_basis(dict(self.coefficients), self.basis, basis),
            basis=basis,
            stability={},
        )

    def index(self, index: Index, order: int = 2) -> dict[PlayerSet, float]:
        """An index of all sets of up to `order` players, in closed form.

        Raises BadSettings, BadInput.
        """
        return compute_index(
            convert_basis(dict(self.coefficients), self.basis, Basis.MOBIUS), index, order
        )

    def truncate(self, order: int) -> tuple["Interactions", float]:
        """The best account by sets of up to so many players, in the `mobius` basis, and the share
        of the variation that it keeps.

        Over uniform masks that is the Fourier series without its larger sets: its Möbius
        coefficients are the Faith-Banzhaf indices of this order. The share is not a number where
        nothing varies.
        """
        series = self.into(Basis.FOURIER).coefficients
        small = {one: value for one, value in series.items() if len(one) <= order}
        energy, kept = (
            sum(value**2 for one, value in each.items() if one) for each in (series, small)
        )
        truncated = replace(
            self,
            coefficients=convert_basis(small, Basis.FOURIER, Basis.MOBIUS),
            basis=Basis.MOBIUS,
            stability={},
        )
        return truncated, kept / energy if energy else math.nan

    def predict(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value that the coefficients give each mask."""
        return evaluate_coefficients(dict(self.coefficients), self.basis, masks)

    def strongest(self, count: int, least_order: int = 1) -> list[tuple[PlayerSet, float]]:
        """The sets of `least_order` players or more whose coefficients are largest in size."""
        sets = [(one, value) for one, value in self.coefficients.items() if len(one) >= least_order]
        return sorted(sets, key=lambda item: (-abs(item[1]), len(item[0]), item[0]))[:count]

    def summary_sentence(self) -> str:
        """In a sentence, how far this explains the game.

        Below R2 0.5 that it does not, and why that may be so.
        """
        found, n = self.faithfulness.r2, self.faithfulness.n
        if found.value != found.value:
            if self.faithfulness.whole:
                return f"Nothing to explain: the value is the same for all {n} masks."
            return (
                f"Nothing to explain: the value is the same for all {n} held-out masks, or there"
                " are too few of them."
            )
        if found.value == 1 and self.evaluations == 2 ** len(self.players):
            return (
                f"Known whole: all {self.evaluations:,} masks were valued, so that nothing is left"
                " to predict."
            )
        r2_phrase = (
            f"R2 {found.value:.2f} over all {n} masks"
            if self.faithfulness.whole
            else f"R2 {found.value:.2f} [{found.low:.2f}, {found.high:.2f}] on {n} masks that were"
            " not fitted to"
        )
        if self.faithfulness.explained:
            return f"Explained: {r2_phrase}, from {self.evaluations} evaluations."
        few = (
            "The game is made"
            if self.faithfulness.whole
            else f"The {self.evaluations} evaluations may be too few, the values noisy, or the game"
            " made"
        )
        return (
            f"Not explained: {r2_phrase}. {few} of more or larger interactions than {self.method}"
            " looks for; do not read its coefficients as reasons."
        )
