"""What the search counts for a term is what the term matches, on vocabularies of every kind."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import BLANKS, KINDS

from gloss.explain.candidates import Family, Rows
from gloss.explain.description import Ledger
from gloss.explain.families import nearby_families, own_families
from gloss.explain.lexical import affixes_of, classes, lexical, placed, surrounded
from gloss.explain.rule import RuleSearch, candidates
from gloss.explain.sightings import Sightings
from gloss.records import Contexts, Examples, Explanation, FeatureId, Reason
from gloss.rules import execute, parse
from gloss.rules.execute import holds
from gloss.rules.language import Alternative, Condition, Rule, Term
from gloss.store.vocabulary import Vocabulary

WIDTH = 12


def contexts(tokens: np.ndarray, fires: np.ndarray, first_document: int) -> Contexts:
    number = len(tokens)
    starts = np.arange(number) * WIDTH
    documents = first_document + np.arange(number)
    values = np.where(fires, 1.0 + tokens % 5, 0.0).astype(np.float32)
    return Contexts(starts, documents, np.zeros(number, np.int64), tokens.astype(np.int32), values, np.arange(number) % 40)


def examples(size: int, seed: int, windows: int = 30, firing: set[int] | None = None) -> Examples:
    """Random windows of random tokens; it fires at random, or at the tokens with these ids."""
    rng = np.random.default_rng(seed)
    shown, silent = (rng.integers(0, size, (windows, WIDTH)) for _ in range(2))
    fires = rng.random(shown.shape) < 0.2
    if firing is not None:
        fires = np.isin(shown, list(firing))
        silent = np.where(np.isin(silent, list(firing)), next(i for i in range(size) if i not in firing), silent)
    shown = contexts(shown, fires, 0)
    none = Contexts.empty(WIDTH)
    silent = contexts(silent, np.zeros(silent.shape, bool), windows)
    return Examples(FeatureId("made", 0), shown, none, silent, none, 5.0, 0.3, 0.3, offsets=(0, -3))


def rows_of(strings: tuple[bytes, ...], seed: int = 0) -> Rows:
    sightings = Sightings.of(examples(len(strings), seed), vocabulary(strings), np.random.default_rng(seed))
    fires, weights = sightings.fires, sightings.weights
    ledger = Ledger(float(weights[fires].sum()), float(weights[~fires].sum()))
    return Rows.of(sightings, np.arange(len(fires)) % 7 > 0, ledger)


@cache
def vocabulary(pieces: tuple[bytes, ...]) -> Vocabulary:
    return Vocabulary(pieces)


def executed(condition: Condition, rows: Rows) -> np.ndarray:
    """Where a rule of this condition alone holds, through its source text."""
    rule = parse(str(Rule((Alternative((Term(condition),)),))))
    return execute(rule, rows.sightings.passage)[rows.indices] > 0


def counted(family: Family, item: int, number: int) -> np.ndarray:
    held = np.zeros(number, bool)
    held[family.rows[family.items == item]] = True
    return held


def families(rows: Rows) -> list[Family]:
    return [family for family in (*own_families(rows), *nearby_families(rows)) if len(family.rows)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_is_counted_where_it_holds(kind: str) -> None:
    rows = rows_of(KINDS[kind])
    for family in families(rows):
        items = np.unique(family.items)
        for item in items[:: max(1, len(items) // 25)].tolist():
            condition = family.condition([item])
            assert np.array_equal(counted(family, item, len(rows)), executed(condition, rows)), condition
        some = items[::2].tolist()
        together = np.any([counted(family, item, len(rows)) for item in some], axis=0)
        assert np.array_equal(together, executed(family.condition(some), rows)), family.form


@pytest.mark.parametrize("kind", KINDS)
def test_an_affix_is_counted_where_it_matches(kind: str) -> None:
    lexicon = rows_of(KINDS[kind]).sightings.passage.lexicon
    affixes = affixes_of(lexicon)
    for number, (condition, _) in enumerate(affixes.conditions):
        members = affixes.tokens[affixes.affixes == number]
        assert np.array_equal(np.flatnonzero(lexicon.table(condition)), np.sort(members)), condition


@pytest.mark.parametrize("kind", KINDS)
def test_classes_places_and_surroundings_are_counted_where_they_hold(kind: str) -> None:
    rows = rows_of(KINDS[kind])
    passage = rows.sightings.passage
    for conditions, held in (f(passage, rows.indices) for f in (classes, surrounded, placed)):
        for (condition, _), where in zip(conditions, held, strict=True):
            assert np.array_equal(where, executed(condition, rows)), condition


def assert_weighed_where_it_holds(rows: Rows) -> None:
    for candidate in [*lexical(rows), *(each for each in candidates(rows) if len(each.form) == 1)]:
        held = executed(candidate.term.condition, rows) ^ candidate.term.negated
        assert candidate.hits == pytest.approx(rows.firing[held].sum(), abs=1e-6), candidate.term
        assert candidate.misfires == pytest.approx(rows.silent[held].sum(), abs=1e-6), candidate.term


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_candidate_hits_is_the_weight_where_its_term_holds(kind: str) -> None:
    assert_weighed_where_it_holds(rows_of(KINDS[kind]))


edges = st.sampled_from((b"", *BLANKS))
middles = st.sampled_from((b"the", b"a", b"7", b"##ing", "▁x".encode()))
pieces = st.binary(max_size=4) | st.text(max_size=5).map(str.encode) | st.tuples(edges, middles, edges).map(b"".join)


@settings(max_examples=40, deadline=None)
@given(st.lists(pieces, min_size=2, max_size=30), st.integers(0, 1000))
def test_so_it_is_on_vocabularies_that_nobody_thought_of(strings: list[bytes], seed: int) -> None:
    rows = rows_of(tuple(strings), seed)
    affixes = affixes_of(rows.sightings.passage.lexicon)
    for number, (condition, _) in enumerate(affixes.conditions):
        held = np.isin(rows.sightings.passage.ids[rows.indices], affixes.tokens[affixes.affixes == number])
        assert np.array_equal(held, executed(condition, rows)), condition
    for family in families(rows):
        for item in np.unique(family.items)[:6].tolist():
            assert np.array_equal(counted(family, item, len(rows)), executed(family.condition([item]), rows))
    assert_weighed_where_it_holds(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_ends_with_a_rule_that_holds_where_the_feature_fires_or_with_a_reason(kind: str) -> None:
    strings = vocabulary(KINDS[kind]).strings
    for seed in range(3):
        ending = [i for i, string in enumerate(strings) if string.strip().endswith(("o", "e", "s", "\x80"))]
        for firing in (None, set(ending) or {0}):
            given = examples(len(strings), seed, 60, firing)
            talk = RuleSearch().explain(given, vocabulary(KINDS[kind]), np.random.default_rng(seed))
            with pytest.raises(StopIteration) as stopped:
                next(talk)
            found = stopped.value.value
            if not isinstance(found, Explanation):
                assert found.reason is Reason.NO_RULE_FOUND
                continue
            sightings = Sightings.of(given, vocabulary(KINDS[kind]), np.random.default_rng(seed))
            assert found.text
            for alternative in parse(found.rule or "").alternatives:
                held = np.ones(len(sightings.fires), bool)
                for term in alternative.terms:
                    held &= holds(term.condition, sightings.passage) ^ term.negated
                assert sightings.fires[held].any(), alternative
