"""Neighbours by clusters: found where features come in families; how many are missed is told."""

import numpy as np
import pytest
import torch

from gloss.decompose.approximate_neighbours import ApproximateSearch
from gloss.decompose.direction_description import describe_directions, nearest_directions

pytest.importorskip("faiss", reason="faiss is not installed; pip install 'gloss-lm[wide]'")


def families(number: int, spread: float, size: int = 11, d: int = 32) -> torch.Tensor:
    """Directions in families of so many, which point nearly the same way."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(number, d, generator=generator).repeat_interleave(size, dim=0)
    return centres + spread * torch.randn(centres.shape, generator=generator)


def search(directions: torch.Tensor, wanted: float = 0.95) -> ApproximateSearch:
    return ApproximateSearch(directions, wanted, np.random.default_rng(0))


def test_a_features_family_is_found_with_its_cosines_by_looking_through_few_clusters():
    directions = families(800, 0.1)
    approximate = search(directions)
    looked, clusters = approximate.clusters
    assert looked < clusters / 8
    assert approximate.recall.value >= 0.95
    chosen = [5, 4000, 8799]
    exact = list(nearest_directions(directions, chosen))
    for feature, found, wanted in zip(chosen, approximate(chosen), exact, strict=True):
        family = feature // 11
        assert {other // 11 for other, _ in found} == {family}
        assert feature not in {other for other, _ in found}
        assert dict(found) == pytest.approx(dict(wanted), abs=1e-5)


def test_directions_at_random_are_hard_and_more_clusters_are_looked_through():
    directions = torch.randn(8000, 64, generator=torch.Generator().manual_seed(1))
    easy, hard = search(directions, 0.1), search(directions, 0.9)
    assert easy.clusters[0] < hard.clusters[0]
    assert easy.recall.high < hard.recall.low
    assert hard.recall.high >= 0.9
    chosen = list(range(0, 8000, 40))
    truth = nearest_directions(directions, chosen)
    shares = [
        len({other for other, _ in found} & {other for other, _ in near}) / 10
        for found, near in zip(easy(chosen), truth, strict=True)
    ]
    assert easy.recall.low - 0.1 < np.mean(shares) < easy.recall.high + 0.1


def test_of_equal_directions_none_is_its_own_neighbour():
    directions = families(20, 0.0)
    approximate = search(directions, 1.0)
    for found in describe_directions(directions, None, search=approximate):
        near = [other for other, _ in found.neighbours]
        assert len(near) == 10
        assert found.feature not in near
        assert {other // 11 for other in near} == {found.feature // 11}
