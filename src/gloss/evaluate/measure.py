"""What a measure of dictionaries is, and what it is given."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from gloss.models.dictionary import Dictionary
from gloss.models.labelled_texts import LabelledTexts
from gloss.models.model_settings import MASSIVE_MULTIPLE
from gloss.models.subject import Subject
from gloss.records import Evaluation, Needs


@dataclass(frozen=True)
class Material:
    """The subject and what it reads, the same for a dictionary and for all that stand beside it."""

    subject: Subject
    # sequences of tokens, each behind its start token, padded at the end
    batches: Sequence[Int64[Tensor, "_ position"]] = ()
    left_out: frozenset[int] = frozenset()  # tokens that do not count
    massive: float = MASSIVE_MULTIPLE  # times the median, beyond which vectors count apart
    labelled: Mapping[str, LabelledTexts] = field(default_factory=dict[str, LabelledTexts])
    # where what the subject says of it may be kept for the next dictionary; None: nowhere
    scratch: Path | None = None
    seed: int = 0  # of what is the same for all measures

    def generator(self, purpose: str) -> np.random.Generator:
        """What draws for a purpose, alike for all measures and dictionaries."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])


@runtime_checkable
class DictionaryMeasure(Protocol):
    """A method of `gloss evaluate`: a frozen dataclass whose fields are its settings.

    It measures one dictionary on one subject and knows nothing of others, of files or of printing.
    What cannot be measured is a failure with a reason in what it gives; it raises GlossError where
    nothing can.
    """

    needs: ClassVar[Needs]  # `corpus` and `labels` say what it reads of the material

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Every number of the dictionary."""
        ...
