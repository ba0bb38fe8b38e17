"""What answers cost: prices, what has been spent, and what would be, before anything is asked."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from gloss.errors import BadSettings
from gloss.models.chat_models.prompts import Answer, Conversation, Prompt
from gloss.records import Reason

# what tokenizers part a text into before they merge: words, also those that are written as one
# (`KeyError`), up to two letters of other scripts or three digits, signs, line ends, blanks
PIECE = re.compile(
    r"[^\r\n\w]?(?:[A-Z]?[a-z]+|[A-Z]+(?![a-z]))|[^\W\d_A-Za-z]{1,2}|\d{1,3}"
    r"| ?[^\s\w]+[\r\n]*|_+|\s*[\r\n]+|\s+(?!\S)|\s"
)
TOKENS_A_PIECE = 1.08  # of this package's prompts, by four tokenizers: docs/cost.md
TOKENS_A_MESSAGE = 4  # that chat templates put around each turn, roughly


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens, in the currency of your provider; None where it is not known."""

    prompt_per_million: float | None = None
    completion_per_million: float | None = None
    batch: float = 1.0  # the share of both that requests in batches cost; 0.5 at OpenAI

    def __post_init__(self) -> None:
        if not 0 <= self.batch <= 1:
            raise BadSettings(f"batch of prices is {self.batch}, wants a share from 0 to 1")
        for name in ("prompt_per_million", "completion_per_million"):
            price = getattr(self, name)
            if price is not None and not 0 <= price < math.inf:
                raise BadSettings(f"{name} is {price}, wants 0 or more")

    @property
    def in_batches(self) -> "Prices":
        """What tokens of requests in batches cost.

        >>> Prices(1.0, 4.0, batch=0.5).in_batches.money(1_000_000, 1_000_000)
        2.5
        """
        prompt, completion = self.prompt_per_million, self.completion_per_million
        return Prices(
            None if prompt is None else prompt * self.batch,
            None if completion is None else completion * self.batch,
        )

    @property
    def free(self) -> bool:
        """Whether nothing costs anything."""
        return self.money(1, 1) == 0

    def money(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """What these tokens cost, or None where a price is missing."""
        if self.prompt_per_million is None or self.completion_per_million is None:
            return None
        return (
            prompt_tokens * self.prompt_per_million
            + completion_tokens * self.completion_per_million
        ) / 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run has asked so far."""

    conversations: int = 0  # finished
    answered: int = 0  # prompts that the endpoint answered in this run
    reused: int = 0  # prompts whose answer was there already
    failed: int = 0  # prompts that got no answer at all, after every attempt
    retries: int = 0  # attempts beyond the first
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float = 0.0
    unpriced: int = 0  # answers without a known price, which `money` leaves out
    unread: int = 0  # answers that were cut off, or that could not be read


UsageReport = Callable[[Usage], None]


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a run would ask, as far as tokens can be counted without the model's tokenizer.

    Answers are as long as they may be at most.
    """

    requests: int
    prompt_tokens: int
    completion_tokens_at_most: int
    money_at_most: float | None  # None where a price is missing


def estimate_cost(
    conversations: Iterable[Conversation[Any]],
    prices: Prices = Prices(),
    room: Callable[[Prompt], int] = lambda prompt: prompt.max_tokens,
    stand_in: Callable[[Prompt], Answer] | None = None,
) -> CostEstimate:
    """What conversations would ask, without asking it: the first round of each, or all rounds where
    somebody stands in for the language model.

    Equal prompts count once. `room`: how many tokens an answer may have.
    """
    asked: set[int] = set()
    prompt_tokens = completion_tokens = 0
    for conversation in conversations:
        for prompt in foreseen_prompts(conversation, stand_in):
            if (mark := hash(prompt)) in asked:
                continue
            asked.add(mark)
            prompt_tokens += prompt_token_count(prompt)
            completion_tokens += room(prompt)
    money = prices.money(prompt_tokens, completion_tokens)
    return CostEstimate(len(asked), prompt_tokens, completion_tokens, money)


def foreseen_prompts(
    conversation: Conversation[Any], stand_in: Callable[[Prompt], Answer] | None
) -> Iterator[Prompt]:
    """The prompts that a conversation opens with, and those that it goes on with after the answers
    of who stands in; it is closed after that.
    """
    try:
        prompts = next(conversation)
        while True:
            yield from prompts
            if stand_in is None:
                return
            prompts = conversation.send([stand_in(prompt) for prompt in prompts])
    except StopIteration:
        return
    finally:
        conversation.close()


def foretold_tokens(text: str) -> int:
    """About how many tokens a text has, by the pieces that tokenizers begin with: marks, numbers
    and tables hold many more tokens a character than sentences do.

        >>> foretold_tokens("It <<rained>> for 1,250 days.")
        12
    """
    return round(TOKENS_A_PIECE * len(PIECE.findall(text)))


def prompt_token_count(prompt: Prompt, count_tokens: Callable[[str], int] = foretold_tokens) -> int:
    """How many tokens a prompt holds, its turns' wrapping included, by a tokenizer or foretold."""
    return sum(count_tokens(message.text) + TOKENS_A_MESSAGE for message in prompt.messages)


def add_answer(usage: Usage, answer: Answer, retries: int) -> Usage:
    """The usage with one more prompt that was asked of the endpoint."""
    failed = answer.reason is Reason.REQUEST_ERROR
    return replace(
        usage,
        answered=usage.answered + (not failed),
        failed=usage.failed + failed,
        retries=usage.retries + retries,
        prompt_tokens=usage.prompt_tokens + answer.prompt_tokens,
        completion_tokens=usage.completion_tokens + answer.completion_tokens,
        money=usage.money + (answer.money or 0.0),
        unpriced=usage.unpriced + (answer.money is None and answer.text is not None),
    )
