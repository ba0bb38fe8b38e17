"""The language model that an experiment names in [chat], as a partner of its conversations."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gloss.models.chat import Chat
from gloss.models.prompts import Conversation
from gloss.run.experiment import settings_of
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


def chat_of(plan: Plan) -> Partner:
    return Partner(settings_of(plan.experiment.chat), plan.folder / "answers.sqlite", plan)
