"""Masks from a code beside uniform ones: what a pursuit leaves over of them is folded, and more sets are read from the bins."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from gloss.attribute.evaluations import Evaluations, Valued
from gloss.attribute.fits import Fit, least_squares, literals_of
from gloss.attribute.game import Table, keys
from gloss.attribute.peeling import Decoding, peel
from gloss.attribute.pursuit import NOTHING, Pursuit
from gloss.attribute.screens import Atom
from gloss.attribute.spectral_design import Design

GROUPS = 3
ROUNDS = 8  # of reading what is left and fitting it with all that was read before


@dataclass(frozen=True)
class Coded:
    """A design that was valued: for folding, all of it; for fitting, each of its masks once."""

    design: Design
    values: Float64[ndarray, " mask"]  # in the order of the design
    once: Valued

    @property
    def cost(self) -> int:
        """How many masks it took."""
        return len(self.once.values) + self.once.failed

    @property
    def whole(self) -> bool:
        """Whether every mask has a value, without which nothing can be folded."""
        return self.once.failed == 0

    @staticmethod
    def of(known: Evaluations, budget: int, order: int, rng: np.random.Generator) -> "Coded | None":
        """The largest that the budget allows; None where that is none, or so few masks exist that some would be held out too."""
        few = isinstance(known.game, Table) or known.available < budget**2
        design = None if few else Design.of(len(known.players), budget, GROUPS, order, rng)
        if design is None:
            return None
        masks = design.kept()
        values = known.values(masks)
        first = sorted({key: place for place, key in reversed(list(enumerate(keys(masks))))}.values())
        had = np.array([place for place in first if np.isfinite(values[place])], np.int64)
        return Coded(design, values, Valued(masks[had], values[had], len(first) - len(had)))

    def fits(self, masks: Valued, atoms: list[Atom], order: int) -> Iterator[Fit]:
        """Fits to `masks` of what was read without those parities, and of what was read beside them."""
        design = self.design.kept()
        literals = literals_of(masks.masks, parity=True)
        for begun in ([], atoms):
            pursuit = Pursuit(literals, masks.values, order)
            pursuit.reset(begun)
            fit = least_squares(literals, pursuit.atoms, masks.values)
            for _ in range(ROUNDS):
                before = set(pursuit.atoms)
                found = peel(self.design, self.values - fit.foretold(design), Decoding())
                more = sorted(found.keys() - before - {()}, key=lambda one: -abs(found[one]))
                pursuit.reset([*pursuit.atoms, *more][: pursuit.most])
                pursuit.run(0.0)
                fit = least_squares(literals, pursuit.atoms, masks.values)
                if set(pursuit.atoms) == before or float(pursuit.left @ pursuit.left) <= NOTHING * pursuit.total:
                    break
            yield fit
