"""A recursive-descent parser: source text becomes a Rule, or an error.

The error shows the place and what was expected there.
"""

import json
import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from gloss.errors import BadInput
from gloss.rules.language import (
    After,
    Alternative,
    Before,
    Condition,
    IsClass,
    LineBegins,
    Matches,
    OneOf,
    Position,
    PositionComparison,
    Predicate,
    PredicateUnit,
    Rule,
    RuleTerm,
    TokenState,
)
from gloss.rules.lexical_classes import CLASSES

PIECES = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<regex>/(?:[^/\\]|\\.)*/)|(?P<number>\d+(?:\.(?!\.)\d*)?(?:[eE][+-]?\d+)?)"""
    r"""|(?P<name>[a-z]+)|(?P<sign>->|\.\.|<=|>=|[<>={}(),])|(?P<end>$))""",
    re.DOTALL,
)
DIGITS = 9  # of a whole number: more tokens than any text has
T = TypeVar("T")
R = TypeVar("R")


def parse_rule(text: str) -> Rule:
    """The rule that the source text spells.

    Raises BadInput with the column, the text there and what was expected.
    """
    return Parser(text).rule()


class Parser:
    """Reads one rule, one piece ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.advance()

    def rule(self) -> Rule:
        alternatives = self.separated(self.alternative, "or")
        if self.kind != "end":
            self.fail("`and`, `or`, `->` or the end")
        return Rule(alternatives)

    def alternative(self) -> Alternative:
        terms = self.separated(self.term, "and")
        if not self.accept("->"):
            return Alternative(terms)
        start = self.start
        return self.checked(lambda strength: Alternative(terms, strength), self.number(), start)

    def term(self) -> RuleTerm:
        return RuleTerm(negated=self.accept("not"), condition=self.condition())

    def condition(self) -> Condition:
        if self.piece in tuple(PredicateUnit):
            return self.predicate()
        if self.piece == "in":
            return self.token_state()
        if self.piece not in ("after", "before", "position", "start", "line"):
            self.fail(
                "`token`, `word`, `after`, `before`, `position`, `start of`, `line begins with` or"
                " `in`"
            )
        keyword = self.take()
        if keyword in ("after", "before"):
            return self.neighbour(After if keyword == "after" else Before)
        if keyword == "position":
            return self.position()
        if keyword == "start":
            self.expect("of")
            if self.piece not in ("line", "word"):
                self.fail("`line` or `word`")
            return TokenState(f"start of {self.take()}")
        self.expect("begins", "with")
        return LineBegins(self.predicate())

    def predicate(self) -> Predicate:
        if self.piece not in tuple(PredicateUnit):
            self.fail("`token` or `word`")
        unit = PredicateUnit(self.take())
        if self.accept("in"):
            self.expect("{")
            start = self.start
            strings = self.separated(self.string, ",")
            self.expect("}")
            return self.checked(lambda found: OneOf(unit, found), strings, start)
        if self.accept("matches"):
            return self.regex(unit)
        if self.accept("is"):
            if self.piece not in CLASSES:
                self.fail(f"a class, one of {', '.join(CLASSES)}")
            return IsClass(unit, self.take())
        return self.fail("`in {...}`, `matches /.../` or `is CLASS`")

    def neighbour(self, kind: type[After] | type[Before]) -> After | Before:
        self.expect("(")
        start = self.start
        first = self.whole_number()
        nearest, farthest = (first, self.whole_number()) if self.accept("..") else (1, first)
        self.expect(",")
        predicate = self.predicate()
        self.expect(")")
        return self.checked(lambda span: kind(*span, predicate), (nearest, farthest), start)

    def position(self) -> Position:
        if self.piece not in tuple(PositionComparison):
            self.fail("one of < <= = >= >")
        return Position(PositionComparison(self.take()), self.whole_number())

    def token_state(self) -> TokenState:
        self.take()
        if f"in {self.piece}" not in tuple(TokenState):
            self.fail("`comment`, `string` or `brackets`")
        return TokenState(f"in {self.take()}")

    def regex(self, unit: PredicateUnit) -> Matches:
        if self.kind != "regex":
            self.fail("a regular expression between slashes")
        start = self.start
        pattern = self.take()[1:-1]
        return self.checked(lambda source: Matches(unit, source), pattern, start)

    def string(self) -> str:
        if self.kind != "string":
            self.fail('a string in double quotes, such as " raise"')
        start = self.start
        return self.checked(
            lambda source: str(json.loads(source, strict=False)), self.take(), start
        )

    def number(self) -> float:
        if self.kind != "number":
            self.fail("a number")
        return float(self.take())

    def whole_number(self) -> int:
        if self.kind != "number" or not self.piece.isdecimal() or len(self.piece) > DIGITS:
            self.fail(f"a whole number of at most {DIGITS} digits")
        return int(self.take())

    def separated(self, item: Callable[[], T], separator: str) -> tuple[T, ...]:
        """One or more items with the separator between them."""
        items = [item()]
        while self.accept(separator):
            items.append(item())
        return tuple(items)

    def checked(self, make: Callable[[T], R], given: T, start: int) -> R:
        """What `make` makes of the given; what it refuses is an error at `start`."""
        try:
            return make(given)
        except ValueError as refused:
            self.fail_at(start, str(refused))

    def accept(self, piece: str) -> bool:
        """Take this keyword or sign if it comes next.

        A string or regex that spells the same is not it.
        """
        found = self.piece == piece and self.kind in ("name", "sign")
        if found:
            self.advance()
        return found

    def expect(self, *pieces: str) -> None:
        for piece in pieces:
            if not self.accept(piece):
                self.fail(f"`{piece}`")

    def take(self) -> str:
        piece = self.piece
        self.advance()
        return piece

    def advance(self) -> None:
        found = PIECES.match(self.text, self.end)
        if found is None or found.lastgroup is None:
            start = len(self.text) - len(self.text[self.end :].lstrip())
            self.fail_at(
                start,
                "this cannot be read; strings stand in double quotes, regular expressions between"
                " slashes",
            )
        self.kind, self.piece = found.lastgroup, found[found.lastgroup]
        self.start, self.end = found.start(found.lastgroup), found.end()

    def fail(self, expected: str) -> NoReturn:
        self.fail_at(self.start, f"expected {expected}")

    def fail_at(self, start: int, problem: str) -> NoReturn:
        before, after = self.text[max(0, start - 30) : start], self.text[start : start + 30]
        raise BadInput(
            f"rule, column {start + 1}: {problem}; the text reads {before!r} and then"
            f" {after or 'ends'!r}"
        )
