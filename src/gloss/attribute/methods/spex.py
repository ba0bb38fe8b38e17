"""SPEX: masks from a code fold a sparse spectrum so that its sets can be read off one by one (Kang
et al., 2025).
"""

from dataclasses import dataclass

import numpy as np

from gloss.attribute.bases import Basis
from gloss.attribute.game import Game, ValuedMasks, as_evaluations
from gloss.attribute.result.faithfulness import SetFit, judge_set_fit
from gloss.attribute.result.interactions import Interactions
from gloss.attribute.solve.sparse_regression import refit_by_ridge
from gloss.attribute.solve.spectral_peeling import BinDecoding, SpectralDesign, peel_spectrum
from gloss.errors import BadInput, BadSettings


@dataclass(frozen=True)
class Spex:
    """Exact for functions with few interactions once there are masks enough.

    Below that it reads little or nothing.

    Enough are about 2 * interactions * order * log2 players. The held-out R2 says on which side it
    was.
    """

    budget: int = 4000  # masks that the design may take; the held-out ones come on top
    groups: int = 3
    order: int = 5  # of the largest interactions that can be read
    # signs of each bin that are tried both ways; 0 takes them as they are, which is "hard" decoding
    doubted: int = 5
    held_out: int = 200  # masks

    def __post_init__(self) -> None:
        if (
            min(self.budget, self.groups, self.order) < 1
            or min(self.doubted, self.held_out) < 0
            or self.doubted > 10
        ):
            raise BadSettings(
                f"spex was given budget={self.budget}, groups={self.groups}, order={self.order},"
                f" doubted={self.doubted} and held_out={self.held_out}; the first three must be at"
                " least 1, doubted 0 to 10, held_out 0 or more"
            )

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Sets and their Fourier coefficients.

        Raises BadInput where the budget allows no design, or a value could not be had.

        What was peeled is fitted again to all masks of the design; the rest of the budget goes to
        random masks for that fit.
        """
        known = as_evaluations(game)
        design = SpectralDesign.of(len(known.players), self.budget, self.groups, self.order, rng)
        if design is None:
            least = 2 * self.groups * (1 + SpectralDesign.parities(len(known.players), self.order))
            raise BadInput(
                f"spex needs {least} masks for {len(known.players)} players, the budget is"
                f" {self.budget}; use auto"
            )
        masks = design.masks()
        values = known.values(masks)
        if missing := int((~np.isfinite(values)).sum()):
            raise BadInput(
                f"the game gave no number for {missing} of {len(values)} masks, and spex needs all;"
                " use auto"
            )
        rest = known.uniform(self.budget - len(masks), rng)
        found = peel_spectrum(design, values, BinDecoding(self.doubted))
        every = np.concatenate([masks, rest.masks]), np.concatenate([values, rest.values])
        fitted = refit_by_ridge(list(found), *every) if len(found) < len(every[1]) else found
        held_out = known.uniform(self.held_out, rng)
        fit = SetFit(fitted, Basis.FOURIER, ValuedMasks(*every, rest.failed))
        return judge_set_fit("spex", known.players, fit, held_out, rng)
