"""Prompts are files with holes; marks can be told from any text."""

import hashlib
from importlib.resources import files

import jinja2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.models.chat_models.prompts import Answer, prompt_file
from gloss.models.chat_models.token_marks import (
    MARK_PAIRS,
    Marks,
    marked_stretches,
    numbered_lines,
    spell_context,
    suitable_marks,
    where_above,
)
from gloss.records import Reason
from gloss.store.vocabulary import Vocabulary


def test_a_hole_without_a_value_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        prompt_file("gloss.score", "detection").fill(explanation='"x"')


def test_the_hash_is_of_the_file():
    source = files("gloss.score").joinpath("prompts/detection.yaml").read_bytes()
    assert prompt_file("gloss.score", "detection").sha256 == hashlib.sha256(source).hexdigest()


def test_text_that_looks_like_a_template_stays_text():
    holes = {
        "explanation": '"{{ 7 * 7 }}"',
        "contexts": numbered_lines(["{% if %}"]),
        "form": "list",
        "again": False,
    }
    messages = prompt_file("gloss.score", "detection").fill(**holes)
    assert 'Explanation: "{{ 7 * 7 }}"' in messages[-1].text
    assert '1: "{% if %}"' in messages[-1].text


def test_a_turn_that_holds_nothing_is_left_out():
    holes = {
        "explanation": '"x"',
        "contexts": numbered_lines(["y"]),
        "form": "single",
        "again": False,
    }
    assert [message.role for message in prompt_file("gloss.score", "detection").fill(**holes)] == [
        "system",
        "user",
    ]


def test_an_answer_has_a_text_or_a_reason():
    for text, reason in ((None, None), ("x", Reason.REFUSED)):
        with pytest.raises(ValueError, match="a text or a reason"):
            Answer(text, reason)


def test_each_text_takes_one_line_and_can_be_read_back():
    assert numbered_lines(['say "x"\n', "é\\n"]) == ['1: "say \\"x\\"\\n"', '2: "é\\\\n"']


def test_runs_are_marked_whole():
    marked = np.array([False, True, True, False, True])
    assert MARK_PAIRS[0].wrap(["a", " b", " c", " d", " e"], marked) == "a<< b c>> d<< e>>"


def test_padding_neither_opens_nor_ends_a_run():
    assert MARK_PAIRS[0].wrap(["", "a", "", "b"], np.array([True, True, False, True])) == "<<ab>>"


@pytest.mark.parametrize(
    "pieces, marked, wanted",
    [
        (["a", "b"], [True, False], "<<"),
        ([">>> x", "y"], [True, False], "⟦"),
        (["a <", "b"], [False, True], "⟦"),  # "a <<<b>>" could be read in two ways
        # the first two of three close, however the third is taken
        (["b", "> c"], [True, False], "<<"),
        (["<<", "⟦", "⟪", "⦅"], [True, False, True, True], "⟦1:"),
    ],
)
def test_marks_are_chosen_that_the_text_does_not_hold(pieces, marked, wanted):
    assert suitable_marks([(pieces, np.array(marked))]).open == wanted


@given(st.lists(st.tuples(st.text("<>⟦⟧⟪⟫⦅⦆1: a\n", max_size=3), st.booleans()), max_size=12))
@settings(deadline=None, max_examples=300)
def test_what_is_marked_can_be_read_back_whatever_the_text_holds(parts):
    pieces, marked = (
        [piece for piece, _ in parts],
        np.array([wanted for _, wanted in parts], dtype=bool),
    )
    marks = suitable_marks([(pieces, marked)])
    assert marks.parse(marks.wrap(pieces, marked)) == marked_stretches(pieces, marked)


def test_a_character_cut_across_tokens_is_marked_where_it_is_completed():
    vocabulary = Vocabulary((b"a", "é".encode()[:1], "é".encode()[1:], b"b"))
    pieces, counted = vocabulary.texts([0, 1, 2, 3, -1]), np.array([True, True, False, True, False])
    spelled = spell_context(pieces, np.array([0, 5, 1, 0, 0], np.float32), counted)
    # a piece counts where one of its tokens does
    assert spelled.counted.tolist() == [True, False, True, True, False]
    assert spelled.pieces == ("a", "", "é", "b", "")
    assert spelled.activations.tolist() == [0, 0, 5, 0, 0]
    assert Marks("<<", ">>").wrap(spelled.pieces, where_above(spelled, 0.3)) == "a<<é>>b"


def test_only_what_exceeds_the_share_of_the_maximum_is_marked():
    spelled = spell_context("aaaa", np.array([10, 3, 3.1, 0], np.float32), np.ones(4, bool))
    assert where_above(spelled, 0.3).tolist() == [True, False, True, False]
    silent = spell_context("aa", np.zeros(2, np.float32), np.ones(2, bool))
    assert not where_above(silent, 0.0).any()
