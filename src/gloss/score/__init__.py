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

    Its class variable `needs` (`gloss.records.Needs`) says what else a run must give it: a language
    model to ask, near features, effects of interventions, new texts that the subject reads.
    """

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Ask whatever has to be asked; a score with its verdicts, or a failure with its reason."""
        ...


make_callable(__name__)
