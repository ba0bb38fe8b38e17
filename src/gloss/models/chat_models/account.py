"""What a run may still ask of an endpoint, how it wants to be asked, and whether its answers can be
read.
"""

import asyncio
from dataclasses import dataclass, field

from gloss.errors import GlossError, Stopped
from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.manner import Manner
from gloss.models.chat_models.prompts import Answer
from gloss.models.chat_models.request_slots import RequestSlots
from gloss.records import Reason

UNREADABLE_REMEDY = (
    "give it more room in [chat] (thinking_tokens for a model that thinks, answer_tokens for long"
    " answers), have it think less by extra or thought = false of an explainer, ask another model,"
    " or set most_unreadable = 1 there to go on all the same"
)
# answers: none of the first could be read, none in a row, too few of so many or more
AT_FIRST, IN_A_ROW, ENOUGH = 8, 20, 32


class Capped(Stopped):
    """A cap that was set on requests or on money is reached."""

    def __init__(self, reached: str, left: str = "") -> None:
        self.reached = reached
        super().__init__(
            f"{reached}{left and f', with {left} left to do'}; raise it, and the same command"
            " goes on"
        )


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that a run may send and spend, as far as it is bounded (0 for no bound), and may get
    in vain.
    """

    max_requests: int = 0
    max_cost: float = 0.0
    most_unreadable: float = 0.5  # the share of answers; 1 stops at nothing


@dataclass
class EndpointAccount:
    """Shared by all conversations of a run with one endpoint."""

    caps: Caps
    slots: RequestSlots
    manner: Manner = field(default_factory=Manner)
    answers: int = 0
    unread: int = 0
    in_a_row: int = 0
    stopped: GlossError | None = None  # raised as soon as nothing is in flight

    def count(self, answer: Answer, readable: bool, where: str) -> None:
        """Count an answer, and stop the run where too many cannot be read."""
        if answer.reason in (Reason.REFUSED, Reason.REQUEST_ERROR):
            return
        self.answers += 1
        self.unread += not readable
        self.in_a_row = 0 if readable else self.in_a_row + 1
        none = self.answers >= AT_FIRST and self.unread == self.answers
        many = self.answers >= ENOUGH and self.unread > self.caps.most_unreadable * self.answers
        if (
            self.caps.most_unreadable < 1
            and (none or many or self.in_a_row >= IN_A_ROW)
            and self.stopped is None
        ):
            self.stopped = Stopped(self.unreadable_message(answer, where))

    def unreadable_message(self, last: Answer, where: str) -> str:
        """Why the run stops, and the remedy."""
        said = last.detail if last.text is None else repr(last.text[:100])
        return (
            f"{self.unread} of {self.answers} answers of {where} could not be read, the last one:"
            f" {said}; {UNREADABLE_REMEDY}"
        )


class RequestGate:
    """Lets requests of one session through while they may be paid for, and waits for those in
    flight before it stops.
    """

    def __init__(self, account: EndpointAccount, ledger: Ledger) -> None:
        self.account, self.ledger = account, ledger
        self.in_flight = 0
        self.reserved = 0.0
        self.waiting: list[asyncio.Future[None]] = []

    async def admit(self, worst: float, *, careful: bool = False) -> None:
        """Count a request that may cost so much.

        Raises what stops the run, once no paid answer would be lost by it.

        `careful`: while no answer could be read yet, only as many are in flight as tell that none
        can.
        """
        while True:
            if (
                careful
                and self.in_flight >= AT_FIRST
                and self.account.answers == self.account.unread
            ):
                await self.next_settled()
                continue
            problem = self.account.stopped or self.cost_cap_reached(worst)
            if problem is None and not self.ledger.request(self.account.caps.max_requests):
                problem = self.request_cap_reached()
            if problem is None:
                self.in_flight += 1
                self.reserved += worst
                return
            if self.in_flight == 0:
                raise problem
            await self.next_settled()

    async def next_settled(self) -> None:
        """Wait until a request that is in flight is over."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(waiter)
        await waiter

    def settle(self, worst: float, money: float) -> None:
        """A request that was let through is over, and has cost so much.

        What it brought is to be kept before anything waits.
        """
        self.in_flight -= 1
        self.reserved -= worst
        self.ledger.spend(money)
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)
        self.waiting.clear()

    def cost_cap_reached(self, worst: float, beside: float = 0.0) -> Capped | None:
        """What says that a request may cost more than is left, where others that are not in flight
        may cost so much `beside`.
        """
        most = self.account.caps.max_cost
        if not most:
            return None
        requests, spent = self.ledger.spending()
        if spent + self.reserved + beside + worst <= most:
            return None
        return Capped(
            f"max_cost = {most:g} of [chat] is reached: {spent:.4f} spent on {requests:,} requests,"
            f" {max(0.0, most - spent):.4f} left, and the next request may cost {worst:.4f}"
        )

    def request_cap_reached(self) -> Capped:
        """What says that no more requests may be sent."""
        requests, spent = self.ledger.spending()
        money = f" and {spent:.4f} spent" if spent else ""
        return Capped(
            f"max_requests = {self.account.caps.max_requests} of [chat] is reached: {requests:,}"
            f" sent{money}, none left"
        )
