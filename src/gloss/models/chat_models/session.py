"""Asks an endpoint until it answers, and counts what was lost and what was spent."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from gloss.errors import BadSettings, Unreachable
from gloss.models.chat_models.account import EndpointAccount, RequestGate
from gloss.models.chat_models.capabilities import (
    ABILITY_REMEDIES,
    Capabilities,
    OwnText,
    Probe,
    probe_own_text,
)
from gloss.models.chat_models.completions import OWN_TEXT_FIELD, OwnTextForm, request_in_form
from gloss.models.chat_models.connection import Connection
from gloss.models.chat_models.endpoint import Endpoint
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.manner import (
    LIMITS,
    MESSAGES,
    Manner,
    Refusal,
    learn_manner,
    manner_guesses,
)
from gloss.models.chat_models.prices import Usage, UsageReport, add_answer
from gloss.models.chat_models.prompts import Answer, Conversation, Prompt
from gloss.models.chat_models.replies import (
    ATTEMPTS_AT_NOTHING,
    FAULTY_PROMPT_STATUSES,
    Fault,
    cut_off_failure,
    error_message,
    read_refusal,
)
from gloss.models.chat_models.served import served_words
from gloss.records import Ability, Reason

T = TypeVar("T")

FIRST_WAIT_SECONDS = 0.5  # before the second attempt at most; doubles with every attempt
LONGEST_WAIT_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 600.0  # a server that asks for more is as good as away
ATTEMPTS_TO_CONNECT = 3  # while nothing has ever answered
ATTEMPTS_IN_VAIN = 2  # at something that is tried out and takes longer than the timeout
# prompts lost without any answer between them, after which the run stops
LOST_AT_FIRST, LOST_IN_A_ROW = 3, 20
# of servers that do not know a field or a path
UNKNOWN_STATUSES = frozenset({400, 404, 405, 415, 422, 501})
TOKENS_A_TURN = 16  # that chat templates put around each turn, at most


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A prompt as it is asked: the key of its answer, the whole request, and the tokens that the
    answer may have.
    """

    prompt: Prompt
    key: str
    manner: Manner
    body: Mapping[str, Any]
    room: int


class Session:
    """What is in flight, what was lost, what was spent, over one or more calls of `run`."""

    def __init__(
        self,
        chat: Endpoint,
        ledger: Ledger,
        rng: np.random.Generator,
        progress: UsageReport | None,
        known: Capabilities | None,
        account: EndpointAccount | None = None,
    ) -> None:
        self.chat, self.ledger, self.rng, self.progress = chat, ledger, rng, progress
        self.usage = Usage()
        self.asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.unanswered: dict[str, Answer] = {}
        self.lost_in_a_row = 0
        self.answers = 0  # that the endpoint gave in this session
        self.connection = Connection(
            chat.address(), chat.model, chat.api_key_env, chat.timeout_seconds, chat.prices
        )
        self.own_text: OwnText | None = known and known.own_text  # None until it was looked at
        self.schemas = known is not None and known.json_schema
        self.chats = False  # whether a chat that was tried out was answered
        self.refusal = "no answer"  # of the last request that was tried out in vain
        self.lasting = True  # whether nothing else is to be hoped for
        self.looking = asyncio.Lock()
        self.account = account or chat.account
        self.slots = self.account.slots
        if known is not None and self.account.manner == Manner():
            self.account.manner = known.manner
        self.gate = RequestGate(self.account, ledger)

    async def run(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        """Everything that the conversations return, in their order."""
        results: dict[int, T] = {}
        numbered = enumerate(conversations)
        await gather_or_cancel(
            self.work_through(numbered, results) for _ in range(self.chat.max_concurrent_requests)
        )
        if self.account.stopped is not None:
            raise self.account.stopped
        return [results[number] for number in range(len(results))]

    async def work_through(
        self, numbered: Iterator[tuple[int, Conversation[T]]], results: dict[int, T]
    ) -> None:
        """Take the next conversation as soon as one is over."""
        for number, conversation in numbered:
            results[number] = await self.run_conversation(conversation)
            self.usage = replace(self.usage, conversations=self.usage.conversations + 1)
            if self.progress is not None:
                self.progress(self.usage)
            # conversations that ask nothing must not starve replies that are in flight
            await asyncio.sleep(0)

    async def run_conversation(self, conversation: Conversation[T]) -> T:
        """Answer what a conversation asks, until it returns."""
        try:
            prompts = next(conversation)
            while True:
                prompts = conversation.send(
                    await gather_or_cancel(self.answer(prompt) for prompt in prompts)
                )
        except StopIteration as over:
            return over.value
        finally:
            conversation.close()

    async def answer(self, prompt: Prompt) -> Answer:
        """The answer to a prompt: the one that is kept, or one that is asked for, once for all that
        ask the same.
        """
        key = self.chat.key(prompt, schemas=self.schemas)
        lock = self.asking.setdefault(key, asyncio.Lock())
        async with lock:
            wanted = 0 if prompt.cut_short or prompt.plain is not None else prompt.max_tokens
            if (
                kept := self.ledger.get(key, partial(self.room, prompt), wanted)
                or self.unanswered.get(key)
            ) is not None:
                kept = prompt.condensed(kept)
                self.usage = replace(self.usage, reused=self.usage.reused + 1)
                self.count(prompt, kept)
                return kept
            return await self.ask(prompt, key)

    def room(self, prompt: Prompt) -> int:
        """How many tokens the answer to a prompt is allowed at present."""
        body = self.chat.body(prompt, schemas=self.schemas, manner=self.account.manner)
        return self.room_in(body, prompt)

    def room_in(self, body: Mapping[str, Any], prompt: Prompt) -> int:
        """How many tokens this request for the answer to a prompt allows."""
        said = next((body[name] for name in LIMITS if name in body), None)
        if said is None:
            return self.chat.room(prompt, prompt.max_tokens, self.account.manner)
        return int(said)

    def keep(self, prompt: Prompt, key: str, room: int, answer: Answer) -> Answer:
        """Keep an answer before anything else sees it; what it is worth to the prompt."""
        answer = prompt.condensed(self.complete(prompt, answer))
        if not self.ledger.keep(key, self.chat.known_as, answer, room):
            self.unanswered[key] = answer
        self.count(prompt, answer)
        return answer

    def count(self, prompt: Prompt, answer: Answer) -> None:
        """Count what could be read and what could not."""
        if prompt.plain is not None:
            return
        readable = answer.text is not None and (
            prompt.reads is None or prompt.reads(answer.text) is not None
        )
        self.account.count(answer, readable, self.connection.endpoint)
        self.usage = replace(
            self.usage,
            unread=self.usage.unread
            + (answer.reason in (None, Reason.UNPARSABLE) and not readable),
        )

    async def ask(self, prompt: Prompt, key: str) -> Answer:
        """Ask the endpoint until it answers, waiting longer each time.

        What it teaches on the way costs no attempt.
        """
        answers_before, fault, attempt, empty = self.answers, Fault(""), 0, 0
        while attempt < self.chat.max_attempts:
            async with self.slots.place(again=attempt > 0) as falls:
                outcome = await self.ask_once(prompt, key, attempt)
                if isinstance(outcome, Fault):
                    if outcome.busy:
                        self.slots.turn_away(falls)
                    elif outcome.late:
                        self.slots.kept_waiting(falls)
                elif outcome is not None:
                    self.slots.answered()
                    return outcome
            if outcome is None:
                continue
            fault, attempt, empty = outcome, attempt + 1, empty + 1 if outcome.empty else 0
            gone = (fault.disconnected or fault.foreign) and self.answers == 0
            if empty >= ATTEMPTS_AT_NOTHING or (gone and attempt >= ATTEMPTS_TO_CONNECT):
                break
            if attempt < self.chat.max_attempts:
                await asyncio.sleep(self.wait_seconds(fault, attempt - 1))
        self.lost_in_a_row += 1
        self.stop_if_gone(fault, answers_before)
        answer = Answer(
            None, Reason.REQUEST_ERROR, f"{attempt} attempts failed; the last: {fault.detail}"
        )
        self.usage = add_answer(self.usage, answer, attempt - 1)
        return self.keep(prompt, key, 0, answer)

    async def ask_once(self, prompt: Prompt, key: str, attempt: int) -> Answer | Fault | None:
        """One attempt at a prompt: its answer, which is kept, or why there is none; None where the
        endpoint taught how it is to be asked.
        """
        sent = self.request(prompt, key)
        worst = self.worst_cost(sent.body, sent.room)
        await self.gate.admit(worst, careful=MESSAGES in sent.body)
        money = 0.0
        try:
            outcome, money = self.judge_reply(sent, await self.attempt(sent.body), attempt)
            if isinstance(outcome, Answer):
                return self.keep(prompt, key, sent.room, outcome)
            return outcome
        finally:
            self.gate.settle(worst, money)

    def request(self, prompt: Prompt, key: str) -> SentRequest:
        """What is sent for a prompt at present."""
        manner = self.account.manner
        body = self.chat.body(prompt, schemas=self.schemas, manner=manner)
        return SentRequest(prompt, key, manner, body, self.room_in(body, prompt))

    def judge_reply(
        self, sent: SentRequest, outcome: Answer | Fault | Refusal, attempt: int
    ) -> tuple[Answer | Fault | None, float]:
        """What came of a request, which is counted: its answer, or why there is none; None where
        the endpoint taught how it is to be asked. And what it cost.
        """
        if isinstance(outcome, Refusal):
            if self.learn_from_refusal(sent.manner, sent.body, outcome, sent.prompt.max_tokens):
                return None, 0.0
            outcome = read_refusal(
                outcome,
                proven=self.answers > 0 or OWN_TEXT_FIELD in sent.body,
                where=self.connection.endpoint,
                key=self.chat.api_key_env,
            )
        worst = self.worst_cost(sent.body, sent.room)
        if isinstance(outcome, Fault):
            return outcome, worst if outcome.unknown else 0.0
        unpriced = outcome.money is None and outcome.text is not None
        money = worst if unpriced else outcome.money or 0.0
        self.usage = add_answer(self.usage, outcome, attempt)
        self.count_reply(outcome)
        thinks = self.learn_that_it_thinks(sent.manner, outcome)
        if thinks and outcome.cut and self.room(sent.prompt) > sent.room:
            return None, money
        return outcome, money

    def count_reply(self, answer: Answer) -> None:
        """Count an answer, or a prompt that was refused.

        Where one after the other is, the run stops.
        """
        if answer.reason is not Reason.REQUEST_ERROR:
            self.answers += 1
            self.lost_in_a_row = 0
            return
        self.lost_in_a_row += 1
        if self.lost_in_a_row >= LOST_IN_A_ROW and self.account.stopped is None:
            self.account.stopped = Unreachable(
                f"{self.connection.endpoint} refused {self.lost_in_a_row} requests in a row, the"
                f" last one with {answer.detail}; put less into each (contexts_per_question of a"
                " score, contexts of an explainer) or ask a model that reads more"
            )

    def worst_cost(self, body: Mapping[str, Any], room: int) -> float:
        """What a request may cost at most: no token is shorter than a byte. 0 where there are no
        prices.
        """
        if self.chat.paid.money(1, 1) is None:
            return 0.0
        said = (
            [turn["content"] for turn in body[MESSAGES]] if MESSAGES in body else [body["prompt"]]
        )
        prompt_tokens = sum(
            len(text.encode("utf-8", "surrogatepass")) + TOKENS_A_TURN for text in said
        )
        return self.chat.paid.money(prompt_tokens, room) or 0.0

    def learn_from_refusal(
        self, manner: Manner, sent: Mapping[str, Any], refusal: Refusal, enough: int
    ) -> bool:
        """Whether a refusal says how the endpoint wants to be asked.

        Perhaps another one has said so in the meantime.
        """
        if MESSAGES not in sent:
            return False
        if self.account.manner == manner and (
            found := learn_manner(manner, sent, self.chat.extra, refusal, enough)
        ):
            self.account.manner = found
        return self.account.manner != manner

    def learn_that_it_thinks(self, manner: Manner, answer: Answer) -> bool:
        """Whether this answer shows for the first time that the model thinks."""
        if not answer.thought or manner.thinks:
            return False
        self.account.manner = replace(self.account.manner, thinks=True)
        return True

    def wait_seconds(self, fault: Fault, attempt: int) -> float:
        """As long as the server asks for, and a random part of a time that doubles with each
        attempt.
        """
        asked_for = fault.retry_after_seconds or 0.0
        if asked_for > LONGEST_RETRY_AFTER_SECONDS:
            raise Unreachable(
                f"{self.chat.where} asks to wait for {asked_for:.0f} seconds ({fault.detail});"
                " start again later"
            )
        return asked_for + self.rng.uniform(
            0, min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt)
        )

    def stop_if_gone(self, fault: Fault, answers_before: int) -> None:
        """Raise Unreachable where the endpoint, and not the prompt, is to blame for a prompt that
        was lost.
        """
        gone = (
            fault.disconnected or (fault.foreign and self.answers == 0)
        ) and self.answers == answers_before
        lost = LOST_IN_A_ROW if self.answers else LOST_AT_FIRST
        if gone or self.lost_in_a_row >= lost:
            mend = (
                "look at what model and extra make it say"
                if fault.empty
                else f"it printed last: {served_words(self.chat.serve)}"
                if self.chat.serve
                else "check that the server runs and that base_url is right; it often ends in /v1"
            )
            raise Unreachable(f"{self.chat.where} gives no answers ({fault.detail}); {mend}")

    def complete(self, prompt: Prompt, answer: Answer) -> Answer:
        """The answer, if it is whole and has the log-probabilities that were asked for.

        Raises BadSettings where none come.
        """
        if answer.text is None:
            return answer
        if answer.cut and not prompt.cut_short and prompt.plain is None:
            return cut_off_failure(answer)
        if prompt.prompt_logprobs is not None and answer.prompt_logprobs is None:
            return Answer(
                None,
                Reason.REQUEST_ERROR,
                "the log-probabilities of the prompt's own text were missing this time",
            )
        if prompt.needs_logprobs and answer.logprobs is None:
            raise BadSettings(
                f"{self.connection.endpoint} gives no log-probabilities of what it generates, which"
                f" this score needs; {ABILITY_REMEDIES[Ability.LOGPROBS]}"
            )
        return answer

    async def attempt(self, body: Mapping[str, Any]) -> Answer | Fault | Refusal:
        """One request, in the server's own form."""
        return await self.connection.attempt(
            request_in_form(body, await self.form()) if OWN_TEXT_FIELD in body else body
        )

    async def form(self) -> OwnTextForm:
        """How this server is asked for log-probabilities of a prompt's own text.

        Raises BadSettings where it has none.
        """
        async with self.looking:
            if self.own_text is None:
                self.own_text = await self.run_probe(probe_own_text(self.chat.model))
        if self.own_text.lacking or self.own_text.form is None:
            raise BadSettings(
                f"{self.connection.endpoint} {self.own_text.lacking}, which this score needs;"
                f" {ABILITY_REMEDIES[Ability.OWN_TEXT]}"
            )
        return self.own_text.form

    async def run_probe(self, conversation: Probe[T]) -> T:
        """What a probe finds. Nothing of it is kept, because servers are mended."""
        try:
            body = next(conversation)
            while True:
                body = conversation.send(await self.try_out(body))
        except StopIteration as over:
            return over.value

    async def try_out(self, plain: Mapping[str, Any]) -> Answer | None:
        """The answer to a request that the server may not know; None where it refuses or fails at
        it.

        Where it does not say what it refuses of the first chat, other manners are tried.
        """
        chat, before = MESSAGES in plain, self.account.manner
        guessing = manner_guesses(before) if chat and not self.chats else iter(())
        fault, attempt = Fault(""), 0
        while attempt < self.chat.max_attempts:
            manner = self.account.manner
            body = manner.apply(plain, self.chat.extra) if chat else {**plain, **self.chat.extra}
            outcome = await self.try_request(body)
            if isinstance(outcome, Refusal):
                if self.learn_from_refusal(manner, body, outcome, 1):
                    continue
                outcome = self.read_trial(outcome)
            if isinstance(outcome, Answer):
                self.refusal, self.lasting = outcome.detail, True
                if outcome.reason is not Reason.REQUEST_ERROR:
                    self.chats |= chat
                    self.learn_that_it_thinks(manner, outcome)
                    return outcome
                if (guess := next(guessing, None)) is None:
                    break
                self.account.manner = guess
                continue
            fault, attempt, self.refusal, self.lasting = (
                outcome,
                attempt + 1,
                outcome.detail,
                outcome.lasting,
            )
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

    async def try_request(self, body: Mapping[str, Any]) -> Answer | Fault | Refusal:
        """One request that is tried out, counted as any other."""
        await self.gate.admit(
            worst := self.worst_cost(
                body, next((int(body[name]) for name in LIMITS if name in body), 0)
            )
        )
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
            return Answer(
                None,
                Reason.REQUEST_ERROR,
                f"status {refusal.status}: {error_message(refusal.text)}",
            )
        return read_refusal(
            refusal, proven=True, where=self.connection.endpoint, key=self.chat.api_key_env
        )


async def gather_or_cancel(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All their results; when one raises, the others are cancelled and have ended before it is
    passed on.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
