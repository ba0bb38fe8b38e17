"""Tokens a processor second in training a TopK sparse autoencoder: gloss beside sparsify and
SAELens, where they are installed, and dense PyTorch.

    python -m benchmarks.speed.topk_train [--threads 1] [--steps 4] [--rounds 5] [--largest]

Every library gets the same random vectors, width, k and batch, and does forward, backward and Adam,
in turns in one process. gloss also leaves massive tokens out, counts dead features and keeps its
decoder directions at norm 1, as sparsify does; SAELens' steps are those of its own trainer. Loading
text and running a model are no part of it. Wanted of the largest shape: 1.2 times the tokens of
sparsify, and 1.5 times those of SAELens.
"""

import argparse
import statistics
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.speed.rows import Row, add_json, report, take_turns
from gloss.decompose.topk import TopK
from gloss.decompose.training import Training
from gloss.models.massive_tokens import VectorLengths

# d_model, width, k, batch
SHAPES = ((64, 1024, 16, 2048), (256, 2048, 32, 2048), (512, 16_384, 32, 512))
Step = Callable[[], object]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--steps", type=int, default=4, help="of each library in a round")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--largest", action="store_true", help="the largest shape alone")
    add_json(arguments)
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    rows: list[Row] = []
    for d_model, width, k, batch in SHAPES[-1:] if chosen.largest else SHAPES:
        x = torch.randn(batch, d_model, generator=torch.Generator().manual_seed(0))
        ways = {name: repeated(step, chosen.steps) for name, step in steps_of(x, width, k).items()}
        taken = take_turns(ways, chosen.rounds)
        rows += compared_rates(f"d={d_model} f={width} k={k}", taken, batch * chosen.steps)
    report(rows, chosen.json)


def compared_rates(shape: str, taken: dict[str, list[float]], tokens: int) -> list[Row]:
    """Each library's median rate; gloss' with how many times another's it is, round by round."""
    unit, rows = "tokens a CPU second", list[Row]()
    for name, seconds in taken.items():
        rate, title = tokens / statistics.median(seconds), f"training {shape}, {name}"
        others = [of for of in taken if not of.startswith("gloss") and name.startswith("gloss")]
        rows += [] if others else [Row(title, rate, unit)]
        for of in others:
            times = [other / own for own, other in zip(seconds, taken[of], strict=True)]
            middle = statistics.median(times)
            rows.append(Row(title, rate, unit, middle, of, min(times), max(times), len(times)))
    return rows


def steps_of(x: torch.Tensor, width: int, k: int) -> dict[str, Step]:
    """A step of each library that is installed, after what happens once."""
    libraries = {
        "gloss": gloss,
        "gloss, picked in bfloat16": gloss_bfloat16,
        "sparsify": sparsify,
        "SAELens": sae_lens,
        "SAELens, sparse codes": sae_lens_sparse,
        "dense autograd": dense,
    }
    found: dict[str, Step] = {}
    for name, library in libraries.items():
        try:
            found[name] = library(x, width, k)
        except ModuleNotFoundError as missing:
            print(f"{name} is not installed: {missing.name}")
    return found


def repeated(step: Step, times: int) -> Step:
    return lambda: [step() for _ in range(times)]


def gloss(x: torch.Tensor, width: int, k: int, dtype: str = "float32") -> Step:
    method = TopK(width, k, 10**9, batch=len(x), selection_dtype=dtype)
    training = Training.begin(method, x, np.random.default_rng(0))
    lengths = VectorLengths.of(x, 10.0)
    return lambda: training.step(x[~lengths.are_massive(x)], 1.0)


def gloss_bfloat16(x: torch.Tensor, width: int, k: int) -> Step:
    return gloss(x, width, k, "bfloat16")


def sparsify(x: torch.Tensor, width: int, k: int) -> Step:
    from sparsify import SparseCoder, SparseCoderConfig

    coder = SparseCoder(x.shape[1], SparseCoderConfig(num_latents=width, k=k))
    optimizer = torch.optim.Adam(coder.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        coder(x).fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        coder.set_decoder_norm_to_unit_norm()

    return step


def sae_lens(x: torch.Tensor, width: int, k: int, sparse: bool = False) -> Step:
    """Its own trainer, with its defaults but for width and k."""
    from sae_lens import SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig

    coder = TopKTrainingSAE(
        TopKTrainingSAEConfig(
            d_in=x.shape[1],
            d_sae=width,
            k=k,
            use_sparse_activations=sparse,
            rescale_acts_by_decoder_norm=not sparse,
        )
    )
    asked = SAETrainerConfig(
        total_training_samples=10**9, train_batch_size_samples=len(x), lr_end=3e-4
    )
    trainer = SAETrainer(asked, coder, iter(()))
    return lambda: trainer.step(x)


def sae_lens_sparse(x: torch.Tensor, width: int, k: int) -> Step:
    """With codes that are sparse tensors."""
    return sae_lens(x, width, k, sparse=True)


def dense(x: torch.Tensor, width: int, k: int) -> Step:
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

    return step


if __name__ == "__main__":
    main()
