"""What the type of number costs on this CPU: a real checkpoint in 16 bits read as stored, and as `dtype = "auto"` reads it.

    python -m benchmarks.speed.dtype MODEL TEXTS [SITE]

MODEL is a folder or a GGUF file, TEXTS a text file. Both models are in one process and read the same rows in turns, so that a
busy machine slows both alike; CPU seconds are compared. Then the features of a dictionary of random directions are compared:
which share of the strongest 16 of each token are the same, and how far apart the activations are.
"""

import sys
import time
from pathlib import Path
from statistics import median

import torch

from gloss.models.sites import parse_site
from gloss.models.subject import Subject

ROWS, POSITIONS, ROUNDS, FEATURES, KEPT = 2, 128, 3, 1024, 16


def seconds(subject: Subject, rows: torch.Tensor, site: str) -> tuple[float, torch.Tensor]:
    """CPU seconds of one pass up to a site, and what is there."""
    begun = time.process_time()
    read = subject.run(rows, [parse_site(site)]).activations[parse_site(site)]
    return time.process_time() - begun, read.float()


def strongest(activations: torch.Tensor, atoms: torch.Tensor) -> torch.Tensor:
    """Whether each feature is among the strongest of each token."""
    values = activations.flatten(0, 1) @ atoms
    return torch.zeros_like(values, dtype=torch.bool).scatter(1, values.topk(KEPT, dim=1).indices, True)


def main(model: str, texts: str, site: str = "") -> None:
    auto = Subject.load(model, device="cpu", measure=True)
    half = Subject.load(model, device="cpu", dtype=torch.bfloat16)
    chosen = f"measured {auto.speed.ratio:.2f} times as long in {auto.speed.dtype}" if auto.speed else "nothing to measure"
    print(f"auto takes {auto.model.dtype}: {chosen}")
    ids = auto.encode(Path(texts).read_text("utf-8")[:40_000])[: ROWS * POSITIONS]
    rows = torch.tensor(ids).reshape(ROWS, POSITIONS)
    site = site or f"resid_post.{auto.layers - 1}"
    seconds(half, rows, site), seconds(auto, rows, site)
    pairs = [(seconds(half, rows, site)[0], seconds(auto, rows, site)[0]) for _ in range(ROUNDS)]
    ratios = [stored / taken for stored, taken in pairs]
    print(f"{ROWS} x {POSITIONS} tokens to {site}, {torch.get_num_threads()} thread(s), CPU seconds:", end=" ")
    print(f"bfloat16 {median(a for a, _ in pairs):.2f}, auto {median(b for _, b in pairs):.2f}; ", end="")
    print(f"bfloat16 / auto = {median(ratios):.2f} (pairs {min(ratios):.2f} to {max(ratios):.2f})")
    stored, taken = seconds(half, rows, site)[1], seconds(auto, rows, site)[1]
    atoms = torch.nn.functional.normalize(
        torch.randn(stored.shape[-1], FEATURES, generator=torch.Generator().manual_seed(0)), dim=0
    )
    same = (strongest(stored, atoms) & strongest(taken, atoms)).sum() / strongest(taken, atoms).sum()
    apart = (stored - taken).norm(dim=-1) / taken.norm(dim=-1)
    print(f"strongest {KEPT} of {FEATURES} features alike: {same:.1%}; activations apart by {apart.median():.2%} in the median")


if __name__ == "__main__":
    main(*sys.argv[1:])
