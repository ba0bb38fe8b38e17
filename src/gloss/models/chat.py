"""The one place that waits for a language model: any endpoint that speaks OpenAI's chat completions, or its completions."""

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import numpy as np

from gloss.errors import BadSettings, Unreachable
from gloss.models.account import Account, Caps, Gate
from gloss.models.capabilities import INSTEAD, Capabilities, Forward, Need, OwnText, Probe, probe, probe_own_text
from gloss.models.completions import ASKED, Form, completion_body, in_form
from gloss.models.connection import VARIABLE, Connection
from gloss.models.ledger import Ledger, request_key
from gloss.models.manner import LIMITS, MAX_TOKENS, MESSAGES, Manner, Refusal, guesses, learned
from gloss.models.prices import Prices, Usage, after
from gloss.models.prompts import Answer, Conversation, Prompt, response_format
from gloss.models.replies import ATTEMPTS_AT_NOTHING, FAULTY_PROMPT_STATUSES, Fault, cut_off, message_in, read_refusal
from gloss.models.waiting import finished, together
from gloss.records import Reason

FIRST_WAIT_SECONDS = 0.5  # before the second attempt at most; doubles with every attempt
LONGEST_WAIT_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 600.0  # a server that asks for more is as good as away
ATTEMPTS_TO_CONNECT = 3  # while nothing has ever answered
ATTEMPTS_IN_VAIN = 2  # at something that is tried out and takes longer than the timeout
ROOM_FOR_SPACE = 2  # a schema leaves white space free, which an answer may be full of
LOST_AT_FIRST, LOST_IN_A_ROW = 3, 20  # prompts lost without any answer between them, after which the run stops
THINKING_TOKENS = 4096  # for a model that is seen to think, where the settings do not say
UNKNOWN_STATUSES = frozenset({400, 404, 405, 415, 422, 501})  # of servers that do not know a field or a path
TOKENS_A_TURN = 16  # that chat templates put around each turn, at most

T = TypeVar("T")
Report = Callable[[Usage], None]


@dataclass(frozen=True)
class Chat:
    """An endpoint and how to treat it; gloss itself needs none, only methods that ask do."""

    model: str = ""  # as the endpoint calls it
    base_url: str = "http://localhost:8000/v1"
    api_key_env: str = "GLOSS_API_KEY"  # the environment variable that holds the key; local servers want none
    max_concurrent_requests: int = 32
    timeout_seconds: float = 300.0  # for one attempt, from the first byte sent to the last byte read
    max_attempts: int = 8
    prices: Prices = field(default_factory=Prices)
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])  # further fields of each request; they take precedence
    answer_tokens: int = 0  # the most that an answer may have; 0 leaves it to each method
    thinking_tokens: int = -1  # on top of them, for thoughts; below 0: 4,096 for a model that is seen to think
    max_requests: int = 0  # of the whole run, those that failed or tried something out included; 0 for any number
    max_cost: float = 0.0  # of the whole run, by `prices`; 0 for any sum
    most_unreadable: float = 0.5  # the share of answers that cannot be read at which the run stops; 1 for never

    def __post_init__(self) -> None:
        if not is_address(self.base_url):
            raise BadSettings(f"base_url is {self.base_url!r}, wants an address such as https://api.openai.com/v1")
        if "@" in urlsplit(self.base_url).netloc:
            raise BadSettings("base_url holds a password; leave it out, and put the key into a variable that api_key_env names")
        if "?" in self.base_url or "#" in self.base_url:
            raise BadSettings("base_url has something from ? or # on, which requests cannot carry; give the path alone")
        if self.base_url.rstrip("/").endswith("/completions"):
            raise BadSettings("base_url ends in /completions, which is added to it; leave /chat/completions or /completions out")
        if not VARIABLE.fullmatch(self.api_key_env):
            raise BadSettings(
                f"api_key_env is {self.api_key_env!r}, wants the name of an environment variable, set or not, as in GLOSS_API_KEY"
            )
        for name in ("max_concurrent_requests", "timeout_seconds", "max_attempts"):
            if not 0 < getattr(self, name) < math.inf:
                raise BadSettings(f"{name} is {getattr(self, name)}, wants more than 0")
        for name in ("answer_tokens", "max_requests", "max_cost"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadSettings(f"{name} is {getattr(self, name)}, wants 0 or more")
        if not 0 < self.most_unreadable <= 1:
            raise BadSettings(f"most_unreadable is {self.most_unreadable}, wants a share above 0, up to 1")
        if self.max_cost and self.prices.of(1, 1) is None:
            raise BadSettings(
                f"max_cost is {self.max_cost:g}, and nobody knows what a token costs; set both prices of [chat.prices]"
            )
        if self.extra.get("stream"):
            raise BadSettings("extra asks for a stream, and answers are read whole; leave stream out")

    @property
    def account(self) -> Account:
        """A new account of what this endpoint may be asked."""
        return Account(Caps(self.max_requests, self.max_cost, self.most_unreadable))

    def hold(
        self,
        conversations: Iterable[Conversation[T]],
        rng: np.random.Generator,
        *,
        ledger: Path | None = None,
        progress: Report | None = None,
        capabilities: Capabilities | None = None,
        account: Account | None = None,
    ) -> list[T]:
        """Hold many conversations at once; what each returned, in their order.

        At most `max_concurrent_requests` conversations have begun and not ended, however many there are to come. Those
        that ask nothing need no endpoint. Answers rest in `ledger` before they are handed on, so that a run that was
        killed asks nothing twice. A prompt that stays unanswered gets an Answer with its reason. `rng` draws how long to
        wait before another attempt, and nothing else. With its `capabilities` the endpoint is not tried out again, and schemas
        of answers are sent to it if it keeps to them. An `account` that is handed in goes on counting over several calls, and
        learns how the endpoint wants to be asked.
        Raises Unreachable where nothing answers, BadSettings where the endpoint refuses the key or the model, Stopped where
        a cap is reached or too many answers cannot be read: what was in flight is kept.
        """

        async def held() -> list[T]:
            with Ledger(ledger) as answers:
                return await Session(self, answers, rng, progress, capabilities, account).hold(conversations)

        return finished(held)

    def capabilities(self, rng: np.random.Generator, forward: Forward | None = None, ledger: Path | None = None) -> Capabilities:
        """What the endpoint is seen to do, from a few short requests, and how near it is to weights. Raises as `hold`.

        The `ledger` counts what was asked; nothing else of it is kept, because servers are mended.
        """

        async def probed() -> Capabilities:
            with Ledger(ledger) as answers:
                session = Session(self, answers, rng, None, None)
                try:
                    found = await session.probed(probe(self.model, forward, self.thinking_tokens))
                    if not found.chat and found.own_text.form is None:
                        mend = "check base_url, which often ends in /v1, and model" if session.lasting else "go on when it does"
                        raise BadSettings(f"{session.connection.where} answers no chats ({session.refusal}); {mend}")
                    return replace(found, manner=session.account.manner)
                finally:
                    await session.connection.close()

        return finished(probed)

    def body(self, prompt: Prompt, *, schemas: bool = False, manner: Manner | None = None) -> dict[str, Any]:
        """The whole request for a prompt, its answer's schema included if the endpoint keeps to `schemas`.

        Raises BadSettings without a model's name.
        """
        plain = self.plainly(prompt, schemas=schemas)
        if MESSAGES not in plain:
            return plain | dict(self.extra)
        used = manner or Manner()
        return used.put(plain | {MAX_TOKENS: self.room(prompt, plain[MAX_TOKENS], used)}, self.extra)

    def plainly(self, prompt: Prompt, *, schemas: bool = False) -> dict[str, Any]:
        """What a prompt asks of any endpoint, without room for thoughts and without `extra`."""
        if not self.model:
            raise BadSettings("a method that asks a language model was chosen, but no model: set model and base_url of chat")
        if prompt.plain is not None:
            return completion_body(prompt, prompt.plain, self.model)
        body: dict[str, Any] = {
            "model": self.model,
            MESSAGES: [{"role": message.role, "content": message.text} for message in prompt.messages],
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
        return self.thinking_tokens if self.thinking_tokens >= 0 else THINKING_TOKENS * manner.thinks

    def key(self, prompt: Prompt, *, schemas: bool) -> str:
        """What the answer to a prompt is kept under: all that it depends on but the room it had, which is kept beside it."""
        plain = self.plainly(prompt, schemas=schemas)
        plain |= {"cut_short": True} if prompt.cut_short else {}
        limited = any(name in self.extra for name in LIMITS)
        return request_key(
            {name: value for name, value in plain.items() if not (limited and name == MAX_TOKENS)} | dict(self.extra)
        )


class Session:
    """One call of `hold`: what is in flight, what was lost, what was spent."""

    def __init__(
        self,
        chat: Chat,
        ledger: Ledger,
        rng: np.random.Generator,
        progress: Report | None,
        known: Capabilities | None,
        account: Account | None = None,
    ) -> None:
        self.chat, self.ledger, self.rng, self.progress = chat, ledger, rng, progress
        self.usage = Usage()
        self.slots = asyncio.Semaphore(chat.max_concurrent_requests)
        self.asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.unanswered: dict[str, Answer] = {}
        self.lost_in_a_row = 0
        self.answers = 0  # that the endpoint gave in this session
        self.connection = Connection(chat.base_url, chat.model, chat.api_key_env, chat.timeout_seconds, chat.prices)
        self.own_text: OwnText | None = known and known.own_text  # None until it was looked at
        self.schemas = known is not None and known.json_schema
        self.chats = False  # whether a chat that was tried out was answered
        self.refusal = "no answer"  # of the last request that was tried out in vain
        self.lasting = True  # whether nothing else is to be hoped for
        self.looking = asyncio.Lock()
        self.account = account or chat.account
        if known is not None and self.account.manner == Manner():
            self.account.manner = known.manner
        self.gate = Gate(self.account, ledger)

    async def hold(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        """Everything that the conversations return, in their order."""
        results: dict[int, T] = {}
        numbered = enumerate(conversations)
        try:
            await together(self.work(numbered, results) for _ in range(self.chat.max_concurrent_requests))
        finally:
            await self.connection.close()
        if self.account.stopped is not None:
            raise self.account.stopped
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
        key = self.chat.key(prompt, schemas=self.schemas)
        lock = self.asking.setdefault(key, asyncio.Lock())
        async with lock:
            wanted = 0 if prompt.cut_short or prompt.plain is not None else prompt.max_tokens
            if (kept := self.ledger.get(key, self.room(prompt), wanted) or self.unanswered.get(key)) is not None:
                self.usage = replace(self.usage, reused=self.usage.reused + 1)
                self.count(prompt, kept)
                return kept
            async with self.slots:
                return await self.ask(prompt, key)

    def room(self, prompt: Prompt) -> int:
        """How many tokens the answer to a prompt is allowed at present."""
        body = self.chat.body(prompt, schemas=self.schemas, manner=self.account.manner)
        return int(
            next((body[name] for name in LIMITS if name in body), self.chat.room(prompt, prompt.max_tokens, self.account.manner))
        )

    def keep(self, prompt: Prompt, key: str, room: int, answer: Answer) -> Answer:
        """Keep an answer before anything else sees it; what it is worth to the prompt."""
        answer = self.complete(prompt, answer)
        if not self.ledger.put(key, self.chat.model, answer, room):
            self.unanswered[key] = answer
        self.count(prompt, answer)
        return answer

    def count(self, prompt: Prompt, answer: Answer) -> None:
        """Count what could be read and what could not."""
        if prompt.plain is not None:
            return
        readable = answer.text is not None and (prompt.reads is None or prompt.reads(answer.text) is not None)
        self.account.count(answer, readable, self.connection.where)
        self.usage = replace(self.usage, unread=self.usage.unread + (answer.reason in (None, Reason.UNPARSABLE) and not readable))

    async def ask(self, prompt: Prompt, key: str) -> Answer:
        """Ask the endpoint until it answers, waiting longer each time. What it teaches on the way costs no attempt."""
        answers_before, fault, attempt, empty = self.answers, Fault(""), 0, 0
        while attempt < self.chat.max_attempts:
            manner, room = self.account.manner, self.room(prompt)
            body = self.chat.body(prompt, schemas=self.schemas, manner=manner)
            await self.gate.admit(worst := self.worst(body, room), careful=MESSAGES in body)
            money = 0.0
            try:
                outcome = await self.attempt(body)
                if isinstance(outcome, Refusal):
                    if self.learns(manner, body, outcome, prompt.max_tokens):
                        continue
                    outcome = read_refusal(
                        outcome, proven=self.answers > 0 or ASKED in body, where=self.connection.where, key=self.chat.api_key_env
                    )
                if isinstance(outcome, Answer):
                    money = worst if outcome.money is None and outcome.text is not None else outcome.money or 0.0
                    self.usage = after(self.usage, outcome, attempt)
                    self.heard(outcome)
                    if self.thinks(manner, outcome) and outcome.cut and self.room(prompt) > room:
                        continue
                    return self.keep(prompt, key, room, outcome)
                money = worst if outcome.unknown else 0.0
            finally:
                self.gate.settle(worst, money)
            fault, attempt, empty = outcome, attempt + 1, empty + 1 if outcome.empty else 0
            gone = (fault.disconnected or fault.foreign) and self.answers == 0
            if empty >= ATTEMPTS_AT_NOTHING or (gone and attempt >= ATTEMPTS_TO_CONNECT):
                break
            if attempt < self.chat.max_attempts:
                await asyncio.sleep(self.wait_seconds(fault, attempt - 1))
        self.lost_in_a_row += 1
        self.stop_if_gone(fault, answers_before)
        answer = Answer(None, Reason.REQUEST_ERROR, f"{attempt} attempts failed; the last: {fault.detail}")
        self.usage = after(self.usage, answer, attempt - 1)
        return self.keep(prompt, key, 0, answer)

    def heard(self, answer: Answer) -> None:
        """Count an answer, or a prompt that was refused; where one after the other is, the run stops."""
        if answer.reason is not Reason.REQUEST_ERROR:
            self.answers += 1
            self.lost_in_a_row = 0
            return
        self.lost_in_a_row += 1
        if self.lost_in_a_row >= LOST_IN_A_ROW and self.account.stopped is None:
            self.account.stopped = Unreachable(
                f"{self.connection.where} refused {self.lost_in_a_row} requests in a row, the last one with {answer.detail}; "
                "put less into each (contexts_per_question of a score, contexts of an explainer) or ask a model that reads more"
            )

    def worst(self, body: Mapping[str, Any], room: int) -> float:
        """What a request may cost at most: no token is shorter than a byte. 0 where there are no prices."""
        said = [turn["content"] for turn in body[MESSAGES]] if MESSAGES in body else [body["prompt"]]
        prompt_tokens = sum(len(text.encode("utf-8", "surrogatepass")) + TOKENS_A_TURN for text in said)
        return self.chat.prices.of(prompt_tokens, room) or 0.0

    def learns(self, manner: Manner, sent: Mapping[str, Any], refusal: Refusal, enough: int) -> bool:
        """Whether a refusal says how the endpoint wants to be asked; perhaps another one has said so in the meantime."""
        if MESSAGES not in sent:
            return False
        if self.account.manner == manner and (found := learned(manner, sent, self.chat.extra, refusal, enough)):
            self.account.manner = found
        return self.account.manner != manner

    def thinks(self, manner: Manner, answer: Answer) -> bool:
        """Whether this answer shows for the first time that the model thinks."""
        if not answer.thought or manner.thinks:
            return False
        self.account.manner = replace(self.account.manner, thinks=True)
        return True

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
        gone = (fault.disconnected or (fault.foreign and self.answers == 0)) and self.answers == answers_before
        lost = LOST_IN_A_ROW if self.answers else LOST_AT_FIRST
        if gone or self.lost_in_a_row >= lost:
            mend = (
                "look at what model and extra make it say"
                if fault.empty
                else "check that the server runs and that base_url is right; it often ends in /v1"
            )
            raise Unreachable(f"{self.chat.base_url} gives no answers ({fault.detail}); {mend}")

    def complete(self, prompt: Prompt, answer: Answer) -> Answer:
        """The answer, if it is whole and has the log-probabilities that were asked for. Raises BadSettings where none come."""
        if answer.text is None:
            return answer
        if answer.cut and not prompt.cut_short and prompt.plain is None:
            return cut_off(answer)
        if prompt.prompt_logprobs is not None and answer.prompt_logprobs is None:
            return Answer(None, Reason.REQUEST_ERROR, "the log-probabilities of the prompt's own text were missing this time")
        if prompt.needs_logprobs and answer.logprobs is None:
            raise BadSettings(
                f"{self.connection.where} gives no log-probabilities of what it generates, which this score needs; "
                f"{INSTEAD[Need.LOGPROBS]}"
            )
        return answer

    async def attempt(self, body: Mapping[str, Any]) -> Answer | Fault | Refusal:
        """One request, in the server's own form."""
        return await self.connection.attempt(in_form(body, await self.form()) if ASKED in body else body)

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
                body = talk.send(await self.try_out(body))
        except StopIteration as over:
            return over.value

    async def try_out(self, plain: Mapping[str, Any]) -> Answer | None:
        """The answer to a request that the server may not know; None where it refuses or fails at it.

        Where it does not say what it refuses of the first chat, other manners are tried.
        """
        chat, before = MESSAGES in plain, self.account.manner
        guessing = guesses(before) if chat and not self.chats else iter(())
        fault, attempt = Fault(""), 0
        while attempt < self.chat.max_attempts:
            manner = self.account.manner
            body = manner.put(plain, self.chat.extra) if chat else {**plain, **self.chat.extra}
            outcome = await self.tried(body)
            if isinstance(outcome, Refusal):
                if self.learns(manner, body, outcome, 1):
                    continue
                outcome = self.read_trial(outcome)
            if isinstance(outcome, Answer):
                self.refusal, self.lasting = outcome.detail, True
                if outcome.reason is not Reason.REQUEST_ERROR:
                    self.chats |= chat
                    self.thinks(manner, outcome)
                    return outcome
                if (guess := next(guessing, None)) is None:
                    break
                self.account.manner = guess
                continue
            fault, attempt, self.refusal, self.lasting = outcome, attempt + 1, outcome.detail, outcome.lasting
            if attempt >= self.patience(fault, chat=chat):
                break
            await asyncio.sleep(self.wait_seconds(fault, attempt - 1))
        self.account.manner = before if chat else self.account.manner
        if not fault.foreign:
            self.stop_if_gone(fault, self.answers)
        return None

    def patience(self, fault: Fault, *, chat: bool) -> int:
        """How many attempts at something that is tried out are enough."""
        if fault.foreign and not chat:
            return 1  # a page in place of a path that is not there
        if fault.unknown:
            return ATTEMPTS_IN_VAIN
        return ATTEMPTS_TO_CONNECT if fault.lasting else self.chat.max_attempts

    async def tried(self, body: Mapping[str, Any]) -> Answer | Fault | Refusal:
        """One request that is tried out, counted as any other."""
        await self.gate.admit(worst := self.worst(body, next((int(body[name]) for name in LIMITS if name in body), 0)))
        money = 0.0
        try:
            outcome = await self.connection.attempt(body)
            if isinstance(outcome, Answer):
                money = outcome.money or 0.0
            return outcome
        finally:
            self.gate.settle(worst, money)

    def read_trial(self, refusal: Refusal) -> Answer | Fault:
        """What an error status means for a request that the server may not know."""
        if refusal.status in UNKNOWN_STATUSES and refusal.status not in FAULTY_PROMPT_STATUSES:
            return Answer(None, Reason.REQUEST_ERROR, f"status {refusal.status}: {message_in(refusal.text)}")
        return read_refusal(refusal, proven=True, where=self.connection.where, key=self.chat.api_key_env)


def is_address(text: str) -> bool:
    """Whether this is an HTTP address with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
