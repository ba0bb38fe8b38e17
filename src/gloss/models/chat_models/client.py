"""The one place that waits for a language model: any endpoint that speaks OpenAI's chat
completions, or its completions.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gloss.errors import BadSettings
from gloss.models.chat_models.account import EndpointAccount
from gloss.models.chat_models.capabilities import (
    Capabilities,
    LocalLogprobs,
    probe_endpoint,
)
from gloss.models.chat_models.endpoint import Endpoint
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.pool import ConversationPool
from gloss.models.chat_models.prices import UsageReport
from gloss.models.chat_models.prompts import Conversation
from gloss.models.chat_models.session import Session

T = TypeVar("T")


@dataclass(frozen=True)
class Chat(Endpoint):
    """Asks an endpoint; gloss itself needs none, only methods that ask do."""

    def run(
        self,
        conversations: Iterable[Conversation[T]],
        rng: np.random.Generator,
        *,
        ledger: Path | None = None,
        progress: UsageReport | None = None,
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

        with self.pool(rng, ledger, progress, capabilities, account) as pool:
            return pool.run(conversations)

    def pool(
        self,
        rng: np.random.Generator,
        ledger: Path | None = None,
        progress: UsageReport | None = None,
        capabilities: Capabilities | None = None,
        account: EndpointAccount | None = None,
    ) -> ConversationPool:
        """What `run` asks with, for several threads at a time; `progress` counts for them all."""
        return ConversationPool(
            ledger,
            lambda answers: Session(self, answers, rng, progress, capabilities, account),
        )

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
                            f"{session.connection.endpoint} answers no chats ({session.refusal});"
                            f" {mend}"
                        )
                    return replace(found, manner=session.account.manner)
                finally:
                    await session.connection.close()

        return run_coroutine(run_probe)


def run_coroutine(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What the work gives, waited for."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with ThreadPoolExecutor(1) as thread:  # in a notebook this thread's loop is taken
        return thread.submit(asyncio.run, work()).result()
