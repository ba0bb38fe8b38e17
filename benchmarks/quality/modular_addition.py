"""Transformers that add modulo 113: the frequency of every neuron is known, and must be found again
from its activations.

(The models of Apollo Research's `rib`, in the manner of Nanda et al., 2023.) An explanation of a
neuron is a frequency: it predicts the activation at (a, b) as a sum of the Fourier terms of that
frequency, fitted on half of the inputs and scored on the other half.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray

from benchmarks.quality.data import found
from benchmarks.quality.rows import Row
from gloss.score.simulation_metrics import correlation_with_failures
from gloss.statistics.intervals import wilson_interval

EXPERIMENT = "10 modular addition"
MODULUS = 113
CLEAR = 0.85  # of a neuron's variance at one frequency, from which on there is one right answer


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """Of the neurons with a clear frequency the share that it is found for.

    Nothing where the models are not here.
    """
    folder = found("modular-addition", "rib")
    if folder is None:
        return []
    truth = json.loads((folder / "neuron_frequencies.json").read_text())
    return [
        row
        for seed in ([2] if small else range(5))
        for row in of_model(folder / f"seed{seed}", truth[f"seed{seed}"], rng)
    ]


def of_model(folder: Path, truth: list[dict], rng: np.random.Generator) -> Iterator[Row]:
    """One model: is the true frequency the one that scores highest, and is its score what the
    variance says?
    """
    [file] = folder.glob("*.pt")
    activations = neurons(torch.load(file, map_location="cpu", weights_only=True))
    shown = rng.random(MODULUS**2) < 0.5
    scores = np.stack(
        [predicted(frequency, activations, shown) for frequency in range(1, MODULUS // 2 + 1)]
    )
    stated, known = (
        np.array([one["share"] for one in truth]),
        np.array([one["freq"] for one in truth]),
    )
    clear, best = stated >= CLEAR, 1 + np.argmax(scores, axis=0)
    share = wilson_interval(int((best == known)[clear].sum()), int(clear.sum()))
    name = f"{EXPERIMENT}: {folder.name}"
    yield Row.of(
        name,
        f"the true frequency scores highest in ≥ 99 % of {clear.sum()} clear neurons",
        share,
        share.value >= 0.99,
    )
    away = float(np.median(np.abs(scores[known - 1, np.arange(len(known))] ** 2 - stated)[clear]))
    yield Row.exact(name, "r² is the share of variance: median distance ≤ .02", away, away <= 0.02)


def neurons(weights: dict[str, torch.Tensor]) -> ndarray:
    """The activation of every neuron at the last position, where the sum is read, for all pairs of
    numbers.
    """
    a, b = np.divmod(np.arange(MODULUS**2), MODULUS)
    tokens = torch.from_numpy(np.stack([a, b, np.full(len(a), MODULUS)], axis=1))
    resid = weights["embed.W_E"][tokens] + weights["pos_embed.W_pos"]
    part = {
        name: weights[f"blocks.0.attn.{name}"]
        for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")
    }
    query = torch.einsum("id,hde->ihe", resid[:, -1], part["W_Q"]) + part["b_Q"]
    key = torch.einsum("ipd,hde->ihpe", resid, part["W_K"]) + part["b_K"][:, None]
    value = torch.einsum("ipd,hde->ihpe", resid, part["W_V"]) + part["b_V"][:, None]
    attended = (torch.einsum("ihe,ihpe->ihp", query, key) / query.shape[-1] ** 0.5).softmax(-1)
    written = torch.einsum("ihp,ihpe,hed->id", attended, value, part["W_O"]) + part["b_O"]
    inner = (resid[:, -1] + written) @ weights["blocks.0.mlp.W_in"] + weights["blocks.0.mlp.b_in"]
    return inner.relu().double().numpy()


def predicted(frequency: int, activations: ndarray, shown: ndarray) -> ndarray:
    """The correlation of each neuron with what a frequency predicts of it, on inputs that were not
    fitted.
    """
    a, b = np.divmod(np.arange(MODULUS**2), MODULUS)
    waves = [np.ones(len(a))]
    for phase in (2 * np.pi * frequency * a / MODULUS, 2 * np.pi * frequency * b / MODULUS):
        waves += [np.cos(phase), np.sin(phase)]
    waves += [one * other for one in waves[1:3] for other in waves[3:5]]
    terms = np.stack(waves, axis=1)
    fitted, *_ = np.linalg.lstsq(terms[shown], activations[shown], rcond=None)
    guess, true = terms[~shown] @ fitted, activations[~shown]
    n = np.full(true.shape[1], float(len(true)))
    sums = [
        n,
        true.sum(0),
        (true**2).sum(0),
        n,
        guess.sum(0),
        (guess**2).sum(0),
        true.sum(0),
        (guess * true).sum(0),
    ]
    return correlation_with_failures(np.stack(sums, axis=1))
