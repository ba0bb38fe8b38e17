"""The language model that an experiment names in [chat], as a partner of its conversations."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gloss.models.chat import Chat
from gloss.models.prices import Prices
from gloss.models.prompts import Conversation
from gloss.run.methods import build
from gloss.run.plan import Plan

T = TypeVar("T")


@dataclass(frozen=True)
class Partner:
    """Holds conversations with one endpoint; every answer is kept in the run's ledger, so that none is paid for twice."""

    chat: Chat
    ledger: Path
    plan: Plan

    def hold(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        return self.chat.hold(conversations, self.plan.generator("chat"), ledger=self.ledger)


def settings_of(chat: dict[str, Any]) -> Chat:
    """The endpoint of a [chat] table; `prices` is a table of its own. Raises BadSettings."""
    given = dict(chat)
    if "prices" in given:
        given["prices"] = build(Prices, given["prices"], "[chat.prices]")
    return build(Chat, given, "[chat]")


def chat_of(plan: Plan) -> Partner:
    return Partner(settings_of(plan.experiment.chat), plan.folder / "answers.sqlite", plan)
