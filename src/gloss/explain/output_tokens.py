"""Names the tokens that a feature makes likelier, by its direction or when it is amplified, without
any language model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.errors import require_at_least
from gloss.models.chat_models.prompts import Conversation
from gloss.models.chat_models.token_marks import json_string
from gloss.records import (
    Aspect,
    Control,
    Effect,
    Examples,
    Explanation,
    Failure,
    Needs,
    Reason,
    Shift,
)
from gloss.store.vocabulary import Vocabulary

TOKEN_CHANGE = "token_change"
VOCABULARY_PROJECTION = "vocabulary_projection"


def raised_tokens_phrase(tokens: Sequence[str]) -> str:
    """A sentence without an end: raises the probability that the next token is `" a"` or `" b"`."""
    named = [f"`{json_string(token)}`" for token in tokens]
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} or {named[-1]}"
    return f"raises the probability that the next token is {listed}"


@dataclass(frozen=True)
class TokenChange:
    """Says what rises after train contexts.

    Fails where nothing rises on other prompts than those that chose it.
    """

    needs: ClassVar[Needs] = Needs(effects=True, about=(Aspect.OUTPUT,))
    tokens: int = 10  # named at most

    def __post_init__(self) -> None:
        require_at_least(1, self, "tokens")

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """The tokens in words. Yields no prompts."""
        yield from ()
        named = [shift.text for shift in reliable_rises(examples.effects)]
        if not named:
            detail = "no strength reaches the KL that was asked for, or no token rises reliably"
            return Failure(examples.feature, TOKEN_CHANGE, Reason.NO_EFFECT, detail)
        return Explanation(
            examples.feature, raised_tokens_phrase(named[: self.tokens]), TOKEN_CHANGE
        )


def reliable_rises(effects: tuple[Effect, ...]) -> list[Shift]:
    """The tokens that rise after the prompts that did not choose them, by an interval that lies
    above 0; controls left out.
    """
    own = (effect for effect in effects if effect.control is Control.NONE)
    return [shift for effect in own for shift in effect.risen if shift.change.low > 0]


@dataclass(frozen=True)
class VocabularyProjection:
    """Says what the direction says; sees no context.

    Fails where no token stands out from those of random directions.
    """

    needs: ClassVar[Needs] = Needs(about=(Aspect.OUTPUT,))
    tokens: int = 10  # named at most

    def __post_init__(self) -> None:
        require_at_least(1, self, "tokens")

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """The tokens of `examples.output_tokens` in words. Yields no prompts."""
        yield from ()
        named = examples.output_tokens[: self.tokens]
        if not named:
            detail = (
                "no token's logit is raised further than random directions raise one, or no logits"
                " are read from here"
            )
            return Failure(examples.feature, VOCABULARY_PROJECTION, Reason.NO_EFFECT, detail)
        return Explanation(examples.feature, raised_tokens_phrase(named), VOCABULARY_PROJECTION)
