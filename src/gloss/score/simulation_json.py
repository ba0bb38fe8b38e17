"""How well a simulator foretells each token's activation, written out as JSON: for chats without log-probabilities."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.models.marks import numbered, quoted
from gloss.models.prompts import Answer, Conversation, Prompt, prompt_file
from gloss.records import Explanation, Failure, Score
from gloss.score.numbers import HIGHEST
from gloss.score.simulated import Foretold, simulated
from gloss.store.evidence import Evidence

OBJECT = re.compile(r"\{([^{}]*)\}")
PAIR = re.compile(r"\s*[\"']?(\d{1,6})[\"']?\s*:\s*[\"']?(-?\d+(?:\.\d*)?)[\"']?\s*")
TOKENS_A_NUMBER, TOKENS_AROUND = 8, 60  # of an answer, generously


@dataclass(frozen=True)
class SimulationJson:
    """One request a context: the tokens are numbered, and the answer gives a value to those that are not 0."""

    asks: ClassVar[bool] = True
    contexts: int = 100  # held out, half of them firing

    def __post_init__(self) -> None:
        if self.contexts < 2:
            raise BadSettings(f"simulation_json was given contexts={self.contexts}, wants at least 2")

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """Pearson's correlation over all tokens asked about; a failure where a side is empty."""
        return (yield from simulated("simulation_json", self, explanation, evidence, self.contexts, rng))

    def prompts(self, explanation: str, pieces: Sequence[str]) -> list[Prompt]:
        """The numbered tokens."""
        file = prompt_file("gloss.score", "simulation_json")
        messages = file.fill(explanation=quoted(explanation), tokens=numbered(pieces))
        reads = partial(parse, tokens=len(pieces))
        return [Prompt(messages, max_tokens=TOKENS_AROUND + TOKENS_A_NUMBER * len(pieces), reads=reads)]

    def foretold(self, answers: Sequence[Answer], prompts: Sequence[Prompt], pieces: Sequence[str]) -> Foretold:
        """The numbers of the answer; none at all where one of them makes no sense."""
        [answer] = answers
        values = None if answer.text is None else parse(answer.text, len(pieces))
        return Foretold.nothing(len(pieces), answer.reason) if values is None else Foretold(np.array(values))


def parse(text: str, tokens: int) -> list[float] | None:
    """The values in the last `{"activations": {...}}` of an answer, 0 where none is given; None where it cannot be read."""
    found = list(OBJECT.finditer(text))
    if not found:
        return None
    values = [0.0] * tokens
    for entry in filter(str.strip, found[-1][1].split(",")):
        pair = PAIR.fullmatch(entry)
        if pair is None or not 1 <= int(pair[1]) <= tokens or not 0 <= float(pair[2]) <= HIGHEST:
            return None
        values[int(pair[1]) - 1] = float(pair[2])
    return values
