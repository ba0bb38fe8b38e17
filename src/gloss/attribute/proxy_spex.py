"""ProxySPEX: boosted trees are fitted to random masks, and the trees' own spectrum is read (Butler et al., 2025)."""

from dataclasses import dataclass

import numpy as np

from gloss.attribute.evaluations import remembered
from gloss.attribute.game import Game
from gloss.attribute.interactions import Interactions
from gloss.attribute.proxy import Proxy, decode
from gloss.attribute.spex import judged
from gloss.errors import BadInput, BadSettings

FEWEST = 40  # masks, or else trees of two leaves could not be validated


@dataclass(frozen=True)
class ProxySpex:
    """Finds interactions whose subsets matter too, with few masks; one whose subsets do not, it never sees.

    It stops improving with more masks before R2 reaches 1, because trees shrink what they find.
    """

    budget: int = 1000  # masks that the trees may take; the held-out ones come on top
    keep: int = 200  # sets of the trees' spectrum
    held_out: int = 200  # masks

    def __post_init__(self) -> None:
        if self.budget < FEWEST or self.keep < 1 or self.held_out < 0:
            raise BadSettings(
                f"proxy_spex was given budget={self.budget}, keep={self.keep} and held_out={self.held_out}; "
                f"the budget must be at least {FEWEST}, keep at least 1 and held_out 0 or more"
            )

    def attribute(self, game: Game, rng: np.random.Generator) -> Interactions:
        """Sets and their Fourier coefficients. Raises BadInput where too few masks have a value."""
        known = remembered(game)
        fitted = known.uniform(self.budget, rng)
        if len(fitted.values) < FEWEST:
            raise BadInput(f"proxy_spex needs {FEWEST} values, the game gave {len(fitted.values)}; use exact or auto")
        found = decode(fitted.masks, fitted.values, Proxy(keep=self.keep), rng)
        return judged(known, found, "proxy_spex", (0, fitted), self.held_out, rng)
