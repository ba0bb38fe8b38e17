"""How many requests are in flight: as many as the settings allow, or fewer where the server turns
some away.

The number falls by a factor when a request is turned away, and at once to what the server kept, or
when one gets no answer in time, as where a slow server lets all wait. It rises by one for each
round of answers (additive increase, multiplicative decrease: Chiu and Jain, 1989), faster while it
is far below what it was before it fell.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

FALLS_TO = 0.85  # of the number, once for all that were sent before it fell
MEMORY = 64  # answers over which what the server takes is averaged


class RequestSlots:
    """Places for requests, which change in number; given in turn, to repeated attempts first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)  # at present
        self.taken = float(most)  # by the server, over the last answers
        self.ceiling = float(most)  # the number before it last fell
        self.in_flight = 0
        self.turned_away = 0
        self.falls = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self, *, again: bool = False) -> AsyncGenerator[int]:
        """A place for one attempt at a request; gives how often the number had fallen by then."""
        await self.enter(again=again)
        try:
            yield self.falls
        finally:
            self.leave()

    async def enter(self, *, again: bool) -> None:
        """Wait for a place."""
        if not self.waiting and self.in_flight < int(self.limit):
            self.in_flight += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self.waiting.appendleft if again else self.waiting.append)(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # it was let in at the same moment
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to the next."""
        self.in_flight -= 1
        self.let_in()

    def let_in(self) -> None:
        """Let those in that there is room for."""
        while self.waiting and self.in_flight < int(self.limit):
            waiter = self.waiting.popleft()
            if not waiter.done():
                self.in_flight += 1
                waiter.set_result(None)

    def turn_away(self, falls: int) -> None:
        """The request in a place was turned away, which it had got when the number had fallen so
        often.
        """
        self.turned_away += 1
        self.kept_waiting(falls)
        self.limit = max(1.0, min(self.limit, self.in_flight - 1.0))
        self.taken = min(self.taken, self.limit)

    def kept_waiting(self, falls: int) -> None:
        """The request in a place got no answer in time: fewer at once wait less."""
        if falls == self.falls:
            self.falls += 1
            self.ceiling = self.limit
            self.limit = max(1.0, self.limit * FALLS_TO)

    def answered(self) -> None:
        """The request in a place was answered."""
        if not self.falls:
            return
        self.limit += 1.0 if self.limit < self.ceiling / 2 else 1 / self.limit
        self.limit = min(self.limit, float(self.most))
        self.taken += (self.limit - self.taken) / MEMORY
        self.let_in()

    def __str__(self) -> str:
        """What the server took, in a few words; nothing where it took all."""
        if not self.turned_away:
            return ""
        return (
            f"{self.turned_away:,} requests turned away: at most {self.most:,} at once were asked"
            f" for; the server took about {round(self.taken):,}"
        )
