"""A causal language model in this process that answers plain prompts as an endpoint would, and says how likely they are."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gloss.errors import BadSettings
from gloss.models.completions import aligned
from gloss.models.prices import Usage, after
from gloss.models.prompts import Answer, Conversation, Prompt, PromptToken, TokenLogprob
from gloss.models.subject import Subject
from gloss.records import PADDING, Reason
from gloss.store.vocabulary import Vocabulary

T = TypeVar("T")


@dataclass(frozen=True)
class InProcess:
    """Answers prompts of plain text, for scores that need log-probabilities where no server gives them.

    It has no chat template: prompts that are chats are refused. Nothing is kept in a ledger, for nothing was paid.
    """

    subject: Subject
    tokens_at_once: int = 4096  # in one forward pass

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What each token says."""
        return self.subject.vocabulary()

    def hold(
        self,
        conversations: Iterable[Conversation[T]],
        rng: np.random.Generator,
        *,
        progress: Callable[[Usage], None] | None = None,
    ) -> list[T]:
        """Hold conversations one after another; what each returned. `rng` draws where a temperature is above 0."""
        results: list[T] = []
        usage = Usage()
        for talk in conversations:
            try:
                prompts = next(talk)
                while True:
                    answers = self.answers(prompts, rng)
                    for answer in answers:
                        usage = after(usage, answer, 0)
                    prompts = talk.send(answers)
            except StopIteration as over:
                results.append(over.value)
            finally:
                talk.close()
            usage = replace(usage, conversations=usage.conversations + 1)
            if progress is not None:
                progress(usage)
        return results

    def answers(self, prompts: list[Prompt], rng: np.random.Generator) -> list[Answer]:
        """The answers, prompts of like length together. Equal prompts are read once."""
        found: dict[Prompt, Answer] = {}
        for batch in self.batches(set(prompts), found):
            found |= self.read(batch)
        for prompt in set(prompts) - found.keys():
            found[prompt] = self.generated(prompt, rng)
        return [found[prompt] for prompt in prompts]

    def batches(self, prompts: set[Prompt], found: dict[Prompt, Answer]) -> Iterator[dict[Prompt, list[int]]]:
        """Prompts that ask about their own text, with their tokens; those that are too long are answered so in `found`."""
        encoded = {prompt: self.encode(prompt) for prompt in prompts}
        limit = self.subject.context
        batch: dict[Prompt, list[int]] = {}
        for prompt in sorted(prompts, key=lambda prompt: (len(encoded[prompt]), prompt.messages[0].text)):
            length = len(encoded[prompt])
            if limit is not None and length + (prompt.prompt_logprobs is None) * prompt.max_tokens > limit:
                detail = f"the prompt has {length} tokens, the model takes {limit}; fewer worked examples make it shorter"
                found[prompt] = Answer(None, Reason.REQUEST_ERROR, detail, prompt_tokens=length)
            elif prompt.prompt_logprobs is not None:
                if batch and length * (len(batch) + 1) > self.tokens_at_once:
                    yield batch
                    batch = {}
                batch[prompt] = encoded[prompt]
        if batch:
            yield batch

    def encode(self, prompt: Prompt) -> list[int]:
        """The prompt's tokens, a start token in front where the model has one. Raises BadSettings for a chat."""
        if prompt.plain is None:
            raise BadSettings("a model in this process has no chat template; use a score that asks in plain text, or an endpoint")
        start = self.subject.start_token
        return [*([] if start is None else [start]), *self.subject.encode(prompt.plain)]

    def read(self, batch: dict[Prompt, list[int]]) -> dict[Prompt, Answer]:
        """How likely each token of each text is, from one forward pass."""
        width = max(len(tokens) for tokens in batch.values())
        rows = [tokens + [PADDING] * (width - len(tokens)) for tokens in batch.values()]
        logits = self.subject.run(torch.tensor(rows), logits=True).logits
        assert logits is not None
        found: dict[Prompt, Answer] = {}
        for (prompt, tokens), row in zip(batch.items(), logits, strict=True):
            own = self.own_text(prompt, tokens, row[: len(tokens)].float())
            if own is None:
                found[prompt] = Answer(None, Reason.REQUEST_ERROR, "the tokens do not spell the text", prompt_tokens=len(tokens))
            else:
                found[prompt] = Answer("", None, "", None, len(tokens), 0, 0.0, own)
        return found

    def own_text(
        self, prompt: Prompt, tokens: list[int], logits: Float[Tensor, "position vocabulary"]
    ) -> tuple[PromptToken, ...] | None:
        """The tokens of the text with their places; a token's log-probability comes from the position before it."""
        assert prompt.plain is not None
        scored = self.scored(torch.tensor(tokens[1:]), logits[:-1], prompt.prompt_logprobs or 0)
        front = 0 if self.subject.start_token is None else 1
        pieces = self.vocabulary.texts(tokens[front:])
        values: list[tuple[float | None, tuple[tuple[str, float], ...]]] = [*([] if front else [(None, ())]), *scored]
        return aligned(prompt.plain, [(piece, value, others) for piece, (value, others) in zip(pieces, values, strict=True)])

    def scored(
        self, tokens: Int64[Tensor, " position"], logits: Float[Tensor, "position vocabulary"], alternatives: int
    ) -> list[tuple[float, tuple[tuple[str, float], ...]]]:
        """Each token's log-probability and the likeliest alternatives, under the logits of its own row."""
        tokens = tokens.to(logits.device)
        total = logits.logsumexp(dim=1)
        values = (logits.gather(1, tokens[:, None])[:, 0] - total).tolist()
        if not alternatives:
            return [(value, ()) for value in values]
        strings = self.vocabulary.strings
        top = logits.topk(min(alternatives, logits.shape[1]), dim=1)
        others: list[Any] = [
            tuple((strings[token], value) for token, value in zip(*pair, strict=True))
            for pair in zip(top.indices.tolist(), (top.values - total[:, None]).tolist(), strict=True)
        ]
        return list(zip(values, others, strict=True))

    def generated(self, prompt: Prompt, rng: np.random.Generator) -> Answer:
        """The text continued, by the likeliest tokens at temperature 0."""
        tokens = self.encode(prompt)
        drawn_by = rng if prompt.temperature > 0 else None
        longer = self.subject.generate(
            torch.tensor([tokens]), max_new_tokens=prompt.max_tokens, rng=drawn_by, temperature=prompt.temperature or 1.0
        )
        new = [token for token in longer[0, len(tokens) :].tolist() if token != PADDING]
        vocabulary, logprobs = self.vocabulary, None
        if prompt.top_logprobs:
            logits = self.subject.run(torch.tensor([[*tokens, *new]]), logits=True).logits
            assert logits is not None
            scored = self.scored(torch.tensor(new), logits[0, len(tokens) - 1 : -1].float(), prompt.top_logprobs)
            logprobs = tuple(TokenLogprob(vocabulary.strings[token], *one) for token, one in zip(new, scored, strict=True))
        return Answer(vocabulary.text(new), None, "", logprobs, len(tokens), len(new), 0.0)
