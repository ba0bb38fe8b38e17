"""The measure `core`: what a perfect, a shrunken and an inactive dictionary must show."""

from pathlib import Path

import numpy as np
import pytest
import torch

from collect.tiny import SITE, START, tiny_dictionary, tiny_subject
from gloss.evaluate.core import Core, mean_nearest_cosine, rate_histogram
from gloss.evaluate.measure import Material
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.sparse_codes import AboveThreshold, LargestK
from gloss.records import Evaluation

D = 16


@pytest.fixture(scope="module")
def material() -> Material:
    """Two batches of drawn tokens, one sequence cut short by padding."""
    drawn = torch.from_numpy(np.random.default_rng(3).integers(1, 320, (8, 20)))
    drawn[:, 0] = START
    drawn[2, 15:] = -1
    return Material(tiny_subject(), list(drawn.split(4)))


def signs(length: float = 1.0) -> SparseCoder:
    """Each number's two signs as two features, which write this share of what they read."""
    both = torch.cat([torch.eye(D), -torch.eye(D)])
    weights = Weights(both, torch.zeros(2 * D), both * length, torch.zeros(D))
    return SparseCoder(SITE, SITE, weights, LargestK(D))


def measured(dictionary: SparseCoder, material: Material) -> Evaluation:
    return Core().measure(dictionary, material, np.random.default_rng(0))


def test_what_reconstructs_everything_loses_nothing(material: Material) -> None:
    found = measured(signs(), material)
    for name in ("kl_recovered", "cross_entropy_recovered", "length_ratio", "cosine"):
        assert found.value(name) == pytest.approx(1, abs=1e-4), name
    assert found.value("fvu") == pytest.approx(0, abs=1e-6)
    assert (found.value("l0"), found.value("dead_share")) == (D, 0)
    assert found.rows[0].n == 8 * 19 - 5


def test_what_writes_half_of_it_shrinks_and_points_the_same_way(material: Material) -> None:
    found = measured(signs(0.5), material)
    assert found.value("length_ratio") == pytest.approx(0.5, abs=1e-5)
    assert found.value("cosine") == pytest.approx(1, abs=1e-5)
    assert found.details["relative_reconstruction_bias"] == pytest.approx(0.5, abs=1e-5)
    assert 0.2 < found.value("fvu") < 0.3  # (1 - 1/2)^2, and the mean


def test_what_never_fires_recovers_nothing(material: Material) -> None:
    nothing = Weights(torch.zeros(4, D), torch.zeros(4), torch.ones(4, D), torch.zeros(D))
    found = measured(SparseCoder(SITE, SITE, nothing, AboveThreshold(torch.ones(4))), material)
    assert found.value("kl_recovered") == pytest.approx(0, abs=1e-5)
    assert (found.value("length_ratio"), found.value("cosine")) == (0, 0)
    assert found.value("dead_share") == 1


def test_the_divergence_is_that_of_the_next_tokens_distribution(material: Material) -> None:
    """Computed by hand, a position at a time."""
    subject, shrunken = material.subject, signs(0.3)
    total, predicted = 0.0, 0
    for tokens in material.batches:

        def replaced(x: torch.Tensor) -> torch.Tensor:
            edited = x * 0.3
            edited[:, 0] = x[:, 0]
            return edited

        clean, edited = (
            subject.run(tokens, edits=edits, logits=True).logits.log_softmax(-1)
            for edits in ({}, {SITE: replaced})
        )
        for row, ids in enumerate(tokens):
            for position in range(1, len(ids) - 1):
                if ids[position + 1] >= 0:
                    p, q = clean[row, position], edited[row, position]
                    total += float((p.exp() * (p - q)).sum())
                    predicted += 1
    found = measured(shrunken, material)
    assert found.details["kl_div_with_sae"] == pytest.approx(total / predicted, rel=1e-4)


def test_firing_rates_are_counted_by_decades() -> None:
    counts = np.array([0, 0, 1, 9, 10, 99, 100, 1000])
    found = rate_histogram(counts, 1000)
    assert found == {"rate_from_1e-3": 0.25, "rate_from_1e-2": 0.25, "rate_from_1e-1": 0.25}


def test_the_nearest_feature_is_another_one() -> None:
    directions = torch.tensor([[1.0, 0], [0, 2.0], [3.0, 0]])
    assert mean_nearest_cosine(directions, torch.arange(3)) == pytest.approx(2 / 3)


def test_what_is_kept_is_read_as_it_was(material: Material, tmp_path: Path) -> None:
    found = measured(tiny_dictionary(), material)
    again = Evaluation.from_plain(found.plain())
    assert again.rows[0] == found.rows[0]
    assert again.details == found.details
