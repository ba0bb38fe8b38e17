"""What is read of the subject after a prompt: how likely an answer is, what has changed, how
strongly a feature fires.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.errors import BadInput
from gloss.models.dictionary import Dictionary
from gloss.models.subject import Subject
from gloss.records import PADDING

POSITIONS = 8192  # in one forward pass


@runtime_checkable
class Measure(Protocol):
    """A number for each row of tokens, start token included."""

    def of(self, subject: Subject, rows: Sequence[list[int]]) -> Float64[ndarray, " row"]: ...


@dataclass(frozen=True)
class LogProbability:
    """Of an answer of one token or more, in nats.

    With `odds` the log-odds log p / (1 - p), which do not flatten towards 1.
    """

    answer: tuple[int, ...]
    odds: bool = False

    def of(self, subject: Subject, rows: Sequence[list[int]]) -> Float64[ndarray, " row"]:
        """Summed over the answer's tokens."""
        found = answer_log_probability(subject, rows, self.answer)
        return found - np.log(-np.expm1(np.minimum(found, -1e-12))) if self.odds else found


@dataclass(frozen=True)
class LogitDifference:
    """How much likelier one answer is than another, in nats: for answers of one token the
    difference of their logits.
    """

    answer: tuple[int, ...]
    other: tuple[int, ...]

    def of(self, subject: Subject, rows: Sequence[list[int]]) -> Float64[ndarray, " row"]:
        """log p(answer) - log p(other)."""
        if len(self.answer) == len(self.other) == 1:
            parts = [
                logits[:, self.answer[0]] - logits[:, self.other[0]]
                for logits in batched_next_logits(subject, rows)
            ]
            return restore_row_order(rows, parts)
        return answer_log_probability(subject, rows, self.answer) - answer_log_probability(
            subject, rows, self.other
        )


@dataclass(frozen=True)
class KlFromClean:
    """KL(clean ‖ what is left) of the next token, in nats: 0 where the removed players do not
    matter.
    """

    clean: Float64[ndarray, " vocabulary"]  # log-probabilities

    def of(self, subject: Subject, rows: Sequence[list[int]]) -> Float64[ndarray, " row"]:
        """One number a row."""
        clean = torch.from_numpy(self.clean)
        parts = [
            (clean.exp() * (clean - logits.double().log_softmax(1))).sum(1).clamp_min(0)
            for logits in batched_next_logits(subject, rows)
        ]
        return restore_row_order(rows, parts)


@dataclass(frozen=True)
class FeatureActivation:
    """A feature's activation: at the last position, or the strongest anywhere.

    The start token never counts.
    """

    dictionary: Dictionary
    feature: int
    anywhere: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.feature < self.dictionary.width:
            raise BadInput(
                f"feature {self.feature}: the dictionary has {self.dictionary.width} features; "
                f"give one of 0 to {self.dictionary.width - 1}"
            )

    def of(self, subject: Subject, rows: Sequence[list[int]]) -> Float64[ndarray, " row"]:
        """One activation a row."""
        parts: list[Tensor] = []
        for tokens in padded_row_batches(rows):
            site = self.dictionary.reads
            x = subject.run(tokens, read=[site]).activations[site]
            codes = self.dictionary.encode(x.reshape(-1, x.shape[-1]))
            values = (
                (codes.values * (codes.indices == self.feature))
                .sum(1)
                .reshape(tokens.shape)
                .cpu()
                .double()
            )
            lengths = (tokens != PADDING).sum(1)
            counted = (
                tokens != PADDING
                if self.anywhere
                else torch.arange(tokens.shape[1]) == lengths[:, None] - 1
            )
            if subject.start_token is not None:
                counted = counted & (
                    (torch.arange(tokens.shape[1]) > 0) | (tokens[:, :1] != subject.start_token)
                )
            parts.append(torch.where(counted, values, 0.0).amax(1))
        return restore_row_order(rows, parts)


def answer_log_probability(
    subject: Subject, rows: Sequence[list[int]], answer: tuple[int, ...]
) -> Float64[ndarray, " row"]:
    """The log-probability of the answer after each row."""
    if not answer:
        raise BadInput("the answer is empty; give the text whose probability is read")
    if len(answer) == 1:
        return restore_row_order(
            rows,
            [
                logits.double().log_softmax(1)[:, answer[0]]
                for logits in batched_next_logits(subject, rows)
            ],
        )
    longer = [[*row, *answer] for row in rows]
    parts: list[Tensor] = []
    for tokens in padded_row_batches(longer):
        logits = subject.run(tokens, logits=True).logits
        assert logits is not None
        lengths = (tokens != PADDING).sum(1)
        places = lengths[:, None] - len(answer) + torch.arange(len(answer))
        said = torch.tensor(answer).expand(len(tokens), -1)
        chosen = (
            logits.cpu()[torch.arange(len(tokens))[:, None], places - 1].double().log_softmax(2)
        )
        parts.append(chosen.gather(2, said[:, :, None])[:, :, 0].sum(1))
    return restore_row_order(longer, parts)


def batched_next_logits(subject: Subject, rows: Sequence[list[int]]) -> Iterator[Tensor]:
    """The logits of the next token, batch by batch."""
    return (subject.next_logits(tokens) for tokens in padded_row_batches(rows))


def order_by_length(rows: Sequence[list[int]]) -> Int64[ndarray, " row"]:
    """Rows of like length together, so that little is padded."""
    return np.argsort([len(row) for row in rows], kind="stable")


def padded_row_batches(rows: Sequence[list[int]]) -> Iterator[Int64[Tensor, "row position"]]:
    """The rows in the order of `order_by_length`, padded, so many at a time as one pass takes."""
    batch: list[list[int]] = []
    for number in order_by_length(rows):
        if batch and len(rows[number]) * (len(batch) + 1) > POSITIONS:
            yield pad_token_rows(batch)
            batch = []
        batch.append(rows[number])
    if batch:
        yield pad_token_rows(batch)


def pad_token_rows(rows: Sequence[list[int]]) -> Int64[Tensor, "row position"]:
    width = max(len(row) for row in rows)
    return torch.tensor([row + [PADDING] * (width - len(row)) for row in rows])


def restore_row_order(
    rows: Sequence[list[int]], parts: Sequence[Tensor]
) -> Float64[ndarray, " row"]:
    """The numbers of all batches, back in the order of the rows."""
    found = np.empty(len(rows))
    found[order_by_length(rows)] = torch.cat(list(parts)).double().numpy()
    return found
