"""The game of a prompt whose value is asked of an endpoint: how likely an answer is there, or how
often it is given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.attribute.players.prompt_parts import PromptUnit, Span, remaining_text, unit_spans
from gloss.attribute.values import AttributedValue, log_odds
from gloss.errors import BadInput, BadSettings
from gloss.models.chat_models.capabilities import Capabilities
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import PLAIN, Answer, Conversation, Message, Prompt

T = TypeVar("T")
NOTHING_LEFT = "."  # asked where no player is kept: some endpoints refuse an empty prompt


class ValueSource(StrEnum):
    """How the value is had, from what an endpoint gives."""

    # the log-probability of the answer after the prompt: needs those of a text's own tokens
    OWN_TEXT = "own_text"
    # of the first generated token that says the answer's beginning: needs log-probabilities in a
    # chat
    LOGPROBS = "logprobs"
    SAMPLES = "samples"  # the share of sampled replies that hold the answer: any endpoint gives it


@runtime_checkable
class ConversationRunner(Protocol):
    """Holds many conversations at once, through a ledger, so that no answer is paid for twice."""

    def run(self, conversations: Iterable[Conversation[T]]) -> list[T]: ...


@dataclass(frozen=True)
class EndpointWithLedger:
    """An endpoint with the ledger of its answers, so that none is paid for twice.

    Without a ledger they live as long as the game's values.
    """

    chat: Chat
    ledger: Path | None
    known: Capabilities

    def run(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        """What each conversation returned."""
        return self.chat.run(
            conversations, np.random.default_rng(0), ledger=self.ledger, capabilities=self.known
        )


def best_value_source(can: Capabilities, *, exact: bool) -> ValueSource:
    """The best that an endpoint allows.

    Raises BadSettings where an `exact` value is wanted and it gives no log-probabilities.
    """
    if can.own_text.lacking is None:
        return ValueSource.OWN_TEXT
    if can.logprobs:
        return ValueSource.LOGPROBS
    if exact:
        raise BadSettings(
            "this endpoint gives no log-probabilities, only replies; leave --value and --other out"
            " to attribute the share of replies that hold the answer"
        )
    return ValueSource.SAMPLES


@dataclass(frozen=True)
class EndpointGame:
    """What an endpoint says of an answer when only some parts of a prompt are left.

    They are put together as they stood.

    A request that fails, or whose reply does not say, makes a value that is not a number.
    """

    client: ConversationRunner
    text: str
    answer: str
    unit: PromptUnit = PromptUnit.WORDS
    # log-probability, log-odds or, beside `other`, difference; samples give a share instead
    value: AttributedValue = AttributedValue.LOG_PROBABILITY
    other: str = ""
    value_source: ValueSource = ValueSource.SAMPLES
    samples: int = 8
    question: str = ""  # stands behind the text and always stays
    costs_money: ClassVar[bool] = True
    within: Span | None = None  # where the players lie in the text; the rest always stays

    def __post_init__(self) -> None:
        if not self.answer.strip():
            raise BadInput(
                "the answer is empty; give the text that the endpoint is expected to say"
            )
        if bool(self.other.strip()) != (self.value is AttributedValue.DIFFERENCE):
            raise BadInput("a difference, and nothing else, needs another answer")
        unit_spans(self.text, self.unit, self.within)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Where the players begin and end in the text, in characters."""
        return unit_spans(self.text, self.unit, self.within)

    @property
    def players(self) -> tuple[str, ...]:
        """The parts of the text."""
        return tuple(self.text[begin:end].strip() for begin, end in self.spans)

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """One value a mask; all are asked for at once."""
        return np.array(
            self.client.run(self.ask(self.remaining(mask)) for mask in masks), dtype=np.float64
        )

    def values_again(
        self, masks: Bool[ndarray, "mask player"], time: int
    ) -> Float64[ndarray, " mask"]:
        """Other samples of the same; what is read from log-probabilities is read again."""
        first = time * self.samples
        return np.array(
            self.client.run(self.ask(self.remaining(mask), first) for mask in masks),
            dtype=np.float64,
        )

    def remaining(self, kept: Bool[ndarray, " player"]) -> str:
        """The text of the players that are kept, as it stood, and the question."""
        rest = remaining_text(self.text, self.spans, kept)
        parts = [part for part in (rest, self.question) if part.strip()]
        return "\n\n".join(parts) or NOTHING_LEFT

    def stretches(self) -> tuple[tuple[str, int], ...]:
        """The text in pieces, and the player that each is."""
        return tuple((self.text[begin:end], index) for index, (begin, end) in enumerate(self.spans))

    def ask(self, prompt: str, first: int = 0) -> Conversation[float]:
        """The value of one text; samples are numbered from `first` on."""
        wanted = [self.answer, self.other] if self.other else [self.answer]
        chat = (Message("user", prompt),)
        if self.value_source is ValueSource.OWN_TEXT:
            answers = yield [
                Prompt((Message(PLAIN, prompt + each),), max_tokens=1, prompt_logprobs=0)
                for each in wanted
            ]
            return self.combine([own_text_log_probability(one, len(prompt)) for one in answers])
        if self.value_source is ValueSource.LOGPROBS:
            (reply,) = yield [
                Prompt(chat, max_tokens=1, top_logprobs=20, needs_logprobs=True, cut_short=True)
            ]
            if not tells_apart(reply, wanted):
                return float("nan")
            return self.combine([first_token_log_probability(reply, each) for each in wanted])
        # Each sample is a prompt of its own; equal ones would be asked once.
        answers = yield [
            Prompt(chat, max_tokens=40 + number, temperature=1.0, cut_short=True)
            for number in range(first, first + self.samples)
        ]
        said = [
            self.answer.strip().lower() in one.text.lower()
            for one in answers
            if one.text is not None
        ]
        return float(np.mean(said)) if said else float("nan")

    def combine(self, log_probabilities: list[float]) -> float:
        """The value from the log-probability of the answer and, for a difference, of the other."""
        match self.value:
            case AttributedValue.DIFFERENCE:
                return log_probabilities[0] - log_probabilities[1]
            case AttributedValue.LOG_ODDS:
                return float(log_odds(np.float64(log_probabilities[0]), np))
            case _:
                return log_probabilities[0]

    @property
    def label(self) -> str:
        """What the value is, for people."""
        if self.value_source is ValueSource.SAMPLES:
            return f"share of {self.samples} sampled replies that hold {self.answer!r}"
        how = ", by the reply's first token" * (self.value_source is ValueSource.LOGPROBS)
        match self.value:
            case AttributedValue.DIFFERENCE:
                return f"how much likelier {self.answer!r} is than {self.other!r}{how} (nats)"
            case AttributedValue.LOG_ODDS:
                return f"log-odds of {self.answer!r}{how}"
            case _:
                return f"log-probability of {self.answer!r}{how} (nats)"


def own_text_log_probability(answer: Answer, start: int) -> float:
    """The log-probability, in nats, of the text from this character on."""
    tokens = [one for one in answer.prompt_logprobs or () if one.end > start]
    values = [one.logprob for one in tokens if one.logprob is not None]
    return float(sum(values)) if tokens and len(values) == len(tokens) else float("nan")


def first_token_log_probability(answer: Answer, wanted: str) -> float:
    """The log-probability, in nats, that the reply begins as wanted.

    Where no alternative does, that of the least likely one.
    """
    if not answer.logprobs:
        return float("nan")
    offered = first_tokens(answer)
    fit = [offered[token] for token in fitting_tokens(offered, wanted)]
    return float(np.logaddexp.reduce(fit)) if fit else min(offered.values())


def first_tokens(answer: Answer) -> dict[str, float]:
    """The tokens that were offered as the reply's first, with their log-probabilities in nats."""
    if not answer.logprobs:
        return {}
    first = answer.logprobs[0]
    return {first.token: first.logprob, **dict(first.alternatives)}


def fitting_tokens(offered: Iterable[str], wanted: str) -> set[str]:
    """Those of the tokens that the wanted text may begin with."""
    beginning = wanted.strip().lower()
    return {
        token for token in offered if token.strip() and beginning.startswith(token.strip().lower())
    }


def tells_apart(answer: Answer, wanted: Sequence[str]) -> bool:
    """Whether the reply's first token says which of several texts it begins.

    Each was offered, and no token begins two of them. One text need not be told apart.
    """
    if len(wanted) < 2:
        return True
    fits = [fitting_tokens(first_tokens(answer), each) for each in wanted]
    return all(fits) and len(set[str]().union(*fits)) == sum(map(len, fits))
