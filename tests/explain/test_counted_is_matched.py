"""What the search counts for a term is what the term matches, on vocabularies of every kind."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import BLANKS, KINDS

from gloss.explain.rule_search.affixes import find_shared_affixes
from gloss.explain.rule_search.conditions import (
    class_weights,
    lexical_groups,
    nearby_sight,
    own_sights,
    position_conditions,
    state_conditions,
    tokens_at_places,
)
from gloss.explain.rule_search.description_length import DescriptionLength
from gloss.explain.rule_search.search import RuleSearch, best_term_candidates
from gloss.explain.rule_search.set_search import SetFamily, Sight
from gloss.explain.rule_search.term_candidates import UncoveredRows, best_of_groups
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.records import Contexts, Examples, Explanation, FeatureId, Reason
from gloss.rules import execute, parse_rule
from gloss.rules.execute import where_condition_holds
from gloss.rules.language import Alternative, Condition, OneOf, Rule, RuleTerm
from gloss.store.vocabulary import Vocabulary

WIDTH = 12


def contexts(tokens: np.ndarray, fires: np.ndarray, first_document: int) -> Contexts:
    number = len(tokens)
    starts = np.arange(number) * WIDTH
    documents = first_document + np.arange(number)
    values = np.where(fires, 1.0 + tokens % 5, 0.0).astype(np.float32)
    return Contexts(
        starts,
        documents,
        np.zeros(number, np.int64),
        tokens.astype(np.int32),
        values,
        np.arange(number) % 40,
    )


def examples(size: int, seed: int, windows: int = 30, firing: set[int] | None = None) -> Examples:
    """Random windows of random tokens; it fires at random, or at the tokens with these ids."""
    rng = np.random.default_rng(seed)
    shown, inactive = (rng.integers(0, size, (windows, WIDTH)) for _ in range(2))
    fires = rng.random(shown.shape) < 0.2
    if firing is not None:
        fires = np.isin(shown, list(firing))
        inactive = np.where(
            np.isin(inactive, list(firing)),
            next(i for i in range(size) if i not in firing),
            inactive,
        )
    shown = contexts(shown, fires, 0)
    none = Contexts.empty(WIDTH)
    inactive = contexts(inactive, np.zeros(inactive.shape, bool), windows)
    return Examples(
        FeatureId("made", 0), shown, none, inactive, none, 5.0, 0.3, 0.3, offsets=(0, -3)
    )


def rows_of(strings: tuple[bytes, ...], seed: int = 0) -> UncoveredRows:
    train_windows = TrainWindows.of(
        examples(len(strings), seed), vocabulary(strings), np.random.default_rng(seed)
    )
    fires, weights = train_windows.fires, train_windows.weights
    description = DescriptionLength(float(weights[fires].sum()), float(weights[~fires].sum()))
    return UncoveredRows.of(train_windows, np.arange(len(fires)) % 7 > 0, description)


@cache
def vocabulary(pieces: tuple[bytes, ...]) -> Vocabulary:
    return Vocabulary(pieces)


def executed(condition: Condition, rows: UncoveredRows) -> np.ndarray:
    """Where a rule of this condition alone holds, through its source text."""
    rule = parse_rule(str(Rule((Alternative((RuleTerm(condition),)),))))
    return execute(rule, rows.train_windows.passage)[rows.indices] > 0


def sights(rows: UncoveredRows) -> list[tuple[Sight, np.ndarray]]:
    """Each with the rows' places in it: those that see the same stand for each other."""
    nearby = nearby_sight(rows)
    found = [(nearby, np.arange(len(rows)))]
    for own in own_sights(rows):
        cells = own.seen[own.items[0]] * 4 + own.half * 2 + own.silent
        found.append((own, np.searchsorted(cells, own.units.keys[rows.indices])))
    return found


def counted(sight: Sight, family: SetFamily, item: int, places: np.ndarray) -> np.ndarray:
    seen = sight.items[sight.begins[family.place] : family.place + 1]
    return (seen == item).any(axis=0)[places]


def named(sight: Sight, family: SetFamily, items: list[int]) -> Condition:
    strings = (sight.units.string(int(sight.seen[item])) for item in items)
    return family.condition(OneOf(sight.units.unit, tuple(dict.fromkeys(strings))))


def assert_counted_where_it_holds(rows: UncoveredRows, number: int) -> None:
    for sight, places in sights(rows):
        for family in sight.families:
            weights = sight.seen_weights[family.place].sum(axis=0)
            items = np.flatnonzero(weights[:, :-1].sum(axis=0))
            for item in items[:: max(1, len(items) // number)].tolist():
                condition = named(sight, family, [item])
                held = executed(condition, rows)
                assert np.array_equal(counted(sight, family, item, places), held), condition
                for kind, those in enumerate((rows.fires, ~rows.fires)):
                    there = rows.weights[held & those].sum()
                    assert weights[kind, item] == pytest.approx(there, rel=1e-5, abs=1e-6)
            some = items[::2].tolist()
            together = np.any([counted(sight, family, item, places) for item in some], axis=0)
            if some:
                assert np.array_equal(together, executed(named(sight, family, some), rows))


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_is_counted_where_it_holds(kind: str) -> None:
    assert_counted_where_it_holds(rows_of(KINDS[kind]), 25)


@pytest.mark.parametrize("kind", KINDS)
def test_an_affix_is_counted_where_it_matches(kind: str) -> None:
    lexicon = rows_of(KINDS[kind]).train_windows.passage.lexicon
    affixes = find_shared_affixes(lexicon)
    tokens, found = affixes.tokens.pairs(np.arange(len(lexicon.strings)))
    for number in range(len(affixes.texts)):
        condition, members = affixes.condition(number), tokens[found == number]
        assert np.array_equal(np.flatnonzero(lexicon.truths(condition)), members), condition
        assert np.array_equal(affixes.tokens.members(number), members)


def test_affixes_of_some_tokens_are_those_of_all_that_are_theirs() -> None:
    lexicon = rows_of(KINDS[next(iter(KINDS))]).train_windows.passage.lexicon
    affixes = find_shared_affixes(lexicon)
    some = np.arange(1, len(lexicon.strings), 3)
    tokens, found = affixes.tokens.pairs(some)
    fewer = affixes.of_tokens(some)
    owners, of_some = fewer.tokens.pairs(np.arange(len(some)))
    assert np.array_equal(owners, tokens)
    assert [fewer.texts[i] for i in of_some] == [affixes.texts[i] for i in found]
    assert [fewer.bits[i] for i in of_some] == [affixes.bits[i] for i in found]


@pytest.mark.parametrize("kind", KINDS)
def test_classes_places_and_surroundings_are_counted_where_they_hold(kind: str) -> None:
    rows = rows_of(KINDS[kind])
    for conditions, _, held in (state_conditions(rows), position_conditions(rows)):
        for condition, where in zip(conditions, held, strict=True):
            assert np.array_equal(where, executed(condition, rows)), condition
    conditions, _, sums = class_weights(rows, tokens_at_places(nearby_sight(rows)))
    for condition, weights in zip(conditions, sums.T, strict=True):
        assert_weighs(rows, condition, False, *weights)


def assert_weighs(
    rows: UncoveredRows, condition: Condition, negated: bool, hits: float, false_positives: float
) -> None:
    held = executed(condition, rows) ^ negated
    firing, inactive = (rows.weights[held & those].sum() for those in (rows.fires, ~rows.fires))
    assert hits == pytest.approx(firing, rel=1e-5, abs=1e-5), condition
    assert false_positives == pytest.approx(inactive, rel=1e-5, abs=1e-5), condition


def assert_weighed_where_it_holds(rows: UncoveredRows) -> None:
    lexical = best_of_groups(rows.description, list(lexical_groups(rows, nearby_sight(rows))))
    names = {each.form[0] for each in lexical}
    for candidate in (
        *lexical,
        *(each for each in best_term_candidates(rows) if each.form[0] in names),
    ):
        term = candidate.term
        assert_weighs(rows, term.condition, term.negated, candidate.hits, candidate.false_positives)
        held = executed(term.condition, rows) ^ term.negated
        assert np.array_equal(candidate.confirmed(rows.train_windows)[rows.indices], held), term


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_candidate_hits_is_the_weight_where_its_term_holds(kind: str) -> None:
    assert_weighed_where_it_holds(rows_of(KINDS[kind]))


edges = st.sampled_from((b"", *BLANKS))
middles = st.sampled_from((b"the", b"a", b"7", b"##ing", "▁x".encode()))
pieces = (
    st.binary(max_size=4)
    | st.text(max_size=5).map(str.encode)
    | st.tuples(edges, middles, edges).map(b"".join)
)


@settings(max_examples=40, deadline=None)
@given(st.lists(pieces, min_size=2, max_size=30), st.integers(0, 1000))
def test_so_it_is_on_vocabularies_that_nobody_thought_of(strings: list[bytes], seed: int) -> None:
    rows = rows_of(tuple(strings), seed)
    affixes = find_shared_affixes(rows.train_windows.passage.lexicon)
    ids = rows.train_windows.passage.ids[rows.indices]
    seen = np.unique(ids).astype(np.int64)
    tokens, found = affixes.tokens.pairs(seen)
    for number in range(len(affixes.texts)):
        condition = affixes.condition(number)
        held = np.isin(ids, seen[tokens[found == number]])
        assert np.array_equal(held, executed(condition, rows)), condition
    assert_counted_where_it_holds(rows, 6)
    assert_weighed_where_it_holds(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_ends_with_a_rule_that_holds_where_the_feature_fires_or_with_a_reason(
    kind: str,
) -> None:
    strings = vocabulary(KINDS[kind]).strings
    for seed in range(3):
        ending = [
            i
            for i, string in enumerate(strings)
            if string.strip().endswith(("o", "e", "s", "\x80"))
        ]
        for firing in (None, set(ending) or {0}):
            given = examples(len(strings), seed, 60, firing)
            conversation = RuleSearch().explain(
                given, vocabulary(KINDS[kind]), np.random.default_rng(seed)
            )
            with pytest.raises(StopIteration) as stopped:
                next(conversation)
            found = stopped.value.value
            if not isinstance(found, Explanation):
                assert found.reason is Reason.NO_RULE_FOUND
                continue
            train_windows = TrainWindows.of(
                given, vocabulary(KINDS[kind]), np.random.default_rng(seed)
            )
            assert found.text
            for alternative in parse_rule(found.rule or "").alternatives:
                held = np.ones(len(train_windows.fires), bool)
                for term in alternative.terms:
                    held &= (
                        where_condition_holds(term.condition, train_windows.passage) ^ term.negated
                    )
                assert train_windows.fires[held].any(), alternative
