"""Names the tokens that become likelier when a feature is amplified (Paulo et al., 2024), without any language model."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.errors import require_at_least
from gloss.explain.tokens_told import raises
from gloss.models.prompts import Conversation
from gloss.records import Control, Effect, Examples, Explanation, Failure, Reason, Shift
from gloss.store.vocabulary import Vocabulary

METHOD = "token_change"


@dataclass(frozen=True)
class TokenChange:
    """Says what rises after shown contexts. Fails where nothing rises on other prompts than those that chose it."""

    reads_effects: ClassVar[bool] = True
    tokens: int = 10  # named at most

    def __post_init__(self) -> None:
        require_at_least(1, self, "tokens")

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """The tokens in words. Yields no prompts."""
        yield from ()
        named = [shift.text for shift in risen(examples.effects)]
        if not named:
            detail = "no strength reaches the divergence that was asked for, or no token rises reliably"
            return Failure(examples.feature, METHOD, Reason.NO_EFFECT, detail)
        return Explanation(examples.feature, raises(named[: self.tokens]), METHOD)


def risen(effects: tuple[Effect, ...]) -> list[Shift]:
    """The tokens that rise after the prompts that did not choose them, by an interval that lies above 0; controls left out."""
    own = (effect for effect in effects if effect.control is Control.NONE)
    return [shift for effect in own for shift in effect.risen if shift.change.low > 0]
