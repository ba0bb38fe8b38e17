"""Ask a language model what sets the contexts in which a feature fires apart from silent ones, near
misses first (Paulo et al., 2024).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.explain.max_activating import ContextPrompt, cut_around, draw_rows
from gloss.models.chat_models.prompts import Conversation
from gloss.models.chat_models.token_marks import SpelledContext, spell_contexts
from gloss.records import Examples, Explanation, Failure, Negative, Reason
from gloss.store.vocabulary import Vocabulary


@dataclass(frozen=True)
class Contrastive(ContextPrompt):
    """Shows marked contexts beside silent ones, and asks for one sentence on what sets them apart.

    Near misses are shown first: silent contexts that hold a token at which the feature often fires,
    or that were sampled as near it. Random ones fill up where these are few.
    """

    method: ClassVar[str] = "contrastive"
    silent_contexts: int = 20  # shown at most

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.silent_contexts < 1:
            raise BadSettings(
                f"contrastive was given silent_contexts={self.silent_contexts}, wants at least 1;"
                " max_activating shows none"
            )

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """Ask once; a failure, too, where no silent context was sampled."""
        if len(examples.inactive_train) == 0:
            detail = "no silent context was sampled; give [contexts] inactive_train above 0"
            return Failure(examples.feature, "explain", Reason.TOO_FEW_EXAMPLES, detail)
        return (yield from super().explain(examples, vocabulary, rng))

    def silent(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> list[SpelledContext]:
        """Near misses, and random ones behind them, each around a token that it is near by."""
        inactive = examples.inactive_train
        near = inactive.quantiles != Negative.RANDOM
        misses, others = np.flatnonzero(near), np.flatnonzero(~near)
        first = misses[draw_rows(len(misses), self.silent_contexts, rng)]
        more = others[draw_rows(len(others), self.silent_contexts - len(first), rng)]
        chosen = inactive[np.concatenate([first, more])]
        top = np.isin(chosen.tokens, examples.top_tokens)
        middle = chosen.tokens.shape[1] // 2
        return [
            cut_around(one, int(holds.argmax()) if holds.any() else middle, self.context_tokens)
            for one, holds in zip(spell_contexts(chosen, vocabulary), top, strict=True)
        ]
