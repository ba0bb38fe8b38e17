"""Ask a language model what the feature's contexts have in common (Bills et al., 2023; Paulo et
al., 2024).
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.errors import BadSettings
from gloss.explain.sentence_parsing import parse_explanation, parse_sentence
from gloss.models.chat_models.prompts import Conversation, Prompt, prompt_file
from gloss.models.chat_models.token_marks import (
    Marks,
    SpelledContext,
    json_string,
    spell_contexts,
    suitable_marks,
    where_above,
)
from gloss.records import Ability, Examples, Explanation, Failure, Needs, Reason
from gloss.store.vocabulary import Vocabulary

STRENGTHS = 10  # of the strongest activation; an integer is shorter than a float and says enough
ANSWER_TOKENS = 500


@dataclass(frozen=True)
class MaxActivating:
    """Shows contexts with their firing tokens between marks, and asks for one sentence."""

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,))
    contexts: int = 40  # shown at most; drawn evenly from those that were sampled
    threshold: float = 0.3  # of a context's maximum, above which a token is marked
    strengths: bool = True  # list the marked tokens with integer strengths from 0 to 10
    output_tokens: int = 0  # how many of the tokens whose logits the feature raises most are shown
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if self.contexts < 1 or not 0 <= self.threshold < 1:
            raise BadSettings(
                f"max_activating was given contexts={self.contexts} and threshold={self.threshold},"
                " wants at least 1 context and a threshold from 0 to below 1"
            )

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """Ask once; the explanation, or a failure with its reason.

        `rng` draws contexts where more were sampled than shown.
        """
        if len(examples.train) == 0:
            return Failure(
                examples.feature,
                "explain",
                Reason.TOO_FEW_EXAMPLES,
                "no context shows the feature firing",
            )
        file = prompt_file("gloss.explain", "max_activating")
        chosen = examples.train[draw_rows(len(examples.train), self.contexts, rng)]
        spelled = spell_contexts(chosen, vocabulary)
        marks = suitable_marks([(one.pieces, where_above(one, self.threshold)) for one in spelled])
        messages = file.fill(
            open=marks.open,
            close=marks.close,
            strengths=self.strengths,
            examples=[self.example(one, marks, examples.strongest) for one in spelled],
            output_tokens=[
                json_string(token) for token in examples.output_tokens[: self.output_tokens]
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
        return parse_explanation(answer, examples, file.sha256, messages)

    def example(self, spelled: SpelledContext, marks: Marks, strongest: float) -> dict[str, str]:
        """A context as the prompt shows it: its marked text, and the strengths of its marked
        tokens.
        """
        marked = where_above(spelled, self.threshold)
        tokens = [
            f"{json_string(spelled.pieces[position])}"
            f" {integer_strength(float(spelled.activations[position]), strongest)}"
            for position in np.flatnonzero(marked)
        ]
        return {
            "text": json_string(marks.wrap(spelled.pieces, marked)),
            "strengths": ", ".join(tokens),
        }


def draw_rows(available: int, wanted: int, rng: np.random.Generator) -> Int64[ndarray, " row"]:
    """Rows to show, in their order: all, or as many as wanted, each as likely as any other."""
    if available <= wanted:
        return np.arange(available)
    return np.sort(rng.choice(available, wanted, replace=False))


def integer_strength(activation: float, strongest: float) -> int:
    """The activation in tenths of the feature's strongest, rounded up, from 0 to 10."""
    if strongest <= 0 or activation <= 0:
        return 0
    return int(min(STRENGTHS, np.ceil(np.float32(STRENGTHS * activation) / np.float32(strongest))))
