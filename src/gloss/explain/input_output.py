"""Asks a language model with both kinds of evidence: where a feature fires, and what it makes the subject say next."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.explain.answers import read, sentence
from gloss.explain.max_activating import ANSWER_TOKENS, MaxActivating, drawn
from gloss.explain.token_change import risen
from gloss.models.marks import above, quoted, spell_all, suitable
from gloss.models.prompts import Conversation, Prompt, prompt_file
from gloss.records import Examples, Explanation, Failure, Reason
from gloss.store.vocabulary import Vocabulary


@dataclass(frozen=True)
class InputOutput:
    """Shows marked contexts as `max_activating` does, and the tokens that the feature promotes; asks for one sentence on both."""

    asks: ClassVar[bool] = True
    reads_effects: ClassVar[bool] = True
    contexts: int = 40
    threshold: float = 0.3  # of a context's maximum, above which a token is marked
    strengths: bool = True
    tokens: int = 10  # of either kind that is shown: promoted by the direction, risen when the feature was amplified
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise BadSettings(f"input_output was given tokens={self.tokens}, wants at least 1; max_activating shows none")
        self.shows()

    def explain(
        self, examples: Examples, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """Ask once. Where nothing is promoted beyond chance the prompt says so. `rng` draws contexts as in `max_activating`."""
        if len(examples.shown) == 0:
            return Failure(examples.feature, "explain", Reason.TOO_FEW_EXAMPLES, "no context shows the feature firing")
        file = prompt_file("gloss.explain", "input_output")
        shows = self.shows()
        spelled = spell_all(examples.shown[drawn(len(examples.shown), self.contexts, rng)], vocabulary)
        marks = suitable([(one.pieces, above(one, self.threshold)) for one in spelled])
        messages = file.fill(
            open=marks.open,
            close=marks.close,
            strengths=self.strengths,
            examples=[shows.example(one, marks, examples.strongest) for one in spelled],
            promoted=[quoted(token) for token in examples.output_tokens[: self.tokens]],
            risen=[quoted(shift.text) for shift in risen(examples.effects)[: self.tokens]],
        )
        [answer] = yield [Prompt(messages, ANSWER_TOKENS, self.temperature, reads=partial(sentence, messages=messages))]
        found = read(answer, examples, file.sha256, messages)
        return replace(found, method="input_output") if isinstance(found, Explanation) else found

    def shows(self) -> MaxActivating:
        """How contexts are shown. Raises BadSettings for settings that make no sense."""
        return MaxActivating(self.contexts, self.threshold, self.strengths)
