"""Stage 4: contexts become words."""

from typing import Protocol, runtime_checkable

import numpy as np

from gloss.callable_package import make_callable
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Examples, Explanation, Failure
from gloss.store.vocabulary import Vocabulary


@runtime_checkable
class Explainer(Protocol):
    """Says what a feature means, from contexts of the train split alone."""

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """Ask whatever has to be asked; an explanation, or a failure with its reason."""
        ...


make_callable(__name__)
