"""Gradients that are written by hand equal those of automatic differentiation, of each loss as its
page states it.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from gloss.decompose.batch_topk import BatchTopK
from gloss.decompose.fit import SparseTrainer
from gloss.decompose.gated import GatedAutoencoder
from gloss.decompose.jump_relu import JumpReLU
from gloss.decompose.matching_pursuit import PursuitTrainer
from gloss.decompose.matryoshka import Matryoshka
from gloss.decompose.training import Training
from gloss.decompose.variational import Variational

WIDTH, K, LENGTH = 40, 4, 16
NEVER = {"learning_rate": 1e-3, "auxiliary_k": 8, "dead_after_tokens": 10**9}
Parameters = dict[str, Tensor]


def variance(x: Tensor) -> Tensor:
    return (x - x.mean(0)).square().sum()


def pre_activations(p: Parameters, x: Tensor) -> Tensor:
    return (x - p["bias"]) @ p["encoder"].T + p["encoder_bias"]


def fvu(p: Parameters, codes: Tensor, x: Tensor, first: int = WIDTH) -> Tensor:
    output = codes[:, :first] @ p["decoder_directions"][:first] + p["bias"]
    return (output - x).square().sum() / variance(x)


def largest_of_all(pre: Tensor) -> Tensor:
    least = pre.flatten().topk(K * len(pre)).values[-1]
    return pre * (pre >= least) * (pre > 0)


def batch_topk(p: Parameters, x: Tensor) -> Tensor:
    return fvu(p, largest_of_all(pre_activations(p, x)), x)


def matryoshka(p: Parameters, x: Tensor) -> Tensor:
    codes = largest_of_all(pre_activations(p, x))
    return torch.stack([fvu(p, codes, x, first) for first in (5, 10, 20, 40)]).mean()


def matryoshka_by_token(p: Parameters, x: Tensor) -> Tensor:
    pre = pre_activations(p, x)
    codes = torch.zeros_like(pre).scatter(1, pre.topk(K).indices, pre.topk(K).values.relu())
    return torch.stack([fvu(p, codes, x, first) for first in (5, 10, 20, 40)]).mean()


class Step(torch.autograd.Function):
    """1 where the first is above the second; a pulse of this width in place of its derivative by
    the second, and none by the first.
    """

    @staticmethod
    def forward(ctx, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return (pre > threshold).float()

    @staticmethod
    def backward(ctx, of_step: Tensor):
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < ctx.bandwidth / 2).float() / ctx.bandwidth
        return None, -(of_step * near).sum(0), None


def jump_relu(p: Parameters, x: Tensor) -> Tensor:
    pre, threshold = pre_activations(p, x), p["log_threshold"].exp()
    active = Step.apply(pre, threshold, 0.5)
    # by the threshold, as if the value there were the threshold itself
    at_step = Step.apply(pre.detach(), threshold, 0.5) * threshold.detach()
    codes = pre * (pre > threshold) + at_step - at_step.detach()
    return fvu(p, codes, x) + 0.7 * (active.sum(1).mean() / K - 1).square()


def gated(p: Parameters, x: Tensor) -> Tensor:
    gate = pre_activations(p, x)
    read = (x - p["bias"]) @ p["encoder"].T * p["gain"].exp()
    codes = (read + p["magnitude_bias"]).relu() * (gate > 0)
    held = {name: p[name].detach() for name in ("decoder_directions", "bias")}
    price = 0.2 * (LENGTH / K) ** 0.5 * gate.relu().sum() / variance(x)
    return fvu(p, codes, x) + fvu(held, gate.relu(), x) + price


def matching_pursuit(p: Parameters, x: Tensor) -> Tensor:
    left = x - p["bias"]
    for _ in range(K):
        values, chosen = (left @ p["decoder_directions"].T).max(1)
        left = left - values.relu()[:, None] * p["decoder_directions"][chosen]
    unread = 0 * (p["encoder"].sum() + p["encoder_bias"].sum())
    return left.square().sum() / variance(x) + unread


LOSSES: dict[str, tuple[SparseTrainer, Callable[[Parameters, Tensor], Tensor]]] = {
    "batch_topk": (BatchTopK(WIDTH, K, **NEVER), batch_topk),
    "matryoshka": (
        Matryoshka(WIDTH, K, **NEVER, nested=(0.125, 0.25, 0.5, 1.0)),
        matryoshka,
    ),
    "matryoshka by token": (
        Matryoshka(WIDTH, K, **NEVER, nested=(0.125, 0.25, 0.5, 1.0), selection_of="topk"),
        matryoshka_by_token,
    ),
    "jump_relu": (JumpReLU(WIDTH, K, **NEVER, bandwidth=0.5, penalty=0.7), jump_relu),
    "matching_pursuit": (PursuitTrainer(WIDTH, K, **NEVER), matching_pursuit),
    "gated": (GatedAutoencoder(WIDTH, K, **NEVER), gated),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_loss(name: str, rng: np.random.Generator) -> None:
    method, loss = LOSSES[name]
    x = torch.from_numpy(rng.standard_normal((256, LENGTH), dtype=np.float32)) + 1
    training = Training.begin(method, x, rng)
    for parameter in training.parameters.values():
        noise = rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
        parameter += 0.05 * torch.from_numpy(noise)
    training.parameters["decoder_directions"] /= training.decoder_directions.norm(
        dim=1, keepdim=True
    )
    theirs = {name: p.clone().requires_grad_() for name, p in training.parameters.items()}
    stated = loss(theirs, x * training.scale)
    wanted = torch.autograd.grad(stated, list(theirs.values()))
    found = training.step(x, rate_share=0.0)
    assert found is not None
    assert 0 < found.codes.l0 < 4 * WIDTH / 5
    told = found.fvu + found.penalty  # by progress
    assert told == pytest.approx(float(stated.detach()), rel=1e-4)
    for (name, parameter), gradient in zip(theirs.items(), wanted, strict=True):
        if name == "decoder_directions":  # what would change its norm is taken out
            gradient = gradient - (gradient * parameter).sum(1, keepdim=True) * parameter
        torch.testing.assert_close(training.gradient(name), gradient.detach(), rtol=1e-3, atol=1e-6)


def test_the_dead_of_matching_pursuit_learn_as_what_reads_and_as_what_writes(
    rng: np.random.Generator,
) -> None:
    """Their loss is 1/32 of what they leave of the residual, of every fourth token, four times."""
    dead, x = torch.arange(8), torch.from_numpy(rng.standard_normal((256, LENGTH), np.float32))
    training = Training.begin(PursuitTrainer(WIDTH, K, **NEVER | {"auxiliary_k": 3}), x, rng)
    training.inactive_tokens[dead] = 2 * 10**9
    p = {name: each.clone().requires_grad_() for name, each in training.parameters.items()}
    scaled, directions = x * training.scale, p["decoder_directions"]
    left = scaled - p["bias"]
    for _ in range(K):
        values, chosen = (left @ directions.detach().T).max(1)
        left = left - values.relu()[:, None] * directions.detach()[chosen]
    strongest = (left[::4].detach() @ directions[dead].T).topk(3)
    of_dead = strongest.values.relu()[:, :, None] * directions[dead][strongest.indices]
    revived = 4 / 32 * (left[::4].detach() - of_dead.sum(1)).square().sum() / variance(scaled)
    stated = matching_pursuit(p, scaled) + revived
    wanted = torch.autograd.grad(stated, directions)[0]
    wanted = wanted - (wanted * directions).sum(1, keepdim=True) * directions
    training.step(x, rate_share=0.0)
    found = training.gradient("decoder_directions")
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-3, atol=1e-6)


def test_gradients_of_variational_are_those_of_one_draw_and_of_the_price_of_all_means(
    rng: np.random.Generator,
) -> None:
    x = torch.from_numpy(rng.standard_normal((256, LENGTH), np.float32))
    training = Training.begin(Variational(WIDTH, K, **NEVER, noise=0.5, divergence=0.3), x, rng)
    training.steps = 10**6  # behind the rise of the price
    drawn_by = torch.Generator().manual_seed(int(training.measured["seed"]) + training.steps)
    noise = 0.5 * torch.randn(256, WIDTH, generator=drawn_by)
    p = {name: each.clone().requires_grad_() for name, each in training.parameters.items()}
    scaled = x * training.scale
    means = pre_activations(p, scaled).relu()
    largest = (means + noise).topk(K)
    codes = torch.zeros_like(means).scatter(1, largest.indices, largest.values.relu())
    stated = fvu(p, codes, scaled) + 0.3 / 2 * means.square().sum() / variance(scaled)
    wanted = dict(zip(p, torch.autograd.grad(stated, list(p.values())), strict=True))
    found = training.step(x, rate_share=0.0)
    assert found is not None
    assert found.fvu + found.penalty == pytest.approx(float(stated.detach()), rel=1e-4)
    write = wanted["decoder_directions"]
    along = (write * p["decoder_directions"]).sum(1, keepdim=True) * p["decoder_directions"]
    wanted["decoder_directions"] = write - along
    for name, gradient in wanted.items():
        torch.testing.assert_close(training.gradient(name), gradient.detach(), rtol=1e-3, atol=1e-6)
