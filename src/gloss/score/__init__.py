"""Stage 5: how well words predict their feature on text that they never saw."""

from typing import Protocol, runtime_checkable

import numpy as np

from gloss.callable_package import make_callable
from gloss.models.chat_models.prompts import Conversation
from gloss.records import Explanation, Failure, Score
from gloss.store.evidence import Evidence


@runtime_checkable
class Scorer(Protocol):
    """Judges an explanation by evidence that it was not made from.

    A scorer is a frozen dataclass whose fields are its settings, under the entry point
    `gloss.score`.
    Its class variable `needs` (`gloss.records.Needs`) says what else a run must give it: a language
    model to ask, near features, effects of interventions, new texts that the subject reads.

        >>> from gloss.score.execution import Execution
        >>> try:
        ...     next(Execution().score(feature.explanation, feature.evidence, rng))
        ... except StopIteration as over:
        ...     over.value.headline
        'f1'
    """

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Yield prompts, if any; return a score with its verdicts, or a failure with its reason.

        Each `yield` gives a list of prompts and is sent their answers in the same order.
        """
        ...


make_callable(__name__)
