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

    Class variables say what it needs: `asks = True` a language model, and `needs` what that must be
    able to do if not a chat alone; `reads_neighbours = True` the evidence of near features,
    `reads_texts = True` the subject, to run it over other texts than the corpus, `reads_explanation
    = False` no explanation, so that it is made once a feature and has no controls. `correctable =
    True` says that its verdicts are a judge's yes or no on contexts of known truth, so that the
    judge's errors can be measured and taken out.
    """

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Ask whatever has to be asked; a score with its verdicts, or a failure with its reason."""
        ...


make_callable(__name__)
