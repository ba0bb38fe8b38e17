"""What a dictionary finds of features that are known, because they were planted."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.errors import BadSettings, Mismatch, require_at_least
from gloss.evaluate.measure import Aims, Material
from gloss.evaluate.planted_superposition import PlantedSuperposition
from gloss.models.dictionary import Dictionary
from gloss.records import Estimate, Evaluation, EvaluationRow, Needs
from gloss.statistics.intervals import (
    bounded,
    ratio_with_interval,
    student_interval,
    wilson_interval,
)

FOUND = 0.9  # the cosine from which on a feature counts as found
LEAST_FIRINGS = 10  # of a feature, for its precision and recall to count


@dataclass(frozen=True)
class KnownTruth:
    """How well a dictionary that learned from planted vectors has found what was planted.

    Features and those of the dictionary are assigned one to one so that the cosines of their
    directions add up to the most; the mean of these is the MCC. Each pair's firing is compared on
    vectors that nobody saw. The dictionary must have been trained on
    `planted.batches` of the same settings; of any other this says how much chance
    finds.

        >>> KnownTruth(features=64, dimensions=16, trees=(4, 4, 1)).planted.in_trees
        20
    """

    needs: ClassVar[Needs] = Needs()
    aims: ClassVar[Aims] = Aims(more=("mcc", "share_found", "firing_.*"), less=("fvu",))

    features: int = 512
    dimensions: int = 64
    rates: tuple[float, ...] = (0.4, 5e-4, 0.5)  # from, to, and the exponent of the fall
    trees: tuple[int, ...] = (8, 4, 2)  # roots, children of each, levels below the roots
    correlated: float = 0.25
    rank: int = 8  # hidden causes
    noise: float = 0.01
    seed: int = 0
    vectors: int = 16_384  # that are encoded

    def __post_init__(self) -> None:
        require_at_least(2, self, "vectors")
        for name, wanted in (("rates", "FROM, TO, EXPONENT"), ("trees", "ROOTS, CHILDREN, LEVELS")):
            if len(getattr(self, name)) != 3:
                raise BadSettings(f"{name} is {getattr(self, name)}; give [{wanted}]")
        self.planted  # noqa: B018  # refuses settings that contradict each other

    @cached_property
    def planted(self) -> PlantedSuperposition:
        """The law of these settings."""
        (highest, lowest, exponent), (roots, branching, depth) = self.rates, self.trees
        return PlantedSuperposition(
            self.features,
            self.dimensions,
            exponent,
            highest,
            lowest,
            roots,
            branching,
            depth,
            self.rank,
            self.correlated,
            self.noise,
            self.seed,
        )

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Of the dictionary alone: the subject is not asked."""
        return found_features(dictionary, self.planted, self.vectors, rng)


def found_features(
    dictionary: Dictionary, planted: PlantedSuperposition, vectors: int, rng: np.random.Generator
) -> Evaluation:
    """What a dictionary has found, told on so many vectors. Raises Mismatch for one of vectors of
    another length.
    """
    length = dictionary.decoder_directions.shape[1]
    if length != planted.dimensions:
        raise Mismatch(
            f"the dictionary writes vectors of {length} numbers and the planted ones have"
            f" {planted.dimensions}; train it on these, or set known_truth.dimensions"
        )
    x, truth = planted.draw(vectors, rng)
    features, latents, cosines = matched(planted.directions, dictionary)
    x_there = x.to(dictionary.decoder_directions.device)
    fires = dictionary.encode(x_there).dense(dictionary.width).cpu().numpy() != 0
    made = dictionary.reconstruct(x_there).detach().cpu()
    found = wilson_interval(int((cosines >= FOUND).sum()), planted.features)
    note = f"at a cosine of {FOUND} or more"
    if len(cosines) < planted.features:
        note += f"; {len(cosines) / planted.features:.2g} at most, by the width"
    rows = [
        EvaluationRow("mcc", bounded(student_interval(cosines), -1.0), len(cosines), "features"),
        EvaluationRow("share_found", found, planted.features, "features", note=note),
        *firing_rows(truth[:, features], fires[:, latents]),
    ]
    for name, each in (("l0", fires), ("l0_of_truth", truth)):
        active = student_interval(each.sum(1).astype(np.float64))
        rows.append(EvaluationRow(name, active, len(x), "vectors"))
    errors, spread = (each.square().sum(1).double().numpy() for each in (made - x, x - x.mean(0)))
    rows.append(EvaluationRow("fvu", ratio_with_interval(errors, spread, rng), len(x), "vectors"))
    details = asdict(planted) | {"cosines": cosines.tolist(), "features": features.tolist()}
    return Evaluation("known_truth", tuple(rows), details=details)


def matched(
    directions: Float32[Tensor, "feature d"], dictionary: Dictionary
) -> tuple[Int64[ndarray, " pair"], Int64[ndarray, " pair"], Float64[ndarray, " pair"]]:
    """Features and the dictionary's, one to one, and the cosines of their directions."""
    from scipy.optimize import linear_sum_assignment

    found = torch.nn.functional.normalize(
        dictionary.decoder_directions.detach().float().cpu(), dim=1
    )
    cosines = (torch.nn.functional.normalize(directions, dim=1) @ found.T).double().numpy()
    features, latents = linear_sum_assignment(cosines, maximize=True)
    return features, latents, cosines[features, latents]


def firing_rows(
    truth: Bool[ndarray, "token pair"], fires: Bool[ndarray, "token pair"]
) -> Iterator[EvaluationRow]:
    """The means over pairs of precision, recall and F1 of whether it fires: of features that fire
    often enough.
    """
    enough = truth.sum(0) >= LEAST_FIRINGS
    both, true, said = ((truth & fires).sum(0), truth.sum(0), fires.sum(0))
    note = f"of features that fire {LEAST_FIRINGS} times or more"
    for name, above, below in (
        ("firing_precision", both, said),
        ("firing_recall", both, true),
        ("firing_f1", 2 * both, said + true),
    ):
        each = (above / np.maximum(1, below))[enough].astype(np.float64)
        found = bounded(student_interval(each)) if len(each) > 1 else Estimate.missing()
        yield EvaluationRow(name, found, len(each), "features", note=note)
