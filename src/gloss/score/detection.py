"""Does the feature fire in this context?

Asked of a judge who knows only the explanation (Paulo et al., 2024).
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.models.chat_models.prompts import Conversation, prompt_file
from gloss.models.chat_models.token_marks import json_string, numbered_lines
from gloss.records import Ability, Contexts, Explanation, Failure, Needs, Score
from gloss.score.judge.questions import JudgedItem, QuestionSettings, ask_judge
from gloss.score.judge.verdict_metrics import too_few_contexts, verdict_score
from gloss.store.context_text import context_texts
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary


@dataclass(frozen=True)
class Detection:
    """Shows held-out contexts as plain text, firing and inactive ones mixed."""

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,), correctable=True, packs=True)
    contexts_per_question: int = 0  # 0: 25, or what a run finds to be as good as one at a time
    form: str = "auto"  # of the question: numbered, list, single; auto is measured with it
    # asked for at each token of an answer; gives probabilities where the server gives
    # log-probabilities
    alternatives: int = 5
    # stops asking when balanced accuracy is known to within this; 0 asks about every context
    precision: float = 0.0
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        self.question_settings()

    def question_settings(self) -> QuestionSettings:
        """How the judge is asked."""
        return QuestionSettings(
            "detection", self.contexts_per_question, self.form, self.alternatives, self.precision
        )

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Ask about held-out contexts; the score, or a failure where a side is empty."""
        examples, vocabulary = evidence.examples, evidence.corpus.vocabulary
        firing, inactive = examples.held_out, examples.inactive_held_out
        if len(firing) == 0 or len(inactive) == 0:
            return too_few_contexts(explanation, len(firing), len(inactive))
        file = prompt_file("gloss.score", "detection", self.prompt)
        items = [
            *unmarked_items(firing, vocabulary, truth=True),
            *unmarked_items(inactive, vocabulary, truth=False),
        ]
        said = yield from ask_judge(
            items,
            lambda texts, form, again: file.fill(
                explanation=json_string(explanation.text),
                contexts=numbered_lines(texts),
                form=form,
                again=again,
            ),
            self.question_settings(),
            rng,
        )
        return verdict_score("detection", explanation, said, examples, rng)


def unmarked_items(
    contexts: Contexts, vocabulary: Vocabulary, *, truth: bool
) -> Generator[JudgedItem, None, None]:
    """Contexts as unmarked text."""
    for start, text in zip(contexts.starts, context_texts(contexts, vocabulary), strict=True):
        yield JudgedItem(int(start), truth, text)
