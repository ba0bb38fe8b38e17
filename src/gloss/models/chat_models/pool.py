"""One session of an endpoint that any thread hands conversations to: all share what may be in
flight at once.
"""

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.prompts import Conversation
from gloss.models.chat_models.session import Session

T = TypeVar("T")


class ConversationPool:
    """A session in a thread of its own, from `with` to its end.

    `run` may be called from several threads at a time: the requests of all go out as one stream,
    so that a few slow conversations of one caller keep no other waiting.
    """

    def __init__(self, ledger: Path | None, begin: Callable[[Ledger], Session]) -> None:
        self.path, self.begin = ledger, begin
        self.cancelled = False  # nothing is begun any more
        self.loop, self.over = asyncio.new_event_loop(), False
        self.thread = threading.Thread(target=self.run_loop, daemon=True)

    def __enter__(self) -> "ConversationPool":
        gc.collect()  # what nobody holds any more would stay as long as the pool
        self.froze = gc.get_freeze_count() == 0  # or another has, who undoes it
        if self.froze:  # what is there already is not looked through again at every few answers
            gc.freeze()
        self.thread.start()
        try:
            self.ledger, self.session = self.wait(self.open())
        except BaseException:
            self.end_thread()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.cancel()
            self.wait(self.close())
        finally:
            self.end_thread()

    def run(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        """Everything that these conversations return, in their order. Raises as `Chat.run`."""
        return self.wait(self.begun(conversations))

    def cancel(self) -> None:
        """End whatever is in flight, and begin nothing more: those who wait, or come later, get
        CancelledError.
        """
        self.wait(self.cancel_others())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives in the thread of the session."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def open(self) -> tuple[Ledger, Session]:
        """In the thread that uses them: SQLite's connections stay in the one that made them."""
        ledger = Ledger(self.path)
        return ledger, self.begin(ledger)

    async def close(self) -> None:
        await self.session.connection.close()
        self.ledger.close()
        await self.loop.shutdown_asyncgens()

    async def begun(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        if self.cancelled:
            raise asyncio.CancelledError
        return await self.session.run(conversations)

    async def cancel_others(self) -> None:
        """Cancel every task but this one, and wait until they have ended."""
        self.cancelled = True
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def run_loop(self) -> None:
        """Run until the end. What breaks an event loop, as an exit that a conversation asks for,
        goes to whoever waits for that conversation, and ends no other.
        """
        while not self.over:
            try:
                self.loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                continue

    def end_thread(self) -> None:
        self.over = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        if self.froze:
            gc.unfreeze()
