"""Are these the tokens on which the feature fires? Asked of a judge who knows only the explanation (Paulo et al., 2024)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.models.marks import Marks, above, numbered, quoted, spell_all, suitable
from gloss.models.prompts import Conversation, prompt_file
from gloss.records import Explanation, Failure, Score
from gloss.score.asking import Asking, Item, judge
from gloss.score.marks import Marked, marked_alike
from gloss.score.verdicts import scored, too_few
from gloss.store.evidence import Evidence


@dataclass(frozen=True)
class Fuzzing:
    """Shows held-out contexts with marked tokens: those on which the feature fires, or others where it is silent."""

    asks: ClassVar[bool] = True
    correctable: ClassVar[bool] = True
    packs: ClassVar[bool] = True
    contexts_per_question: int = 0  # as for detection
    form: str = "auto"  # as for detection
    threshold: float = 0.3  # of a context's maximum, above which a token is marked
    alternatives: int = 5  # asked for at each token of an answer; gives probabilities where the server gives log-probabilities
    precision: float = 0.0  # stops asking when balanced accuracy is known to within this; 0 asks about every item

    def __post_init__(self) -> None:
        self.asking()
        if not 0 <= self.threshold < 1:
            raise BadSettings(f"fuzzing was given threshold={self.threshold}, wants a threshold from 0 to below 1")

    def asking(self) -> Asking:
        """How the judge is asked."""
        return Asking("fuzzing", self.contexts_per_question, self.form, self.alternatives, self.precision)

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """Ask about items; the score, or a failure where a side is empty."""
        examples = evidence.examples
        items = self.items(evidence, rng)
        firing = sum(item.firing for item in items)
        if firing == 0 or firing == len(items):
            return too_few(explanation, firing, len(items) - firing)
        marks = suitable([(item.spelled.pieces, item.marks) for item in items])
        file = prompt_file("gloss.score", "fuzzing")
        said = yield from judge(
            [self.shown(item, marks, evidence) for item in items],
            lambda texts, form, again: file.fill(
                explanation=quoted(explanation.text),
                contexts=numbered(texts),
                open=marks.open,
                close=marks.close,
                form=form,
                again=again,
            ),
            self.asking(),
            rng,
        )
        return scored("fuzzing", explanation, said, examples, rng)

    def items(self, evidence: Evidence, rng: np.random.Generator) -> list[Marked]:
        """What the judge is shown: firing contexts with their own marks, silent ones with marks of the same law."""
        vocabulary = evidence.corpus.vocabulary
        firing = spell_all(evidence.examples.held_out, vocabulary)
        silent = spell_all(evidence.examples.silent_held_out, vocabulary)
        return marked_alike([(spelled, above(spelled, self.threshold)) for spelled in firing], silent, rng)

    def shown(self, item: Marked, marks: Marks, evidence: Evidence) -> Item:
        """The item as the judge reads it."""
        contexts = evidence.examples.held_out if item.firing else evidence.examples.silent_held_out
        return Item(int(contexts.starts[item.row]), item.firing, marks.wrap(item.spelled.pieces, item.marks))
