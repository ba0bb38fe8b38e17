"""How well a simulator foretells each token's activation, asked of one token at a time (Bills et al., 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.models.capabilities import Need
from gloss.models.marks import quoted
from gloss.models.prompts import Answer, Conversation, Prompt, prompt_file
from gloss.records import Explanation, Failure, Reason, Score
from gloss.score.numbers import HIGHEST, expected
from gloss.score.simulated import Foretold, simulated
from gloss.store.evidence import Evidence

MAX_TOKENS = 3  # some models begin with a space


@dataclass(frozen=True)
class SimulationByToken:
    """One request a token, for chats that give log-probabilities of what they generate and none of the prompt."""

    asks: ClassVar[bool] = True
    needs: ClassVar[tuple[Need, ...]] = (Need.CHAT, Need.LOGPROBS)
    contexts: int = 10  # held out, half of them firing
    alternatives: int = 20  # the most that chat completions give

    def __post_init__(self) -> None:
        if self.contexts < 2 or not 1 <= self.alternatives <= 20:
            raise BadSettings(f"simulation_by_token was given {self}, wants contexts from 2 and alternatives from 1 to 20")

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """Pearson's correlation over all tokens asked about; a failure where a side is empty."""
        return (yield from simulated("simulation_by_token", self, explanation, evidence, self.contexts, rng))

    def prompts(self, explanation: str, pieces: Sequence[str]) -> list[Prompt]:
        """The text up to each token, and the token."""
        file = prompt_file("gloss.score", "simulation_by_token")
        asked: list[Prompt] = []
        for number, piece in enumerate(pieces, start=1):
            text = quoted("".join(pieces[:number]))
            messages = file.fill(explanation=quoted(explanation), text=text, token=quoted(piece))
            asked.append(Prompt(messages, MAX_TOKENS, top_logprobs=self.alternatives, needs_logprobs=True, cut_short=True))
        return asked

    def foretold(self, answers: Sequence[Answer], prompts: Sequence[Prompt], pieces: Sequence[str]) -> Foretold:
        """The expected value of each answer's first token that could be a number."""
        values = np.array([value(answer) for answer in answers], dtype=np.float64)
        reasons = [answer.reason or Reason.UNPARSABLE for answer, one in zip(answers, values, strict=True) if np.isnan(one)]
        return Foretold(values, reasons[0] if reasons else None)


def value(answer: Answer) -> float:
    """The expected number; not a number where there is none."""
    for token in answer.logprobs or ():
        found = expected(token.alternatives or ((token.token, token.logprob),), HIGHEST)
        if not np.isnan(found):
            return found
    return float("nan")
