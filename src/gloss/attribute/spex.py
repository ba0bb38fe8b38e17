"""SPEX: masks from a code fold a sparse spectrum so that its sets can be read off one by one (Kang et al., 2025)."""

from dataclasses import dataclass

import numpy as np

from gloss.attribute.evaluations import Evaluations, Valued, remembered
from gloss.attribute.game import Game
from gloss.attribute.interactions import Interactions
from gloss.attribute.judging import faithfulness_of
from gloss.attribute.peeling import Decoding, peel
from gloss.attribute.refit import refitted
from gloss.attribute.spectral_design import Design
from gloss.attribute.transforms import Basis, PlayerSet
from gloss.errors import BadInput, BadSettings


@dataclass(frozen=True)
class Spex:
    """Exact for functions with few interactions once there are masks enough; below that it reads little or nothing.

    Enough are about 2 * interactions * order * log2 players. The held-out R2 says on which side it was.
    """

    budget: int = 4000  # masks that the design may take; the held-out ones come on top
    groups: int = 3
    order: int = 5  # of the largest interactions that can be read
    doubted: int = 5  # signs of each bin that are tried both ways; 0 takes them as they are, which is "hard" decoding
    held_out: int = 200  # masks

    def __post_init__(self) -> None:
        if min(self.budget, self.groups, self.order) < 1 or min(self.doubted, self.held_out) < 0 or self.doubted > 10:
            raise BadSettings(
                f"spex was given budget={self.budget}, groups={self.groups}, order={self.order}, doubted={self.doubted} and "
                f"held_out={self.held_out}; the first three must be at least 1, doubted 0 to 10, held_out 0 or more"
            )

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Sets and their Fourier coefficients. Raises BadInput where the budget allows no design, or a value could not be had.

        What was peeled is fitted again to all masks of the design; the rest of the budget goes to random masks for that fit.
        """
        known = remembered(game)
        design = Design.of(len(known.players), self.budget, self.groups, self.order, rng)
        if design is None:
            least = 2 * self.groups * (1 + Design.parities(len(known.players), self.order))
            raise BadInput(f"spex needs {least} masks for {len(known.players)} players, the budget is {self.budget}; use auto")
        masks = design.kept()
        values = known.values(masks)
        if missing := int((~np.isfinite(values)).sum()):
            raise BadInput(f"the game gave no number for {missing} of {len(values)} masks, and spex needs all; use auto")
        rest = known.uniform(self.budget - len(masks), rng)
        found = peel(design, values, Decoding(self.doubted))
        every = np.concatenate([masks, rest.masks]), np.concatenate([values, rest.values])
        fitted = refitted(list(found), *every) if len(found) < len(every[1]) else found
        return judged(known, fitted, "spex", (len(masks), rest), self.held_out, rng)


def judged(
    known: Evaluations,
    found: dict[PlayerSet, float],
    method: str,
    fitted_to: tuple[int, Valued],
    held_out: int,
    rng: np.random.Generator,
) -> Interactions:
    """What was found, with its R2 on uniform masks that nothing was fitted to."""
    others, uniform = fitted_to
    check = known.uniform(held_out, rng)
    faithfulness = faithfulness_of(found, Basis.FOURIER, check, rng)
    used = others + len(uniform.values) + len(check.values)
    failed = uniform.failed + check.failed
    return Interactions(known.players, found, Basis.FOURIER, method, faithfulness, used, failed)
