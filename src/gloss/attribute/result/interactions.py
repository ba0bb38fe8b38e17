"""What acts together in a game: coefficients of sets of players, and how far they predict its
values.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.bases import (
    Basis,
    PlayerSet,
    add_coefficients,
    changes_by_player,
    convert_basis,
    drop_zero_coefficients,
    evaluate_coefficients,
)
from gloss.attribute.game import Noise
from gloss.attribute.result.indices import Index, compute_index
from gloss.attribute.result.measured import MeasuredSets
from gloss.attribute.result.over_prompts import OverPrompts
from gloss.attribute.result.proxy_screen import ProxyScreen
from gloss.attribute.result.rest_index import Rest, fourier_of_fits, index_of_fits
from gloss.records import Estimate

MISSING = Estimate.missing()
EXPLAINED_R2 = 0.5  # the held-out R2 from which on a game counts as explained


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How well coefficients predict masks that none of them was fitted to."""

    r2: Estimate  # at most 1; at most 0 where they predict no better than the mean
    n: int  # held-out masks, or all that there are
    whole: bool = False  # over all masks of the game, so that none is left to predict
    near: Estimate = MISSING  # the same on masks near the whole, where they were asked about
    near_n: int = 0
    kept: int = 90  # per cent of the players that these keep
    noise: Noise | None = None  # of the game's values; None where no mask was asked about twice
    # the standard deviations of the values that `r2` and `near` are of
    spread: float = math.nan
    near_spread: float = math.nan

    @property
    def most(self) -> float:
        """The R2 that noise leaves to any account of values that keep half."""
        return self.most_of(self.spread)

    def most_of(self, spread: float) -> float:
        """The R2 that noise leaves to any account of values with this standard deviation."""
        if self.noise is None or not self.noise.deviation:
            return 1.0
        return max(0.0, 1 - (self.noise.deviation / spread) ** 2) if spread else 0.0

    @property
    def explained(self) -> bool:
        """Whether R2 reaches the least at which coefficients are worth reading: half of what noise
        leaves, among half-empty masks and, where these were asked about, near the whole.
        """
        return self.explains_half and not self.fails_near

    @property
    def explains_half(self) -> bool:
        """Whether it holds among masks that keep half."""
        return self.r2.value >= EXPLAINED_R2 * self.most > 0

    @property
    def fails_near(self) -> bool:
        """Whether it does not hold near the whole, where values differ by more than noise."""
        most = self.most_of(self.near_spread)
        return self.near_n > 0 and most > 0 and self.near.value < EXPLAINED_R2 * most


@dataclass(frozen=True, slots=True)
class Interactions:
    """A game as a sum over sets of players: the value is the sum of coefficients times what the
    basis makes of each set, and a rest of which no set is worth listing, where there is one.
    """

    players: tuple[str, ...]
    # in the game's unit; () holds the constant
    coefficients: Mapping[PlayerSet, float] = field(repr=False)
    basis: Basis
    method: str
    faithfulness: Faithfulness
    # values that were used: of different masks, held-out ones included, and of some asked again
    evaluations: int
    failed: int = 0  # masks besides, for which the game gave no number
    # each coefficient with its interval, of methods that have one
    stability: Mapping[PlayerSet, Estimate] = field(default_factory=dict, repr=False)
    # what sets add on average over masks that keep half of the others (Banzhaf interaction index),
    # the fit corrected by what it misses: of single players and of the strongest sets
    averages: Mapping[PlayerSet, Estimate] = field(default_factory=dict, repr=False)
    measured: MeasuredSets | None = field(default=None, repr=False)
    over_prompts: OverPrompts | None = field(default=None, repr=False)
    proxy: ProxyScreen | None = None  # that proposed
    # what is predicted beside the coefficients: many sets, each of which does little
    rest: Rest | None = field(default=None, repr=False, compare=False)

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
        """An index of all sets of up to `order` players, in closed form, of the coefficients and
        the rest together.

        Raises BadSettings, BadInput.
        """
        if self.rest is None:
            mobius = convert_basis(dict(self.coefficients), self.basis, Basis.MOBIUS)
            return compute_index(mobius, index, order)
        alone = convert_basis(self._beside_the_rest(self.rest), Basis.FOURIER, Basis.MOBIUS)
        found = add_coefficients(
            compute_index(alone, index, order),
            index_of_fits(self.rest, len(self.players), index, order),
        )
        if index == Index.FAITH_SHAPLEY:
            found[()] = float(self.predict(np.zeros((1, len(self.players)), np.bool_))[0])
        return drop_zero_coefficients(found)

    def truncate(self, order: int) -> tuple["Interactions", float]:
        """The best account by sets of up to so many players, in the `mobius` basis, and the share
        of the variation that it keeps.

        Over uniform masks that is the Fourier series without its larger sets: its Möbius
        coefficients are the Faith-Banzhaf indices of this order. The share is not a number where
        nothing varies. Raises BadInput.
        """
        series = dict(self.into(Basis.FOURIER).coefficients)
        energy = sum(value**2 for one, value in series.items() if one)
        if self.rest:
            energy += self.rest.variance
            series = add_coefficients(
                self._beside_the_rest(self.rest),
                fourier_of_fits(self.rest, len(self.players), order),
            )
        small = {one: value for one, value in series.items() if len(one) <= order}
        kept = sum(value**2 for one, value in small.items() if one)
        truncated = replace(
            self,
            coefficients=convert_basis(small, Basis.FOURIER, Basis.MOBIUS),
            basis=Basis.MOBIUS,
            stability={},
            rest=None,
        )
        return truncated, min(1.0, kept / energy) if energy else math.nan

    def _beside_the_rest(self, rest: Rest) -> dict[PlayerSet, float]:
        """The Fourier coefficients without those that the rest's fits have, but for the mean."""
        series = convert_basis(dict(self.coefficients), self.basis, Basis.FOURIER)
        less = {one: -value for one, value in rest.listed.items() if one}
        return add_coefficients(series, less)

    def predict(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """The value that the coefficients give each mask, and the rest."""
        found = evaluate_coefficients(dict(self.coefficients), self.basis, masks)
        return found + self.rest.predict(masks) if self.rest else found

    def changes(self, mask: Bool[ndarray, " player"]) -> Float64[ndarray, " player"]:
        """What is predicted of each player, alone, leaving the mask or entering it."""
        found = changes_by_player(dict(self.coefficients), self.basis, mask)
        if self.rest is None:
            return found
        near = np.concatenate([mask[None], mask ^ np.eye(len(mask), dtype=np.bool_)])
        values = self.rest.predict(near)
        return found + values[1:] - values[0]

    def strongest(self, count: int, least_order: int = 1) -> list[tuple[PlayerSet, float]]:
        """The sets of `least_order` players or more whose coefficients are largest in size."""
        sets = [(one, value) for one, value in self.coefficients.items() if len(one) >= least_order]
        return sorted(sets, key=lambda item: (-abs(item[1]), len(item[0]), item[0]))[:count]

    def summary_sentence(self) -> str:
        """In a sentence, how far this explains the game.

        Where R2 is below 0.5, or half of what noise leaves, that it does not, and why that may be.
        """
        trust, n = self.faithfulness, self.faithfulness.n
        found = trust.r2
        if found.value != found.value:
            if trust.whole:
                return f"Nothing to explain: the value is the same for all {n} masks."
            return (
                f"Nothing to explain: the value is the same for all {n} held-out masks, or there"
                " are too few of them."
            )
        if trust.whole and found.value == 1:
            return (
                f"Known whole: all {n:,} masks were valued, so that nothing is left to predict."
                f"{noise_sentence(trust)}"
            )
        half = (
            f"R2 {found.value:.2f} over all {n} masks"
            if trust.whole
            else f"R2 {interval_in_words(found)} on {n} unseen masks that keep half"
        )
        said = f"{half}; {near_in_words(trust)}"
        if trust.explained:
            among = "" if trust.near_n else " among masks that keep half"
            values = f"from {self.evaluations:,} values"
            return f"Explained{among}: {said}, {values}.{noise_sentence(trust)}"
        return f"Not explained: {said}. {self._why_not()}{noise_sentence(trust)}"

    def _why_not(self) -> str:
        """Why an account may fail, and what that means for its coefficients."""
        trust = self.faithfulness
        if trust.explains_half:
            return (
                "It holds among half-empty masks but not near the whole: do not read it as what"
                " would change if little were removed."
            )
        few = (
            "The game is made"
            if trust.whole
            else f"The {self.evaluations:,} values may be too few, or noisy, or the game made"
        )
        return (
            f"{few} of more or larger interactions than {self.method} looks for; do not read its"
            " coefficients as reasons."
        )


def near_in_words(trust: Faithfulness) -> str:
    """R2 near the whole, or that there is none."""
    if not trust.near_n:
        return "near the whole none was asked about"
    if trust.near.value != trust.near.value:
        return f"{trust.near_n} values near the whole ({trust.kept} % kept) are all the same"
    if trust.whole:
        return f"R2 {trust.near.value:.2f} near the whole ({trust.kept} % kept)"
    said = interval_in_words(trust.near)
    return f"R2 {said} on {trust.near_n} near the whole ({trust.kept} % kept)"


def interval_in_words(found: Estimate) -> str:
    """A number and its interval."""
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def noise_sentence(trust: Faithfulness) -> str:
    """How much values differ when they are asked for again, and what R2 that leaves."""
    if trust.noise is None or not trust.noise.deviation:
        return ""
    return (
        f" Values are noisy: the same mask differs by ± {trust.noise.deviation:.3g} when it is"
        f" asked about again ({trust.noise.masks:,} masks), which leaves an R2 of"
        f" {trust.most:.2f} to any account of them."
    )
