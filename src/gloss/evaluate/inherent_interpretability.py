"""How much of what a linear reader makes of codes rests on each text's strongest few: the Inherent
Interpretability Score (Shen et al., 2025, arXiv 2510.24105).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.errors import require_at_least
from gloss.evaluate.measure import Material
from gloss.models.dictionary import Dictionary
from gloss.models.labelled_texts import LAST, require_place, text_vectors
from gloss.records import Estimate, Evaluation, EvaluationFailure, EvaluationRow, Needs
from gloss.statistics.intervals import bootstrap

TAKEN_OUT = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98)  # of a text's active features, the weakest
RIDGE = 1e-2  # of the mean squared length of what is read
LEAST = 8  # texts on either side


@dataclass(frozen=True)
class InherentInterpretability:
    """Accuracy on labelled texts as the weakest features of each are taken out, as a share of that
    with all: the mean over the share that is out, beside the same of the vectors' own numbers.

    1: what is read rests on the strongest alone. A text has the code of one vector, that of its
    last token, or with `at = "mean"` the mean of all. Half of the texts teach, the others are told.

        >>> InherentInterpretability(at="mean").at
        'mean'
    """

    needs: ClassVar[Needs] = Needs(labels=True)

    texts: int = 1000  # of each set, at most, drawn by chance
    at: str = LAST

    def __post_init__(self) -> None:
        require_at_least(2 * LEAST, self, "texts")
        require_place(self.at)

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Of each labelled set."""
        rows, failures = list[EvaluationRow](), list[EvaluationFailure]()
        for name, whole in material.labelled.items():
            given = whole.drawn(self.texts, rng)
            if len(given.texts) < 2 * LEAST:
                failures.append(
                    EvaluationFailure(name, f"{len(given.texts)} texts; give {2 * LEAST} or more")
                )
                continue
            x = text_vectors(material.subject, dictionary.reads, given.texts, self.at)
            codes = dictionary.encode(x.to(dictionary.decoder_directions.device))
            numbers = torch.tensor([given.names.index(label) for label in given.labels])
            teaches = torch.from_numpy(rng.permutation(len(numbers)) < len(numbers) // 2)
            told = numbers[~teaches].bincount()
            most = f"always the most frequent label: {float(told.max() / told.sum()):.3f}"
            sides = (("", codes.dense(dictionary.width).cpu()), ("_of_vectors", x))
            for kind, each in sides:
                for row in score_rows(right_at_sparsities(each.detach(), numbers, teaches), rng):
                    note = most if row.name == "accuracy" else ""
                    rows.append(
                        EvaluationRow(row.name + kind, row.estimate, row.n, "texts", name, note)
                    )
        return Evaluation("inherent_interpretability", tuple(rows), tuple(failures))


def score_rows(
    right: Float64[ndarray, "sparsity told"], rng: np.random.Generator
) -> Iterator[EvaluationRow]:
    """The score, and the accuracy with all."""
    yield EvaluationRow("inherent_interpretability", area(right, rng), right.shape[1], "")
    accuracy = bootstrap(lambda each: each.mean(axis=-1), right[0], rng=rng)
    yield EvaluationRow("accuracy", accuracy, right.shape[1], "")


def right_at_sparsities(
    values: Float[Tensor, "text concept"],
    labels: Int64[Tensor, " text"],
    teaches: Bool[Tensor, " text"],
) -> Float64[ndarray, "sparsity told"]:
    """Whether each text that does not teach is told rightly, with each share of its active values
    taken out.
    """
    values = values.double()
    centre = values[teaches].mean(0)
    wanted = torch.nn.functional.one_hot(labels[teaches]).double()
    reads = values[teaches] - centre
    inner = reads @ reads.T
    inner += RIDGE * inner.diagonal().mean().clamp_min(1e-12) * torch.eye(len(inner)).double()
    weights = reads.T @ torch.linalg.solve(inner, wanted - wanted.mean(0))
    told = values[~teaches]
    found: list[ndarray] = []
    for kept in strongest(told, [1 - share for share in TAKEN_OUT]):
        guess = (kept - centre) @ weights + wanted.mean(0)
        found.append((guess.argmax(1) == labels[~teaches]).double().numpy())
    return np.stack(found)


def strongest(
    values: Float[Tensor, "text concept"], shares: Sequence[float]
) -> Iterator[Float[Tensor, "text concept"]]:
    """Of each text each share of its values that are largest by size, of those that are not 0; the
    others are 0.

    >>> [half] = strongest(torch.tensor([[1.0, -3.0, 0.0, 2.0]]), [0.5])
    >>> half.tolist()
    [[0.0, -3.0, 0.0, 2.0]]
    """
    active = (values != 0).sum(1)
    ranks = values.abs().argsort(dim=1, descending=True).argsort(dim=1)
    for share in shares:
        kept = torch.ceil(active * share - 1e-9).long()
        yield values * (ranks < kept[:, None])


def area(right: Float64[ndarray, "sparsity told"], rng: np.random.Generator) -> Estimate:
    """The mean of the accuracy, over the one with all, along the share that is taken out."""

    def score(*rows: ndarray) -> Any:
        accuracies = np.stack([row.mean(axis=-1) for row in rows])
        return np.trapezoid(accuracies / accuracies[0], TAKEN_OUT, axis=0) / TAKEN_OUT[-1]

    return bootstrap(score, *right, rng=rng)
