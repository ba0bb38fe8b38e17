"""A few massive tokens hide all others from a trainer, unless they are masked.

Where none is massive, none is masked.
"""

import numpy as np
import pytest
import torch

from gloss.decompose.topk import TopK
from gloss.models.dictionary import SparseCoder
from gloss.models.massive_tokens import VectorLengths
from gloss.models.sites import Site

SITE, D, FEATURES, ACTIVE, TOKENS = Site("resid_post", 1), 32, 64, 3, 130_000


def planted(
    tokens: int, seed: int, share: float = 0.0, length: float = 100.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sparse sums of decoder directions, of which a share also has one direction at so many times
    the median length; which; the decoder directions.
    """
    fixed, rng = np.random.default_rng(7), np.random.default_rng(seed)
    decoder_directions = fixed.standard_normal((FEATURES, D)).astype(np.float32)
    decoder_directions /= np.linalg.norm(decoder_directions, axis=1, keepdims=True)
    direction = fixed.standard_normal(D).astype(np.float32)
    direction /= np.linalg.norm(direction)
    strengths = (1 + rng.random((tokens, ACTIVE))).astype(np.float32)
    x = (
        decoder_directions[rng.integers(0, FEATURES, (tokens, ACTIVE))] * strengths[..., None]
    ).sum(1)
    massive = rng.random(tokens) < share
    x[massive] += direction * np.float32(length * np.median(np.linalg.norm(x, axis=1)))
    return torch.from_numpy(x), torch.from_numpy(massive), torch.from_numpy(decoder_directions)


def trained(x: torch.Tensor, massive: float = 10.0) -> SparseCoder:
    method = TopK(FEATURES, ACTIVE, TOKENS, batch=1024, dead_after_tokens=20_000)
    return method.fit(iter(x.split(1024)), SITE, np.random.default_rng(0), massive=massive)


def fvu(dictionary: SparseCoder, x: torch.Tensor) -> float:
    return float((dictionary.reconstruct(x) - x).square().sum() / (x - x.mean(0)).square().sum())


def found(dictionary: SparseCoder, decoder_directions: torch.Tensor) -> float:
    """The share of planted decoder directions that an own one equals to a cosine of .9."""
    own = torch.nn.functional.normalize(dictionary.decoder_directions, dim=1)
    return float(((own @ decoder_directions.T).max(0).values > 0.9).float().mean())


@pytest.fixture(scope="module")
def undisturbed() -> tuple[float, float]:
    """FVU and planted decoder directions found where no token is massive."""
    x, _, decoder_directions = planted(TOKENS, 10)
    dictionary = trained(x)
    return fvu(dictionary, planted(10_000, 99)[0]), found(dictionary, decoder_directions)


@pytest.mark.parametrize(
    "share, length", [(0.003, 100.0), (0.05, 100.0), (0.003, 12.0), (0.003, -100.0)]
)
def test_masked_massive_tokens_leave_the_others_as_well_explained(
    undisturbed: tuple[float, float], share: float, length: float
) -> None:
    x, _, decoder_directions = planted(TOKENS, 10, share, length)
    seen, massive, _ = planted(10_000, 99, share, length)
    dictionary = trained(x)
    assert fvu(dictionary, seen[~massive]) < undisturbed[0] + 0.015
    assert found(dictionary, decoder_directions) > undisturbed[1] - 0.08


def test_without_a_mask_massive_tokens_spoil_the_others(undisturbed: tuple[float, float]) -> None:
    x = planted(TOKENS, 10, 0.003)[0]
    seen, massive, _ = planted(10_000, 99, 0.003)
    dictionary = trained(x, massive=0.0)
    assert fvu(dictionary, seen[~massive]) > undisturbed[0] + 0.05
    # which is why the figure of all tokens tells nothing
    assert fvu(dictionary, seen) < undisturbed[0]


def test_where_no_token_is_massive_the_mask_changes_no_bit() -> None:
    x = planted(TOKENS, 10)[0][:20_000]
    first, second = (
        TopK(FEATURES, ACTIVE, 20_000, batch=1024).fit(
            iter(x.split(1024)), SITE, np.random.default_rng(0), massive=massive
        )
        for massive in (10.0, 0.0)
    )
    assert torch.equal(first.weights.encoder, second.weights.encoder)
    assert torch.equal(first.decoder_directions, second.decoder_directions)


def test_lengths_that_vary_widely_are_not_massive() -> None:
    x = planted(50_000, 3)[0] * torch.from_numpy(
        np.random.default_rng(1).lognormal(0, 0.5, (50_000, 1)).astype(np.float32)
    )
    assert int(VectorLengths.of(x, 10.0).are_massive(x).sum()) <= 5


def test_zeros_and_values_that_are_not_finite_are_not_massive() -> None:
    x = torch.zeros(9, D)
    x[:2] = torch.tensor([[5.0], [float("inf")]])
    assert (
        not VectorLengths.of(x, 10.0).are_massive(x).any()
    )  # most are 0: nothing says what is usual
    assert not VectorLengths.of(x[:0], 10.0).are_massive(x).any()
    x[2:] = 1.0
    # an infinite one is an error, and no massive token
    assert VectorLengths.of(x, 10.0).are_massive(x).tolist() == [False] * 9
    assert VectorLengths.of(x, 4.0).are_massive(x).tolist() == [True] + [False] * 8


def test_batches_of_massive_tokens_alone_teach_nothing_and_break_nothing() -> None:
    x = planted(8 * 1024, 5)[0]
    x[5 * 1024 : 6 * 1024] *= 1000
    dictionary = TopK(FEATURES, ACTIVE, 8 * 1024, batch=1024).fit(
        iter(x.split(1024)), SITE, np.random.default_rng(0)
    )
    assert bool(dictionary.decoder_directions.isfinite().all())
    assert bool(dictionary.weights.encoder.isfinite().all())
