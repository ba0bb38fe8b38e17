"""Partners among candidates are as good as the bound says, and it is one, whatever the prices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from gloss.decompose.all_pairs import AllPairs, Partners
from gloss.decompose.auction import Candidates, hold_auction
from gloss.decompose.partner_search import assign, assign_all, mutual_nearest
from gloss.decompose.sparse_assignment import assign_among_nearest, look_at_all

MANY = 20  # rounds


def pairs_of(values: np.ndarray) -> AllPairs:
    return AllPairs(values.shape, lambda rows, columns: values[rows][:, columns].copy())


def best_total(values: np.ndarray) -> float:
    """Of any one-to-one partners, of whom some may have none: the exact optimum, by all pairs."""
    nothing = np.zeros((len(values), len(values)), np.float32)
    cost = np.concatenate([values, nothing], axis=1).astype(np.float64)
    rows, columns = linear_sum_assignment(cost, maximize=True)
    return float(cost[rows, columns].sum())


def is_one_to_one(found: Partners) -> bool:
    has = found.of_left[found.of_left >= 0]
    return len(set(has.tolist())) == len(has)


KINDS = ("smooth", "few values", "one hub", "all equal", "negative", "blocks", "low rank", "chain")


def drawn(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Closeness of pairs, among them such as are hard: ties, and a row that all others want."""
    left, right = shape
    values = rng.uniform(-1, 1, shape)
    if kind == "few values":
        values = rng.integers(-1, 3, shape) / 2
    if kind == "one hub":
        values[:, rng.integers(right)] = 1 - rng.uniform(0, 1e-3, left)
    if kind == "all equal":
        values = np.full(shape, 0.5)
    if kind == "negative":
        values = -np.abs(values)
    if kind == "blocks":
        values = 0.01 * values + (np.arange(left)[:, None] % 3 == np.arange(right) % 3)
    if kind == "low rank":
        values = rng.normal(size=(left, 2)) @ rng.normal(size=(2, right))
    if kind == "chain":  # each gives way to the next, so that prices are handed on along all
        values = 0.5 * np.eye(left, right) + (0.5 + 1e-4) * np.eye(left, right, 1)
    return values.astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 4),
    st.integers(0, 10**6),
)
def test_no_partners_exceed_the_bound_and_in_the_end_it_is_reached(kind, left, right, few, seed):
    """With few candidates at a time, so that the first ones do not hold the best partners."""
    values = drawn(kind, (left, right), np.random.default_rng(seed))
    best = best_total(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gloss.decompose.sparse_assignment.CANDIDATES", few)
        patch.setattr("gloss.decompose.sparse_assignment.JOINING", few)
        for rounds in (1, 2, 3, MANY):
            found = assign_among_nearest(pairs_of(values), 1e-3, rounds)
            assert is_one_to_one(found)
            assert found.total <= best + 1e-5
            assert found.most >= best - 1e-9  # the bound is one
            assert (1 - found.gap) * best <= found.total + 1e-5  # no less than is lacking


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(KINDS), st.integers(1, 30), st.integers(1, 30), st.integers(0, 10**6))
def test_the_bound_holds_for_any_prices(kind, left, right, seed):
    rng = np.random.default_rng(seed)
    values = drawn(kind, (left, right), rng)
    for prices in (np.zeros(right), rng.exponential(0.3, right), np.full(right, 10.0)):
        assert look_at_all(pairs_of(values), prices, 3).bound >= best_total(values) - 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_partners_are_found_where_candidates_are_few(kind, monkeypatch):
    monkeypatch.setattr("gloss.decompose.sparse_assignment.CANDIDATES", 4)
    values = drawn(kind, (90, 70), np.random.default_rng(1))
    found = assign_among_nearest(pairs_of(values), 1e-5, MANY)
    assert found.total == pytest.approx(best_total(values), rel=1e-4, abs=1e-4)
    assert found.gap < 1e-4


def test_a_bound_tells_when_partners_are_worse_than_they_could_be():
    """One look tells who is nearest to each, and another that no partners can be better."""
    values = np.array([[0.5, 0.6], [0.0, 0.5]], np.float32)
    assert mutual_nearest(pairs_of(values)).gap is None  # nobody knows
    once = assign_among_nearest(pairs_of(values), 0.0, 1)
    assert (once.of_left.tolist(), once.total) == ([0, 1], 1.0)
    assert once.gap == pytest.approx(1 - 1 / 1.1, abs=1e-6)  # of the first look, with no prices
    assert assign_among_nearest(pairs_of(values), 0.0, 2).gap < 1e-5


def test_wide_dictionaries_are_assigned_as_narrow_ones_are(rng):
    """Of the same cosines, by candidates and by all pairs."""
    unit = [rng.standard_normal((300, 24)).astype(np.float32) for _ in range(2)]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in unit]
    pairs = AllPairs.of_directions(*unit)
    all_of_them, found = assign_all(pairs), assign(pairs, exact=100, gap=1e-6)
    assert all_of_them.gap == 0
    assert found.gap < 1e-6
    assert (found.of_left == all_of_them.of_left).all()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("right", [1, 5, 64, 130, 640, 5000])
def test_a_look_finds_the_largest_of_each_row(rng, right, turned):
    """By groups of columns, in tiles, of which the last ones are smaller."""
    sides = [rng.normal(size=(number, 3)).astype(np.float32) for number in (6, right)]
    values, prices = sides[0] @ sides[1].T, rng.uniform(0, 1, right).astype(np.float32)
    pairs = AllPairs.of_directions(*sides)
    if turned:
        pairs = AllPairs.of_directions(*sides[::-1]).turned()
    for number in {1, min(3, right), min(16, right)}:
        found = look_at_all(pairs, prices.astype(np.float64), number)
        above = np.sort(values - prices, 1)[:, right - number :]
        for row in range(6):
            columns = found.columns[found.rows == row]
            assert len(set(columns.tolist())) == len(columns)
            least = above[row, 0] - 1e-6
            assert set(columns) == set(
                np.flatnonzero((values[row] - prices >= least) & (values[row] > 0))
            )


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0.1, 1e-3]),
    st.integers(0, 10**6),
)
def test_an_auction_falls_short_by_a_step_for_each_pair_at_most(kind, left, right, step, seed):
    rng = np.random.default_rng(seed)
    values = drawn(kind, (left, right), rng)
    values[rng.random(values.shape) < 0.5] = 0  # no candidates
    rows, columns = np.nonzero(values > 0)
    close = values[rows, columns].astype(np.float64)
    none = Candidates.none(values.shape)
    held = hold_auction(none.with_more(rows, columns, close), step)
    found = Partners(held.partner, held.closeness.astype(np.float32))
    has = np.flatnonzero(held.partner >= 0)
    assert is_one_to_one(found)
    assert np.allclose(held.closeness[has], values[has, held.partner[has]])
    assert best_total(values) - step * len(has) - 1e-6 <= found.total <= best_total(values) + 1e-5
    free = np.setdiff1d(np.arange(right), held.partner[has])
    assert (held.prices[free] == 0).all()
    assert (held.gains >= (values - held.prices).max(1) - 1e-9).all()


def test_an_auction_of_equals_comes_to_an_end():
    """Where bids rise by next to nothing, they become coarser."""
    rows, columns = (each.ravel() for each in np.indices((40, 30)))
    held = hold_auction(
        Candidates.none((40, 30)).with_more(rows, columns, np.full(1200, 0.5)), 1e-12
    )
    assert (held.partner >= 0).sum() == 30


def test_nobody_has_a_partner_where_there_is_none():
    for shape in ((3, 0), (0, 3), (0, 0)):
        found = assign_among_nearest(pairs_of(np.zeros(shape, np.float32)), 0.0, 2)
        assert (found.of_left == -1).all()
        assert found.total == 0
