"""A session whose requests are answered as files: it takes the answers that came back, and writes
down what is to be asked next.
"""

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson

from gloss.errors import BadSettings, Stopped, Unreachable
from gloss.models.chat_models.account import EndpointAccount
from gloss.models.chat_models.batch_rounds import (
    BatchLine,
    BatchRounds,
    request_number,
)
from gloss.models.chat_models.capabilities import Capabilities
from gloss.models.chat_models.connection import read_api_key
from gloss.models.chat_models.endpoint import OPENAI, Endpoint
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.manner import LIMITS, Refusal
from gloss.models.chat_models.pool import ConversationPool
from gloss.models.chat_models.prices import UsageReport, add_answer, prompt_token_count
from gloss.models.chat_models.prompts import Answer, Conversation, Prompt
from gloss.models.chat_models.replies import Fault, error_message, read_reply
from gloss.models.chat_models.session import SentRequest, Session, gather_or_cancel
from gloss.records import Reason

T = TypeVar("T")

MOST_ROUNDS = 3  # in which a request is asked that comes back without an answer
AWAITED = Answer(None, Reason.REQUEST_ERROR, "its batch is awaited")
PLAIN_TEXT = (
    "asks for the log-probabilities or the continuation of a plain text, and batches hold chats"
    " alone; leave batch out of its [chat], or choose a method that asks in chats"
)


class AwaitsBatch(Stopped):
    """Something cannot go on before a round of requests is answered."""


class BatchSession(Session):
    """Asks by rounds: conversations go on as far as answers are there."""

    def __init__(
        self,
        chat: Endpoint,
        ledger: Ledger,
        rng: np.random.Generator,
        progress: UsageReport | None,
        known: Capabilities | None,
        account: EndpointAccount | None,
        rounds: BatchRounds,
    ) -> None:
        super().__init__(chat, ledger, rng, progress, known, account)
        self.rounds = rounds
        self.connection.key = read_api_key(chat.api_key_env)  # that lines may repeat

    async def run(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        """Everything that the conversations return, in their order.

        Raises AwaitsBatch where some wait for answers, as soon as none can go on.
        """
        results = await super().run(conversations)
        if any(result is AWAITED for result in results):
            raise AwaitsBatch("answers of a batch are awaited; the same command goes on")
        return results

    async def run_conversation(self, conversation: Conversation[Any]) -> Any:
        """What a conversation returns, or AWAITED where it asks what is not answered yet."""
        try:
            prompts = next(conversation)
            while True:
                answers = await gather_or_cancel(self.answer(prompt) for prompt in prompts)
                if any(answer is AWAITED for answer in answers):
                    return AWAITED
                prompts = conversation.send(answers)
        except StopIteration as over:
            return over.value
        finally:
            conversation.close()

    async def ask(self, prompt: Prompt, key: str) -> Answer:
        """The answer that came back for a prompt, or AWAITED: it is asked in the next round, again
        where it came back without an answer.
        """
        if prompt.plain is not None:
            if self.chat.batch == OPENAI:
                return await super().ask(prompt, key)
            raise BadSettings(f"a method {PLAIN_TEXT}")
        if self.rounds.is_out(key):
            return AWAITED
        while True:
            sent = self.request(prompt, key)
            content = spelled_body(sent.body)
            number = request_number(key, sent.room, content)
            came = self.rounds.answers_to(key)
            same = [line for line in came if line.number == number]
            if not same:
                return self.paid_already(sent, came) or self.put(sent, number, content)
            outcome, money = self.read(sent, same[-1], len(same) - 1)
            if isinstance(outcome, Answer):
                return self.taken(sent, sent.room, outcome, money)
            if isinstance(outcome, Fault) and len(same) >= min(MOST_ROUNDS, self.chat.max_attempts):
                return self.lost(prompt, key, outcome, len(same))
            if outcome is not None or self.request(prompt, key).body == sent.body:
                return self.put(sent, number, content)

    def paid_already(self, sent: SentRequest, came: list[BatchLine]) -> Answer | None:
        """The answer to the same prompt as it was asked before the endpoint taught otherwise, if
        the ledger has none; None where there is no such answer.
        """
        if not came or self.ledger.get(sent.key, partial(int)) is not None:
            return None
        outcome = self.reply(came[-1], sent.body)
        room = came[-1].room
        if not isinstance(outcome, Answer) or (outcome.cut and room < sent.room):
            return None
        outcome, money = self.judge_reply(sent, outcome, 0)
        return self.taken(sent, room, outcome, money) if isinstance(outcome, Answer) else None

    def read(
        self, sent: SentRequest, line: BatchLine, attempt: int
    ) -> tuple[Answer | Fault | None, float]:
        """What came back, as of any request. That nobody would be answered is noted, and raised by
        who sends the next round.
        """
        try:
            return self.judge_reply(sent, self.reply(line, sent.body), attempt)
        except (BadSettings, Unreachable) as problem:
            self.rounds.blocked = type(problem)(f"{line.place}: {problem}")
            return Fault(str(problem)), 0.0

    def taken(self, sent: SentRequest, room: int, answer: Answer, money: float) -> Answer:
        """Keep an answer; what it is worth to the prompt."""
        self.rounds.taken += 1
        self.ledger.spend(money)
        return self.keep(sent.prompt, sent.key, room, answer)

    def lost(self, prompt: Prompt, key: str, fault: Fault, rounds: int) -> Answer:
        """The failure of a prompt that no round brought an answer to."""
        said = f"{rounds} rounds brought no answer; the last: {fault.detail}"
        answer = Answer(None, Reason.REQUEST_ERROR, said)
        self.usage = add_answer(self.usage, answer, rounds - 1)
        return self.keep(prompt, key, 0, answer)

    def put(self, sent: SentRequest, number: str, content: bytes) -> Answer:
        """Ask it in the next round, if it may be paid for."""
        worst = self.worst_cost(sent.body, sent.room)
        most = self.account.caps.max_requests
        beside = self.rounds.reserved if self.account.caps.max_cost else 0.0
        full = self.account.stopped or self.gate.cost_cap_reached(worst, beside)
        if most and self.ledger.spending()[0] + self.rounds.waiting >= most:
            full = full or self.gate.request_cap_reached()
        if full is None:
            self.rounds.put(number, content, prompt_token_count(sent.prompt), worst)
        else:
            self.rounds.full = full
        return AWAITED

    def reply(self, line: BatchLine, body: Mapping[str, Any]) -> Answer | Fault | Refusal:
        """What one line says."""
        try:
            content = line.content()
        except ValueError:
            content = None
        if content is None:
            ended = line.of.known.get("ended")
            return Fault(f"no line came back{f', the batch {ended}' if ended else ''}")
        response = content.get("response")
        response = response if isinstance(response, dict) else {}
        status, inner, error = (
            response.get("status_code"),
            response.get("body"),
            content.get("error"),
        )
        status = status if isinstance(status, int) else 0
        if 200 <= status < 300 and isinstance(inner, dict) and not error:
            limit = next((int(body[name]) for name in LIMITS if name in body), 0)
            said = self.connection.hide_in_body(orjson.dumps(inner))
            return read_reply(said, self.chat.paid, limit)
        text = self.connection.hide(orjson.dumps({"error": error or inner}).decode())
        if status < 400:
            return Fault(f"the batch failed at it: {error_message(text)}")
        return Refusal(status, text, {})


def spelled_body(body: Mapping[str, Any]) -> bytes:
    r"""A request as JSON that every reader takes: `?` for halves of characters, for which some
    refuse the whole file.

    >>> spelled_body({"prompt": "\ud83d"})
    b'{"prompt": "?"}'
    """
    try:
        return orjson.dumps(body)
    except TypeError:
        return json.dumps(body, ensure_ascii=False).encode(errors="replace")


def batch_pool(
    chat: Endpoint,
    rng: np.random.Generator,
    ledger: Path | None,
    progress: UsageReport | None,
    known: Capabilities | None,
    account: EndpointAccount,
    rounds: BatchRounds,
) -> ConversationPool:
    """What conversations are handed to, by rounds. `run` raises AwaitsBatch."""
    return ConversationPool(
        ledger,
        lambda answers: BatchSession(chat, answers, rng, progress, known, account, rounds),
    )
