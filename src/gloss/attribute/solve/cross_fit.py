"""Several decoders, each fitted on all masks but one part in turn, and the weighted mean of them
that predicts best the part that was left out (stacking: Wolpert, 1992; Breiman, 1996).

What is kept is the mean of the fits of all parts. Its error is the mean error of its members on
masks that they were not fitted to, less how much they differ among themselves on masks that nobody
has valued (Krogh & Vedelsby, 1995): so every mask is fitted to, and every mask judges.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray
from scipy.optimize import nnls

from gloss.attribute.game import NEAR_KIND, OTHER_KIND, UNIFORM_KIND, ValuedMasks
from gloss.attribute.solve.boosted_trees import BoostingSettings, boost_trees
from gloss.attribute.solve.lasso_path import choose_penalty, fit_at_penalty
from gloss.attribute.solve.process_fit import MOST_MASKS, ProcessFit
from gloss.attribute.solve.size_slopes import MOST_PLAYERS, SlopesFit, fit_slopes
from gloss.attribute.solve.sparse_regression import (
    Atom,
    AtomFit,
    Fit,
    Pursuit,
    WeightedFits,
    fit_least_squares,
    predict_values,
)

PARTS = 5  # that the masks are cut into
LARGE_PARTS = 2  # where there are many masks of many players
LEAST_SHARE = 0.02  # of a decoder in the mean
VALIDATED_EVERY = 7  # one of so many masks chooses a penalty, or when to stop
LASSO_ORDER = 2
TREES = BoostingSettings(depth=4, rate=0.1, most_trees=500, smallest_leaf=5, rows=0.5)
FRESH = 2000  # masks on which members are compared
SUM_WEIGHT = 1e3  # how strictly shares add up to 1


@dataclass(frozen=True)
class Sample:
    """Masks, and the kind of each."""

    masks: ValuedMasks
    kinds: Int64[ndarray, " mask"]

    @property
    def weights(self) -> Float64[ndarray, " mask"]:
        """By which each kind counts by its own variance, so that both are predicted alike well."""
        found = np.ones(len(self.kinds))
        for kind in (UNIFORM_KIND, NEAR_KIND):
            if (own := self.kinds == kind).any():
                found[own] = 1 / max(float(self.masks.values[own].var()), 1e-30)
        found[self.kinds == OTHER_KIND] = found[self.kinds == UNIFORM_KIND].mean()
        return found / found.mean()

    def part(self, which: Bool[ndarray, " mask"]) -> "Sample":
        """These masks alone."""
        chosen = ValuedMasks(self.masks.masks[which], self.masks.values[which])
        return Sample(chosen, self.kinds[which])


Decoder = Callable[[Sample, int, float, np.random.Generator], Sequence[Fit]]


def decode_trees(
    sample: Sample, order: int, operations: float, rng: np.random.Generator
) -> list[Fit]:
    """Boosted trees on what slopes leave over."""
    masks, left, begun = slopes_and_rest(sample)
    held_out = rng.random(len(left)) < 1 / VALIDATED_EVERY
    forest, _ = boost_trees(masks.masks, left, held_out, TREES, rng)
    return [*begun, forest]


def decode_parities(
    sample: Sample, order: int, operations: float, rng: np.random.Generator
) -> list[Fit]:
    """Sparse parities."""
    return [pursue(sample.masks, order, operations, parity=True)]


def decode_conjunctions(
    sample: Sample, order: int, operations: float, rng: np.random.Generator
) -> list[Fit]:
    """Sparse conjunctions of kept and of removed players."""
    return [pursue(sample.masks, order, operations, parity=False)]


def decode_lasso(
    sample: Sample, order: int, operations: float, rng: np.random.Generator
) -> list[Fit]:
    """Many small effects of players and pairs in what slopes leave over."""
    masks, left, begun = slopes_and_rest(sample)
    rest = Sample(ValuedMasks(masks.masks, left), sample.kinds)
    validation = np.arange(len(rest.kinds)) % VALIDATED_EVERY == VALIDATED_EVERY // 2
    train, chosen_on = rest.part(~validation).masks, rest.part(validation).masks
    penalty, _ = choose_penalty(train, chosen_on, LASSO_ORDER)
    return [*begun, fit_at_penalty(penalty, rest.masks, LASSO_ORDER)]


def decode_process(
    sample: Sample, order: int, operations: float, rng: np.random.Generator
) -> list[Fit]:
    """What is smooth: values are alike where masks differ in few players."""
    fit = ProcessFit.of(sample.masks, rng)
    return [fit] if fit else []


DECODERS: Mapping[str, Decoder] = {
    "process": decode_process,
    "trees": decode_trees,
    "parities": decode_parities,
    "conjunctions": decode_conjunctions,
    "lasso": decode_lasso,
}
INSTEAD = ("trees", "parities")  # of the process, where that costs too much
NO_DECODERS: Mapping[str, Decoder] = {}


def able_decoders(masks: Bool[ndarray, "mask player"]) -> dict[str, Decoder]:
    """Those for so many masks and players. Beside a process trees and parities gain nothing."""
    smooth = len(masks) <= MOST_MASKS and masks.shape[1] <= MOST_PLAYERS
    others = INSTEAD if smooth else ("process",)
    return {name: each for name, each in DECODERS.items() if name not in others}


def slopes_and_rest(
    sample: Sample,
) -> tuple[ValuedMasks, Float64[ndarray, " mask"], list[SlopesFit]]:
    """The masks, what slopes leave over, and the slopes; without them among too many players."""
    masks = sample.masks
    if masks.masks.shape[1] > MOST_PLAYERS:
        return masks, masks.values, []
    begun = fit_slopes(masks, sample.weights)
    return masks, masks.values - begun.predict(masks.masks), [begun]


def pursue(
    masks: ValuedMasks,
    order: int,
    operations: float,
    *,
    parity: bool,
    begun: Sequence[Atom] = (),
) -> AtomFit:
    """What a pursuit finds on these masks, begun at some atoms."""
    pursuit = Pursuit.over(masks.masks, masks.values, order, parity=parity)
    pursuit.reset(list(begun))
    pursuit.run(operations)
    return fit_least_squares(masks.masks, pursuit.atoms, masks.values, parity=parity)


@dataclass(frozen=True)
class CrossFit:
    """The mean of fits of which each leaves a part of the masks out."""

    members: tuple[WeightedFits, ...]  # one a part
    predicted: Float64[ndarray, " mask"]  # by the member that was not fitted to the mask
    shares: Mapping[str, float]  # of each decoder

    @property
    def fits(self) -> WeightedFits:
        """All of them, with the share of each in the mean."""
        return [
            (share / len(self.members), fit) for member in self.members for share, fit in member
        ]

    def disagreement(self, masks: Bool[ndarray, "mask player"]) -> float:
        """The mean squared deviation of members from their mean."""
        each = np.stack([predict_values(member, masks) for member in self.members])
        return float(np.square(each - each.mean(axis=0)).mean())


def cross_fit(
    sample: Sample,
    parts: Int64[ndarray, " mask"],
    order: int,
    operations: float,
    rng: np.random.Generator,
    more: Mapping[str, Decoder] = NO_DECODERS,
) -> CrossFit:
    """Fit every decoder, and `more` of them, to all but each part, and weigh them by how they
    predict that part.

    `parts` says which part a mask is in; those below 0 are fitted to by all.
    """
    number = int(parts.max()) + 1
    decoders = {**able_decoders(sample.masks.masks), **more}
    columns = {name: np.zeros(len(parts)) for name in decoders}
    found: list[dict[str, Sequence[Fit]]] = []
    for part in range(number):
        own = parts == part
        rest = sample.part(~own)
        found.append({name: fit(rest, order, operations, rng) for name, fit in decoders.items()})
        for name, fits in found[-1].items():
            ones = [(1.0, fit) for fit in fits]
            columns[name][own] = predict_values(ones, sample.masks.masks[own])
    shares = stacking_shares(columns, sample, parts >= 0)
    members = tuple(
        [(share, fit) for name, share in shares.items() for fit in fits[name]] for fits in found
    )
    predicted = sum((share * columns[name] for name, share in shares.items()), np.zeros(len(parts)))
    return CrossFit(members, predicted, shares)


def stacking_shares(
    columns: Mapping[str, Float64[ndarray, " mask"]],
    sample: Sample,
    judged: Bool[ndarray, " mask"],
) -> dict[str, float]:
    """Shares, 1 together, of the decoders whose weighted mean has the least squared error at these
    masks; those that would have next to none are left out.
    """
    values, scale = sample.masks.values[judged], np.sqrt(sample.weights[judged])
    predicted = np.stack([each[judged] for each in columns.values()], axis=1)
    heavy = SUM_WEIGHT * (float(np.linalg.norm((values - values.mean()) * scale)) or 1.0)
    rows = np.concatenate([predicted * scale[:, None], np.full((1, len(columns)), heavy)])
    found, _ = nnls(rows, np.append(values * scale, heavy))
    kept = {
        name: share
        for name, share in zip(columns, (found / found.sum()).tolist(), strict=True)
        if share >= LEAST_SHARE
    }
    return {name: share / sum(kept.values()) for name, share in kept.items()}
