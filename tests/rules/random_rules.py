"""Random rules."""

from hypothesis import strategies as st

from gloss.rules.language import (
    After,
    Alternative,
    Before,
    IsClass,
    LineBegins,
    Matches,
    OneOf,
    Position,
    PositionComparison,
    PredicateUnit,
    Rule,
    RuleTerm,
    TokenState,
)
from gloss.rules.lexical_classes import CLASSES

units = st.sampled_from(PredicateUnit)
WORDS = ("a", "Error", "7/x", "x", "(", '"', "\n", "    ", "#", ")", "7", "y", " a", " Big", "ger")
texts = st.one_of(st.sampled_from(WORDS), st.text(st.characters(codec="utf-8"), max_size=6))
# Records are made in the tests, not while values are drawn: checking their types draws random
# items, which hypothesis forbids.
predicates = st.one_of(
    st.tuples(st.just(OneOf), units, st.lists(texts, min_size=1, max_size=4).map(tuple)),
    st.tuples(
        st.just(Matches),
        units,
        st.sampled_from(["a", ".*Error", r"\d+/x", r"a\/b", "", r"[\"']\\", "(?i:x)|y"]),
    ),
    st.tuples(st.just(IsClass), units, st.sampled_from(tuple(CLASSES))),
)
spans = st.tuples(st.integers(1, 12), st.integers(0, 12))
conditions = st.one_of(
    predicates,
    st.tuples(st.sampled_from((After, Before)), spans, predicates),
    st.tuples(st.just(LineBegins), predicates),
    st.tuples(st.just(Position), st.sampled_from(PositionComparison), st.integers(0, 300)),
    st.sampled_from(TokenState),
)
alternatives = st.tuples(
    st.lists(st.tuples(conditions, st.booleans()), min_size=1, max_size=3), st.floats(1e-6, 1e6)
)
drawn_rules = st.lists(alternatives, min_size=1, max_size=3)


def rule_of(drawn: list) -> Rule:
    """The rule that was drawn."""
    return Rule(
        tuple(
            Alternative(
                tuple(RuleTerm(condition_of(condition), negated) for condition, negated in terms),
                strength,
            )
            for terms, strength in drawn
        )
    )


def condition_of(drawn):
    """The condition that was drawn."""
    if isinstance(drawn, TokenState):
        return drawn
    kind, *parts = drawn
    if kind in (After, Before):
        nearest, more = parts[0]
        return kind(nearest, nearest + more, condition_of(parts[1]))
    return kind(condition_of(parts[0])) if kind is LineBegins else kind(*parts)
