"""Names the tokens that a feature's direction promotes by itself: the logit lens (nostalgebraist, 2020). Asks nobody."""

from dataclasses import dataclass

import numpy as np

from gloss.errors import require_at_least
from gloss.explain.tokens_told import raises
from gloss.models.prompts import Conversation
from gloss.records import Examples, Explanation, Failure, Reason
from gloss.store.vocabulary import Vocabulary

METHOD = "vocabulary_projection"


@dataclass(frozen=True)
class VocabularyProjection:
    """Says what the direction says; sees no context. Fails where no token stands out from those of random directions."""

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
            detail = "no token's logit is raised further than random directions raise one, or no logits are read from here"
            return Failure(examples.feature, METHOD, Reason.NO_EFFECT, detail)
        return Explanation(examples.feature, raises(named), METHOD)
