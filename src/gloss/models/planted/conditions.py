"""What a planted feature fires on, worked out by plain numpy so that it does not depend on the rule
language that it tests.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from gloss.store.corpus import Corpus, token_occurrences


@dataclass(frozen=True)
class Among:
    """The token is one of these strings."""

    strings: tuple[str, ...]

    @property
    def source(self) -> str:
        """The test in the rule language."""
        return f"token in {{{', '.join(map(json.dumps, self.strings))}}}"

    def holds(self, string: str) -> bool:
        """Whether it holds of a token's string."""
        return string in self.strings


@dataclass(frozen=True)
class Fits:
    """The whole string of the token matches this regular expression."""

    pattern: str

    @property
    def source(self) -> str:
        """The test in the rule language."""
        return f"token matches /{self.pattern}/"

    def holds(self, string: str) -> bool:
        """Whether it holds of a token's string."""
        return re.fullmatch(self.pattern, string, re.DOTALL) is not None


@dataclass(frozen=True)
class TokenKind:
    """The token belongs to a lexical class of the rule language.

    The pattern says which strings of the planted text do.
    """

    name: str
    pattern: str

    @property
    def source(self) -> str:
        """The test in the rule language."""
        return f"token is {self.name}"

    def holds(self, string: str) -> bool:
        """Whether it holds of a token's string."""
        return re.fullmatch(self.pattern, string) is not None


TokenTest = Among | Fits | TokenKind
NUMBER = TokenKind("number", r" ?[0-9]+")
CAPITALISED = TokenKind("capitalised", r" ?[A-Z][a-z]+")
PUNCTUATION = TokenKind("punctuation", r" ?[^\w\s]+")


@dataclass(frozen=True)
class NearbyTest:
    """One of the tokens `nearest` to `farthest` before (side -1) or after (side 1) passes the test,
    or none does.
    """

    side: int
    nearest: int
    farthest: int
    test: TokenTest
    negated: bool = False

    @property
    def source(self) -> str:
        """The condition in the rule language, where `after` means that the other token comes
        before.
        """
        reach = f"{self.farthest}" if self.nearest == 1 else f"{self.nearest}..{self.farthest}"
        return (
            f"{'not ' if self.negated else ''}{'after' if self.side < 0 else 'before'}({reach},"
            f" {self.test.source})"
        )


@dataclass(frozen=True)
class RuleCase:
    """All conditions hold of a token: its own test, what stands near, and its place in the
    sequence.
    """

    test: TokenTest | None = None
    near: tuple[NearbyTest, ...] = ()
    before_position: int | None = None  # the place in the sequence, from 0, is below this
    strength: float = 1.0

    @property
    def source(self) -> str:
        """The case in the rule language."""
        terms = [self.test.source] if self.test else []
        terms += [near.source for near in self.near]
        terms += [] if self.before_position is None else [f"position < {self.before_position}"]
        return " and ".join(terms) + ("" if self.strength == 1 else f" -> {self.strength}")


def source_of_cases(cases: tuple[RuleCase, ...]) -> str:
    """The rule: one of the cases holds."""
    return " or ".join(case.source for case in cases)


@dataclass(frozen=True, eq=False)
class PlantedText:
    """The planted text, with what every truth asks of it."""

    corpus: Corpus

    @cached_property
    def starts(self) -> Int64[ndarray, " token"]:
        """Global index of the first token of each token's sequence."""
        return np.repeat(self.corpus.offsets[:-1], np.diff(self.corpus.offsets))

    @cached_property
    def ends(self) -> Int64[ndarray, " token"]:
        """Global index behind the last token of each token's sequence."""
        return np.repeat(self.corpus.offsets[1:], np.diff(self.corpus.offsets))

    def truths(self, test: TokenTest) -> Bool[ndarray, " vocabulary"]:
        """Whether the test holds of each string of the vocabulary."""
        return np.array([test.holds(string) for string in self.corpus.vocabulary.strings])

    def passing(self, test: TokenTest) -> Int64[ndarray, " position"]:
        """Every global token index whose token passes the test, ascending."""
        return token_occurrences(self.corpus).of_any(np.flatnonzero(self.truths(test)))

    def positions(self, case: RuleCase) -> Int64[ndarray, " nonzero"]:
        """Every global token index at which the case holds, ascending."""
        found = self.passing(case.test) if case.test else np.arange(len(self.corpus))
        if case.before_position is not None:
            found = found[found - self.starts[found] < case.before_position]
        for near in case.near:
            found = found[self.is_near(near, found) ^ near.negated]
        return found

    def is_near(
        self, near: NearbyTest, positions: Int64[ndarray, " position"]
    ) -> Bool[ndarray, " position"]:
        """Whether a token near each position, in the same sequence, passes the test."""
        table, held = self.truths(near.test), np.zeros(len(positions), bool)
        for distance in range(near.nearest, near.farthest + 1):
            others = positions + near.side * distance
            inside = (others >= self.starts[positions]) & (others < self.ends[positions])
            held[inside] |= table[self.corpus.tokens[others[inside]]]
        return held

    def strengths(
        self, cases: tuple[RuleCase, ...]
    ) -> tuple[Int64[ndarray, " nonzero"], Float32[ndarray, " nonzero"]]:
        """Where one of the cases holds, and the strength of the strongest that does."""
        found = [self.positions(case) for case in cases]
        positions = np.unique(np.concatenate(found))
        strengths = np.zeros(len(positions), np.float32)
        for case, holds in zip(cases, found, strict=True):
            rows = np.searchsorted(positions, holds)
            strengths[rows] = np.maximum(strengths[rows], np.float32(case.strength))
        return positions, strengths
