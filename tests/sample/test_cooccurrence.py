"""Jaccard indices against those of a dense count, and memory that does not grow with the square of
the width.
"""

import numpy as np
import pytest

from gloss.records import FeatureActivations
from gloss.sample import cooccurrence
from gloss.sample.cooccurrence import FeaturesByToken, span_indices


def sparse(rng: np.random.Generator, width: int, tokens: int) -> list[FeatureActivations]:
    """Features at rates from 1 in 5 to 1 in 500, of which each odd one fires mostly where the one
    before does.
    """
    found: list[FeatureActivations] = []
    for feature in range(width):
        places = np.flatnonzero(rng.random(tokens) < rng.uniform(0.002, 0.2))
        if feature % 2:
            places = np.union1d(places[: len(places) // 4], found[-1].positions)
        found.append(FeatureActivations(places, np.ones(len(places), np.float32)))
    return found


def dense(found: list[FeatureActivations], counted: np.ndarray) -> np.ndarray:
    fires = np.zeros((len(found), len(counted)))
    for row, each in zip(fires, found, strict=True):
        row[each.positions] = 1
    fires = fires[:, counted]
    both, each = fires @ fires.T, fires.sum(1)
    return both / (each[:, None] + each[None, :] - both)


@pytest.mark.parametrize("pairs", [2**20, 64])
def test_indices_are_those_of_a_dense_count_over_the_eligible_tokens(rng, monkeypatch, pairs):
    monkeypatch.setattr(cooccurrence, "PAIRS", pairs)
    found, eligible = sparse(rng, 40, 3000), rng.random(3000) < 0.6
    counted = FeaturesByToken.of(found.__getitem__, 40, eligible, 10**9, rng)
    truth = dense(found, eligible)
    np.fill_diagonal(truth, 0)
    for feature in range(40):
        near = counted.nearest(found[feature], feature, number=7)
        assert [value for _, value in near] == pytest.approx(np.sort(truth[feature])[::-1][:7])
        assert [value for _, value in near] == pytest.approx(
            [truth[feature, other] for other, _ in near]
        )


def test_features_that_fire_together_are_nearest(rng):
    found = sparse(rng, 40, 3000)
    counted = FeaturesByToken.of(found.__getitem__, 40, np.ones(3000, bool), 10**9, rng)
    assert [counted.nearest(found[feature], feature)[0][0] for feature in range(1, 40, 2)] == list(
        range(0, 40, 2)
    )


def test_of_more_activations_than_may_be_held_a_random_part_of_the_tokens_is_counted(rng):
    found, eligible = sparse(rng, 60, 20_000), rng.random(20_000) < 0.7
    whole = FeaturesByToken.of(found.__getitem__, 60, eligible, 10**9, rng)
    part = FeaturesByToken.of(found.__getitem__, 60, eligible, len(whole.features) // 4, rng)
    assert len(part.features) == pytest.approx(len(whole.features) / 4, rel=0.1)
    assert eligible[part.rows >= 0].all()
    exact = dict(whole.nearest(found[1], 1))
    assert part.nearest(found[1], 1)[0] == (0, pytest.approx(exact[0], abs=0.1))


def test_a_feature_that_fires_alone_or_never_has_no_neighbour(rng):
    places = ([1, 5], [2, 5], [7], [])
    found = [
        FeatureActivations(np.array(each, np.int64), np.ones(len(each), np.float32))
        for each in places
    ]
    counted = FeaturesByToken.of(found.__getitem__, 4, np.ones(8, bool), 100, rng)
    assert [counted.nearest(each, feature) for feature, each in enumerate(found)] == [
        [(1, 1 / 3)],
        [(0, 1 / 3)],
        [],
        [],
    ]


def test_spans_follow_each_other():
    assert span_indices(np.array([3, 10, 0]), np.array([2, 0, 3])).tolist() == [3, 4, 0, 1, 2]
    assert span_indices(np.empty(0, np.int64), np.empty(0, np.int64)).tolist() == []
