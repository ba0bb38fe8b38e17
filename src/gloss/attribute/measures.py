"""What is read of a subject, whatever the players of a game are: how likely an answer is, what has
changed, how strongly a feature fires.

A game says which rows of tokens are run and what is changed inside the subject meanwhile (a
`Pass`); a measure makes one number of each row, differentiable where the pass keeps its graph.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.attribute.values import log_odds
from gloss.errors import BadInput
from gloss.models.dictionary import Dictionary
from gloss.models.sites import Site
from gloss.models.structure.hooks import Edit
from gloss.models.subject import NO_EDITS, Subject
from gloss.models.token_tree import tree_batches
from gloss.records import PADDING

POSITIONS = 8192  # in one forward pass
NODES = 1024  # of a tree of tokens in one forward pass, each of which may see all others
NOTHING = torch.zeros(0, dtype=torch.int64)

Answers = tuple[tuple[int, ...], ...]
"""The tokens of an answer: one for all rows, or one for each prompt of a pass."""

Edits = Callable[[Int64[Tensor, "row position"]], Mapping[Site, Edit]]
"""What is changed inside a subject while it reads these rows, which may be those of a pass with an
answer behind them.
"""


@dataclass(frozen=True)
class Pass:
    """Rows of tokens that a subject reads together."""

    subject: Subject
    tokens: Int64[Tensor, "row position"]  # front token first, PADDING behind
    edits: Edits = lambda _: NO_EDITS
    prompts: int = 1  # that stand in the rows, one after the other, over and over
    beginning: Int64[Tensor, " position"] = NOTHING  # of every row, in front of its tokens
    grad: bool = False
    tree: bool = False  # what rows begin with in common is read once; there are no edits then

    @cached_property
    def lengths(self) -> Int64[Tensor, " row"]:
        """How many tokens each row has, those of the beginning left out."""
        return (self.tokens != PADDING).sum(1)

    def log_probabilities(self, answers: Answers) -> Float64[Tensor, " row"]:
        """Of the whole answer after each row, in nats. Raises BadInput for one that is empty."""
        logits, said = self.answer_logits(answers)
        chosen = logits.double().log_softmax(2).gather(2, said.clamp_min(0)[:, :, None])[:, :, 0]
        return torch.where(said == PADDING, 0.0, chosen).sum(1)

    def answer_logits(
        self, answers: Answers
    ) -> tuple[Float[Tensor, "row token vocabulary"], Int64[Tensor, "row token"]]:
        """The logits before each token of the answers, and those tokens, PADDING behind."""
        said = self.said(answers)
        places = self.lengths[:, None] + torch.arange(said.shape[1])
        rows = torch.nn.functional.pad(self.tokens, (0, said.shape[1] - 1), value=PADDING)
        followed = said[:, :-1]
        rows.scatter_(1, places[:, :-1], followed)
        return self.logits_at(rows, torch.where(said == PADDING, places[:, :1], places) - 1), said

    def said(self, answers: Answers) -> Int64[Tensor, "row token"]:
        """Each row's answer, PADDING behind."""
        if not answers or not all(answers):
            raise BadInput("the answer is empty; give the text whose probability is read")
        return self.for_each_row(pad_token_rows(answers))

    def for_each_row(self, given: Tensor) -> Tensor:
        """What belongs to all rows, or to each prompt, for each row.

        Raises BadInput where it is of another number of prompts.
        """
        if len(given) not in (1, self.prompts):
            raise BadInput(
                f"{len(given)} answers were given to {self.prompts} prompts; give one, or one for"
                " each"
            )
        return given.repeat(len(self) // len(given), *[1] * (given.ndim - 1))

    def next_logits(self) -> Float[Tensor, "row vocabulary"]:
        """Of what comes after each row."""
        return self.logits_at(self.tokens, self.lengths[:, None] - 1)[:, 0]

    def logits_at(
        self, rows: Int64[Tensor, "row position"], places: Int64[Tensor, "row wanted"]
    ) -> Float[Tensor, "row wanted vocabulary"]:
        """After some positions of rows that begin as these do."""
        if self.tree:
            return self.subject.logits_in_tree(rows, places)
        front = self.beginning.expand(len(rows), -1)
        return self.subject.logits_at(
            torch.cat([front, rows], dim=1),
            places + len(self.beginning),
            self.edits(rows),
            grad=self.grad,
        )

    def activations(self, site: Site) -> Float[Tensor, "row position d"]:
        """What is at a site, after the edits, at each token of the rows."""
        if len(self.beginning):
            trace = self.subject.run_after(self.beginning, self.tokens, [site])
        else:
            trace = self.subject.run(self.tokens, [site], self.edits(self.tokens), grad=self.grad)
        return trace.activations[site]

    @property
    def counted(self) -> Bool[Tensor, "row position"]:
        """Which tokens a feature may fire at: neither padding nor the token in front."""
        real = self.tokens != PADDING
        if len(self.beginning):
            return real
        start, front = self.subject.start_token, self.subject.front_token
        fronts = torch.tensor([front, front if start is None else start])
        starts = torch.isin(self.tokens[:, :1], fronts)
        return real & ~(starts & (torch.arange(self.tokens.shape[1]) == 0))

    def __len__(self) -> int:
        return len(self.tokens)


@runtime_checkable
class Measure(Protocol):
    """A number for each row of a pass."""

    def of(self, rows: Pass) -> Float64[Tensor, " row"]: ...


@dataclass(frozen=True)
class LogProbability:
    """Of an answer of one token or more, in nats, summed over its tokens.

    With `odds` the log-odds log p / (1 - p), which do not flatten towards 1.
    """

    answers: Answers
    odds: bool = False

    def of(self, rows: Pass) -> Float64[Tensor, " row"]:
        """log p(answer), or its log-odds."""
        found = rows.log_probabilities(self.answers)
        return log_odds(found, torch) if self.odds else found


@dataclass(frozen=True)
class LogitDifference:
    """How much likelier one answer is than another, in nats: for answers of one token the
    difference of their logits.
    """

    answers: Answers
    others: Answers

    def of(self, rows: Pass) -> Float64[Tensor, " row"]:
        """log p(answer) - log p(other)."""
        if any(len(each) != 1 for each in (*self.answers, *self.others)):
            return rows.log_probabilities(self.answers) - rows.log_probabilities(self.others)
        logits = rows.next_logits()
        right, wrong = (
            logits.gather(1, rows.said(each))[:, 0] for each in (self.answers, self.others)
        )
        return (right - wrong).double()


@dataclass(frozen=True)
class KlFromClean:
    """KL(clean ‖ what is left) of the next token, in nats: 0 where the removed players do not
    matter.
    """

    clean: Float64[ndarray, "prompt vocabulary"]  # log-probabilities, of one prompt or of each

    @staticmethod
    def of_prompts(subject: Subject, tokens: Int64[Tensor, "prompt position"]) -> "KlFromClean":
        """From what the subject itself says after these prompts."""
        return KlFromClean(subject.next_logits(tokens).double().log_softmax(1).numpy())

    def of(self, rows: Pass) -> Float64[Tensor, " row"]:
        """At least 0."""
        clean = rows.for_each_row(torch.from_numpy(self.clean))
        now = rows.next_logits().double().log_softmax(1)
        return (clean.exp() * (clean - now)).sum(1).clamp_min(0)


@dataclass(frozen=True)
class FeatureActivation:
    """A feature's activation: at the last token, or the strongest anywhere.

    The token in front never counts.
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

    def of(self, rows: Pass) -> Float64[Tensor, " row"]:
        """One activation a row."""
        x, counted = rows.activations(self.dictionary.reads), rows.counted
        if not self.anywhere:
            row, last = torch.arange(len(rows)), rows.lengths - 1
            x, counted = x[row, last][:, None], counted[row, last][:, None]
        codes = self.dictionary.encode(x.reshape(-1, x.shape[-1]))
        values = (codes.values * (codes.indices == self.feature)).sum(1).reshape(counted.shape)
        return torch.where(counted, values.cpu().double(), 0.0).amax(1)


def measure_rows(
    subject: Subject, rows: Sequence[Sequence[int]], measure: Measure
) -> Float64[ndarray, " row"]:
    """The measure of each row of tokens, whose front token stands first.

    What rows begin with in common is read once, for measures that read logits; others read rows of
    one length together.
    """
    tree = subject.reads_trees and not isinstance(measure, FeatureActivation)
    batches = tree_batches(rows, NODES) if tree else equal_row_batches(rows)
    found = np.empty(len(rows))
    for batch in batches:
        tokens = pad_token_rows([rows[number] for number in batch])
        found[batch] = measure.of(Pass(subject, tokens, tree=tree)).numpy()
    return found


def equal_row_batches(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """The numbers of the rows, in batches of one length.

    Of unequal rows padding would be read for nothing, and every row's logits where others end.
    """
    batches = list[list[int]]()
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    for length, some in groupby(order, key=lambda number: len(rows[number])):
        alike, step = list(some), max(1, POSITIONS // max(1, length))
        batches += [alike[begin : begin + step] for begin in range(0, len(alike), step)]
    return batches


def pad_token_rows(rows: Sequence[Sequence[int]]) -> Int64[Tensor, "row position"]:
    """The rows with PADDING behind, as long as the longest."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PADDING] * (width - len(row))] for row in rows])
