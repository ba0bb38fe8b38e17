"""Sets of strings are judged by the half of the documents that did not choose them."""

import numpy as np
import pytest

from gloss.explain.rule_search.conditions import own_sights
from gloss.explain.rule_search.description_length import DescriptionLength
from gloss.explain.rule_search.set_search import set_groups, shares_reached
from gloss.explain.rule_search.term_candidates import (
    TermCandidate,
    UncoveredRows,
    best_of_groups,
)
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


def sets_of_tokens(rows: UncoveredRows) -> list[TermCandidate]:
    return best_of_groups(rows.description, list(set_groups(rows, next(own_sights(rows)))))


def test_a_set_that_both_halves_suggest_is_confirmed_everywhere() -> None:
    ids = np.tile(np.arange(10), 40)
    both = rows(ids, ids < 3, np.arange(400) >= 200)
    best = max(sets_of_tokens(both), key=lambda each: each.worth)
    assert (best.hits, best.false_positives) == (120.0, 0.0)
    assert np.array_equal(best.confirmed(both.train_windows), ids < 3)


def test_strings_that_only_one_half_holds_are_worth_nothing_although_they_fit() -> None:
    ids = np.concatenate([np.arange(100), np.arange(100, 200)])
    apart = rows(ids, ids % 2 == 0, ids >= 100)
    assert all(
        candidate.worth < 0 for candidate in sets_of_tokens(apart) if not candidate.term.negated
    )


@pytest.mark.parametrize("thinned", [10, 1000])
def test_what_was_chosen_on_few_rows_is_judged_on_all_by_the_other_half(thinned: int) -> None:
    ids = np.tile(np.arange(10), 40)
    few = rows(ids, ids < 3, np.arange(400) >= 200)
    best = max(sets_of_tokens(few.thinned(thinned)), key=lambda each: each.worth)
    assert best.confirmed(few.train_windows).sum() >= 120


def test_shares_are_told_as_a_search_among_the_thresholds_would(rng: np.random.Generator) -> None:
    weights = np.where(rng.random((5, 2, 400)) < 0.7, rng.integers(0, 60, (5, 2, 400)), 0)
    weights = weights.astype(np.float32)
    thresholds = 1 / (1 + np.exp(-np.linspace(-6.0, 3.5, 39)))
    shares = weights / (weights + weights[:, ::-1] + 1)
    expected = np.searchsorted(thresholds, shares.astype(np.float64), side="right")
    told = shares_reached(weights)
    assert np.array_equal(told, expected)
    assert len(np.unique(told)) > 15
