"""An endpoint that speaks the OpenAI protocol: its settings, and what a prompt asks of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gloss.errors import BadSettings, require_one_of
from gloss.models.chat_models.account import Caps, EndpointAccount
from gloss.models.chat_models.completions import completion_body
from gloss.models.chat_models.connection import VARIABLE_NAME
from gloss.models.chat_models.ledger import request_key
from gloss.models.chat_models.manner import LIMITS, MAX_TOKENS, MESSAGES, Manner
from gloss.models.chat_models.prices import Prices
from gloss.models.chat_models.prompts import Prompt, response_format
from gloss.models.chat_models.request_slots import RequestSlots
from gloss.models.chat_models.served import (
    require_server_command,
    served_address,
    xllamacpp_file,
)

ROOM_FOR_SPACE = 2  # a schema leaves white space free, which an answer may be full of
FILES, OPENAI = "files", "openai"  # how batches are answered
THINKING_TOKENS = 4096  # for a model that is seen to think, where the settings do not say


@dataclass(frozen=True)
class Endpoint:
    """Where a language model answers, and how to treat it."""

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
    # tells its answers from those of another server whose model has the same name
    ledger_name: str = ""
    # a command that starts a server at {port}, in place of base_url; gloss ends it
    serve: str = ""
    # asks in rounds that are answered as files, by anybody ("files") or by the endpoint's own batch
    # API ("openai")
    batch: str = ""
    batch_requests: int = 50_000  # in one file, at most

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
        require_one_of(("", FILES, OPENAI), self, "batch")
        if self.serve and self.batch:
            raise BadSettings(
                f"serve and batch = {self.batch!r} are both set, and who serves is asked at once;"
                " leave one of them out"
            )
        if self.serve:
            require_server_command(self.serve)
        if not VARIABLE_NAME.fullmatch(self.api_key_env):
            raise BadSettings(
                f"api_key_env is {self.api_key_env!r}, wants the name of an environment variable,"
                " set or not, as in GLOSS_API_KEY"
            )
        for name in (
            *("max_concurrent_requests", "timeout_seconds", "max_attempts"),
            "batch_requests",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise BadSettings(f"{name} is {getattr(self, name)}, wants more than 0")
        for name in ("answer_tokens", "max_requests", "max_cost"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadSettings(f"{name} is {getattr(self, name)}, wants 0 or more")
        if not 0 < self.most_unreadable <= 1:
            raise BadSettings(
                f"most_unreadable is {self.most_unreadable}, wants a share above 0, up to 1"
            )
        if self.max_cost and self.prices.money(1, 1) is None:
            raise BadSettings(
                f"max_cost is {self.max_cost:g}, and nobody knows what a token costs; set both"
                " prices of [chat.prices]"
            )
        if self.extra.get("stream"):
            raise BadSettings(
                "extra asks for a stream, and answers are read whole; leave stream out"
            )

    @property
    def known_as(self) -> str:
        """What the model is called where its answers are kept."""
        return f"{self.model} at {self.ledger_name}" if self.ledger_name else self.model

    @property
    def paid(self) -> Prices:
        """What tokens cost as they are asked for."""
        return self.prices.in_batches if self.batch else self.prices

    @property
    def where(self) -> str:
        """The server in words, whether it runs yet or not."""
        return f"the server of {self.serve!r}" if self.serve else self.base_url

    def address(self) -> str:
        """The address of the server, which is started where gloss does that. Raises Unreachable."""
        if not self.serve:
            return self.base_url
        return served_address(self.serve) + (urlsplit(self.base_url).path or "/v1")

    @property
    def account(self) -> EndpointAccount:
        """A new account of what this endpoint may be asked."""
        return EndpointAccount(
            Caps(self.max_requests, self.max_cost, self.most_unreadable),
            # xllamacpp answers one at a time, with the whole context: others would wait in vain
            RequestSlots(1 if xllamacpp_file(self.serve) else self.max_concurrent_requests),
        )

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
        return used.apply(
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
            | ({"ledger": self.ledger_name} if self.ledger_name else {})
        )


def is_http_address(text: str) -> bool:
    """Whether this is an HTTP address with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
