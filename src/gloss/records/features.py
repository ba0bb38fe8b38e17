"""Features, their activations and neighbours, and why one has no value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, overload

from gloss.records.contexts import Split

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Float64, Int64
    from numpy import ndarray


class Reason(StrEnum):
    """Why something has no value.

    A failure is a state with a reason, never a number or a default.
    """

    TOO_FEW_EXAMPLES = "too_few_examples"
    NO_RULE_FOUND = "no_rule_found"
    UNPARSABLE = "unparsable"
    REFUSED = "refused"
    REQUEST_ERROR = "request_error"
    NOT_APPLICABLE = "not_applicable"
    UNREACHABLE = "unreachable"
    NO_EFFECT = "no_effect"
    NOBODY_KNOWS = "nobody_knows"  # explanations were tried, and none holds
    ERROR = "error"  # an exception, of which the traceback is in the run's log
    # a text that was written before, or that quotes what it was to be written from
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True, order=True)
class FeatureId:
    """One feature: the name of its dictionary in the run, and its index there.

    >>> str(FeatureId("mine", 7))
    'mine/7'
    """

    dictionary: str
    index: int

    def __str__(self) -> str:
        return f"{self.dictionary}/{self.index}"


@dataclass(frozen=True, slots=True, eq=False)
class FeatureIds(Sequence[FeatureId]):
    """Some features of one dictionary, by ascending index; each is made when it is asked for.

    >>> features = FeatureIds("mine", np.array([3, 7]))
    >>> features[1], features.place(7), features.place(5)
    (FeatureId(dictionary='mine', index=7), 1, None)
    """

    dictionary: str
    indices: Int64[ndarray, " feature"]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, place: int) -> FeatureId: ...

    @overload
    def __getitem__(self, place: slice) -> list[FeatureId]: ...

    def __getitem__(self, place: int | slice) -> FeatureId | list[FeatureId]:
        if isinstance(place, slice):
            return [FeatureId(self.dictionary, index) for index in self.indices[place].tolist()]
        return FeatureId(self.dictionary, int(self.indices[place]))

    def __iter__(self) -> Iterator[FeatureId]:
        return (FeatureId(self.dictionary, index) for index in self.indices.tolist())

    def __contains__(self, feature: object) -> bool:
        return (
            isinstance(feature, FeatureId)
            and feature.dictionary == self.dictionary
            and self.place(feature.index) is not None
        )

    def place(self, index: int) -> int | None:
        """Where the feature with this index stands among them; None where it is none of them."""
        at = int(self.indices.searchsorted(index))
        return at if at < len(self.indices) and self.indices[at] == index else None


@dataclass(frozen=True, slots=True)
class SequenceWeights:
    """In which sequences of a corpus it is known where a feature fires, and how many sequences each
    of them stands for. What it is in others is not known.

        >>> known = SequenceWeights(np.array([1, 5]), np.array([1.0, 7.5]), 3, 40.0, 50.0)
        >>> known.of_sequences(np.array([True, True, False, False, False, True]))
        array([40. ,  1. , 50. ,  0. ,  0. ,  7.5])
    """

    firing: Int64[ndarray, " firing"]  # sequences that are kept and in which it fires, ascending
    weights: Float64[ndarray, " firing"]
    # so many sequences, the first ones of the corpus, are known of every feature
    background: int
    # what one of these stands for in which this feature is silent, by its split
    silent_train: float
    silent_held_out: float

    def of_sequences(self, in_train: Bool[ndarray, " sequence"]) -> Float64[ndarray, " sequence"]:
        """What each sequence of the corpus stands for; 0 where the feature is not known."""
        import numpy as np

        found = np.zeros(len(in_train))
        found[: self.background] = np.where(
            in_train[: self.background], self.silent_train, self.silent_held_out
        )
        found[self.firing] = self.weights
        return found

    def of_part(self, inside: Bool[ndarray, " sequence"], split: Split) -> SequenceWeights:
        """The same of a corpus that consists of these sequences alone, all of one split."""
        import numpy as np

        kept = inside[self.firing]
        silent = self.silent_train if split is Split.TRAIN else self.silent_held_out
        return SequenceWeights(
            (np.cumsum(inside) - 1)[self.firing[kept]],
            self.weights[kept],
            int(inside[: self.background].sum()),
            silent,
            silent,
        )


@dataclass(frozen=True, slots=True)
class FeatureActivations:
    """Every position at which one feature is active, and its value there.

    Positions are global token indices, ascending; no value is 0. `len` is the number of both. Of a
    corpus that was mined they are those of a sample of sequences, and `known` says of which.

        >>> fires = feature.evidence.activations
        >>> fires.positions.shape == fires.values.shape == (len(fires),)
        True
    """

    positions: Int64[ndarray, " nonzero"]
    values: Float32[ndarray, " nonzero"]
    known: SequenceWeights | None = None  # None: all of the corpus is

    def __len__(self) -> int:
        return len(self.positions)

    def at(self, positions: Int64[ndarray, "*shape"]) -> Float32[ndarray, "*shape"]:
        """The value at each of these positions; 0 where it is inactive.

        >>> fires = FeatureActivations(np.array([2, 5]), np.array([1.5, 3], np.float32))
        >>> fires.at(np.array([4, 5])).tolist()
        [0.0, 3.0]
        """
        import numpy as np

        if len(self) == 0:
            return np.zeros(positions.shape, np.float32)
        near = np.minimum(np.searchsorted(self.positions, positions), len(self) - 1)
        inactive = np.float32(0)
        return np.where(self.positions[near] == positions, self.values[near], inactive)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A feature that is near another, how near, and where it fires."""

    feature: FeatureId
    # the cosine of their directions, or the Jaccard index of the tokens at which they fire
    closeness: float
    activations: FeatureActivations


@dataclass(frozen=True, slots=True)
class Failure:
    """A feature that a stage could not treat, and why.

    Methods give it in place of their result, and runs keep it in the table `failures`.

        >>> said = gloss.Failure(FeatureId("mine", 7), "explain", Reason.NO_RULE_FOUND, "too rare")
        >>> said.reason.value, said.detail
        ('no_rule_found', 'too rare')
    """

    feature: FeatureId
    stage: str
    reason: Reason
    detail: str
    explained_by: str = ""  # the explainer's method, where an explanation could not be scored
