"""Ask a language model what the feature's contexts have in common (Bills et al., 2023; Paulo et al., 2024)."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.errors import BadSettings
from gloss.explain.answers import read, sentence
from gloss.models.marks import Marks, Spelled, above, quoted, spell_all, suitable
from gloss.models.prompts import Conversation, Prompt, prompt_file
from gloss.records import Examples, Explanation, Failure, Reason
from gloss.store.vocabulary import Vocabulary

STRENGTHS = 10  # of the strongest activation; an integer is shorter than a float and says enough
ANSWER_TOKENS = 500


@dataclass(frozen=True)
class MaxActivating:
    """Shows contexts with their firing tokens between marks, and asks for one sentence."""

    asks: ClassVar[bool] = True
    contexts: int = 40  # shown at most; drawn evenly from those that were sampled
    threshold: float = 0.3  # of a context's maximum, above which a token is marked
    strengths: bool = True  # list the marked tokens with integer strengths from 0 to 10
    output_tokens: int = 0  # how many of the tokens whose logits the feature raises most are shown
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if self.contexts < 1 or not 0 <= self.threshold < 1:
            raise BadSettings(
                f"max_activating was given contexts={self.contexts} and threshold={self.threshold}, "
                "wants at least 1 context and a threshold from 0 to below 1"
            )

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """Ask once; the explanation, or a failure with its reason. `rng` draws contexts where more were sampled than shown."""
        if len(examples.shown) == 0:
            return Failure(examples.feature, "explain", Reason.TOO_FEW_EXAMPLES, "no context shows the feature firing")
        file = prompt_file("gloss.explain", "max_activating")
        chosen = examples.shown[drawn(len(examples.shown), self.contexts, rng)]
        spelled = spell_all(chosen, vocabulary)
        marks = suitable([(one.pieces, above(one, self.threshold)) for one in spelled])
        messages = file.fill(
            open=marks.open,
            close=marks.close,
            strengths=self.strengths,
            examples=[self.example(one, marks, examples.strongest) for one in spelled],
            output_tokens=[quoted(token) for token in examples.output_tokens[: self.output_tokens]],
        )
        [answer] = yield [Prompt(messages, ANSWER_TOKENS, self.temperature, reads=partial(sentence, messages=messages))]
        return read(answer, examples, file.sha256, messages)

    def example(self, spelled: Spelled, marks: Marks, strongest: float) -> dict[str, str]:
        """A context as the prompt shows it: its marked text, and the strengths of its marked tokens."""
        marked = above(spelled, self.threshold)
        tokens = [
            f"{quoted(spelled.pieces[position])} {strength(float(spelled.activations[position]), strongest)}"
            for position in np.flatnonzero(marked)
        ]
        return {"text": quoted(marks.wrap(spelled.pieces, marked)), "strengths": ", ".join(tokens)}


def drawn(available: int, wanted: int, rng: np.random.Generator) -> Int64[ndarray, " row"]:
    """Rows to show, in their order: all, or as many as wanted, each as likely as any other."""
    if available <= wanted:
        return np.arange(available)
    return np.sort(rng.choice(available, wanted, replace=False))


def strength(activation: float, strongest: float) -> int:
    """The activation in tenths of the feature's strongest, rounded up, from 0 to 10."""
    if strongest <= 0 or activation <= 0:
        return 0
    return int(min(STRENGTHS, np.ceil(np.float32(STRENGTHS * activation) / np.float32(strongest))))
