"""A language model that this process runs, as the partner of conversations: no endpoint, no key, no
price.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gloss.errors import BadSettings, Mismatch
from gloss.models.chat_models.capabilities import Capabilities, OwnText
from gloss.models.chat_models.completions import OwnTextForm
from gloss.models.chat_models.prices import Prices, Usage
from gloss.models.chat_models.prompts import PLAIN, Conversation, Message, Prompt, PromptToken
from gloss.models.model_settings import AUTO, check_device_and_dtype

if TYPE_CHECKING:
    from gloss.models.in_process import InProcess

T = TypeVar("T")


@dataclass(frozen=True)
class LocalChat:
    """Which model answers, and where it runs.

    Its weights are read when the first conversation begins.
    """

    model: str = ""  # a folder, or a name on the hub
    revision: str = ""
    device: str = AUTO  # a card where there is one
    dtype: str = AUTO  # on a card as stored, on a CPU float32
    tokens_at_once: int = 4096  # in one forward pass
    answer_tokens: int = 0  # the most that an answer may have; 0 leaves it to each method
    # on top of them, for thoughts; below 0: 1,024 where the template opens one
    thinking_tokens: int = -1

    def __post_init__(self) -> None:
        if not self.model:
            raise BadSettings(
                "a model in this process was chosen, but none named: set model of chat to a folder,"
                ' a hub name, or "embedded"'
            )
        check_device_and_dtype(self.device, self.dtype)
        if self.answer_tokens < 0:
            raise BadSettings(f"answer_tokens is {self.answer_tokens}, wants 0 or more")
        if self.tokens_at_once < 1:
            raise BadSettings(f"tokens_at_once is {self.tokens_at_once}, wants at least 1")

    @property
    def prices(self) -> Prices:
        """Nothing is paid for."""
        return Prices(0.0, 0.0)

    def run(
        self,
        conversations: Iterable[Conversation[T]],
        rng: np.random.Generator,
        *,
        ledger: Path | None = None,
        progress: Callable[[Usage], None] | None = None,
    ) -> list[T]:
        """Run conversations one after another, as an endpoint's `Chat` does.

        Raises BadInput where there is no such model.
        """
        return load_in_process(self).run(conversations, rng, ledger=ledger, progress=progress)

    def capabilities(self) -> Capabilities:
        """Everything but schemas, and chats only with a template; the weights are read to know."""
        chat = load_in_process(self).template is not None
        return Capabilities(
            chat,
            logprobs=chat,
            own_text=OwnText(OwnTextForm.FORWARD_PASS, aligned=True),
            json_schema=False,
        )

    def own_text(self, text: str) -> tuple[PromptToken, ...]:
        """How likely each token of a text is, from one forward pass.

        Raises Mismatch where the text is too long.
        """
        prompt = Prompt((Message(PLAIN, text),), prompt_logprobs=0)
        [(_, answer)] = load_in_process(self).answers([prompt], np.random.default_rng(0))
        if answer.prompt_logprobs is None:
            raise Mismatch(f"{self.model} cannot say how likely a text is: {answer.detail}")
        return answer.prompt_logprobs


@lru_cache(maxsize=1)
def load_in_process(chat: LocalChat) -> "InProcess":
    """The model itself, read once in a process."""
    from gloss.models.in_process import InProcess
    from gloss.models.pretrained.loading import load_chat_template, resolve_dtype
    from gloss.models.subject import Subject

    revision = chat.revision or None
    subject = Subject.load(
        chat.model, revision, device=chat.device, dtype=resolve_dtype(chat.dtype)
    )
    template = load_chat_template(chat.model, revision)
    return InProcess(
        subject, template, chat.tokens_at_once, chat.answer_tokens, chat.thinking_tokens
    )
