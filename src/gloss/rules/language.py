"""The rule language as frozen records; `str` prints a rule as source text that parses back to the same rule."""

import json
import math
import re
from dataclasses import dataclass
from enum import StrEnum

from gloss.rules.lexical import CLASSES
from gloss.rules.patterns import HALF, check


class Unit(StrEnum):
    """What a predicate looks at: one token, or the word that the token belongs to, as far as it has been read."""

    TOKEN = "token"
    WORD = "word"


@dataclass(frozen=True, slots=True)
class OneOf:
    """`token in {"a", "b"}`: the string is one of these."""

    unit: Unit
    strings: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.strings:
            raise ValueError(f"`{self.unit} in` wants at least one string")
        if any(HALF.search(string) for string in self.strings):
            raise ValueError(f"`{self.unit} in` wants whole characters, and a string holds half of one")

    def __str__(self) -> str:
        return f"{self.unit} in {{{', '.join(json.dumps(string, ensure_ascii=False) for string in self.strings)}}}"


@dataclass(frozen=True, slots=True)
class Matches:
    """`token matches /regex/`: the whole string matches this regular expression, as `patterns` runs it."""

    unit: Unit
    pattern: str

    def __post_init__(self) -> None:
        check(self.pattern)
        object.__setattr__(self, "pattern", re.sub(r"\\.", slash_unescaped, self.pattern, flags=re.DOTALL))

    def __str__(self) -> str:
        return f"{self.unit} matches /{slashes_escaped(self.pattern)}/"


@dataclass(frozen=True, slots=True)
class IsClass:
    """`token is upper`: the string belongs to one of the lexical classes of `lexical.CLASSES`."""

    unit: Unit
    name: str

    def __post_init__(self) -> None:
        if self.name not in CLASSES:
            raise ValueError(f"{self.name!r} is no lexical class; there are {', '.join(CLASSES)}")

    def __str__(self) -> str:
        return f"{self.unit} is {self.name}"


Predicate = OneOf | Matches | IsClass


@dataclass(frozen=True, slots=True)
class After:
    """`after(3, P)`: one of the 3 tokens before satisfies P; `after(2..3, P)`: one of those 2 to 3 tokens back does."""

    nearest: int
    farthest: int
    predicate: Predicate

    def __post_init__(self) -> None:
        check_distances(self.nearest, self.farthest)

    def __str__(self) -> str:
        return f"after({distances(self.nearest, self.farthest)}, {self.predicate})"


@dataclass(frozen=True, slots=True)
class Before:
    """`before(3, P)`: one of the 3 tokens that follow satisfies P; `before(2..3, P)`: one of those 2 to 3 tokens on does."""

    nearest: int
    farthest: int
    predicate: Predicate

    def __post_init__(self) -> None:
        check_distances(self.nearest, self.farthest)

    def __str__(self) -> str:
        return f"before({distances(self.nearest, self.farthest)}, {self.predicate})"


@dataclass(frozen=True, slots=True)
class LineBegins:
    """`line begins with P`: the first token of the current line that is more than blanks, up to here, satisfies P."""

    predicate: Predicate

    def __str__(self) -> str:
        return f"line begins with {self.predicate}"


class Comparison(StrEnum):
    """How a position is compared with a number."""

    LESS = "<"
    AT_MOST = "<="
    EQUAL = "="
    AT_LEAST = ">="
    MORE = ">"


@dataclass(frozen=True, slots=True)
class Position:
    """`position < 4`: the token's place in its sequence, counted from 0."""

    comparison: Comparison
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError(f"a position is compared with 0 or more, got {self.number}")

    def __str__(self) -> str:
        return f"position {self.comparison} {self.number}"


class State(StrEnum):
    """Where a token stands; what it is inside of is read from the left edge of its sequence with the lexical rules of Python."""

    START_OF_LINE = "start of line"
    START_OF_WORD = "start of word"
    IN_COMMENT = "in comment"
    IN_STRING = "in string"
    IN_BRACKETS = "in brackets"


Condition = OneOf | Matches | IsClass | After | Before | LineBegins | Position | State


@dataclass(frozen=True, slots=True)
class Term:
    """A condition that must hold, or must not."""

    condition: Condition
    negated: bool = False

    def __str__(self) -> str:
        return f"not {self.condition}" if self.negated else str(self.condition)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Terms that must all hold, and the strength that is foretold where they do."""

    terms: tuple[Term, ...]
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
        from gloss.rules.english import phrase  # the phrase is made of these records

        return phrase(self)


def slashes_escaped(pattern: str) -> str:
    r"""The pattern with every slash that is not escaped written `\/`."""
    return re.sub(r"\\.|/", lambda found: r"\/" if found[0] == "/" else found[0], pattern, flags=re.DOTALL)


def slash_unescaped(found: re.Match[str]) -> str:
    r"""A slash for `\/`, any other escape as it is: one regular expression has one spelling."""
    return "/" if found[0] == r"\/" else found[0]


def distances(nearest: int, farthest: int) -> str:
    """`3` for 1 to 3 tokens away, `2..3` otherwise."""
    return str(farthest) if nearest == 1 else f"{nearest}..{farthest}"


def check_distances(nearest: int, farthest: int) -> None:
    """Raise ValueError unless 1 <= nearest <= farthest."""
    if not 1 <= nearest <= farthest:
        raise ValueError(f"distances run from 1 up, got {nearest}..{farthest}")
