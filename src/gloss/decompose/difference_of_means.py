"""The direction from the mean of one label's vectors to the mean of the others'."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from gloss.errors import BadInput
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.labelled_texts import (
    LAST,
    LabelledTexts,
    require_place,
    require_subject,
    text_vectors,
)
from gloss.models.model_settings import MASSIVE_MULTIPLE
from gloss.models.sites import Site
from gloss.models.sparse_codes import Positive
from gloss.models.subject import Subject
from gloss.records import Needs


@dataclass(frozen=True, slots=True)
class DifferenceOfMeans:
    """Two features along one direction, from the mean vector of the texts without the label
    `positive` to that of the texts with it (Marks and Tegmark, 2023, arXiv 2310.06824): the first
    is how far a token lies towards these from the middle, the second how far towards the others.

    `texts` is a file with an object {"text": ..., "label": ...} a line. A text's vector is that of
    its last token, or with `at = "mean"` the mean of all.
    """

    needs: ClassVar[Needs] = Needs(files=("texts",))
    reads_subject: ClassVar[bool] = True

    texts: str = ""
    positive: str = ""  # the last label of all, in alphabetical order, where none is named
    at: str = LAST

    def __post_init__(self) -> None:
        require_place(self.at)

    def require_files(self) -> None:
        """Raise BadInput for a file that holds no labelled texts, BadSettings for another label."""
        given = LabelledTexts.read(self.texts)
        given.having(self.positive or given.names[-1])

    def fit(
        self,
        batches: Iterator[Float[Tensor, "_ d_model"]],
        site: Site,
        rng: np.random.Generator,
        progress: object = None,
        massive: float = MASSIVE_MULTIPLE,
        subject: Subject | None = None,
    ) -> SparseCoder:
        """Read the texts with the subject; activations of others are not used."""
        given = LabelledTexts.read(self.texts)
        subject = require_subject(subject, "difference_of_means")
        vectors = text_vectors(subject, site, given.texts, self.at)
        return means_apart(vectors, given.having(self.positive or given.names[-1]), site)


def means_apart(
    vectors: Float32[Tensor, "text d"], positive: Bool[Tensor, " text"], site: Site
) -> SparseCoder:
    """Two features along the direction between the two means, from their middle.

    Raises BadInput where there is none.
    """
    one, other = vectors[positive].mean(0), vectors[~positive].mean(0)
    length = (one - other).norm()
    if not bool(length > 0):
        raise BadInput("both labels have the same mean, which gives no direction; give other texts")
    both = torch.stack([one - other, other - one]) / length
    return SparseCoder(
        site, site, Weights(both, torch.zeros(2), both, (one + other) / 2), Positive()
    )
