"""Does the feature fire in texts that were written from its explanation?

(As the clarity of FADE: Puri et al., 2025.)
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.models.chat_models.json_in_text import json_values
from gloss.models.chat_models.prompts import Answer, Conversation, Prompt, prompt_file
from gloss.models.chat_models.token_marks import json_string
from gloss.records import Ability, Explanation, Failure, Needs, Reason, Score
from gloss.score.new_texts import (
    TextAttempt,
    active_in_new_texts,
    new_text_estimates,
    require_reader,
    unwritten_attempts,
)
from gloss.store.evidence import Evidence, NewTextReader

METHOD = "generation"
TOKENS_A_TEXT = 80
TOKENS_AROUND = 100
QUOTABLE = 4  # words; an explanation of fewer may stand in a text by right


@dataclass(frozen=True)
class Generation:
    """A language model writes texts that fit the explanation, and others that fit anything.

    The subject reads both.
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,), texts=True)
    texts: int = 20  # of either kind
    temperature: float = 1.0
    # the description that the contrast is written from
    fits_anything: str = "Various unrelated texts."
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        if self.texts < 1:
            raise BadSettings(f"generation was given texts={self.texts}, wants at least 1")

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Ask once for texts of either kind. Raises BadInput where the evidence has no reader."""
        reader = require_reader(evidence, METHOD)
        own, contrast = yield [self.request(explanation.text), self.request(self.fits_anything)]
        written = active_in_new_texts(
            read_attempts(own, explanation.text, self.texts, reader), evidence, truth=True
        )
        others = active_in_new_texts(
            read_attempts(contrast, self.fits_anything, self.texts, reader),
            evidence,
            truth=False,
        )
        return Score(
            feature=evidence.examples.feature,
            method=METHOD,
            explained_by=explanation.method,
            n=self.texts,
            failed=written.failed,
            estimates=new_text_estimates(written, others, evidence, rng),
            headline="firing_above_chance",
            verdicts=written.verdicts + others.verdicts,
        )

    def request(self, description: str) -> Prompt:
        """The request for texts that fit a description."""
        messages = prompt_file("gloss.score", METHOD, self.prompt).fill(
            description=json_string(description), number=self.texts
        )
        return Prompt(
            messages,
            TOKENS_AROUND + TOKENS_A_TEXT * self.texts,
            self.temperature,
            reads=parse_texts,
        )


def read_attempts(
    answer: Answer, description: str, number: int, reader: NewTextReader
) -> list[TextAttempt]:
    """So many texts, as the subject reads them.

    What is missing, empty, said twice or quotes its description has a reason.
    """
    texts = None if answer.text is None else parse_texts(answer.text)
    if texts is None:
        return unwritten_attempts(answer, number)
    given = text_key(description)
    known: set[str] = set()
    found: list[TextAttempt] = []
    for text in texts[:number]:
        said = text_key(text)
        quotes = len(given.split()) >= QUOTABLE and given in said
        tokens = reader.encode(text)
        if said in known or quotes:
            found.append(TextAttempt(None, Reason.REPEATED))
        else:
            found.append(
                TextAttempt(tokens)
                if said and len(tokens)
                else TextAttempt(None, Reason.UNPARSABLE)
            )
        known.add(said)
    return found + [TextAttempt(None, Reason.UNPARSABLE)] * (number - len(found))


def text_key(text: str) -> str:
    """A text without what makes no other text of it: case, blanks, quotes around it."""
    return " ".join(text.lower().split()).strip("\"'`.")


def parse_texts(text: str) -> list[str] | None:
    """The last list of texts in an answer, bare or under `texts`, whatever stands around it; None
    where there is none.
    """
    found: list[str] | None = None
    for value in json_values(text):
        listed = value.get("texts") if isinstance(value, dict) else value
        if isinstance(listed, list) and listed and all(isinstance(one, str) for one in listed):
            found = listed
    return found
