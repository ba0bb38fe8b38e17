"""What a measure of dictionaries is, and what it is given."""

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.models.dictionary import Dictionary
from gloss.models.labelled_texts import LabelledTexts
from gloss.models.model_settings import MASSIVE_MULTIPLE
from gloss.models.subject import Subject
from gloss.records import Evaluation, Needs
from gloss.store.atomic import write_atomically


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

    def kept(self, content: object, make: Callable[[], ndarray]) -> ndarray:
        """An array that this content decides, whatever the dictionary: made, and kept in the
        scratch folder for the next one.
        """
        if self.scratch is None:
            return make()
        name = hashlib.sha256(repr(content).encode()).hexdigest()[:20]
        file = self.scratch / f"{name}.npy"
        if not file.is_file():

            def write(path: Path) -> None:
                with path.open("wb") as opened:
                    np.save(opened, make())

            write_atomically(file, write)
        return np.load(file, mmap_mode="r")


@dataclass(frozen=True)
class Aims:
    """Which numbers of a measure are better the larger, and which the smaller: patterns of their
    whole names. Of all others neither is.

        >>> aims = Aims(more=(r"accuracy_of_\\d+",), less=("fvu",))
        >>> aims.of("accuracy_of_5"), aims.of("accuracy_of_5_raw"), aims.of("fvu")
        (1, 0, -1)
    """

    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()

    def of(self, name: str) -> int:
        """1 where more is better, -1 where less is, 0 where neither."""
        return sum(
            sign * any(re.fullmatch(each, name) for each in patterns)
            for sign, patterns in ((1, self.more), (-1, self.less))
        )


@dataclass(frozen=True)
class ScoredBy:
    """The numbers of one scorer and explainer, a feature each, where it has one."""

    headline: str  # the metric that they are of
    values: Mapping[str, Float64[ndarray, " feature"]]  # by what stood for the explanation


@dataclass(frozen=True)
class RunScores:
    """What a finished run found of its features' explanations."""

    examined: int  # features with contexts enough to be explained
    by: Mapping[str, ScoredBy]  # "execution of rule"


@runtime_checkable
class ScoresMeasure(Protocol):
    """A method of `gloss evaluate` that reads the scores of a run: its `needs` say so, and no model
    is loaded for it.
    """

    needs: ClassVar[Needs]

    def measure_scores(self, scores: RunScores, rng: np.random.Generator) -> Evaluation:
        """Every number of the run's dictionary."""
        ...


@runtime_checkable
class DictionaryMeasure(Protocol):
    """A method of `gloss evaluate`: a frozen dataclass whose fields are its settings.

    It measures one dictionary on one subject and knows nothing of others, of files or of printing.
    What cannot be measured is a failure with a reason in what it gives; it raises GlossError where
    nothing can. A class variable `aims` says which of its numbers are better the larger or the
    smaller; without one no kind of dictionary is called better.
    """

    needs: ClassVar[Needs]  # `corpus` and `labels` say what it reads of the material

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Every number of the dictionary."""
        ...
