"""The language model that an experiment names in [chat], as a partner of its conversations."""

from collections.abc import Iterable
from dataclasses import astuple
from functools import partial
from typing import TypeVar

from gloss.models.chat import Chat
from gloss.models.prices import Usage
from gloss.models.prompts import Conversation
from gloss.run.capabilities import capabilities_of, model_of
from gloss.run.plan import Plan

T = TypeVar("T")


class Partner:
    """Holds conversations with one language model; every answer is kept in the run's ledger, so that none is paid for twice."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.chat = model_of(plan.experiment.chat)
        self.usage = Usage()  # of all conversations so far

    def hold(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        before, latest = self.usage, Usage()

        def count(usage: Usage) -> None:
            nonlocal latest
            latest = usage

        try:
            ledger = self.plan.folder / "answers.sqlite"
            hold = self.chat.hold
            if isinstance(self.chat, Chat):
                hold = partial(self.chat.hold, capabilities=capabilities_of(self.plan))
            return hold(conversations, self.plan.generator("chat"), ledger=ledger, progress=count)
        finally:
            self.usage = Usage(*(a + b for a, b in zip(astuple(before), astuple(latest), strict=True)))

    def __str__(self) -> str:
        """What was asked and spent, in one line."""
        used = self.usage
        money = f", {used.money:.4f} spent" if used.money or not used.unpriced else ""
        tokens = f"{used.prompt_tokens:,} prompt and {used.completion_tokens:,} answer tokens"
        return f"{used.answered:,} answers asked, {used.reused:,} from the ledger, {used.failed:,} failed; {tokens}{money}"
