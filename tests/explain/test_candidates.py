"""Sets of strings are judged by the half of the documents that did not choose them."""

import numpy as np
import pytest

from gloss.explain.rule_search.conditions import own_families
from gloss.explain.rule_search.description_length import DescriptionLength
from gloss.explain.rule_search.term_candidates import UncoveredRows, choose_sets
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules import Passage


def rows(ids: np.ndarray, fires: np.ndarray, second_half: np.ndarray) -> UncoveredRows:
    strings = tuple(f"w{i}" for i in range(int(ids.max()) + 1))
    passage = Passage(ids.astype(np.int32), np.array([0, len(ids)]), strings)
    train_windows = TrainWindows(
        passage, fires, fires.astype(np.float32), np.ones(len(ids)), second_half
    )
    return UncoveredRows.of(
        train_windows,
        np.ones(len(ids), bool),
        DescriptionLength(float(fires.sum()), float((~fires).sum())),
    )


def test_a_set_that_both_halves_suggest_is_confirmed_everywhere() -> None:
    ids = np.tile(np.arange(10), 40)
    both = rows(ids, ids < 3, np.arange(400) >= 200)
    best = max(choose_sets(both, next(own_families(both))), key=lambda each: each.worth)
    assert (best.hits, best.false_positives) == (120.0, 0.0)
    assert np.array_equal(best.confirmed(both), ids < 3)


def test_strings_that_only_one_half_holds_are_worth_nothing_although_they_fit() -> None:
    ids = np.concatenate([np.arange(100), np.arange(100, 200)])
    apart = rows(ids, ids % 2 == 0, ids >= 100)
    assert all(
        candidate.worth < 0
        for candidate in choose_sets(apart, next(own_families(apart)))
        if not candidate.term.negated
    )


@pytest.mark.parametrize("thinned", [10, 1000])
def test_what_was_chosen_on_few_rows_is_judged_on_all_by_the_other_half(thinned: int) -> None:
    ids = np.tile(np.arange(10), 40)
    few = rows(ids, ids < 3, np.arange(400) >= 200)
    best = max(
        choose_sets(few.thinned(thinned), next(own_families(few.thinned(thinned)))),
        key=lambda each: each.worth,
    )
    assert best.confirmed(few).sum() >= 120
