"""The random dictionary: other directions, the same norms, the same rates of firing."""

import numpy as np
import pytest
import torch

from gloss.decompose.random_dictionary import RandomDirections, random_dictionary_like
from gloss.decompose.topk import TopK
from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.sites import Site
from gloss.models.sparse_codes import LargestK

SITE = Site("resid_post", 0)
WIDTH, LENGTH, TOKENS = 64, 16, 20_000


@pytest.fixture
def trained(rng) -> SparseCoder:
    encoder, decoder_directions = (
        torch.from_numpy(rng.standard_normal((WIDTH, LENGTH), dtype=np.float32)) for _ in range(2)
    )
    return SparseCoder(
        SITE,
        SITE,
        Weights(encoder, torch.zeros(WIDTH), decoder_directions, torch.ones(LENGTH)),
        LargestK(4),
    )


@pytest.fixture
def sample(rng) -> torch.Tensor:
    """Vectors that spread unevenly, far from 0."""
    spread = torch.from_numpy(rng.standard_normal((TOKENS, LENGTH), dtype=np.float32))
    return spread * torch.linspace(0.2, 3.0, LENGTH) + 5.0


def test_each_feature_fires_at_its_own_rate(trained, sample, rng):
    rates = np.geomspace(1e-3, 0.3, WIDTH)
    random = random_dictionary_like(trained, sample[: TOKENS // 2], rates, rng)
    codes = random.encode(sample[TOKENS // 2 :])
    found = np.bincount(codes.indices[codes.used].numpy(), minlength=WIDTH) / (TOKENS // 2)
    error = np.sqrt(2 * rates / (TOKENS // 2))
    assert (np.abs(found - rates) < 4.5 * error).all()
    assert found.sum() == pytest.approx(rates.sum(), rel=0.05)


def test_a_feature_that_never_fires_stands_at_the_strongest_of_the_sample(trained, sample, rng):
    random = random_dictionary_like(trained, sample, np.zeros(WIDTH), rng)
    # rounding may put the strongest above itself
    assert int(random.encode(sample).used.sum()) <= WIDTH


def test_norms_are_kept_and_directions_are_not(trained, sample, rng):
    random = random_dictionary_like(trained, sample, np.full(WIDTH, 0.01), rng)
    for mine, theirs in (
        (random.weights.encoder, trained.weights.encoder),
        (random.decoder_directions, trained.decoder_directions),
    ):
        assert torch.allclose(mine.norm(dim=1), theirs.norm(dim=1), rtol=1e-5)
        cosines = torch.nn.functional.cosine_similarity(mine, theirs)
        assert abs(float(cosines.mean())) < 4 / (LENGTH * WIDTH) ** 0.5


def test_it_is_kept_in_a_file_like_any_other(trained, sample, rng, tmp_path):
    random = random_dictionary_like(trained, sample, np.full(WIDTH, 0.05), rng)
    save_dictionary(random, tmp_path / "dictionary")
    again = load_dictionary(tmp_path / "dictionary")
    assert torch.equal(again.encode(sample[:100]).indices, random.encode(sample[:100]).indices)


def planted_batches(rng, number):
    """Vectors that three of 24 directions add up to, far from 0."""
    directions = rng.standard_normal((24, LENGTH)).astype(np.float32)
    for _ in range(number):
        codes = np.zeros((512, 24), np.float32)
        rows = np.arange(512)[:, None]
        codes[rows, rng.integers(0, 24, (512, 3))] = rng.uniform(1, 2, (512, 3))
        yield torch.from_numpy(codes @ directions + 5)


def test_as_many_random_directions_fire_as_are_wanted_and_explain_less_than_learned_ones(rng):
    seeds = rng.spawn(3)
    drawn = RandomDirections(width=32, k=3, tokens=2048).fit(
        planted_batches(np.random.default_rng(5), 8), SITE, seeds[0]
    )
    learned = TopK(width=32, k=3, tokens=40_960, batch=512, auxiliary_k=8).fit(
        planted_batches(np.random.default_rng(5), 80), SITE, seeds[1]
    )
    fresh = planted_batches(np.random.default_rng(5), 100)
    *_, x = fresh
    unexplained = []
    for one in (drawn, learned):
        assert one.encode(x).used.sum(1).float().mean() == pytest.approx(3, abs=0.1)
        error = (one.reconstruct(x) - x).square().sum()
        unexplained.append(float(error / (x - x.mean(0)).square().sum()))
    assert unexplained[1] < unexplained[0] - 0.2
    assert unexplained[0] < 1


def test_random_directions_follow_the_generator_and_not_the_data(rng):
    def fit(seed, batches):
        return RandomDirections(width=8, k=2).fit(iter(batches), SITE, np.random.default_rng(seed))

    x, other = torch.randn(64, 4) + 3, torch.randn(64, 4)
    one, same, moved, another = fit(0, [x]), fit(0, [x]), fit(0, [other]), fit(1, [x])
    assert torch.equal(one.weights.encoder, same.weights.encoder)
    assert torch.equal(one.weights.encoder, moved.weights.encoder)
    assert not torch.equal(one.weights.encoder, another.weights.encoder)
    assert torch.allclose(one.weights.bias, x.mean(0))
    with pytest.raises(BadInput, match="no activations"):
        fit(0, [])
    with pytest.raises(BadSettings, match="k=9 features of width=8"):
        RandomDirections(width=8, k=9)
