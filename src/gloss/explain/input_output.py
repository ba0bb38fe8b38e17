"""Asks a language model with both kinds of evidence: where a feature fires, and what it makes the
subject say next.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.explain.max_activating import ANSWER_TOKENS, MaxActivating, draw_rows
from gloss.explain.output_tokens import reliable_rises
from gloss.explain.sentence_parsing import parse_explanation, parse_sentence
from gloss.models.chat_models.prompts import Conversation, Prompt, prompt_file
from gloss.models.chat_models.token_marks import (
    json_string,
    spell_contexts,
    suitable_marks,
    where_above,
)
from gloss.records import Ability, Examples, Explanation, Failure, Needs, Reason
from gloss.store.vocabulary import Vocabulary


@dataclass(frozen=True)
class InputOutput:
    """Shows marked contexts as `max_activating` does, and the tokens that the feature promotes.

    Asks for one sentence on both.
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,), effects=True)
    contexts: int = 40
    threshold: float = 0.3  # of a context's maximum, above which a token is marked
    strengths: bool = True
    # of either kind that is shown: promoted by the direction, risen when the feature was amplified
    tokens: int = 10
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise BadSettings(
                f"input_output was given tokens={self.tokens}, wants at least 1; max_activating"
                " shows none"
            )
        self.shows()

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """Ask once. Where nothing is promoted beyond chance the prompt says so.

        `rng` draws contexts as in `max_activating`.
        """
        if len(examples.train) == 0:
            return Failure(
                examples.feature,
                "explain",
                Reason.TOO_FEW_EXAMPLES,
                "no context shows the feature firing",
            )
        file = prompt_file("gloss.explain", "input_output")
        shows = self.shows()
        spelled = spell_contexts(
            examples.train[draw_rows(len(examples.train), self.contexts, rng)], vocabulary
        )
        marks = suitable_marks([(one.pieces, where_above(one, self.threshold)) for one in spelled])
        messages = file.fill(
            open=marks.open,
            close=marks.close,
            strengths=self.strengths,
            examples=[shows.example(one, marks, examples.strongest) for one in spelled],
            promoted=[json_string(token) for token in examples.output_tokens[: self.tokens]],
            risen=[
                json_string(shift.text) for shift in reliable_rises(examples.effects)[: self.tokens]
            ],
        )
        [answer] = yield [
            Prompt(
                messages,
                ANSWER_TOKENS,
                self.temperature,
                reads=partial(parse_sentence, messages=messages),
            )
        ]
        found = parse_explanation(answer, examples, file.sha256, messages)
        return replace(found, method="input_output") if isinstance(found, Explanation) else found

    def shows(self) -> MaxActivating:
        """How contexts are shown. Raises BadSettings for settings that make no sense."""
        return MaxActivating(self.contexts, self.threshold, self.strengths)
