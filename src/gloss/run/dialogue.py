"""Carries conversations to their end: with a language model where the experiment names one, otherwise without asking."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from gloss.errors import BadSettings
from gloss.models.prompts import Conversation

T = TypeVar("T")


@runtime_checkable
class Dialogue(Protocol):
    """Holds many conversations at once and gives what they return, in their order."""

    def hold(self, conversations: Iterable[Conversation[T]]) -> list[T]: ...


@dataclass(frozen=True)
class Silence:
    """For methods that ask nothing. A method that does ask is told that there is nobody."""

    def hold(self, conversations: Iterable[Conversation[T]]) -> list[T]:
        return [self.finished(conversation) for conversation in conversations]

    def finished(self, conversation: Conversation[T]) -> T:
        try:
            next(conversation)
        except StopIteration as end:
            return end.value
        raise BadSettings(
            'a method asks a language model, but the experiment names none; add [chat] with base_url and model = "..."'
        )
