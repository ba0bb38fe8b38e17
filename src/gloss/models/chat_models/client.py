"""The one place that waits for a language model: any endpoint that speaks OpenAI's chat
completions, or its completions.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from gloss.errors import BadSettings
from gloss.models.chat_models.account import Caps, EndpointAccount
from gloss.models.chat_models.capabilities import (
    Capabilities,
    LocalLogprobs,
    probe_endpoint,
)
from gloss.models.chat_models.completions import completion_body
from gloss.models.chat_models.connection import VARIABLE_NAME
from gloss.models.chat_models.ledger import Ledger, request_key
from gloss.models.chat_models.manner import LIMITS, MAX_TOKENS, MESSAGES, Manner
from gloss.models.chat_models.prices import Prices, Usage
from gloss.models.chat_models.prompts import Conversation, Prompt, response_format

ROOM_FOR_SPACE = 2  # a schema leaves white space free, which an answer may be full of
THINKING_TOKENS = 4096  # for a model that is seen to think, where the settings do not say

T = TypeVar("T")
ProgressReport = Callable[[Usage], None]


@dataclass(frozen=True)
class Chat:
    """An endpoint and how to treat it; gloss itself needs none, only methods that ask do."""

    model: str = ""  # as the endpoint calls it
    base_url: str = "http://localhost:8000/v1"
    # the environment variable that holds the key; local servers want none
    api_key_env: str = "GLOSS_API_KEY"
    max_concurrent_requests: int = 32
    # for one attempt, from the first byte sent to the last byte read
    timeout_seconds: float = 300.0
    max_attempts: int = 8
    prices: Prices = field(default_factory=Prices)
    # further fields of each request; they take precedence
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    answer_tokens: int = 0  # the most that an answer may have; 0 leaves it to each method
    # on top of them, for thoughts; below 0: 4,096 for a model that is seen to think
    thinking_tokens: int = -1
    # of the whole run, those that failed or tried something out included; 0 for any number
    max_requests: int = 0
    max_cost: float = 0.0  # of the whole run, by `prices`; 0 for any sum
    # the share of answers that cannot be read at which the run stops; 1 for never
    most_unreadable: float = 0.5

    def __post_init__(self) -> None:
        if not is_http_address(self.base_url):
            raise BadSettings(
                f"base_url is {self.base_url!r}, wants an address such as https://api.openai.com/v1"
            )
        if "@" in urlsplit(self.base_url).netloc:
            raise BadSettings(
                "base_url holds a password; leave it out, and put the key into a variable that"
                " api_key_env names"
            )
        if "?" in self.base_url or "#" in self.base_url:
            raise BadSettings(
                "base_url has something from ? or # on, which requests cannot carry; give the path"
                " alone"
            )
        if self.base_url.rstrip("/").endswith("/completions"):
            raise BadSettings(
                "base_url ends in /completions, which is added to it; leave /chat/completions or"
                " /completions out"
            )
        if not VARIABLE_NAME.fullmatch(self.api_key_env):
            raise BadSettings(
                f"api_key_env is {self.api_key_env!r}, wants the name of an environment variable,"
                " set or not, as in GLOSS_API_KEY"
            )
        for name in ("max_concurrent_requests", "timeout_seconds", "max_attempts"):
            if not 0 < getattr(self, name) < math.inf:
                raise BadSettings(f"{name} is {getattr(self, name)}, wants more than 0")
        for name in ("answer_tokens", "max_requests", "max_cost"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadSettings(f"{name} is {getattr(self, name)}, wants 0 or more")
        if not 0 < self.most_unreadable <= 1:
            raise BadSettings(
                f"most_unreadable is {self.most_unreadable}, wants a share above 0, up to 1"
            )
        if self.max_cost and self.prices.of(1, 1) is None:
            raise BadSettings(
                f"max_cost is {self.max_cost:g}, and nobody knows what a token costs; set both"
                " prices of [chat.prices]"
            )
        if self.extra.get("stream"):
            raise BadSettings(
                "extra asks for a stream, and answers are read whole; leave stream out"
            )

    @property
    def account(self) -> EndpointAccount:
        """A new account of what this endpoint may be asked."""
        return EndpointAccount(Caps(self.max_requests, self.max_cost, self.most_unreadable))

    def run(
        self,
        conversations: Iterable[Conversation[T]],
        rng: np.random.Generator,
        *,
        ledger: Path | None = None,
        progress: ProgressReport | None = None,
        capabilities: Capabilities | None = None,
        account: EndpointAccount | None = None,
    ) -> list[T]:
        """Run many conversations at once; what each returned, in their order.

        At most `max_concurrent_requests` conversations have begun and not ended, however many there
        are to come. Those that ask nothing need no endpoint. Answers rest in `ledger` before they
        are handed on, so that a run that was killed asks nothing twice. A prompt that stays
        unanswered gets an Answer with its reason. `rng` draws how long to wait before another
        attempt, and nothing else. With its `capabilities` the endpoint is not tried out again, and
        schemas of answers are sent to it if it keeps to them. An `account` that is handed in goes
        on counting over several calls, and learns how the endpoint wants to be asked. Raises
        Unreachable where nothing answers, BadSettings where the endpoint refuses the key or the
        model, Stopped where a cap is reached or too many answers cannot be read: what was in flight
        is kept.
        """
        from gloss.models.chat_models.session import Session  # which imports this module

        async def answer_all() -> list[T]:
            with Ledger(ledger) as answers:
                return await Session(self, answers, rng, progress, capabilities, account).run(
                    conversations
                )

        return run_coroutine(answer_all)

    def capabilities(
        self,
        rng: np.random.Generator,
        forward: LocalLogprobs | None = None,
        ledger: Path | None = None,
    ) -> Capabilities:
        """What the endpoint is seen to do, from a few short requests, and how near it is to
        weights. Raises as `run`.

        The `ledger` counts what was asked; nothing else of it is kept, because servers are mended.
        """
        from gloss.models.chat_models.session import Session  # which imports this module

        async def run_probe() -> Capabilities:
            with Ledger(ledger) as answers:
                session = Session(self, answers, rng, None, None)
                try:
                    found = await session.run_probe(
                        probe_endpoint(self.model, forward, self.thinking_tokens)
                    )
                    if not found.chat and found.own_text.form is None:
                        mend = (
                            "check base_url, which often ends in /v1, and model"
                            if session.lasting
                            else "go on when it does"
                        )
                        raise BadSettings(
                            f"{session.connection.where} answers no chats ({session.refusal});"
                            f" {mend}"
                        )
                    return replace(found, manner=session.account.manner)
                finally:
                    await session.connection.close()

        return run_coroutine(run_probe)

    def body(
        self, prompt: Prompt, *, schemas: bool = False, manner: Manner | None = None
    ) -> dict[str, Any]:
        """The whole request for a prompt, its answer's schema included if the endpoint keeps to
        `schemas`.

        Raises BadSettings without a model's name.
        """
        plain = self.plain_body(prompt, schemas=schemas)
        if MESSAGES not in plain:
            return plain | dict(self.extra)
        used = manner or Manner()
        return used.put(
            plain | {MAX_TOKENS: self.room(prompt, plain[MAX_TOKENS], used)}, self.extra
        )

    def plain_body(self, prompt: Prompt, *, schemas: bool = False) -> dict[str, Any]:
        """What a prompt asks of any endpoint, without room for thoughts and without `extra`."""
        if not self.model:
            raise BadSettings(
                "a method that asks a language model was chosen, but no model: set model and"
                " base_url of chat"
            )
        if prompt.plain is not None:
            return completion_body(prompt, prompt.plain, self.model)
        body: dict[str, Any] = {
            "model": self.model,
            MESSAGES: [
                {"role": message.role, "content": message.text} for message in prompt.messages
            ],
            "temperature": prompt.temperature,
            MAX_TOKENS: prompt.max_tokens,
        }
        if prompt.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": prompt.top_logprobs}
        if schemas and prompt.schema is not None:
            body |= response_format(prompt.schema)
            body[MAX_TOKENS] = ROOM_FOR_SPACE * prompt.max_tokens
        return body

    def room(self, prompt: Prompt, tokens: int, manner: Manner) -> int:
        """How many tokens an answer may have, its thoughts included."""
        answer = tokens if prompt.cut_short else self.answer_tokens or tokens
        return answer + self.thoughts(manner)

    def thoughts(self, manner: Manner) -> int:
        """How many tokens may be thought."""
        return (
            self.thinking_tokens if self.thinking_tokens >= 0 else THINKING_TOKENS * manner.thinks
        )

    def key(self, prompt: Prompt, *, schemas: bool) -> str:
        """What the answer to a prompt is kept under: all that it depends on but the room it had,
        which is kept beside it.
        """
        plain = self.plain_body(prompt, schemas=schemas)
        plain |= {"cut_short": True} if prompt.cut_short else {}
        limited = any(name in self.extra for name in LIMITS)
        return request_key(
            {name: value for name, value in plain.items() if not (limited and name == MAX_TOKENS)}
            | dict(self.extra)
        )


def is_http_address(text: str) -> bool:
    """Whether this is an HTTP address with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def run_coroutine(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What the work gives, waited for."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with ThreadPoolExecutor(1) as thread:  # in a notebook this thread's loop is taken
        return thread.submit(asyncio.run, work()).result()
