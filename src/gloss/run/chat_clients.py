"""Who answers the conversations of a run: the language model that [chat] names, or nobody."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

from gloss.errors import BadSettings
from gloss.models.chat_models.account import UNREADABLE_REMEDY
from gloss.models.chat_models.batch_rounds import BatchRounds
from gloss.models.chat_models.batch_session import batch_pool
from gloss.models.chat_models.capabilities import Capabilities
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.endpoint import FILES
from gloss.models.chat_models.manner import Manner
from gloss.models.chat_models.pool import ConversationPool
from gloss.models.chat_models.prices import Usage, UsageReport
from gloss.models.chat_models.prompts import Conversation
from gloss.run.batch_desk import BatchDesk
from gloss.run.chat_capabilities import (
    announce_endpoint,
    chat_model,
    known_capabilities,
    ledger_path,
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

    def __init__(
        self,
        run: OpenedRun,
        table: ChatTable,
        settings: SettingsMapping,
        desk: BatchDesk | None = None,
    ) -> None:
        self.opened, self.table, self.desk = run, table, desk
        self.chat = chat_model(table, {name: settings[name] for name in ROOM if name in settings})
        self.usage = Usage()  # of all conversations so far
        self.account = self.chat.account if isinstance(self.chat, Chat) else None
        self.pool: ConversationPool | None = None

    def run(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        """What the conversations return; from several threads at a time within `shared`."""
        if self.pool is not None:
            return self.pool.run(conversations)
        if isinstance(self.chat, Chat):
            with self.shared() as pool:
                assert pool is not None
                return pool.run(conversations)
        with self.counted() as count:
            rng, ledger = self.opened.generator("chat"), ledger_path(self.opened.folder)
            return self.chat.run(conversations, rng, ledger=ledger, progress=count)

    @contextmanager
    def shared(self) -> Generator[ConversationPool | None]:
        """One session with the endpoint for all that is asked within, in whichever thread; what it
        teaches of how it wants to be asked is remembered.
        """
        if not isinstance(self.chat, Chat):
            yield None
            return
        if self.chat.batch != FILES:
            announce_endpoint(self.chat)
        known, account = known_capabilities(self.opened, self.table), self.account
        assert account is not None
        try:
            with self.counted() as count, self.begin(count, known) as self.pool:
                yield self.pool
        finally:
            self.pool = None
            if known is not None and account.manner not in (known.manner, Manner()):
                save_capabilities(self.opened, self.table, replace(known, manner=account.manner))

    def begin(self, count: UsageReport, known: Capabilities | None) -> ConversationPool:
        """The session: with the endpoint, or with the files that its answers come in."""
        assert isinstance(self.chat, Chat)
        assert self.account is not None
        rng, ledger = self.opened.generator("chat"), ledger_path(self.opened.folder)
        if (rounds := self.rounds) is not None:
            return batch_pool(self.chat, rng, ledger, count, known, self.account, rounds)
        if self.chat.batch == FILES:
            raise BadSettings(
                f"{self.chat.model!r} is asked by files, which only a run writes and reads; leave"
                " batch out of its [chat] to ask it at once"
            )
        return self.chat.pool(rng, ledger, count, known, self.account)

    @property
    def rounds(self) -> BatchRounds | None:
        """The rounds that it asks in; None where it asks at once."""
        if self.desk is None or not isinstance(self.chat, Chat) or not self.chat.batch:
            return None
        return self.desk.rounds(self.table.name, self.chat)

    @contextmanager
    def counted(self) -> Generator[UsageReport]:
        """Add what is used within to what was used before."""
        before = astuple(self.usage)

        def count(usage: Usage) -> None:
            self.usage = Usage(*(a + b for a, b in zip(before, astuple(usage), strict=True)))

        yield count

    def cancel(self) -> None:
        """End what is in flight within `shared`."""
        if self.pool is not None:
            self.pool.cancel()

    def shards_at_once(self, features: int) -> int:
        """How many shards of so many features have to be worked on for as many requests to be in
        flight as may be, with one more for the time in which one ends.
        """
        if not isinstance(self.chat, Chat):
            return 1
        return 1 + -(-self.chat.max_concurrent_requests // max(1, features))

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
        busy = (
            f"\n  {self.account.slots}" if self.account and self.account.slots.turned_away else ""
        )
        return f"{asked}; {tokens}{money}{busy}{remedy}"
