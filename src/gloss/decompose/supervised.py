"""A feature for each label that texts have: a supervised dictionary (Makelov et al., 2024)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32
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
from gloss.models.sparse_codes import AboveThreshold
from gloss.models.subject import Subject
from gloss.records import Needs

HALF = 0.5  # of the way from the centre to a label's mean a feature begins to be active


@dataclass(frozen=True, slots=True)
class Supervised:
    """Each label's mean vector, less the mean of the labels: features in alphabetical order of the
    labels (Makelov et al., 2024, arXiv 2405.08366).

    The code of a vector is how far it lies along each of these directions, all taken apart by least
    squares: at a label's own mean it is 1 for this label and inactive for the others. `texts` is a
    file with an object {"text": ..., "label": ...} a line. A text's vector is that of its last
    token, or with `at = "mean"` the mean of all.
    """

    needs: ClassVar[Needs] = Needs(files=("texts",))
    reads_subject: ClassVar[bool] = True

    texts: str = ""
    at: str = LAST

    def __post_init__(self) -> None:
        require_place(self.at)

    def require_files(self) -> None:
        """Raise BadInput for a file that holds no labelled texts."""
        LabelledTexts.read(self.texts)

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
        subject = require_subject(subject, "supervised")
        return label_means(text_vectors(subject, site, given.texts, self.at), given.labels, site)


def label_means(
    vectors: Float32[Tensor, "text d"], labels: Sequence[str], site: Site
) -> SparseCoder:
    """A feature for each label. Raises BadInput where labels' means cannot be told apart."""
    names = sorted(set(labels))
    numbers = torch.tensor([names.index(label) for label in labels])
    means = torch.stack([vectors[numbers == each].mean(0) for each in range(len(names))])
    centre = means.mean(0)
    apart = (means - centre).double()
    if int(torch.linalg.matrix_rank(apart, rtol=1e-5)) < len(names) - 1:
        raise BadInput(
            f"the means of {len(names)} labels lie in fewer than {len(names) - 1} dimensions, so"
            " that one is made of the others; give fewer labels"
        )
    # pinv takes the means to the unit vectors less their mean, which the bias adds again
    encoder = torch.linalg.pinv(apart, rtol=1e-5).T.float()
    share = torch.full((len(names),), 1 / len(names))
    selection = AboveThreshold(torch.full((len(names),), HALF))
    weights = Weights(encoder, share, apart.float(), centre)
    return SparseCoder(site, site, weights, selection)
