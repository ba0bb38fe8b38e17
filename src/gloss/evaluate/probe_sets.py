"""Does an explanation change with the texts that it was made from? Concept vectors and the features
that tell a label, made from one half of the texts and from the other (Ramaswamy et al., 2023, arXiv
2207.09615).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from gloss.errors import BadSettings, require_at_least
from gloss.evaluate.measure import Material
from gloss.models.dictionary import Dictionary
from gloss.models.labelled_texts import LAST, LabelledTexts, require_place, text_vectors
from gloss.records import Estimate, Evaluation, EvaluationFailure, EvaluationRow, Needs
from gloss.statistics.intervals import bounded, student_interval, wilson_interval

LEAST = 4  # texts of a label and without it, in each half


@dataclass(frozen=True)
class ProbeSets:
    """Of each label: how alike the directions to it are that two sets of texts give, whether the
    one tells the texts of the other, whether both choose the same feature of the dictionary, and
    how easily the label is learned.

    The two are halves of one set. Where several sets have the same labels, each two of them
    are compared, too: their texts come from elsewhere.

        >>> ProbeSets(splits=2, base_rate=0.05).splits
        2
    """

    needs: ClassVar[Needs] = Needs(labels=True)

    splits: int = 5  # into halves, drawn anew
    texts: int = 1000  # of each set, at most, drawn by chance
    at: str = LAST  # the token whose vector a text has, or "mean"
    base_rate: float = 0.1  # at which precision is taken, so that rare labels compare with others

    def __post_init__(self) -> None:
        require_at_least(1, self, "splits", "texts")
        require_place(self.at)
        if not 0 < self.base_rate < 1:
            raise BadSettings(f"base_rate is {self.base_rate}; it must lie between 0 and 1")

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Means over labels and splits, of each labelled set and of each two that share labels."""
        rows, failures = list[EvaluationRow](), list[EvaluationFailure]()
        read = {
            name: ReadTexts.of(given.drawn(self.texts, rng), dictionary, material, self.at)
            for name, given in material.labelled.items()
        }
        for name, texts in read.items():
            halves = (texts.halves(rng) for _ in range(self.splits))
            pairs = [pair for one, other in halves for pair in one.labels_beside(other)]
            if pairs:
                rows += self._rows(pairs, name)
            else:
                reason = f"no label has {2 * LEAST} texts, and as many without it"
                failures.append(EvaluationFailure(name, reason))
        names = list(read)
        for place, one in enumerate(names):
            for other in names[place + 1 :]:
                if pairs := list(read[one].labels_beside(read[other])):
                    rows += self._rows(pairs, f"{one}, {other}")
        return Evaluation("probe_sets", tuple(rows), tuple(failures))

    def _rows(self, pairs: list["LabelPair"], of: str) -> Iterator[EvaluationRow]:
        n, unit = len(pairs), "labels and splits"
        for name, values in (
            ("cosine_of_directions", [pair.cosine for pair in pairs]),
            ("own_balanced_accuracy", [pair.own for pair in pairs]),
            ("transferred_balanced_accuracy", [pair.transferred for pair in pairs]),
            ("f1_of_other_sets_feature", [pair.f1_of_others for pair in pairs]),
            ("f1_of_own_feature", [pair.f1_of_own for pair in pairs]),
            ("learnability", [pair.learnability(self.base_rate) for pair in pairs]),
        ):
            mean = Estimate(values[0], math.nan, math.nan)
            least = -1.0 if name == "cosine_of_directions" else 0.0
            found = bounded(student_interval(np.array(values)), least) if n > 1 else mean
            yield EvaluationRow(name, found, n, unit, of)
        same = wilson_interval(sum(pair.same_feature for pair in pairs), n)
        yield EvaluationRow("same_feature", same, n, unit, of)


@dataclass(frozen=True)
class ReadTexts:
    """The vector and the active features of each text, and its label."""

    vectors: Float32[Tensor, "text d"]
    fires: Bool[Tensor, "text feature"]
    labels: tuple[str, ...]

    @staticmethod
    def of(
        given: LabelledTexts, dictionary: Dictionary, material: Material, at: str
    ) -> "ReadTexts":
        """As the subject reads them."""
        x = text_vectors(material.subject, dictionary.reads, given.texts, at)
        codes = dictionary.encode(x.to(dictionary.decoder_directions.device))
        return ReadTexts(x, codes.dense(dictionary.width).cpu() != 0, given.labels)

    def halves(self, rng: np.random.Generator) -> tuple["ReadTexts", "ReadTexts"]:
        """Drawn at random."""
        order = rng.permutation(len(self.labels))
        one, other = (order[: len(order) // 2], order[len(order) // 2 :])
        return self.some(one), self.some(other)

    def some(self, rows: np.ndarray) -> "ReadTexts":
        """Of these texts."""
        at = torch.from_numpy(rows)
        return ReadTexts(self.vectors[at], self.fires[at], tuple(self.labels[row] for row in rows))

    def labels_beside(self, other: "ReadTexts") -> Iterator["LabelPair"]:
        """Each label that has texts enough in both; of two, one says what the other does."""
        shared = sorted({*self.labels} & {*other.labels})
        for label in shared[1:] if len({*self.labels, *other.labels}) == 2 else shared:
            has = [torch.tensor([each == label for each in side.labels]) for side in (self, other)]
            if all(min(int(h.sum()), int((~h).sum())) >= LEAST for h in has):
                yield LabelPair(self, other, has[0], has[1])


@dataclass(frozen=True)
class LabelPair:
    """One label, in two sets of texts: what the first teaches, and what it tells of the second."""

    one: ReadTexts
    other: ReadTexts
    has: Bool[Tensor, " text"]
    other_has: Bool[Tensor, " text_"]

    @property
    def cosine(self) -> float:
        """Of the directions from the texts without the label to those with it."""
        directions = [direction(self.one.vectors, self.has),
                      direction(self.other.vectors, self.other_has)]  # fmt: skip
        return float(torch.nn.functional.cosine_similarity(*directions, dim=0))

    @cached_property
    def scores(self) -> Float32[Tensor, " text_"]:
        """How far the second set's texts lie along the first's direction, from its middle."""
        x, has = self.one.vectors, self.has
        middle = (x[has].mean(0) + x[~has].mean(0)) / 2
        return (self.other.vectors - middle) @ direction(x, has)

    @property
    def transferred(self) -> float:
        """The balanced accuracy of the first set's direction and middle on the second."""
        return balanced_right(self.scores > 0, self.other_has)

    @property
    def own(self) -> float:
        """That of the second set's own, on the texts that it was made from."""
        return LabelPair(self.other, self.other, self.other_has, self.other_has).transferred

    @cached_property
    def f1(self) -> tuple[Float32[Tensor, " feature"], Float32[Tensor, " feature"]]:
        """How well each feature tells the label in either set."""
        return f1_by_feature(self.one.fires, self.has), f1_by_feature(
            self.other.fires, self.other_has
        )

    @property
    def features(self) -> tuple[int, int]:
        """The feature that tells the label best in either set."""
        return int(self.f1[0].argmax()), int(self.f1[1].argmax())

    @property
    def same_feature(self) -> bool:
        """Whether both choose one, and it tells anything: where none fires, none is chosen."""
        return self.features[0] == self.features[1] and self.f1_of_others > 0

    @property
    def f1_of_others(self) -> float:
        """F1 on the second set of the feature that the first chose."""
        return float(self.f1[1][self.features[0]])

    @property
    def f1_of_own(self) -> float:
        """F1 on the second set of its own choice."""
        return float(self.f1[1].max())

    def learnability(self, base_rate: float) -> float:
        """Average precision at a base rate, of the first set's direction on the second."""
        return average_precision_at(self.scores, self.other_has, base_rate)


def direction(x: Float32[Tensor, "text d"], has: Bool[Tensor, " text"]) -> Float32[Tensor, " d"]:
    """From the mean without a label to that with it."""
    return x[has].mean(0) - x[~has].mean(0)


def balanced_right(said: Bool[Tensor, " text"], has: Bool[Tensor, " text"]) -> float:
    """The mean of both sides' shares that are told rightly."""
    return float((said[has].float().mean() + (~said[~has]).float().mean()) / 2)


def f1_by_feature(
    fires: Bool[Tensor, "text feature"], has: Bool[Tensor, " text"]
) -> Float32[Tensor, " feature"]:
    """How well each feature's firing tells the label."""
    both = fires[has].float().sum(0)
    return 2 * both / (has.sum() + fires.float().sum(0)).clamp_min(1)


def average_precision_at(
    scores: Float[Tensor, " text"], has: Bool[Tensor, " text"], base_rate: float
) -> float:
    """The mean over texts with the label of the precision there, as if this share of all had it.

    >>> scores = torch.tensor([3.0, 2.0, 1.0, 0.0])
    >>> average_precision_at(scores, torch.tensor([True, False, True, False]), 0.5)
    0.8333333333333333
    """
    positive, negative = scores[has].double(), scores[~has].double()
    recall = (positive[None] >= positive[:, None]).double().mean(1)
    false = (negative[None] >= positive[:, None]).double().mean(1)
    right, wrong = base_rate * recall, (1 - base_rate) * false
    return float((right / (right + wrong)).mean())
