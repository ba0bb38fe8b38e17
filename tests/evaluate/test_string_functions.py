"""Functions on words: right steps are right, the exception is seen apart, wrong ones are wrong."""

import numpy as np
import pytest

from gloss.errors import BadInput
from gloss.evaluate.string_functions import (
    OPPOSITES,
    WORDS,
    Steps,
    StringFunction,
    draw_string_function,
    judge_steps,
)


@pytest.mark.parametrize(
    ("steps", "word", "made"),
    [
        ("reversed, first", "lantern", "n"),
        ("first, reversed", "lantern", "l"),
        ("without vowels, upper", "meadow", "MDW"),
        ("shifted", "zoo", "app"),
        ("opposite, plural", "day", "nights"),
        ("twice, length", "cat", "6"),
        ("without first", "cat", "at"),
        ("without last", "cat", "ca"),
        ("sorted, vowels", "meadow", "aeo"),
    ],
)
def test_steps_are_done_in_their_order(steps: str, word: str, made: str) -> None:
    assert Steps(steps)(word) == made


def test_steps_of_the_whole_are_right_and_the_exception_is_seen_apart() -> None:
    function = StringFunction(Steps("reversed"), Steps("upper"), "z")
    told = judge_steps(Steps("reversed"), function)
    assert told.value("right") == 1
    assert told.value("agreement_where_corrupted") == 0
    whole = judge_steps(Steps("reversed"), StringFunction(Steps("reversed")))
    assert whole.value("agreement") == 1
    assert np.isnan(whole.value("agreement_where_corrupted"))


def test_other_words_for_the_same_steps_are_right_and_others_are_wrong() -> None:
    function = StringFunction(Steps("last"))
    assert judge_steps(Steps("reversed, first"), function).value("right") == 1
    wrong = judge_steps(Steps("first"), function)
    assert wrong.value("right") == 0
    assert wrong.value("agreement") < 0.2
    relation = StringFunction(Steps("opposite"))
    told = judge_steps(Steps("opposite"), relation, tuple(OPPOSITES))
    assert told.value("right") == 1
    assert told.value("agreement_of_no_steps") == 0


def test_drawn_functions_change_most_words_and_their_exceptions_differ(rng) -> None:
    for _ in range(20):
        function = draw_string_function(rng, corrupted=True)
        excepted = [word for word in WORDS if function.excepted(word)]
        assert function.exception is not None
        assert len(function.letters) == 3
        assert excepted
        found = judge_steps(function.steps, function)
        assert found.value("agreement") == pytest.approx(1 - len(excepted) / len(WORDS), abs=0.05)
        assert judge_steps(Steps(""), function).value("right") == 0
    assert draw_string_function(rng).exception is None


def test_what_is_no_step_is_refused() -> None:
    with pytest.raises(BadInput, match="is no step; write first, last"):
        Steps("reversed, eval")
