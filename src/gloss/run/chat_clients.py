"""Who answers the conversations of a run: the language model that [chat] names, or nobody."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from gloss.errors import BadSettings
from gloss.models.chat_models.account import UNREADABLE_REMEDY
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.manner import Manner
from gloss.models.chat_models.prices import Usage, UsageReport
from gloss.models.chat_models.prompts import Conversation
from gloss.run.chat_capabilities import (
    chat_model,
    known_capabilities,
    ledger_path,
    print_key_use,
    save_capabilities,
)
from gloss.run.chat_tables import ChatTable
from gloss.run.methods import ROOM, SettingsMapping
from gloss.run.opened_run import OpenedRun

T = TypeVar("T")


@runtime_checkable
class ChatClient(Protocol):
    """Holds many conversations at once and gives what they return, in their order."""

    def run(self, conversations: Iterable[Conversation[T]]) -> list[T]: ...


@dataclass(frozen=True)
class NoClient:
    """For methods that ask nothing. A method that does ask is told that there is nobody."""

    def run(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        return [self.return_value(conversation) for conversation in conversations]

    def return_value(self, conversation: Conversation[T]) -> T:
        try:
            next(conversation)
        except StopIteration as end:
            return end.value
        raise BadSettings(
            "a method asks a language model, but the experiment names none; add [chat] with"
            ' base_url and model = "..."'
        )


class EndpointClient:
    """Holds conversations with one language model.

    Every answer is kept in the run's ledger, so that none is paid for twice.
    """

    def __init__(self, run: OpenedRun, table: ChatTable, settings: SettingsMapping) -> None:
        self.opened, self.table = run, table
        self.chat = chat_model(table, {name: settings[name] for name in ROOM if name in settings})
        self.usage = Usage()  # of all conversations so far
        self.account = self.chat.account if isinstance(self.chat, Chat) else None

    def run(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        before, latest = self.usage, Usage()

        def count(usage: Usage) -> None:
            nonlocal latest
            latest = usage

        rng, ledger = self.opened.generator("chat"), ledger_path(self.opened.folder)
        try:
            if isinstance(self.chat, Chat):
                return self.ask(self.chat, conversations, rng, ledger, count)
            return self.chat.run(conversations, rng, ledger=ledger, progress=count)
        finally:
            self.usage = Usage(
                *(a + b for a, b in zip(astuple(before), astuple(latest), strict=True))
            )

    def ask(
        self,
        chat: Chat,
        conversations: Iterable[Conversation[T]],
        rng: np.random.Generator,
        ledger: Path,
        count: UsageReport,
    ) -> list[T]:
        """Have an endpoint answer, and remember what it teaches of how it wants to be asked."""
        print_key_use(chat.base_url, chat.api_key_env)
        known, account = known_capabilities(self.opened, self.table), self.account
        try:
            return chat.run(
                conversations,
                rng,
                ledger=ledger,
                progress=count,
                capabilities=known,
                account=account,
            )
        finally:
            if (
                known is not None
                and account is not None
                and account.manner not in (known.manner, Manner())
            ):
                save_capabilities(self.opened, self.table, replace(known, manner=account.manner))

    def __str__(self) -> str:
        """What was asked and spent, in one line."""
        used = self.usage
        money = f", {used.money:.4f} spent" if used.money or not used.unpriced else ""
        tokens = f"{used.prompt_tokens:,} prompt and {used.completion_tokens:,} answer tokens"
        unread = f", {used.unread:,} could not be read" if used.unread else ""
        asked = (
            f"{used.answered:,} answers asked, {used.reused:,} from the ledger, {used.failed:,}"
            f" failed{unread}"
        )
        remedy = (
            f"\n  answers that cannot be read count as wrong: {UNREADABLE_REMEDY}"
            if used.unread
            else ""
        )
        return f"{asked}; {tokens}{money}{remedy}"
