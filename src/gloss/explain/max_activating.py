"""Ask a language model what the feature's contexts have in common (Bills et al., 2023; Paulo et
al., 2024): `max_activating`, and what it shares with others that show contexts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

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
ANSWER_TOKENS = 500  # of a sentence with a thought before it
SENTENCE_TOKENS = 120  # of a sentence alone


@dataclass(frozen=True)
class ContextPrompt:
    """The settings of an explainer that shows contexts, and how it asks with them.

    A subclass names its method and its prompt file alike, and gives what else fills the holes.
    """

    method: ClassVar[str]
    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,))

    contexts: int = 40  # shown at most; drawn evenly from those that were sampled
    context_tokens: int = 0  # shown of each, around its strongest token; 0 shows all of it
    threshold: float = 0.3  # of a context's maximum, above which a token is marked
    strengths: bool = True  # list the marked tokens with integer strengths from 0 to 10
    thought: bool = True  # the model thinks in a few sentences before it answers
    few_shots: bool = True  # worked examples come first
    temperature: float = 0.0
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        if self.contexts < 1 or not 0 <= self.threshold < 1:
            raise BadSettings(
                f"{self.method} was given contexts={self.contexts} and threshold={self.threshold},"
                " wants at least 1 context and a threshold from 0 to below 1"
            )
        for each in fields(self):
            value = getattr(self, each.name)
            if type(value) is int and value < 0:
                raise BadSettings(f"{self.method} was given {each.name}={value}, wants 0 or more")

    def evidence(self, examples: Examples) -> Mapping[str, Any]:
        """What fills the other holes of the prompt, by name."""
        return {}

    def silent(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> list[SpelledContext]:
        """Contexts to show in which the feature is inactive."""
        return []

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
        file = prompt_file("gloss.explain", self.method, self.prompt)
        chosen = examples.train[draw_rows(len(examples.train), self.contexts, rng)]
        firing = [
            cut_around(one, int(one.activations.argmax()), self.context_tokens)
            for one in spell_contexts(chosen, vocabulary)
        ]
        silent = self.silent(examples, vocabulary, rng)
        shown = [(one.pieces, where_above(one, self.threshold)) for one in (*firing, *silent)]
        marks = suitable_marks(shown)
        messages = file.fill(
            open=marks.open,
            close=marks.close,
            strengths=self.strengths,
            thought=self.thought,
            few_shots=self.few_shots,
            examples=[self.example(one, marks, examples.strongest) for one in firing],
            silent=[json_string(one.text) for one in silent],
            **self.evidence(examples),
        )
        [answer] = yield [
            Prompt(
                messages,
                ANSWER_TOKENS if self.thought else SENTENCE_TOKENS,
                self.temperature,
                reads=partial(parse_sentence, messages=messages),
            )
        ]
        return parse_explanation(answer, examples, file.sha256, messages, self.method)

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


@dataclass(frozen=True)
class MaxActivating(ContextPrompt):
    """Shows contexts with their firing tokens between marks, and asks for one sentence."""

    method: ClassVar[str] = "max_activating"
    output_tokens: int = 0  # how many of the tokens whose logits the feature raises most are shown

    def evidence(self, examples: Examples) -> Mapping[str, Any]:
        """The tokens that the feature makes the model write next, where they are wanted."""
        return {"output_tokens": json_strings(examples.output_tokens[: self.output_tokens])}


def draw_rows(available: int, wanted: int, rng: np.random.Generator) -> Int64[ndarray, " row"]:
    """Rows to show, in their order: all, or as many as wanted, each as likely as any other."""
    if available <= wanted:
        return np.arange(available)
    return np.sort(rng.choice(available, wanted, replace=False))


def cut_around(spelled: SpelledContext, at: int, tokens: int) -> SpelledContext:
    """So many tokens of a context, which stand around a position as the whole context does: a
    position at its end stays at the end. All of them where `tokens` is 0.
    """
    there = np.flatnonzero(spelled.counted | np.array([bool(one) for one in spelled.pieces]))
    if tokens == 0 or len(there) <= tokens:
        return spelled
    first, length = int(there[0]), int(there[-1] - there[0] + 1)
    start = first + round((at - first) * (length - tokens) / max(1, length - 1))
    kept = slice(start, start + tokens)
    return SpelledContext(spelled.pieces[kept], spelled.activations[kept], spelled.counted[kept])


def integer_strength(activation: float, strongest: float) -> int:
    """The activation in tenths of the feature's strongest, rounded up, from 0 to 10."""
    if strongest <= 0 or activation <= 0:
        return 0
    return int(min(STRENGTHS, np.ceil(np.float32(STRENGTHS * activation) / np.float32(strongest))))


def json_strings(tokens: Sequence[str]) -> list[str]:
    """Each token as a JSON string."""
    return [json_string(token) for token in tokens]
