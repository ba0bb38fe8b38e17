"""How well a simulator foretells each token's activation, all at once by log-probabilities of the prompt (Bills et al., 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.models.capabilities import Need
from gloss.models.marks import quoted
from gloss.models.prompts import PLAIN, Answer, Conversation, Message, Prompt, prompt_file
from gloss.records import Explanation, Failure, Reason, Score
from gloss.score.numbers import HIGHEST, expected, visible
from gloss.score.simulated import Foretold, simulated
from gloss.store.evidence import Evidence

UNKNOWN = "?"  # stands for each activation; no tokenizer joins it to the tab before it, as they do with letters


@dataclass(frozen=True)
class Simulation:
    """One request a context: at each token, how likely the simulator holds each number where the text says `?`."""

    asks: ClassVar[bool] = True
    needs: ClassVar[tuple[Need, ...]] = (Need.OWN_TEXT,)
    contexts: int = 100  # held out, half of them firing
    worked_examples: int = 3  # in the prompt, three at most
    highest: int = HIGHEST  # 9 for tokenizers that write 10 as two tokens
    alternatives: int = 20  # that the server is asked for at each token; vLLM gives 20 at most unless told otherwise

    def __post_init__(self) -> None:
        if self.contexts < 2 or not 1 <= self.worked_examples <= 3 or not 1 <= self.highest <= 99 or self.alternatives < 1:
            raise BadSettings(
                f"simulation was given {self}, wants contexts from 2, worked_examples from 1 to 3, highest from 1 to 99 and "
                "alternatives from 1"
            )

    def score(self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator) -> Conversation[Score | Failure]:
        """Pearson's correlation over all tokens asked about; a failure where a side is empty."""
        return (yield from simulated("simulation", self, explanation, evidence, self.contexts, rng))

    def prompts(self, explanation: str, pieces: Sequence[str]) -> list[Prompt]:
        """The worked examples, then the context with every activation unknown."""
        turns = prompt_file("gloss.score", "simulation").fill(explanation=quoted(explanation), at=self.at, tab="\t")
        shown = (turns[0], *turns[1 : 1 + self.worked_examples], turns[-1])
        lines = "".join(f"{visible(piece)}\t{UNKNOWN}\n" for piece in pieces)
        text = "\n\n".join(turn.text for turn in shown) + "\n" + lines
        return [Prompt((Message(PLAIN, text),), max_tokens=1, prompt_logprobs=self.alternatives)]

    def at(self, value: int) -> int:
        """A number of the worked examples, which are written from 0 to 10, on the scale in use."""
        return round(value * self.highest / HIGHEST)

    def foretold(self, answers: Sequence[Answer], prompts: Sequence[Prompt], pieces: Sequence[str]) -> Foretold:
        """The expected value where each `?` stands. Raises BadSettings where the highest number is no single token."""
        [answer], [prompt] = answers, prompts
        if answer.prompt_logprobs is None or prompt.plain is None:
            return Foretold.nothing(len(pieces), answer.reason)
        tokens = {one.start: one for one in answer.prompt_logprobs if one.end > one.start}
        at = prompt.plain.find(f"\t{self.highest}\n") + 1
        if at in tokens and tokens[at].end < at + len(str(self.highest)):
            raise BadSettings(f"this tokenizer writes {self.highest} as several tokens; give simulation the setting highest = 9")
        at, values = len(prompt.plain) - sum(len(visible(piece)) + 3 for piece in pieces), []
        for piece in pieces:
            at += len(visible(piece)) + 1
            values.append(expected(tokens[at].alternatives, self.highest) if at in tokens else np.nan)
            at += 2
        found = np.array(values, dtype=np.float64)
        return Foretold(found, Reason.UNPARSABLE if np.isnan(found).any() else None)
