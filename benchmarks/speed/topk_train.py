"""Tokens a second in training a TopK sparse autoencoder: gloss beside sparsify, where it is
installed, and dense PyTorch.

    python -m benchmarks.speed.topk_train [--threads 1] [--steps 20]

Every library gets the same random vectors, width, k and batch, and does forward, backward and Adam;
gloss also counts dead features and keeps its decoder directions at norm 1. Loading text and running
a model are no part of it.
"""

import argparse
import itertools
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.speed.rows import Row, add_json, report
from gloss.decompose.topk import TopK
from gloss.models.sites import Site

# d_model, width, k, batch
SHAPES = ((64, 1024, 16, 2048), (256, 2048, 32, 2048), (512, 16_384, 32, 512))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--steps", type=int, default=20)
    add_json(arguments)
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    libraries = {
        "gloss": gloss,
        "gloss, picked in bfloat16": gloss_bfloat16,
        "sparsify": sparsify,
        "dense autograd": dense,
    }
    rows: list[Row] = []
    for d_model, width, k, batch in SHAPES:
        x = torch.randn(batch, d_model, generator=torch.Generator().manual_seed(0))
        rates: dict[str, float] = {}
        for name, library in libraries.items():
            try:
                rates[name] = batch * chosen.steps / library(x, width, k, chosen.steps)
            except ModuleNotFoundError as missing:
                print(f"{name} is not installed: {missing.name}")
        of = next(name for name in ("sparsify", "dense autograd") if name in rates)
        shape = f"d={d_model} f={width} k={k}"
        rows += [
            Row(f"training {shape}, {name}", rate, "tokens a CPU second", rate / rates[of], of)
            for name, rate in rates.items()
        ]
    report(rows, chosen.json)


def gloss(x: torch.Tensor, width: int, k: int, steps: int, dtype: str = "float32") -> float:
    """CPU seconds of the steps, without the first, which measures the scale."""

    def fit(tokens: int) -> Callable[[], object]:
        method = TopK(width, k, tokens, batch=len(x), selection_dtype=dtype)
        return lambda: method.fit(
            itertools.repeat(x), Site("resid_post", 0), np.random.default_rng(0)
        )

    fit(len(x))()  # what happens once in a process
    beginning = seconds_of(fit(len(x)))
    return seconds_of(fit(len(x) * (steps + 1))) - beginning


def gloss_bfloat16(x: torch.Tensor, width: int, k: int, steps: int) -> float:
    return gloss(x, width, k, steps, "bfloat16")


def sparsify(x: torch.Tensor, width: int, k: int, steps: int) -> float:
    from sparsify import SparseCoder, SparseCoderConfig

    coder = SparseCoder(x.shape[1], SparseCoderConfig(num_latents=width, k=k))
    optimizer = torch.optim.Adam(coder.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        coder(x).fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        coder.set_decoder_norm_to_unit_norm()

    step()
    return seconds_of(lambda: [step() for _ in range(steps)])


def dense(x: torch.Tensor, width: int, k: int, steps: int) -> float:
    """What a few lines of PyTorch do: dense codes, dense decoding, automatic differentiation."""
    encoder = (torch.randn(width, x.shape[1]) / x.shape[1] ** 0.5).requires_grad_()
    decoder_directions, bias = (
        encoder.detach().clone().requires_grad_(),
        torch.zeros(x.shape[1], requires_grad=True),
    )
    optimizer = torch.optim.Adam([encoder, decoder_directions, bias], lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        largest = ((x - bias) @ encoder.T).topk(k, dim=1)
        codes = torch.zeros(len(x), width).scatter(1, largest.indices, largest.values.relu())
        (codes @ decoder_directions + bias - x).square().mean().backward()
        optimizer.step()

    step()
    return seconds_of(lambda: [step() for _ in range(steps)])


def seconds_of(work: Callable[[], object]) -> float:
    """Processor seconds, which other work on the machine disturbs least."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
