"""Does the feature fire in texts that were written from its explanation? (As the clarity of FADE: Puri et al., 2025.)"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.models.marks import quoted
from gloss.models.prompts import Answer, Conversation, Prompt, prompt_file
from gloss.records import Explanation, Failure, Reason, Score
from gloss.score.fired import Attempt, estimates, fired, unwritten
from gloss.store.evidence import Evidence, Reader

METHOD = "generation"
TOKENS_A_TEXT = 80
TOKENS_AROUND = 100
QUOTABLE = 4  # words; an explanation of fewer may stand in a text by right


@dataclass(frozen=True)
class Generation:
    """A language model writes texts that fit the explanation, and others that fit anything; the subject reads both."""

    asks: ClassVar[bool] = True
    reads_texts: ClassVar[bool] = True
    texts: int = 20  # of either kind
    temperature: float = 1.0
    fits_anything: str = "Various unrelated texts."  # the description that the contrast is written from

    def __post_init__(self) -> None:
        if self.texts < 1:
            raise BadSettings(f"generation was given texts={self.texts}, wants at least 1")

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """Ask once for texts of either kind. Raises ValueError where the evidence has no reader."""
        if evidence.reader is None:
            raise ValueError("generation runs the subject over texts: give evidence with a reader")
        own, contrast = yield [self.prompt(explanation.text), self.prompt(self.fits_anything)]
        written = fired(attempts(own, explanation.text, self.texts, evidence.reader), evidence, truth=True)
        others = fired(attempts(contrast, self.fits_anything, self.texts, evidence.reader), evidence, truth=False)
        return Score(
            feature=evidence.examples.feature,
            method=METHOD,
            explained_by=explanation.method,
            n=self.texts,
            failed=written.failed,
            estimates=estimates(written, others, evidence, rng),
            headline="firing_above_chance",
            verdicts=written.verdicts + others.verdicts,
        )

    def prompt(self, description: str) -> Prompt:
        """The request for texts that fit a description."""
        messages = prompt_file("gloss.score", METHOD).fill(description=quoted(description), number=self.texts)
        return Prompt(messages, TOKENS_AROUND + TOKENS_A_TEXT * self.texts, self.temperature, reads=parse)


def attempts(answer: Answer, description: str, number: int, reader: Reader) -> list[Attempt]:
    """So many texts, as the subject reads them. What is missing, empty, said twice or quotes its description has a reason."""
    texts = None if answer.text is None else parse(answer.text)
    if texts is None:
        return unwritten(answer, number)
    given = plain(description)
    known: set[str] = set()
    found: list[Attempt] = []
    for text in texts[:number]:
        said = plain(text)
        quotes = len(given.split()) >= QUOTABLE and given in said
        tokens = reader.encode(text)
        if said in known or quotes:
            found.append(Attempt(None, Reason.REPEATED))
        else:
            found.append(Attempt(tokens) if said and len(tokens) else Attempt(None, Reason.UNPARSABLE))
        known.add(said)
    return found + [Attempt(None, Reason.UNPARSABLE)] * (number - len(found))


def plain(text: str) -> str:
    """A text without what makes no other text of it: case, blanks, quotes around it."""
    return " ".join(text.lower().split()).strip("\"'`.")


def parse(text: str) -> list[str] | None:
    """The last list of texts in an answer, bare or under `texts`, whatever stands around it; None where there is none."""
    found: list[str] | None = None
    for value in values_in(text):
        listed = value.get("texts") if isinstance(value, dict) else value
        if isinstance(listed, list) and listed and all(isinstance(one, str) for one in listed):
            found = listed
    return found


def values_in(text: str) -> Iterator[Any]:
    """Every outermost object or list of JSON in a text."""
    decoder, place = json.JSONDecoder(strict=False), 0
    while place < len(text):
        if text[place] in "{[":
            try:
                value, place = decoder.raw_decode(text, place)
            except json.JSONDecodeError:
                place += 1
                continue
            yield value
        else:
            place += 1
