"""Reads a subject over a task's prompts, and puts other vectors at one of their tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from gloss.errors import BadInput
from gloss.evaluate.tasks import TaskPrompt
from gloss.models.sites import Site
from gloss.models.subject import Subject
from gloss.records import PADDING

ROWS = 64  # prompts in one forward pass


@dataclass(frozen=True)
class PromptVectors:
    """What is at one token of each prompt, and what follows the last one."""

    given: Float32[Tensor, "prompt d_in"]  # what the dictionary reads
    written: Float32[Tensor, "prompt d_out"]  # what it stands for
    logits: Float32[Tensor, "prompt answer"]
    at: Int64[Tensor, " prompt"]  # which token it is

    @property
    def said(self) -> Int64[Tensor, " prompt"]:
        """The likeliest answer."""
        return self.logits.argmax(1)

    def among(self, chosen: Bool[Tensor, " prompt"]) -> "PromptVectors":
        """Of some prompts."""
        return PromptVectors(
            self.given[chosen], self.written[chosen], self.logits[chosen], self.at[chosen]
        )


@dataclass(frozen=True)
class PromptReader:
    """A subject, the sites that a dictionary reads and writes, and the answers that are told
    apart.
    """

    subject: Subject
    reads: Site
    writes: Site
    answers: tuple[str, ...]

    @cached_property
    def answer_tokens(self) -> Int64[Tensor, " answer"]:
        """The first token of each answer. Raises BadInput where two begin alike."""
        found = [self.subject.encode_behind("to", each)[0] for each in self.answers]
        if len(set(found)) < len(found):
            raise BadInput(
                "two answers of this task begin with the same token in the subject's tokenizer;"
                " give another task"
            )
        return torch.tensor(found)

    @torch.no_grad()
    def read(
        self, prompts: Sequence[TaskPrompt], at: Int64[Tensor, " prompt"] | None = None
    ) -> PromptVectors:
        """What is at the two sites at a token of each prompt, the last one where none is named, and
        the logits of all answers.
        """
        sites = (self.reads, self.writes)
        vectors = (list[Tensor](), list[Tensor]())
        logits, places = list[Tensor](), list[Tensor]()
        for tokens, last, place in self._batches(prompts, at):
            trace = self.subject.run(tokens, read=sites, logits=True)
            rows = torch.arange(len(tokens))
            for site, found in zip(sites, vectors, strict=True):
                found.append(trace.activations[site].float().cpu()[rows, place])
            logits.append(self._of_answers(trace.logits, last))
            places.append(place)
        given, written = (torch.cat(each) for each in vectors)
        return PromptVectors(given, written, torch.cat(logits), torch.cat(places))

    def logits_with(
        self,
        prompts: Sequence[TaskPrompt],
        vectors: Float32[Tensor, "prompt d_out"],
        at: Int64[Tensor, " prompt"] | None = None,
        *,
        grad: bool = False,
    ) -> Float32[Tensor, "prompt answer"]:
        """The logits of all answers with these vectors in place of what is written; with `grad`
        they keep the graph to them.
        """
        found = list[Tensor]()
        batches = zip(self._batches(prompts, at), vectors.split(ROWS), strict=True)
        for (tokens, last, place), put in batches:

            def exchanged(x: Tensor, put: Tensor = put, place: Tensor = place) -> Tensor:
                x = x.clone()
                x[torch.arange(len(x), device=x.device), place.to(x.device)] = put.to(x)
                return x

            edits = {self.writes: exchanged}
            logits = self.subject.logits_at(tokens, last[:, None], edits, grad=grad)
            found.append(logits[:, 0, self.answer_tokens])
        return torch.cat(found)

    def right(self, read: PromptVectors, prompts: Sequence[TaskPrompt]) -> Bool[Tensor, " prompt"]:
        """Which prompts get their answer."""
        return read.said == torch.tensor([self.answers.index(p.answer) for p in prompts])

    def difference(
        self, logits: Float32[Tensor, "prompt answer"], prompts: Sequence[TaskPrompt]
    ) -> Float32[Tensor, " prompt"]:
        """The logit of the answer less that of the wrong one."""
        answer, wrong = (
            torch.tensor([self.answers.index(each) for each in side])
            for side in zip(*((p.answer, p.wrong) for p in prompts), strict=True)
        )
        rows = torch.arange(len(logits))
        return logits[rows, answer] - logits[rows, wrong]

    def changed(
        self, prompts: Sequence[TaskPrompt], twins: Sequence[TaskPrompt]
    ) -> Int64[Tensor, " prompt"]:
        """The token in which each prompt differs from its twin. Raises BadInput where that is not
        one.
        """
        found = list[int]()
        for pair in zip(prompts, twins, strict=True):
            own, twin = (self._tokens(each) for each in pair)
            differing = [
                place for place, (a, b) in enumerate(zip(own, twin, strict=False)) if a != b
            ]
            if len(own) != len(twin) or len(differing) != 1:
                raise BadInput(
                    f"{pair[0].text!r} and its twin differ in more than one token, and an edit is"
                    " made at one"
                )
            found += differing
        return torch.tensor(found)

    def _tokens(self, prompt: TaskPrompt) -> list[int]:
        """Of the prompt, behind the start token."""
        front = [] if self.subject.start_token is None else [self.subject.start_token]
        return [*front, *self.subject.encode(prompt.text)]

    def _batches(
        self, prompts: Sequence[TaskPrompt], at: Int64[Tensor, " prompt"] | None
    ) -> Iterator[
        tuple[Int64[Tensor, "row position"], Int64[Tensor, " row"], Int64[Tensor, " row"]]
    ]:
        """Tokens, padded at the end, where each prompt's last one is, and the one that is named."""
        for begin in range(0, len(prompts), ROWS):
            rows = [self._tokens(prompt) for prompt in prompts[begin : begin + ROWS]]
            width = max(map(len, rows))
            padded = [[*row, *[PADDING] * (width - len(row))] for row in rows]
            last = torch.tensor([len(row) - 1 for row in rows])
            yield torch.tensor(padded), last, last if at is None else at[begin : begin + ROWS]

    def _of_answers(self, logits: Tensor | None, last: Tensor) -> Float32[Tensor, "row answer"]:
        assert logits is not None
        last = last.to(logits.device)
        rows = torch.arange(len(logits), device=logits.device)
        return logits[rows, last].float().cpu()[:, self.answer_tokens]
