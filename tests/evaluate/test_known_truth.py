"""What is planted is as it is said, and a dictionary that has it is told from chance."""

import numpy as np
import pytest
import torch

from gloss.decompose.random_dictionary import RandomDirections
from gloss.errors import BadSettings, Mismatch
from gloss.evaluate.known_truth import KnownTruth, firing_rows, found_features
from gloss.evaluate.planted_superposition import AT_ONCE, PlantedSuperposition
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.sites import Site
from gloss.models.sparse_codes import AboveThreshold
from gloss.records import Evaluation

SITE = Site("resid_post", 0)
PLANTED = PlantedSuperposition(features=96, dimensions=64, roots=4, branching=3, depth=2)


def found_in(dictionary: SparseCoder, rng: np.random.Generator) -> Evaluation:
    return found_features(dictionary, PLANTED, 4096, rng)


def truth(planted: PlantedSuperposition, threshold: float = 0.4) -> SparseCoder:
    """Reads and writes along the planted directions."""
    width, d = planted.directions.shape
    weights = Weights(planted.directions, torch.zeros(width), planted.directions, torch.zeros(d))
    return SparseCoder(SITE, SITE, weights, AboveThreshold(torch.full((width,), threshold)))


def test_the_planted_directions_are_found_and_random_ones_are_not(rng) -> None:
    own = found_in(truth(PLANTED), rng)
    assert own.value("mcc") == pytest.approx(1, abs=1e-5)
    assert own.value("share_found") == 1
    assert own.value("firing_recall") > 0.8
    x, _ = PLANTED.draw(1024, rng)
    random = found_in(RandomDirections(96, 8).fit(iter([x]), SITE, rng), rng)
    assert random.value("share_found") == 0
    assert random.value("mcc") < 0.5
    assert random.value("firing_f1") < own.value("firing_f1") - 0.3
    assert own.value("l0_of_truth") == pytest.approx(PLANTED.rates.sum(), rel=0.1)


def test_who_draws_directions_by_the_same_seed_does_not_find_them() -> None:
    """As the random dictionary of `gloss evaluate`, and a trainer's beginning, do."""
    for entropy in (0, [0, 0], [0, 1]):
        drawn = np.random.default_rng(entropy).standard_normal((96, 64), dtype=np.float32)
        cosines = torch.nn.functional.normalize(torch.from_numpy(drawn)) @ PLANTED.directions.T
        assert cosines.abs().max() < 0.9
    x, _ = PLANTED.draw(1024, np.random.default_rng(7))
    random = RandomDirections(96, 4).fit(iter([x]), SITE, np.random.default_rng(0))
    assert found_in(random, np.random.default_rng(1)).value("share_found") == 0


def test_a_permuted_half_is_half_found(rng) -> None:
    half = PLANTED.directions[torch.from_numpy(rng.permutation(96)[:48])]
    weights = Weights(half, torch.zeros(48), half, torch.zeros(64))
    found = found_in(SparseCoder(SITE, SITE, weights, AboveThreshold(torch.full((48,), 0.4))), rng)
    assert found.value("share_found") == 0.5
    assert found.value("mcc") == pytest.approx(1, abs=1e-5)  # of those that have a partner


def test_what_is_planted_fires_as_often_as_is_said_and_children_with_their_parent_alone(
    rng,
) -> None:
    planted = PlantedSuperposition(features=64, dimensions=16, roots=4, branching=3, depth=2)
    _, fires = planted.draw(40_000, rng)
    away = (fires.mean(0) - planted.rates) / (planted.rates * (1 - planted.rates) / 40_000) ** 0.5
    assert np.abs(away).max() < 4.5
    assert planted.in_trees == 4 * (1 + 3 + 9)
    children = np.flatnonzero(planted.parents >= 0)
    assert len(children) == 4 * (3 + 9)
    assert not (fires[:, children] & ~fires[:, planted.parents[children]]).any()
    for parent in range(16):
        siblings = np.flatnonzero(planted.parents == parent)
        assert len(siblings) == 3
        assert fires[:, siblings].sum(1).max() == 1
    assert planted.rates.max() == pytest.approx(0.4)


def test_features_fire_together_as_much_as_is_asked_for(rng) -> None:
    def spread(correlated: float) -> float:
        planted = PlantedSuperposition(
            features=32, dimensions=8, roots=0, depth=0, rank=2, correlated=correlated, lowest=0.1
        )
        return float(np.corrcoef(planted.draw_firing(20_000, rng).T)[np.triu_indices(32, 1)].std())

    assert spread(0.0) < 0.01
    assert spread(0.5) > 0.1


def test_the_same_settings_are_the_same_world_and_another_seed_is_another() -> None:
    one, same, other = (PlantedSuperposition(seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.directions, same.directions)
    assert not torch.equal(one.directions, other.directions)


def test_a_large_world_is_drawn_in_parts_from_what_fires_alone(rng) -> None:
    large = PlantedSuperposition(
        features=5000, dimensions=8, highest=0.002, lowest=1e-4, roots=0, noise=0.0, rank=2
    )
    number = AT_ONCE // 5000 + 500
    x, fires = large.draw(number, rng)
    assert (x.shape, fires.shape) == ((number, 8), (number, 5000))
    active = fires.sum(1)
    assert active.mean() == pytest.approx(large.rates.sum(), rel=0.1)
    assert not x[active == 0].any()
    [alone] = np.nonzero(active == 1)
    written = large.directions[fires[alone].argmax(1)]
    assert torch.allclose(torch.nn.functional.normalize(x[alone], dim=1), written, atol=1e-5)
    lengths = x[alone].norm(dim=1)
    assert 0.5 <= lengths.min() < 0.6
    assert 1.4 < lengths.max() <= 1.5


def test_what_cannot_be_is_refused(rng) -> None:
    with pytest.raises(BadSettings, match="fewer roots"):
        PlantedSuperposition(features=16, roots=8)
    with pytest.raises(BadSettings, match="must fall"):
        PlantedSuperposition(lowest=0.5)
    with pytest.raises(BadSettings, match="fewer roots"):
        KnownTruth(features=16)
    with pytest.raises(BadSettings, match="rates is"):
        KnownTruth(rates=(0.4, 0.1))
    assert KnownTruth().planted == PlantedSuperposition()
    with pytest.raises(Mismatch, match=r"known_truth\.dimensions"):
        found_features(truth(PLANTED), KnownTruth(dimensions=32).planted, 64, rng)


def test_firing_is_compared_pair_by_pair() -> None:
    fires = np.array([[True, True]] * 10 + [[False, True]] * 10)
    said = np.array([[True, False]] * 10 + [[True, True]] * 10)
    told = {row.name: row.estimate.value for row in firing_rows(fires, said)}
    assert told["firing_precision"] == pytest.approx((0.5 + 1) / 2)
    assert told["firing_recall"] == pytest.approx((1 + 0.5) / 2)
