"""The rule language as frozen records.

`str` prints a rule as source text that parses back to the same rule.
"""

import json
import math
import re
from dataclasses import dataclass
from enum import StrEnum

from gloss.rules.lexical_classes import CLASSES
from gloss.rules.patterns import HALF_CHARACTER, check_pattern


class PredicateUnit(StrEnum):
    """What a predicate looks at: one token, or the word that it belongs to.

    Of the word it sees what has been read so far.
    """

    TOKEN = "token"
    WORD = "word"


@dataclass(frozen=True, slots=True)
class OneOf:
    """`token in {"a", "b"}`: the string is one of these."""

    unit: PredicateUnit
    strings: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.strings:
            raise ValueError(f"`{self.unit} in` wants at least one string")
        if any(HALF_CHARACTER.search(string) for string in self.strings):
            raise ValueError(
                f"`{self.unit} in` wants whole characters, and a string holds half of one"
            )

    def __str__(self) -> str:
        return (
            f"{self.unit} in"
            f" {{{', '.join(json.dumps(string, ensure_ascii=False) for string in self.strings)}}}"
        )


@dataclass(frozen=True, slots=True)
class Matches:
    """`token matches /regex/`: the whole string matches this regular expression.

    `patterns` says what is read and how it is run.
    """

    unit: PredicateUnit
    pattern: str

    def __post_init__(self) -> None:
        check_pattern(self.pattern)
        object.__setattr__(
            self, "pattern", re.sub(r"\\.", unescape_slash, self.pattern, flags=re.DOTALL)
        )

    def __str__(self) -> str:
        return f"{self.unit} matches /{escape_slashes(self.pattern)}/"


@dataclass(frozen=True, slots=True)
class IsClass:
    """`token is upper`: the string belongs to one of `lexical_classes.CLASSES`."""

    unit: PredicateUnit
    name: str

    def __post_init__(self) -> None:
        if self.name not in CLASSES:
            raise ValueError(f"{self.name!r} is no lexical class; there are {', '.join(CLASSES)}")

    def __str__(self) -> str:
        return f"{self.unit} is {self.name}"


Predicate = OneOf | Matches | IsClass


@dataclass(frozen=True, slots=True)
class After:
    """`after(3, P)`: one of the 3 tokens before satisfies P.

    `after(2..3, P)`: one of those 2 to 3 tokens back does.
    """

    nearest: int
    farthest: int
    predicate: Predicate

    def __post_init__(self) -> None:
        check_distances(self.nearest, self.farthest)

    def __str__(self) -> str:
        return f"after({distance_range(self.nearest, self.farthest)}, {self.predicate})"


@dataclass(frozen=True, slots=True)
class Before:
    """`before(3, P)`: one of the 3 tokens that follow satisfies P.

    `before(2..3, P)`: one of those 2 to 3 tokens on does.
    """

    nearest: int
    farthest: int
    predicate: Predicate

    def __post_init__(self) -> None:
        check_distances(self.nearest, self.farthest)

    def __str__(self) -> str:
        return f"before({distance_range(self.nearest, self.farthest)}, {self.predicate})"


@dataclass(frozen=True, slots=True)
class LineBegins:
    """`line begins with P`: the line's first token that is more than blanks satisfies P.

    The current line counts up to the token itself.
    """

    predicate: Predicate

    def __str__(self) -> str:
        return f"line begins with {self.predicate}"


class PositionComparison(StrEnum):
    """How a position is compared with a number."""

    LESS = "<"
    AT_MOST = "<="
    EQUAL = "="
    AT_LEAST = ">="
    MORE = ">"


@dataclass(frozen=True, slots=True)
class Position:
    """`position < 4`: the token's place in its sequence, counted from 0."""

    comparison: PositionComparison
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError(f"a position is compared with 0 or more, got {self.number}")

    def __str__(self) -> str:
        return f"position {self.comparison} {self.number}"


class TokenState(StrEnum):
    """Where a token stands.

    What it is inside of is read from the left edge of its sequence with the lexical rules of
    Python.
    """

    START_OF_LINE = "start of line"
    START_OF_WORD = "start of word"
    IN_COMMENT = "in comment"
    IN_STRING = "in string"
    IN_BRACKETS = "in brackets"


Condition = OneOf | Matches | IsClass | After | Before | LineBegins | Position | TokenState


@dataclass(frozen=True, slots=True)
class RuleTerm:
    """A condition that must hold, or must not."""

    condition: Condition
    negated: bool = False

    def __str__(self) -> str:
        return f"not {self.condition}" if self.negated else str(self.condition)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Terms that must all hold, and the strength that is predicted where they do."""

    terms: tuple[RuleTerm, ...]
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not self.terms:
            raise ValueError("an alternative wants at least one term")
        if not 0 < self.strength < math.inf:
            raise ValueError(f"a strength is positive and finite, got {self.strength}")

    def __str__(self) -> str:
        terms = " and ".join(str(term) for term in self.terms)
        return terms if self.strength == 1.0 else f"{terms} -> {self.strength!r}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Alternatives of which one must hold; where several do, the strongest counts."""

    alternatives: tuple[Alternative, ...]

    def __post_init__(self) -> None:
        if not self.alternatives:
            raise ValueError("a rule wants at least one alternative")

    def __str__(self) -> str:
        return " or ".join(str(alternative) for alternative in self.alternatives)

    def english(self) -> str:
        """The rule as a short phrase for people, without strengths."""
        from gloss.rules.english import rule_phrase  # the phrase is made of these records

        return rule_phrase(self)


def escape_slashes(pattern: str) -> str:
    r"""The pattern with every slash that is not escaped written `\/`."""
    return re.sub(
        r"\\.|/", lambda found: r"\/" if found[0] == "/" else found[0], pattern, flags=re.DOTALL
    )


def unescape_slash(found: re.Match[str]) -> str:
    r"""A slash for `\/`, any other escape as it is: one regular expression has one spelling."""
    return "/" if found[0] == r"\/" else found[0]


def distance_range(nearest: int, farthest: int) -> str:
    """`3` for 1 to 3 tokens away, `2..3` otherwise."""
    return str(farthest) if nearest == 1 else f"{nearest}..{farthest}"


def check_distances(nearest: int, farthest: int) -> None:
    """Raise ValueError unless 1 <= nearest <= farthest."""
    if not 1 <= nearest <= farthest:
        raise ValueError(f"distances run from 1 up, got {nearest}..{farthest}")
