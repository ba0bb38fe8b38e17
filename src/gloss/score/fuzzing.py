"""Are these the tokens on which the feature fires?

Asked of a judge who knows only the explanation (Paulo et al., 2024).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from gloss.errors import BadSettings
from gloss.models.chat_models.prompts import Conversation, prompt_file
from gloss.models.chat_models.token_marks import (
    Marks,
    SpelledContext,
    json_string,
    numbered_lines,
    spell_contexts,
    suitable_marks,
    where_above,
)
from gloss.records import Ability, Explanation, Failure, Needs, Score
from gloss.score.judge.questions import JudgedItem, QuestionSettings, ask_judge
from gloss.score.judge.verdict_metrics import too_few_contexts, verdict_score
from gloss.score.mark_matching import MarkedItem, match_marks
from gloss.store.evidence import Evidence
from gloss.store.identity_cache import once_for_each


@dataclass(frozen=True)
class Fuzzing:
    """Shows held-out contexts with marked tokens: those on which the feature fires, or others where
    it is inactive.
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,), correctable=True, packs=True)
    contexts_per_question: int = 0  # as for detection
    form: str = "auto"  # as for detection
    threshold: float = 0.3  # of a context's maximum, above which a token is marked
    # asked for at each token of an answer; gives probabilities where the server gives
    # log-probabilities
    alternatives: int = 5
    # stops asking when balanced accuracy is known to within this; 0 asks about every item
    precision: float = 0.0
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        self.question_settings()
        if not 0 <= self.threshold < 1:
            raise BadSettings(
                f"fuzzing was given threshold={self.threshold}, wants a threshold from 0 to below 1"
            )

    def question_settings(self) -> QuestionSettings:
        """How the judge is asked."""
        return QuestionSettings(
            "fuzzing", self.contexts_per_question, self.form, self.alternatives, self.precision
        )

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Ask about items; the score, or a failure where a side is empty."""
        examples = evidence.examples
        items = self.judged_items(evidence, rng)
        firing = sum(item.firing for item in items)
        if firing == 0 or firing == len(items):
            return too_few_contexts(explanation, firing, len(items) - firing)
        marks = suitable_marks([(item.spelled.pieces, item.marks) for item in items])
        file = prompt_file("gloss.score", "fuzzing", self.prompt)
        said = yield from ask_judge(
            [self.judged_item(item, marks, evidence) for item in items],
            lambda texts, form, again: file.fill(
                explanation=json_string(explanation.text),
                contexts=numbered_lines(texts),
                open=marks.open,
                close=marks.close,
                form=form,
                again=again,
            ),
            self.question_settings(),
            rng,
        )
        return verdict_score("fuzzing", explanation, said, examples, rng)

    def judged_items(self, evidence: Evidence, rng: np.random.Generator) -> list[MarkedItem]:
        """What the judge is shown: firing contexts with their own marks, inactive ones with marks
        of the same law.
        """
        vocabulary = evidence.corpus.vocabulary
        firing = spell_contexts(evidence.examples.held_out, vocabulary)
        inactive = spell_contexts(evidence.examples.inactive_held_out, vocabulary)
        return match_marks(mark_firing(firing, self.threshold), inactive, rng)

    def judged_item(self, item: MarkedItem, marks: Marks, evidence: Evidence) -> JudgedItem:
        """The item as the judge reads it."""
        contexts = (
            evidence.examples.held_out if item.firing else evidence.examples.inactive_held_out
        )
        return JudgedItem(
            int(contexts.starts[item.row]), item.firing, marks.wrap(item.spelled.pieces, item.marks)
        )


@once_for_each(32)  # of a feature, for each of its explanations and controls
def mark_firing(
    firing: tuple[SpelledContext, ...], threshold: float
) -> tuple[tuple[SpelledContext, Bool[ndarray, " position"]], ...]:
    """Each firing context with its own marks."""
    return tuple((spelled, where_above(spelled, threshold)) for spelled in firing)
