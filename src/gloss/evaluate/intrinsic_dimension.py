"""In how many directions vectors vary near each of them: TwoNN (Facco et al., 2017) in the
neighbourhood of each point, which falls before a model generalises (Ruppik et al., 2025, arXiv
2506.01034).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from gloss.errors import BadInput, BadSettings, require_at_least
from gloss.evaluate.measure import Material
from gloss.evaluate.token_vectors import draw_token_vectors
from gloss.models.dictionary import Dictionary
from gloss.records import Evaluation, EvaluationFailure, EvaluationRow, Needs
from gloss.statistics.intervals import student_interval

KEPT = (
    0.9  # of a neighbourhood's points, those with the smallest ratio, that the slope is fitted to
)


@dataclass(frozen=True)
class IntrinsicDimension:
    """The mean local dimension of the vectors that a dictionary reads, and of its reconstructions.

    Evaluate one checkpoint after another and compare: the number is biased low, the more so the
    higher it is, and says little by itself.

        >>> IntrinsicDimension(points=64, neighbourhood=32).points
        64
    """

    needs: ClassVar[Needs] = Needs(corpus=True)

    vectors: int = 4000  # among which neighbours are looked for
    points: int = 256  # whose neighbourhoods are measured
    neighbourhood: int = 64

    def __post_init__(self) -> None:
        require_at_least(8, self, "points", "neighbourhood")
        if self.vectors <= self.neighbourhood:
            raise BadSettings(
                f"vectors={self.vectors} hold no neighbourhood of {self.neighbourhood}; give more"
            )

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Means over points, and a failure for a side with too few different vectors; what the
        vectors of one reading have does not depend on the dictionary.
        """
        x = draw_token_vectors(material, dictionary.reads, self.vectors, rng)
        made = dictionary.reconstruct(x.to(dictionary.decoder_directions.device)).detach().cpu()
        rows, failures = list[EvaluationRow](), list[EvaluationFailure]()
        for name, side, each in (
            ("local_dimension", "vectors", x),
            ("local_dimension_of_reconstructions", "reconstructions", made),
        ):
            try:
                found = local_dimensions(each, self.points, self.neighbourhood)
            except BadInput as problem:
                failures.append(EvaluationFailure(side, str(problem)))
            else:
                rows.append(EvaluationRow(name, student_interval(found), len(found), "points"))
        return Evaluation("intrinsic_dimension", tuple(rows), tuple(failures))


def local_dimensions(
    x: Float[Tensor, "token d"], points: int, neighbourhood: int
) -> Float64[ndarray, " point"]:
    """The dimension of the neighbourhood of each of the first points; equal vectors count once.

    Raises BadInput where there are too few.
    """
    x = torch.unique(x.double(), dim=0)
    if len(x) <= neighbourhood:
        raise BadInput(
            f"there are {len(x)} different vectors, and a neighbourhood has {neighbourhood}; give"
            " more text"
        )
    # sorted by torch.unique, so that the first ones are no sample
    chosen = torch.linspace(0, len(x) - 1, min(points, len(x))).long()
    distances = torch.cdist(x[chosen], x)
    near = distances.topk(neighbourhood, dim=1, largest=False).indices
    return np.array([two_nearest_dimension(x[rows]) for rows in near])


def two_nearest_dimension(x: Float64[Tensor, "token d"]) -> float:
    """TwoNN: with mu the ratio of the distances to a point's second and first neighbour, the slope
    through the origin of -ln(1 - F(mu)) over ln(mu).

    >>> line = torch.rand(400, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> round(two_nearest_dimension(line @ torch.ones(1, 9).double()))
    1
    """
    nearest = torch.cdist(x, x).fill_diagonal_(torch.inf).topk(2, dim=1, largest=False).values
    ratios = (nearest[:, 1] / nearest[:, 0].clamp_min(1e-300)).log().sort().values
    below = torch.arange(1, len(ratios) + 1, dtype=torch.float64) / len(ratios)
    kept = slice(0, int(KEPT * len(ratios)))
    away, surprise = ratios[kept], -(1 - below[kept]).log()
    return float((away * surprise).sum() / away.square().sum().clamp_min(1e-300))
