import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from gloss.decompose.fit import TrainingProgress, learning_rate_share
from gloss.decompose.shared_rows import EvenRows, SharedRows
from gloss.decompose.topk import TopK
from gloss.decompose.training import Training, geometric_median
from gloss.errors import BadInput, BadSettings
from gloss.models.sites import Site

SITE = Site("resid_post", 0)
D_MODEL, PLANTED, ACTIVE = 64, 256, 8
SMALL = TopK(width=32, k=4, tokens=2048, batch=256, learning_rate=3e-3)


def planted(rng: np.random.Generator) -> tuple[Tensor, Iterator[Tensor]]:
    """256 random directions in 64 dimensions, and tokens that are sums of about 8 of them, with a
    little noise.
    """
    directions = torch.from_numpy(rng.standard_normal((PLANTED, D_MODEL), dtype=np.float32))
    directions /= directions.norm(dim=1, keepdim=True)

    def tokens() -> Iterator[Tensor]:
        while True:
            on = rng.random((2048, PLANTED), dtype=np.float32) < ACTIVE / PLANTED
            strengths = torch.from_numpy(on * (0.5 + rng.random((2048, PLANTED), dtype=np.float32)))
            yield strengths @ directions + 0.01 * torch.from_numpy(
                rng.standard_normal((2048, D_MODEL), dtype=np.float32)
            )

    return directions, tokens()


def recovered(directions: Tensor, decoder_directions: Tensor) -> float:
    """The share of directions with a decoder direction at a cosine above 0.9."""
    return float(((directions @ decoder_directions.T).amax(1) > 0.9).float().mean())


def gaussian(rng: np.random.Generator, d_model: int = D_MODEL) -> Iterator[Tensor]:
    while True:
        yield torch.from_numpy(rng.standard_normal((512, d_model), dtype=np.float32))


@pytest.mark.parametrize("width,dtype", [(256, "float32"), (512, "bfloat16")])
def test_planted_directions_are_recovered_from_superposition(
    width: int, dtype: str, rng: np.random.Generator
) -> None:
    directions, tokens = planted(rng)
    method = TopK(
        width,
        ACTIVE,
        480_000,
        batch=1024,
        learning_rate=1e-2,
        dead_after_tokens=20_000,
        selection_dtype=dtype,
    )
    dictionary = method.fit(tokens, SITE, rng)
    assert recovered(directions, dictionary.decoder_directions) >= 0.85


def test_nothing_is_recovered_from_vectors_without_structure(rng: np.random.Generator) -> None:
    directions, _ = planted(rng)
    told: list[TrainingProgress] = []
    method = TopK(256, ACTIVE, 100_000, batch=1024, learning_rate=1e-2, dead_after_tokens=20_000)
    dictionary = method.fit(gaussian(rng), SITE, rng, told.append)
    assert recovered(directions, dictionary.decoder_directions) <= 0.05
    assert told[-1].fvu >= 0.5


def test_gradients_equal_those_of_automatic_differentiation(rng: np.random.Generator) -> None:
    x = next(gaussian(rng, 16)) + 1
    method = TopK(40, 4, learning_rate=1e-3, auxiliary_k=8, dead_after_tokens=10**9)
    training = Training.begin(method, x, rng)
    ours = list(training.parameters.values())
    training.encoder_bias.add_(0.1 * torch.from_numpy(rng.standard_normal(40, dtype=np.float32)))
    encoder, encoder_bias, decoder_directions, bias = theirs = [
        p.clone().requires_grad_() for p in ours
    ]
    scaled = x * training.scale
    values, indices = ((scaled - bias) @ encoder.T + encoder_bias).topk(4, dim=1)
    output = torch.einsum("nk,nkd->nd", values.relu(), decoder_directions[indices]) + bias
    loss = (output - scaled).square().sum() / (scaled - scaled.mean(0)).square().sum()
    of_encoder, of_encoder_bias, of_decoder_directions, of_bias = torch.autograd.grad(loss, theirs)
    found = training.step(x, rate_share=0.0)
    assert found is not None
    assert found.fvu == pytest.approx(loss.item())
    kept = (
        of_decoder_directions
        - (of_decoder_directions * decoder_directions).sum(1, keepdim=True) * decoder_directions
    )
    for parameter, wanted in zip(ours, (of_encoder, of_encoder_bias, kept, of_bias), strict=True):
        torch.testing.assert_close(parameter.grad, wanted.detach(), rtol=1e-4, atol=1e-7)


def test_decoder_directions_have_norm_1(rng: np.random.Generator) -> None:
    torch.testing.assert_close(
        SMALL.fit(gaussian(rng, 8), SITE, rng).decoder_directions.norm(dim=1), torch.ones(32)
    )


def test_scale_and_offset_of_the_input_change_nothing_but_the_units() -> None:
    x = next(gaussian(np.random.default_rng(5), 8))
    plain, moved = (
        SMALL.fit(
            (by * part + offset for part in gaussian(np.random.default_rng(4), 8)),
            SITE,
            np.random.default_rng(1),
        )
        for by, offset in ((1, 0), (1024, 4096))
    )
    torch.testing.assert_close(
        moved.reconstruct(1024 * x + 4096), 1024 * plain.reconstruct(x) + 4096, rtol=0.01, atol=10
    )


def test_the_same_rng_gives_the_same_dictionary_and_another_gives_another() -> None:
    first, second, third = (
        SMALL.fit(gaussian(np.random.default_rng(9), 8), SITE, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first.decoder_directions, second.decoder_directions)
    assert torch.equal(first.weights.encoder, second.weights.encoder)
    assert not torch.equal(first.decoder_directions, third.decoder_directions)


def test_dead_features_come_back_to_life_by_the_auxiliary_loss_alone() -> None:
    def alive(auxiliary_k: int) -> int:
        rng = np.random.default_rng(3)
        _, tokens = planted(rng)
        method = TopK(PLANTED, ACTIVE, auxiliary_k=auxiliary_k, dead_after_tokens=5000)
        training = Training.begin(method, next(tokens), rng)
        training.encoder_bias[:128] = -4
        for x in itertools.islice(evenly(tokens, 512), 150):
            training.step(x, rate_share=1.0)
        return int((training.inactive_tokens[:128] < 5000).sum())

    assert alive(auxiliary_k=0) <= 10
    assert alive(auxiliary_k=32) >= 50


def test_the_card_states_the_tokens_that_were_seen(rng: np.random.Generator) -> None:
    assert SMALL.fit(gaussian(rng, 8), SITE, rng).card.tokens == 2048


def test_progress_ends_with_the_last_token(rng: np.random.Generator) -> None:
    told: list[TrainingProgress] = []
    SMALL.fit(gaussian(rng, 8), SITE, rng, told.append)
    assert (told[-1].tokens, told[-1].of_tokens) == (2048, 2048)


def test_activations_that_end_early_are_said(rng: np.random.Generator) -> None:
    batches = [next(gaussian(rng, 8)) for _ in range(2)]
    with pytest.raises(
        BadInput, match=r"resid_post\.0 end after 1,024 tokens, and the training wants 2,048"
    ):
        SMALL.fit(iter(batches), SITE, rng)
    with pytest.raises(BadInput, match="end before one batch of 256 tokens is full"):
        SMALL.fit(iter([]), SITE, rng)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_activations_that_teach_nothing_are_refused(value: float, rng: np.random.Generator) -> None:
    with pytest.raises(BadInput, match="teach nothing"):
        SMALL.fit(iter([torch.full((4096, 8), value)]), SITE, rng)


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"k": 0}, "k=0 features of width=2048"),
        ({"width": 16}, "k=32 features of width=16"),
        ({"tokens": 100}, "tokens=100 do not fill one batch of 2048"),
        ({"selection_dtype": "int8"}, '"float32" or "bfloat16"'),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(BadSettings, match=message):
        TopK(**settings)


def evenly(batches: Iterator[torch.Tensor], size: int) -> EvenRows:
    return EvenRows(SharedRows(batches, [SITE], 1), 0, [SITE], size)


def test_rows_are_cut_evenly_in_order() -> None:
    rows = torch.arange(10.0)[:, None]
    cut = list(evenly(iter([rows[:3], rows[3:3], rows[3:9], rows[9:]]), 4))
    assert [part.flatten().tolist() for part in cut] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_the_learning_rate_rises_and_falls() -> None:
    shares = [learning_rate_share(step, 1000) for step in range(1000)]
    assert shares[0] < 0.1
    assert max(shares) == shares[500] == 1
    assert shares[-1] < 0.01


def test_the_geometric_median_ignores_one_far_point() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1000.0, 1000.0]])
    assert (geometric_median(points) < 2).all()
