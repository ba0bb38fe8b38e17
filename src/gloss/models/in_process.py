"""A causal language model in this process that answers prompts as an endpoint would, and says how
likely they are.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gloss.errors import BadSettings
from gloss.models.chat_models.completions import align_tokens
from gloss.models.chat_models.ledger import Ledger, request_key
from gloss.models.chat_models.manner import fold_system_turns
from gloss.models.chat_models.prices import Usage, add_answer
from gloss.models.chat_models.prompts import (
    Answer,
    Conversation,
    Message,
    Prompt,
    PromptToken,
    TokenLogprob,
)
from gloss.models.chat_models.replies import cut_off_failure, drop_thought_logprobs
from gloss.models.chat_models.thoughts import strip_thoughts
from gloss.models.content_hash import content_hash
from gloss.models.subject import Subject, draw_next_tokens
from gloss.records import PADDING, Reason
from gloss.store.vocabulary import Vocabulary

THINKING_TOKENS = 1024  # that a model in this process may think: it writes slowly
ENDING = 40  # characters of a chat in which its template may open a thought
OPENED = "<think>"

T = TypeVar("T")
ChatTemplate = Callable[[Sequence[Message]], str]
"""From the turns of a chat to the text that the model reads."""


@dataclass(frozen=True)
class InProcess:
    """Answers prompts where no server is, or none that gives log-probabilities.

    Plain text always; chats where there is a template for them.
    """

    subject: Subject
    template: ChatTemplate | None = None
    tokens_at_once: int = 4096  # in one forward pass
    answer_tokens: int = 0  # the most that an answer may have; 0 leaves it to each method
    thinking_tokens: int = -1  # on top of them; below 0: for a model whose template opens a thought

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What each token says."""
        return self.subject.vocabulary()

    @cached_property
    def identity(self) -> str:
        """What answers depend on besides the prompt: weights, and how chats are put."""
        return (
            f"{content_hash(self.subject.model)}"
            f" {self.template and self.put_chat((Message('user', 'hello'),))}"
        )

    def run(
        self,
        conversations: Iterable[Conversation[T]],
        rng: np.random.Generator,
        *,
        ledger: Path | None = None,
        progress: Callable[[Usage], None] | None = None,
    ) -> list[T]:
        """Run conversations one after another; what each returned.

        `rng` draws where a temperature is above 0. Answers rest in `ledger`, so that a run that was
        killed computes nothing twice. Raises BadSettings for a chat without a template.
        """
        results: list[T] = []
        usage = Usage()
        with Ledger(ledger) as answers:
            for conversation in conversations:
                try:
                    prompts = next(conversation)
                    while True:
                        found, usage = self.round(prompts, rng, answers, usage)
                        prompts = conversation.send(found)
                except StopIteration as over:
                    results.append(over.value)
                finally:
                    conversation.close()
                usage = replace(usage, conversations=usage.conversations + 1)
                if progress is not None:
                    progress(usage)
        return results

    def round(
        self, prompts: Sequence[Prompt], rng: np.random.Generator, ledger: Ledger, usage: Usage
    ) -> tuple[list[Answer], Usage]:
        """The answers, kept or new, and the usage after them. Equal prompts are read once."""
        keys = {
            prompt: request_key({"weights": self.identity} | answer_determinants(prompt))
            for prompt in prompts
        }
        rooms = {prompt: self.room(prompt) for prompt in keys}
        found = {
            prompt: prompt.condensed(kept)
            for prompt, key in keys.items()
            if (kept := ledger.get(key, partial(rooms.__getitem__, prompt))) is not None
        }
        usage = replace(usage, reused=usage.reused + sum(prompt in found for prompt in prompts))
        for prompt, answer in self.answers([prompt for prompt in keys if prompt not in found], rng):
            answer = prompt.condensed(answer)
            ledger.keep(keys[prompt], str(self.subject.model.name_or_path), answer, rooms[prompt])
            found[prompt] = answer
            usage = add_answer(usage, answer, 0)
            usage = replace(usage, unread=usage.unread + (answer.reason is Reason.UNPARSABLE))
        return [found[prompt] for prompt in prompts], usage

    @cached_property
    def opens_a_thought(self) -> bool:
        """Whether the template has the model begin with a thought."""
        return (
            self.template is not None
            and strip_thoughts(self.put_chat((Message("user", "hello"),))[-ENDING:] + " ").thought
        )

    def room(self, prompt: Prompt) -> int:
        """How many tokens the answer to a prompt may have, its thoughts included."""
        if prompt.plain is not None:
            return prompt.max_tokens
        thoughts = (
            self.thinking_tokens
            if self.thinking_tokens >= 0
            else THINKING_TOKENS * self.opens_a_thought
        )
        return (
            prompt.max_tokens if prompt.cut_short else self.answer_tokens or prompt.max_tokens
        ) + thoughts

    def put_chat(self, turns: Sequence[Message]) -> str:
        """A chat as the template puts it.

        What the system says goes to the user where the template refuses it elsewhere.
        """
        assert self.template is not None
        try:
            return self.template(turns)
        except BadSettings:
            plain = [{"role": turn.role, "content": turn.text} for turn in turns]
            other = tuple(
                Message(turn["role"], turn["content"]) for turn in fold_system_turns(plain)
            )
            if other == tuple(turns):
                raise
            return self.template(other)

    def answers(
        self, prompts: Sequence[Prompt], rng: np.random.Generator
    ) -> Iterator[tuple[Prompt, Answer]]:
        """Different prompts with their answers, as they come.

        Those of like length are read together.
        """
        encoded = {prompt: self.encode_prompt(prompt) for prompt in prompts}
        fitting = {
            prompt: tokens
            for prompt, tokens in encoded.items()
            if self.free_positions(prompt, tokens) >= 0
        }
        for prompt in encoded.keys() - fitting.keys():
            yield prompt, self.too_long(encoded[prompt])
        for batch in self.batches(
            {p: tokens for p, tokens in fitting.items() if p.prompt_logprobs is not None}
        ):
            yield from self.read_batch(batch).items()
        for prompt, tokens in fitting.items():
            if prompt.prompt_logprobs is None:
                yield prompt, self.generate_answer(prompt, tokens, rng)

    def free_positions(self, prompt: Prompt, tokens: list[int]) -> int | float:
        """How many positions of the model's context a prompt and its answer leave free.

        Below 0 it is too long.
        """
        wanted = len(tokens) + (self.room(prompt) if prompt.prompt_logprobs is None else 0)
        return math.inf if self.subject.context is None else self.subject.context - wanted

    def too_long(self, tokens: list[int]) -> Answer:
        """The answer to a prompt that does not fit."""
        limit = self.subject.context
        detail = (
            f"the prompt has {len(tokens)} tokens, the model takes {limit}; fewer worked examples"
            " make it shorter"
        )
        return Answer(None, Reason.REQUEST_ERROR, detail, prompt_tokens=len(tokens))

    def batches(self, encoded: Mapping[Prompt, list[int]]) -> Iterator[dict[Prompt, list[int]]]:
        """Prompts in groups of like length."""
        batch: dict[Prompt, list[int]] = {}
        for prompt in sorted(
            encoded, key=lambda prompt: (len(encoded[prompt]), prompt.messages[0].text)
        ):
            if batch and len(encoded[prompt]) * (len(batch) + 1) > self.tokens_at_once:
                yield batch
                batch = {}
            batch[prompt] = encoded[prompt]
        if batch:
            yield batch

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """The prompt's tokens: a plain text with the model's start token, a chat as the template
        puts it.
        """
        if prompt.plain is not None:
            start = self.subject.start_token
            return [*([] if start is None else [start]), *self.subject.encode(prompt.plain)]
        if self.template is None:
            raise BadSettings(
                "a model in this process has no chat template; use a score that asks in plain text,"
                " or an endpoint"
            )
        return self.subject.encode(self.put_chat(prompt.messages))

    def read_batch(self, batch: dict[Prompt, list[int]]) -> dict[Prompt, Answer]:
        """How likely each token of each text is, from one forward pass."""
        width = max(len(tokens) for tokens in batch.values())
        rows = [tokens + [PADDING] * (width - len(tokens)) for tokens in batch.values()]
        logits = self.subject.run(torch.tensor(rows), logits=True).logits
        assert logits is not None
        found: dict[Prompt, Answer] = {}
        for (prompt, tokens), row in zip(batch.items(), logits, strict=True):
            own = self.own_text(prompt, tokens, row[: len(tokens)].float())
            if own is None:
                found[prompt] = Answer(
                    None,
                    Reason.REQUEST_ERROR,
                    "the tokens do not spell the text",
                    prompt_tokens=len(tokens),
                )
            else:
                found[prompt] = Answer("", None, "", None, len(tokens), 0, 0.0, own)
        return found

    def own_text(
        self, prompt: Prompt, tokens: list[int], logits: Float[Tensor, "position vocabulary"]
    ) -> tuple[PromptToken, ...] | None:
        """The tokens of the text with their positions.

        A token's log-probability comes from the position before it.
        """
        assert prompt.plain is not None
        scored = self.score_tokens(
            torch.tensor(tokens[1:]), logits[:-1], prompt.prompt_logprobs or 0
        )
        front = 0 if self.subject.start_token is None else 1
        pieces = self.spelled_pieces(prompt.plain, tokens[front:])
        values: list[tuple[float | None, tuple[tuple[str, float], ...]]] = [
            *([] if front else [(None, ())]),
            *scored,
        ]
        return align_tokens(
            prompt.plain,
            [(piece, value, others) for piece, (value, others) in zip(pieces, values, strict=True)],
        )

    def spelled_pieces(self, text: str, tokens: list[int]) -> list[str]:
        """What each token says in this text: of an unknown token, which its name does not tell,
        the characters that it stands for.
        """
        pieces, unknown = self.vocabulary.texts(tokens), self.subject.tokens.unknown_token
        if unknown not in tokens:
            return pieces
        spans = [span for _, span in self.subject.tokens.encode_with_spans(text)]
        return [
            text[slice(*span)] if token == unknown else piece
            for token, piece, span in zip(tokens, pieces, spans, strict=True)
        ]

    def score_tokens(
        self,
        tokens: Int64[Tensor, " position"],
        logits: Float[Tensor, "position vocabulary"],
        alternatives: int,
    ) -> list[tuple[float, tuple[tuple[str, float], ...]]]:
        """Each token's log-probability and the likeliest alternatives, under the logits of its own
        row.
        """
        tokens = tokens.to(logits.device)
        total = logits.logsumexp(dim=1)
        values = (logits.gather(1, tokens[:, None])[:, 0] - total).tolist()
        if not alternatives:
            return [(value, ()) for value in values]
        strings = self.vocabulary.strings
        top = logits.topk(min(alternatives, logits.shape[1]), dim=1)
        others: list[Any] = [
            tuple((strings[token], value) for token, value in zip(*pair, strict=True))
            for pair in zip(
                top.indices.tolist(), (top.values - total[:, None]).tolist(), strict=True
            )
        ]
        return list(zip(values, others, strict=True))

    def generate_answer(
        self, prompt: Prompt, tokens: list[int], rng: np.random.Generator
    ) -> Answer:
        """What comes next: the likeliest tokens at temperature 0, otherwise a draw of each.

        An end token ends it unseen.
        """
        ends = set(self.subject.end_tokens.tolist())
        drawn_by = (
            torch.Generator().manual_seed(int(rng.integers(2**63)))
            if prompt.temperature > 0
            else None
        )
        new: list[int] = []
        found: list[TokenLogprob] = []
        cut = True
        for token, logits in self.continuation(
            tokens, self.room(prompt), drawn_by, prompt.temperature
        ):
            if token in ends:
                cut = False
                break
            new.append(token)
            if prompt.top_logprobs:
                [one] = self.score_tokens(torch.tensor([token]), logits, prompt.top_logprobs)
                found.append(TokenLogprob(self.vocabulary.strings[token], *one))
        logprobs = tuple(found) if prompt.top_logprobs else None
        text = self.vocabulary.text(new)
        if prompt.plain is not None:
            return Answer(text, None, "", logprobs, len(tokens), len(new), 0.0)
        said = strip_thoughts(OPENED + text if self.opens_a_thought else text)
        answer = Answer(
            said.text if said.thought else text,
            None,
            "",
            logprobs,
            len(tokens),
            len(new),
            0.0,
            None,
            cut,
            said.thought,
        )
        if said.thought and said.text:
            answer = replace(answer, logprobs=drop_thought_logprobs(said.text, logprobs))
        return (
            cut_off_failure(answer)
            if (cut and not prompt.cut_short) or (said.thought and not said.text)
            else answer
        )

    def continuation(
        self, tokens: list[int], number: int, drawn_by: torch.Generator | None, temperature: float
    ) -> Iterator[tuple[int, Float[Tensor, "1 vocabulary"]]]:
        """Tokens one by one, each with the logits that it was chosen by.

        Keys and values of what was read are kept.
        """
        read, cache = torch.tensor([tokens]), None
        for _ in range(number):
            with torch.no_grad():
                given: Any = self.subject.model(
                    input_ids=read.to(self.subject.device),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            cache, logits = given.past_key_values, given.logits[:, -1].float().cpu()
            chosen = (
                logits.argmax(dim=1)
                if drawn_by is None
                else draw_next_tokens(logits / temperature, drawn_by)
            )
            yield int(chosen), logits
            read = chosen[:, None]


def answer_determinants(prompt: Prompt) -> dict[str, Any]:
    """What the answer to a prompt depends on."""
    unsaid = ("reads",) if prompt.cut_short else ("reads", "cut_short")
    return {name: value for name, value in asdict(prompt).items() if name not in unsaid}
