"""Does the feature fire in this context? Asked of a judge who knows only the explanation (Paulo et al., 2024)."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.models.marks import numbered, quoted
from gloss.models.prompts import Conversation, prompt_file
from gloss.records import Contexts, Explanation, Failure, Score
from gloss.score.asking import Asking, Item, judge
from gloss.score.verdicts import scored, too_few
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary
from gloss.store.whole import texts_of


@dataclass(frozen=True)
class Detection:
    """Shows held-out contexts as plain text, firing and silent ones mixed."""

    asks: ClassVar[bool] = True
    correctable: ClassVar[bool] = True
    packs: ClassVar[bool] = True
    contexts_per_question: int = 0  # 0: 25, or what a run finds to be as good as one at a time
    form: str = "auto"  # of the question: numbered, list, single; auto is measured with it
    alternatives: int = 5  # asked for at each token of an answer; gives probabilities where the server gives log-probabilities
    precision: float = 0.0  # stops asking when balanced accuracy is known to within this; 0 asks about every context

    def __post_init__(self) -> None:
        self.asking()

    def asking(self) -> Asking:
        """How the judge is asked."""
        return Asking("detection", self.contexts_per_question, self.form, self.alternatives, self.precision)

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """Ask about held-out contexts; the score, or a failure where a side is empty."""
        examples, vocabulary = evidence.examples, evidence.corpus.vocabulary
        firing, silent = examples.held_out, examples.silent_held_out
        if len(firing) == 0 or len(silent) == 0:
            return too_few(explanation, len(firing), len(silent))
        file = prompt_file("gloss.score", "detection")
        items = [*plain(firing, vocabulary, truth=True), *plain(silent, vocabulary, truth=False)]
        said = yield from judge(
            items,
            lambda texts, form, again: file.fill(
                explanation=quoted(explanation.text), contexts=numbered(texts), form=form, again=again
            ),
            self.asking(),
            rng,
        )
        return scored("detection", explanation, said, examples, rng)


def plain(contexts: Contexts, vocabulary: Vocabulary, *, truth: bool) -> Generator[Item, None, None]:
    """Contexts as unmarked text."""
    for start, text in zip(contexts.starts, texts_of(contexts, vocabulary), strict=True):
        yield Item(int(start), truth, text)
