"""The language model that an experiment names in [chat], as a partner of its conversations."""

from collections.abc import Iterable
from dataclasses import astuple, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from gloss.models.account import REMEDY
from gloss.models.chat import Chat, Report
from gloss.models.manner import Manner
from gloss.models.prices import Usage
from gloss.models.prompts import Conversation
from gloss.run.capabilities import capabilities_of, keep, ledger_of, model_of, tell_key
from gloss.run.methods import ROOM, Table
from gloss.run.plan import Plan

T = TypeVar("T")


class Partner:
    """Holds conversations with one language model; every answer is kept in the run's ledger, so that none is paid for twice."""

    def __init__(self, plan: Plan, settings: Table) -> None:
        self.plan = plan
        self.chat = replace(model_of(plan.experiment.chat), **{name: settings[name] for name in ROOM if name in settings})
        self.usage = Usage()  # of all conversations so far
        self.account = self.chat.account if isinstance(self.chat, Chat) else None

    def hold(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        before, latest = self.usage, Usage()

        def count(usage: Usage) -> None:
            nonlocal latest
            latest = usage

        rng, ledger = self.plan.generator("chat"), ledger_of(self.plan.folder)
        try:
            if isinstance(self.chat, Chat):
                return self.ask(self.chat, conversations, rng, ledger, count)
            return self.chat.hold(conversations, rng, ledger=ledger, progress=count)
        finally:
            self.usage = Usage(*(a + b for a, b in zip(astuple(before), astuple(latest), strict=True)))

    def ask(
        self, chat: Chat, conversations: Iterable[Conversation[T]], rng: np.random.Generator, ledger: Path, count: Report
    ) -> list[T]:
        """Have an endpoint answer, and remember what it teaches of how it wants to be asked."""
        tell_key(chat.base_url, chat.api_key_env)
        known, account = capabilities_of(self.plan), self.account
        try:
            return chat.hold(conversations, rng, ledger=ledger, progress=count, capabilities=known, account=account)
        finally:
            if known is not None and account is not None and account.manner not in (known.manner, Manner()):
                keep(self.plan, replace(known, manner=account.manner))

    def __str__(self) -> str:
        """What was asked and spent, in one line."""
        used = self.usage
        money = f", {used.money:.4f} spent" if used.money or not used.unpriced else ""
        tokens = f"{used.prompt_tokens:,} prompt and {used.completion_tokens:,} answer tokens"
        unread = f", {used.unread:,} could not be read" if used.unread else ""
        asked = f"{used.answered:,} answers asked, {used.reused:,} from the ledger, {used.failed:,} failed{unread}"
        remedy = f"\n  answers that cannot be read count as wrong: {REMEDY}" if used.unread else ""
        return f"{asked}; {tokens}{money}{remedy}"
