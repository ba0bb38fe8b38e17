"""The one place that waits for a language model: any endpoint that speaks OpenAI's chat completions, or its completions."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import numpy as np

from gloss.errors import BadSettings, Unreachable
from gloss.models.capabilities import INSTEAD, Capabilities, Forward, Need, OwnText, Probe, probe, probe_own_text
from gloss.models.completions import ASKED, Form, completion_body, in_form
from gloss.models.connection import Connection
from gloss.models.ledger import Ledger, request_key
from gloss.models.prices import Prices, Usage, after
from gloss.models.prompts import Answer, Conversation, Prompt, response_format
from gloss.models.replies import Fault
from gloss.models.waiting import finished, together
from gloss.records import Reason

FIRST_WAIT_SECONDS = 0.5  # before the second attempt at most; doubles with every attempt
LONGEST_WAIT_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 600.0  # a server that asks for more is as good as away
ATTEMPTS_TO_CONNECT = 3  # while nothing has ever answered
ROOM_FOR_SPACE = 2  # a schema leaves white space free, which an answer may be full of
LOST_AT_FIRST, LOST_IN_A_ROW = 3, 20  # prompts lost without any answer between them, after which the run stops

T = TypeVar("T")
Report = Callable[[Usage], None]


@dataclass(frozen=True)
class Chat:
    """An endpoint and how to treat it; gloss itself needs none, only methods that ask do."""

    model: str = ""  # as the endpoint calls it
    base_url: str = "http://localhost:8000/v1"
    api_key_env: str = "GLOSS_API_KEY"  # the environment variable that holds the key; local servers want none
    max_concurrent_requests: int = 32
    timeout_seconds: float = 120.0  # for one attempt, from the first byte sent to the last byte read
    max_attempts: int = 8
    prices: Prices = field(default_factory=Prices)
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])  # further fields of each request; they take precedence

    def __post_init__(self) -> None:
        if not is_address(self.base_url):
            raise BadSettings(f"base_url is {self.base_url!r}, wants an address such as https://api.openai.com/v1")
        for name in ("max_concurrent_requests", "timeout_seconds", "max_attempts"):
            if getattr(self, name) <= 0:
                raise BadSettings(f"{name} is {getattr(self, name)}, wants more than 0")

    def hold(
        self,
        conversations: Iterable[Conversation[T]],
        rng: np.random.Generator,
        *,
        ledger: Path | None = None,
        progress: Report | None = None,
        capabilities: Capabilities | None = None,
    ) -> list[T]:
        """Hold many conversations at once; what each returned, in their order.

        At most `max_concurrent_requests` conversations have begun and not ended, however many there are to come. Those
        that ask nothing need no endpoint. Answers rest in `ledger` before they are handed on, so that a run that was
        killed asks nothing twice. A prompt that stays unanswered gets an Answer with its reason. `rng` draws how long to
        wait before another attempt, and nothing else. With its `capabilities` the endpoint is not tried out again, and schemas
        of answers are sent to it if it keeps to them.
        Raises Unreachable where nothing answers, BadSettings where the endpoint refuses the key or the model.
        """

        async def held() -> list[T]:
            with Ledger(ledger) as answers:
                return await Session(self, answers, rng, progress, capabilities).hold(conversations)

        return finished(held)

    def capabilities(self, rng: np.random.Generator, forward: Forward | None = None) -> Capabilities:
        """What the endpoint is seen to do, from a few short requests, and how near it is to weights. Raises as `hold`."""

        async def probed() -> Capabilities:
            with Ledger(None) as answers:
                session = Session(self, answers, rng, None, None)
                try:
                    found = await session.probed(probe(self.model, forward))
                    if not found.chat and found.own_text.form is None:
                        raise BadSettings(
                            f"{session.connection.where} answers no chats ({session.refusal}) and {found.own_text.missing}; "
                            "check base_url, which often ends in /v1, and model"
                        )
                    return found
                finally:
                    await session.connection.close()

        return finished(probed)

    def body(self, prompt: Prompt, *, schemas: bool = False) -> dict[str, Any]:
        """The whole request for a prompt, its answer's schema included if the endpoint keeps to `schemas`.

        Raises BadSettings without a model's name.
        """
        if not self.model:
            raise BadSettings("a method that asks a language model was chosen, but no model: set model and base_url of chat")
        if prompt.plain is not None:
            return completion_body(prompt, prompt.plain, self.model) | dict(self.extra)
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.text} for message in prompt.messages],
            "temperature": prompt.temperature,
        }
        if "max_completion_tokens" not in self.extra:
            body["max_tokens"] = prompt.max_tokens
        if prompt.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": prompt.top_logprobs}
        if schemas and prompt.schema is not None:
            body |= response_format(prompt.schema)
            body["max_tokens"] = ROOM_FOR_SPACE * prompt.max_tokens
        return body | dict(self.extra)


class Session:
    """One call of `hold`: what is in flight, what was lost, what was spent."""

    def __init__(
        self, chat: Chat, ledger: Ledger, rng: np.random.Generator, progress: Report | None, known: Capabilities | None
    ) -> None:
        self.chat, self.ledger, self.rng, self.progress = chat, ledger, rng, progress
        self.usage = Usage()
        self.slots = asyncio.Semaphore(chat.max_concurrent_requests)
        self.asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.unanswered: dict[str, Answer] = {}
        self.lost_in_a_row = 0
        self.answers = 0  # that the endpoint gave in this session
        self.silent_on_logprobs = False  # whether it refused what asked for them, and answered what did not
        self.connection = Connection(chat.base_url, chat.model, chat.api_key_env, chat.timeout_seconds, chat.prices)
        self.own_text: OwnText | None = known and known.own_text  # None until it was looked at
        self.schemas = known is not None and known.json_schema
        self.refusal = "no answer"  # of the last request that was tried out in vain
        self.looking = asyncio.Lock()

    async def hold(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        """Everything that the conversations return, in their order."""
        results: dict[int, T] = {}
        numbered = enumerate(conversations)
        try:
            await together(self.work(numbered, results) for _ in range(self.chat.max_concurrent_requests))
        finally:
            await self.connection.close()
        return [results[number] for number in range(len(results))]

    async def work(self, numbered: Iterator[tuple[int, Conversation[T]]], results: dict[int, T]) -> None:
        """Take the next conversation as soon as one is over."""
        for number, talk in numbered:
            results[number] = await self.drive(talk)
            self.usage = replace(self.usage, conversations=self.usage.conversations + 1)
            if self.progress is not None:
                self.progress(self.usage)
            await asyncio.sleep(0)  # conversations that ask nothing must not starve replies that are in flight

    async def drive(self, talk: Conversation[T]) -> T:
        """Answer what a conversation asks, until it returns."""
        try:
            prompts = next(talk)
            while True:
                prompts = talk.send(await together(self.answer(prompt) for prompt in prompts))
        except StopIteration as over:
            return over.value
        finally:
            talk.close()

    async def answer(self, prompt: Prompt) -> Answer:
        """The answer to a prompt: the one that is kept, or one that is asked for, once for all that ask the same."""
        body = self.chat.body(prompt, schemas=self.schemas)
        key = request_key(body)
        lock = self.asking.setdefault(key, asyncio.Lock())
        async with lock:
            if (kept := self.ledger.get(key) or self.unanswered.get(key)) is not None:
                self.usage = replace(self.usage, reused=self.usage.reused + 1)
                return kept
            async with self.slots:
                answer = self.complete(prompt, await self.ask_leniently(prompt, body))
            if not self.ledger.put(key, self.chat.model, answer):
                self.unanswered[key] = answer
            return answer

    async def ask_leniently(self, prompt: Prompt, body: Mapping[str, Any]) -> Answer:
        """Ask without log-probabilities an endpoint that refuses requests for them, unless the prompt needs them."""
        if prompt.top_logprobs == 0 or prompt.needs_logprobs:
            return await self.ask(body)
        if not self.silent_on_logprobs:
            try:
                if (answer := await self.ask(body)).reason is not Reason.REQUEST_ERROR or "status 4" not in answer.detail:
                    return answer
            except BadSettings:
                pass  # where something else is wrong, the bare request raises it too
        answer = await self.ask({name: value for name, value in body.items() if name not in ("logprobs", "top_logprobs")})
        self.silent_on_logprobs |= answer.text is not None
        return answer

    async def ask(self, body: Mapping[str, Any]) -> Answer:
        """Ask the endpoint until it answers, waiting longer each time."""
        answers_before, fault = self.answers, Fault("")
        for attempt in range(self.chat.max_attempts):
            outcome = await self.attempt(body)
            if isinstance(outcome, Answer):
                self.answers += 1
                self.lost_in_a_row = 0
                self.usage = after(self.usage, outcome, attempt)
                return outcome
            fault = outcome
            if fault.disconnected and self.answers == 0 and attempt + 1 >= ATTEMPTS_TO_CONNECT:
                break
            if attempt + 1 < self.chat.max_attempts:
                await asyncio.sleep(self.wait_seconds(fault, attempt))
        self.lost_in_a_row += 1
        self.stop_if_gone(fault, answers_before)
        answer = Answer(None, Reason.REQUEST_ERROR, f"{self.chat.max_attempts} attempts failed; the last: {fault.detail}")
        self.usage = after(self.usage, answer, self.chat.max_attempts - 1)
        return answer

    def wait_seconds(self, fault: Fault, attempt: int) -> float:
        """As long as the server asks for, and a random part of a time that doubles with each attempt."""
        asked_for = fault.retry_after_seconds or 0.0
        if asked_for > LONGEST_RETRY_AFTER_SECONDS:
            raise Unreachable(
                f"{self.chat.base_url} asks to wait for {asked_for:.0f} seconds ({fault.detail}); start again later"
            )
        return asked_for + self.rng.uniform(0, min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt))

    def stop_if_gone(self, fault: Fault, answers_before: int) -> None:
        """Raise Unreachable where the endpoint, and not the prompt, is to blame for a prompt that was lost."""
        gone = fault.disconnected and self.answers == answers_before
        lost = LOST_IN_A_ROW if self.answers else LOST_AT_FIRST
        if gone or self.lost_in_a_row >= lost:
            raise Unreachable(
                f"{self.chat.base_url} gives no answers ({fault.detail}); check that the server runs and that base_url is right"
            )

    def complete(self, prompt: Prompt, answer: Answer) -> Answer:
        """The answer, if it has the log-probabilities that were asked for. Raises BadSettings where the server has none."""
        if answer.text is not None and prompt.prompt_logprobs is not None and answer.prompt_logprobs is None:
            return Answer(None, Reason.REQUEST_ERROR, "the log-probabilities of the prompt's own text were missing this time")
        if answer.text is not None and prompt.needs_logprobs and answer.logprobs is None:
            raise BadSettings(
                f"{self.connection.where} gives no log-probabilities of what it generates, which this score needs; "
                f"{INSTEAD[Need.LOGPROBS]}"
            )
        return answer

    async def attempt(self, body: Mapping[str, Any]) -> Answer | Fault:
        """One request, in the server's own form."""
        wanted = in_form(body, await self.form()) if ASKED in body else body
        return await self.connection.attempt(wanted, proven=self.answers > 0 or ASKED in body)

    async def form(self) -> Form:
        """How this server is asked for log-probabilities of a prompt's own text. Raises BadSettings where it has none."""
        async with self.looking:
            if self.own_text is None:
                self.own_text = await self.probed(probe_own_text(self.chat.model))
        if self.own_text.missing or self.own_text.form is None:
            raise BadSettings(
                f"{self.connection.where} {self.own_text.missing}, which this score needs; {INSTEAD[Need.OWN_TEXT]}"
            )
        return self.own_text.form

    async def probed(self, talk: Probe[T]) -> T:
        """What a probe finds. Nothing of it is kept, because servers are mended."""
        try:
            body = next(talk)
            while True:
                body = talk.send(await self.try_out(body | dict(self.chat.extra)))
        except StopIteration as over:
            return over.value

    async def try_out(self, body: Mapping[str, Any]) -> Answer | None:
        """The answer to a request that the server may not know; None where it refuses or fails at it."""
        fault = Fault("")
        for attempt in range(self.chat.max_attempts):
            outcome = await self.connection.attempt(body, proven=False, trying=True)
            if isinstance(outcome, Answer):
                self.refusal = outcome.detail
                return None if outcome.reason is Reason.REQUEST_ERROR else outcome
            fault, self.refusal = outcome, outcome.detail
            if (fault.disconnected or fault.broken) and attempt + 1 >= ATTEMPTS_TO_CONNECT:
                break
            await asyncio.sleep(self.wait_seconds(fault, attempt))
        self.stop_if_gone(fault, self.answers)
        return None


def is_address(text: str) -> bool:
    """Whether this is an HTTP address with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
