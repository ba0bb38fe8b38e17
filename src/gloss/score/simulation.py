"""Three simulators of each token's activation: by log-probabilities of the prompt, one token at a
time, or as JSON.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from gloss.errors import BadSettings
from gloss.models.chat_models.prompts import (
    PLAIN,
    Answer,
    Conversation,
    Message,
    Prompt,
    prompt_file,
)
from gloss.models.chat_models.token_marks import json_string, numbered_lines
from gloss.records import Ability, Explanation, Failure, Needs, Reason, Score
from gloss.score.simulation_metrics import (
    HIGHEST,
    TokenPredictions,
    escape_line_breaks,
    expected_number,
    simulate_contexts,
)
from gloss.store.evidence import Evidence

# stands for each activation; no tokenizer joins it to the tab before it, as they do with letters
UNKNOWN = "?"
MAX_TOKENS = 3  # some models begin with a space
ACTIVATIONS_OBJECT = re.compile(r"\{([^{}]*)\}")
ACTIVATION_PAIR = re.compile(r"\s*[\"']?(\d{1,6})[\"']?\s*:\s*[\"']?(-?\d+(?:\.\d*)?)[\"']?\s*")
TOKENS_A_NUMBER, TOKENS_AROUND = 8, 60  # of an answer, generously


@dataclass(frozen=True)
class Simulation:
    """One request a context: at each token, how likely the simulator holds each number where the
    text says `?`.
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.OWN_TEXT,))
    contexts: int = 100  # held out, half of them firing
    worked_examples: int = 3  # in the prompt, three at most
    highest: int = HIGHEST  # 9 for tokenizers that write 10 as two tokens
    # that the server is asked for at each token; vLLM gives 20 at most unless told otherwise
    alternatives: int = 20
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        if (
            self.contexts < 2
            or not 1 <= self.worked_examples <= 3
            or not 1 <= self.highest <= 99
            or self.alternatives < 1
        ):
            raise BadSettings(
                f"simulation was given {self}, wants contexts from 2, worked_examples from 1 to 3,"
                " highest from 1 to 99 and alternatives from 1"
            )

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Pearson's correlation over all tokens asked about; a failure where a side is empty."""
        return (
            yield from simulate_contexts(
                "simulation", self, explanation, evidence, self.contexts, rng
            )
        )

    def prompts(self, explanation: str, pieces: Sequence[str]) -> list[Prompt]:
        """The worked examples, then the context with every activation unknown."""
        turns = prompt_file("gloss.score", "simulation", self.prompt).fill(
            explanation=json_string(explanation), at=self.rescaled, tab="\t"
        )
        shown = (turns[0], *turns[1 : 1 + self.worked_examples], turns[-1])
        lines = "".join(f"{escape_line_breaks(piece)}\t{UNKNOWN}\n" for piece in pieces)
        text = "\n\n".join(turn.text for turn in shown) + "\n" + lines
        return [Prompt((Message(PLAIN, text),), max_tokens=1, prompt_logprobs=self.alternatives)]

    def rescaled(self, value: int) -> int:
        """A number of the worked examples, which are written from 0 to 10, on the scale in use."""
        return round(value * self.highest / HIGHEST)

    def predicted(
        self, answers: Sequence[Answer], prompts: Sequence[Prompt], pieces: Sequence[str]
    ) -> TokenPredictions:
        """The expected value where each `?` stands.

        Raises BadSettings where the highest number is no single token.
        """
        [answer], [prompt] = answers, prompts
        if answer.prompt_logprobs is None or prompt.plain is None:
            return TokenPredictions.nothing(len(pieces), answer.reason)
        tokens = {one.start: one for one in answer.prompt_logprobs if one.end > one.start}
        at = prompt.plain.find(f"\t{self.highest}\n") + 1
        if at in tokens and tokens[at].end < at + len(str(self.highest)):
            raise BadSettings(
                f"this tokenizer writes {self.highest} as several tokens; give simulation the"
                " setting highest = 9"
            )
        at, values = (
            len(prompt.plain) - sum(len(escape_line_breaks(piece)) + 3 for piece in pieces),
            [],
        )
        for piece in pieces:
            at += len(escape_line_breaks(piece)) + 1
            values.append(
                expected_number(tokens[at].alternatives, self.highest) if at in tokens else np.nan
            )
            at += 2
        found = np.array(values, dtype=np.float64)
        return TokenPredictions(found, Reason.UNPARSABLE if np.isnan(found).any() else None)


@dataclass(frozen=True)
class SimulationByToken:
    """One request a token, for chats that give log-probabilities of what they generate and none of
    the prompt.
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT, Ability.LOGPROBS))
    contexts: int = 10  # held out, half of them firing
    alternatives: int = 20  # the most that chat completions give
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        if self.contexts < 2 or not 1 <= self.alternatives <= 20:
            raise BadSettings(
                f"simulation_by_token was given {self}, wants contexts from 2 and alternatives from"
                " 1 to 20"
            )

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Pearson's correlation over all tokens asked about; a failure where a side is empty."""
        return (
            yield from simulate_contexts(
                "simulation_by_token", self, explanation, evidence, self.contexts, rng
            )
        )

    def prompts(self, explanation: str, pieces: Sequence[str]) -> list[Prompt]:
        """The text up to each token, and the token."""
        file = prompt_file("gloss.score", "simulation_by_token", self.prompt)
        asked: list[Prompt] = []
        for number, piece in enumerate(pieces, start=1):
            text = json_string("".join(pieces[:number]))
            messages = file.fill(
                explanation=json_string(explanation), text=text, token=json_string(piece)
            )
            asked.append(
                Prompt(
                    messages,
                    MAX_TOKENS,
                    top_logprobs=self.alternatives,
                    needs_logprobs=True,
                    cut_short=True,
                )
            )
        return asked

    def predicted(
        self, answers: Sequence[Answer], prompts: Sequence[Prompt], pieces: Sequence[str]
    ) -> TokenPredictions:
        """The expected value of each answer's first token that could be a number."""
        values = np.array([answered_number(answer) for answer in answers], dtype=np.float64)
        reasons = [
            answer.reason or Reason.UNPARSABLE
            for answer, one in zip(answers, values, strict=True)
            if np.isnan(one)
        ]
        return TokenPredictions(values, reasons[0] if reasons else None)


def answered_number(answer: Answer) -> float:
    """The expected number; not a number where there is none."""
    for token in answer.logprobs or ():
        found = expected_number(token.alternatives or ((token.token, token.logprob),), HIGHEST)
        if not np.isnan(found):
            return found
    return float("nan")


@dataclass(frozen=True)
class SimulationJson:
    """One request a context: the tokens are numbered, and the answer gives a value to those that
    are not 0.
    """

    needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,))
    contexts: int = 100  # held out, half of them firing
    prompt: str = ""  # a file of one's own in place of gloss' prompt

    def __post_init__(self) -> None:
        if self.contexts < 2:
            raise BadSettings(
                f"simulation_json was given contexts={self.contexts}, wants at least 2"
            )

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Pearson's correlation over all tokens asked about; a failure where a side is empty."""
        return (
            yield from simulate_contexts(
                "simulation_json", self, explanation, evidence, self.contexts, rng
            )
        )

    def prompts(self, explanation: str, pieces: Sequence[str]) -> list[Prompt]:
        """The numbered tokens."""
        file = prompt_file("gloss.score", "simulation_json", self.prompt)
        messages = file.fill(explanation=json_string(explanation), tokens=numbered_lines(pieces))
        reads = partial(parse_activations, tokens=len(pieces))
        return [
            Prompt(messages, max_tokens=TOKENS_AROUND + TOKENS_A_NUMBER * len(pieces), reads=reads)
        ]

    def predicted(
        self, answers: Sequence[Answer], prompts: Sequence[Prompt], pieces: Sequence[str]
    ) -> TokenPredictions:
        """The numbers of the answer; none at all where one of them makes no sense."""
        [answer] = answers
        values = None if answer.text is None else parse_activations(answer.text, len(pieces))
        return (
            TokenPredictions.nothing(len(pieces), answer.reason)
            if values is None
            else TokenPredictions(np.array(values))
        )


def parse_activations(text: str, tokens: int) -> list[float] | None:
    """The values in the last `{"activations": {...}}` of an answer, 0 where none is given; None
    where it cannot be read.
    """
    found = list(ACTIVATIONS_OBJECT.finditer(text))
    if not found:
        return None
    values = [0.0] * tokens
    for entry in filter(str.strip, found[-1][1].split(",")):
        pair = ACTIVATION_PAIR.fullmatch(entry)
        if pair is None or not 1 <= int(pair[1]) <= tokens or not 0 <= float(pair[2]) <= HIGHEST:
            return None
        values[int(pair[1]) - 1] = float(pair[2])
    return values
