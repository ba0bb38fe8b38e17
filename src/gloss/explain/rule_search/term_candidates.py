"""Terms worth trying on a set of tokens, judged by what they earn after they have been paid for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.explain.rule_search.description_length import KIND_BITS, DescriptionLength
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules.execute import where_condition_holds
from gloss.rules.language import Condition, RuleTerm

ROUNDED = 6  # decimals of a bit that are told apart


@dataclass(frozen=True)
class UncoveredRows:
    """The tokens that are still in question."""

    train_windows: TrainWindows
    indices: Int64[ndarray, " row"]  # into the tokens of the train windows, ascending
    description: DescriptionLength
    scale: float = 1.0  # of the weights of inactive rows, which may stand for others

    @staticmethod
    def of(
        train_windows: TrainWindows,
        uncovered: Bool[ndarray, " token"],
        description: DescriptionLength,
    ) -> "UncoveredRows":
        """All tokens that count and that no alternative covers yet."""
        indices = np.flatnonzero(uncovered & (train_windows.weights > 0))
        return UncoveredRows(train_windows, indices, description)

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def fires(self) -> Bool[ndarray, " row"]:
        """Whether the feature fires there."""
        return self.train_windows.fires.take(self.indices)

    @cached_property
    def weights(self) -> Float64[ndarray, " row"]:
        """The weight of each row, whether it fires or not."""
        weights = self.train_windows.weights.take(self.indices)
        return weights if self.scale == 1 else weights * np.where(self.fires, 1, self.scale)

    @cached_property
    def sums(self) -> tuple[float, float]:
        """The weight of all firing rows, and of all inactive ones."""
        return self.sums_of(self.fires), self.sums_of(~self.fires)

    def sums_of(self, held: Bool[ndarray, " row"]) -> float:
        """The weight of these rows."""
        return float(self.weights.take(np.flatnonzero(held)).sum())

    @cached_property
    def by_token(self) -> Float64[ndarray, " token"]:
        """The weight of every token of the windows, 0 where it is no row."""
        weights = np.zeros(len(self.train_windows.fires))
        weights[self.indices] = self.weights
        return weights

    @property
    def most_worth(self) -> float:
        """What no term can be worth more than: it would hold at all rows that fire and at no
        other.
        """
        perfect = self.description.worth(np.array(self.sums[:1]), np.zeros(1))
        return float(perfect[0]) - KIND_BITS

    def selected(self, held: Bool[ndarray, " token"]) -> "UncoveredRows":
        """The rows that are held; what there is to earn stays the same."""
        return replace(self, indices=self.indices.compress(held.take(self.indices)))

    def thinned(self, number: int) -> "UncoveredRows":
        """Every firing row, and about so many inactive ones, evenly spaced, that stand for all of
        them.
        """
        step = max(1, len(self) // number)
        if step == 1:
            return self
        kept = self.fires.copy()
        kept[::step] = True
        fewer = replace(self, indices=self.indices.compress(kept))
        return replace(fewer, scale=self.sums[1] / max(fewer.sums[1], 1e-300))


def term_mask(term: RuleTerm, windows: TrainWindows) -> Bool[ndarray, " token"]:
    """Where the term holds."""
    return where_condition_holds(term.condition, windows.passage) ^ term.negated


@dataclass(frozen=True)
class TermMaker:
    """How one candidate's term is made, and where it holds."""

    form: tuple[str | int | bool, ...]  # of the term, without its strings
    make: Callable[[], RuleTerm]
    # a set by what the other half of the documents suggests
    confirmed: Callable[[TrainWindows], Bool[ndarray, " token"]]

    @staticmethod
    def of(
        form: tuple[str | int | bool, ...],
        condition: Callable[[], Condition],
        negated: bool = False,
    ) -> "TermMaker":
        """This very condition or its contrary, where it holds; made when it is asked for."""

        def make() -> RuleTerm:
            return RuleTerm(condition(), negated)

        return TermMaker(form, make, lambda windows: term_mask(make(), windows))


class CandidateGroup(NamedTuple):
    """Candidates of which the best are kept: what each costs, and what it does."""

    bits: Float64[ndarray, " candidate"]
    hits: Float64[ndarray, " candidate"]
    false_positives: Float64[ndarray, " candidate"]
    maker: Callable[[int], TermMaker]

    @staticmethod
    def of_conditions(
        rows: UncoveredRows,
        bits: Float64[ndarray, " condition"],
        hits: Float64[ndarray, " condition"],
        false_positives: Float64[ndarray, " condition"],
        maker: Callable[[int, bool], TermMaker],
    ) -> "CandidateGroup":
        """Conditions that hold where the feature fires, and the contraries of all, from the
        weights where each condition holds.
        """
        some = np.flatnonzero(hits > 0)
        return CandidateGroup(
            np.concatenate([bits[some], bits]),
            np.concatenate([hits[some], rows.sums[0] - hits]),
            np.concatenate([false_positives[some], rows.sums[1] - false_positives]),
            lambda place: (
                maker(int(some[place]), False)
                if place < len(some)
                else maker(place - len(some), True)
            ),
        )


class TermCandidate(NamedTuple):
    """A term, and what it would do.

    For a set, as one half of the documents predicts it for the other.
    """

    group: CandidateGroup
    number: int  # in the group
    bits: float  # to write it down
    hits: float  # weight of firing tokens where it holds
    false_positives: float  # weight of inactive tokens where it holds
    worth: float  # DescriptionLength.worth less the bits
    saved: float  # DescriptionLength.saved less the bits

    @property
    def maker(self) -> TermMaker:
        """What is only worked out of candidates that win."""
        return self.group.maker(self.number)

    @property
    def term(self) -> RuleTerm:
        """The term itself."""
        return self.maker.make()

    @property
    def form(self) -> tuple[str | int | bool, ...]:
        """The form of the term, without its strings."""
        return self.maker.form

    def confirmed(self, windows: TrainWindows) -> Bool[ndarray, " token"]:
        """Where it holds; a set by what the other half of the documents suggests."""
        return self.maker.confirmed(windows)


def best_of_groups(
    description: DescriptionLength, groups: Sequence[CandidateGroup], *, saving: bool = True
) -> list[TermCandidate]:
    """The most worthy and the most saving candidate of each group, once; none whose bits are
    infinite. Or the most worthy alone, and nobody asks what they save.
    """
    groups = [group for group in groups if len(group.bits)]
    if not groups:
        return []
    bits = np.concatenate([group.bits for group in groups])
    hits = np.concatenate([group.hits for group in groups])
    false_positives = np.concatenate([group.false_positives for group in groups])
    # rounded, so that of those that hold at the same tokens the first is the best
    worth = np.round(description.worth(hits, false_positives) - bits, ROUNDED)
    saved = worth
    if saving:
        saved = np.round(description.saved(hits, false_positives) - bits, ROUNDED)
    best: list[tuple[CandidateGroup, int]] = []
    places: list[int] = []
    end = 0
    for group in groups:
        begin, end = end, end + len(group.bits)
        for place in {int(worth[begin:end].argmax()): 0, int(saved[begin:end].argmax()): 0}:
            best.append((group, place))
            places.append(begin + place)
    columns = np.stack([bits, hits, false_positives, worth, saved], axis=1)[places]
    return [
        TermCandidate(*found, *values)
        for found, values in zip(best, columns.tolist(), strict=True)
        if values[0] < math.inf
    ]
