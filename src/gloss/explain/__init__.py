"""Stage 4: contexts become words."""

from typing import Protocol, runtime_checkable

import numpy as np

from gloss.callable_package import make_callable
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Examples, Explanation, Failure
from gloss.store.vocabulary import Vocabulary


@runtime_checkable
class Explainer(Protocol):
    """Says what a feature means, from contexts of the train split alone.

    An explainer is a frozen dataclass whose fields are its settings, under the entry point
    `gloss.explain`. Its class variable `needs` (`gloss.records.Needs`) says what else a run must
    give it.

        >>> from gloss.explain.rule_search.search import RuleSearch
        >>> shown = feature.examples.for_explainer()
        >>> asked = RuleSearch().explain(shown, feature.evidence.corpus.vocabulary, rng)
        >>> try:
        ...     next(asked)  # a rule asks nobody, so its conversation ends at once
        ... except StopIteration as over:
        ...     over.value.method
        'rule'
    """

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """Yield prompts, if any, and return an explanation, or a failure with its reason.

        Each `yield` gives a list of prompts and is sent their answers in the same order.
        """
        ...


make_callable(__name__)
