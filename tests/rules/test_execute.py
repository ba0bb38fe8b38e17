"""Rules run over passages, against results worked out by hand and by brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.rules import Passage, execute, parse_rule
from gloss.rules.execute import any_in_range_after, any_in_range_before
from gloss.rules.passage import PREDICATES
from gloss.rules.sparse_execution import RARE, execute_sparsely
from rules.random_rules import WORDS, drawn_rules, rule_of

VOCABULARY = (
    " raise",
    " Value",
    "Error",
    "(",
    '"',
    " x",
    "\n",
    "    ",
    "#",
    ")",
    "7",
    "import",
    " Value",
)
INDEX = {string: i for i, string in enumerate(VOCABULARY[:-1])}


def passage(*sequences: list[str]) -> Passage:
    ids = np.array([INDEX[string] for sequence in sequences for string in sequence], np.int32)
    return Passage(ids, np.cumsum([0, *map(len, sequences)]), VOCABULARY)


def fires(source: str, *sequences: list[str]) -> list[int]:
    return np.flatnonzero(execute(parse_rule(source), passage(*sequences))).tolist()


LINE = [
    "import",
    " x",
    "\n",
    "    ",
    " raise",
    " Value",
    "Error",
    "(",
    '"',
    " x",
    '"',
    ")",
    "#",
    " x",
]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('token in {" x"}', [1, 9, 13]),
        ("token matches /.*r.*/", [0, 4, 6]),
        ("token is number", []),
        ('word in {"ValueError"}', [6]),
        ('word in {"Value"}', [5]),
        ('after(2, token in {" raise"})', [5, 6]),
        ('after(2..2, token in {" raise"})', [6]),
        ('before(1, token in {" x"})', [0, 8, 12]),
        ("position < 2", [0, 1]),
        ("position >= 12", [12, 13]),
        ("start of line", [0, 3]),
        ('line begins with token in {" raise"}', [4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
        ("in comment", [13]),
        ("in string", [9, 10]),
        ("in brackets", [8, 9, 10, 11]),
        ('token in {" x"} and not in string', [1, 13]),
        ('token in {"#"} or token in {"("}', [7, 12]),
    ],
)
def test_a_rule_fires_where_its_meaning_says(source: str, expected: list[int]) -> None:
    assert fires(source, LINE) == expected


def test_nothing_crosses_the_edge_of_a_sequence() -> None:
    sequences = ([" raise"], [" x", "#"], [" Value"], ["Error"], [" x"])
    assert fires('after(5, token in {" raise"})', *sequences) == []
    assert fires('before(9, token in {"Error"})', *sequences) == []
    assert fires("in comment", *sequences) == []
    assert fires('word in {"ValueError"}', *sequences) == []
    assert fires("position = 0", *sequences) == [0, 1, 3, 4, 5]


def test_the_largest_strength_of_those_that_hold_counts() -> None:
    rule = parse_rule(
        'token in {" x"} -> 2 or token in {" x"} and after(1, token in {"import"}) -> 3.5 or token'
        ' in {"#"} -> 0.5'
    )
    assert execute(rule, passage(["import", " x", "#", " x"])).tolist() == [0.0, 3.5, 0.5, 2.0]


def test_ids_with_one_string_are_one_token() -> None:
    both = Passage(np.array([1, 12], np.int32), np.array([0, 2]), VOCABULARY)
    assert execute(parse_rule('token in {" Value"}'), both).tolist() == [1.0, 1.0]


def test_an_empty_passage_has_no_strengths() -> None:
    for source in (
        'after(3, word in {"x"})',
        "line begins with token is upper",
        "in string",
        "before(20, token is upper)",
    ):
        assert (
            len(
                execute(
                    parse_rule(source), Passage(np.empty(0, np.int32), np.array([0]), VOCABULARY)
                )
            )
            == 0
        )


@given(
    st.lists(st.lists(st.booleans(), min_size=1, max_size=30), min_size=1, max_size=6),
    st.integers(1, 12),
    st.integers(0, 25),
)
def test_windows_agree_with_brute_force(
    sequences: list[list[bool]], nearest: int, more: int
) -> None:
    found = np.array([value for sequence in sequences for value in sequence])
    text = Passage(np.zeros(len(found), np.int32), np.cumsum([0, *map(len, sequences)]), VOCABULARY)
    far = nearest + more
    before = [
        any(s[max(0, i - far) : max(0, i - nearest + 1)]) for s in sequences for i in range(len(s))
    ]
    after = [any(s[i + nearest : i + far + 1]) for s in sequences for i in range(len(s))]
    assert any_in_range_before(found, text, nearest, far).tolist() == before
    assert any_in_range_after(found, text, nearest, far).tolist() == after


in_words = st.lists(st.lists(st.integers(0, len(WORDS) - 1), max_size=40), min_size=1, max_size=6)


@settings(max_examples=400, deadline=None)
@given(drawn_rules, in_words, st.sampled_from((1, RARE)))
def test_looking_where_terms_occur_finds_what_reading_everything_finds(drawn, sequences, rare):
    ids = np.array([each for sequence in sequences for each in sequence], np.int32)
    text = Passage(ids, np.cumsum([0, *map(len, sequences)]), WORDS)
    rule = rule_of(drawn)
    found, whole = execute_sparsely(rule, text, rare), execute(rule, text)
    assert found.positions.tolist() == np.flatnonzero(whole).tolist()
    assert found.values.tolist() == whole[found.positions].tolist()
    again = execute_sparsely(rule, text, rare)  # with what the passage remembers
    assert again.positions.tolist() == found.positions.tolist()


def test_positions_of_sequences_that_are_cut_out_of_longer_ones_are_found_too():
    text = Passage(np.zeros(9, np.int32), np.array([0, 4, 9]), WORDS, np.array([0, 2]))
    for source in ("position <= 3", "position = 3", "position < 3", "position > 2"):
        rule = parse_rule(source)
        found = execute_sparsely(rule, text, rare=1)
        assert found.positions.tolist() == np.flatnonzero(execute(rule, text)).tolist()


def test_what_satisfies_a_predicate_is_remembered_of_a_few_alone():
    text = passage(LINE)
    for number in range(200):
        execute_sparsely(parse_rule(f'token in {{"{number}"}}'), text)
    assert len(text.tokens.held) <= PREDICATES


def test_tables_of_words_do_not_grow_with_the_words_of_other_passages() -> None:
    strings = (" a", "b", "c", " ", ".")
    rng = np.random.default_rng(0)
    long = Passage(rng.integers(0, 5, 4000).astype(np.int32), np.array([0, 4000]), strings)
    short = Passage(np.array([0, 1, 3, 2, 4, 0], np.int32), np.array([0, 6]), strings)
    for passage in (short, long, Passage(short.ids, short.offsets, strings)):
        rule = parse_rule('word in {"ab", "c", "zz"} -> 1')
        ids = passage.ids.tolist()
        expected, word = [], ""
        for place, token in enumerate(ids):
            begins = token == 0 or token > 2 or (place > 0 and ids[place - 1] > 2)
            word = strings[token].strip() if begins else word + strings[token]
            expected.append(float(word in ("ab", "c")))
        assert execute(rule, passage).tolist() == expected
        assert passage.words.number <= len(passage)
    assert len(long.words.lexicon.strings) > 10 * len(short)
