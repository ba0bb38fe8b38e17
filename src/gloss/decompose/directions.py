"""What a dictionary's directions say by themselves: the tokens whose logits they move, and which of them lie close together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Lens = Callable[[Tensor], Tensor]
"""Gives the logits that directions alone make, `[direction, vocabulary]`, of directions `[direction, d_model]`."""

CHUNK = 1024  # features at a time: never width x width, nor width x vocabulary, in memory


@dataclass(frozen=True, slots=True)
class Direction:
    """One feature's decoder row, read against the unembedding and against the other rows."""

    feature: int
    top_tokens: tuple[tuple[int, float], ...]  # token and logit, highest first
    bottom_tokens: tuple[tuple[int, float], ...]  # lowest first
    neighbours: tuple[tuple[int, float], ...]  # feature and cosine, nearest first


def directions(atoms: Float[Tensor, "feature d_model"], lens: Lens | None, number: int = 10) -> Iterator[Direction]:
    """Describe every feature. Without a lens, where nothing reads the directions as tokens, there are none to name."""
    unit = torch.nn.functional.normalize(atoms.float(), dim=1)
    for begin in range(0, len(atoms), CHUNK):
        chunk = range(begin, min(begin + CHUNK, len(atoms)))
        logits = lens(atoms[begin : begin + CHUNK]) if lens is not None else None
        for row, near in enumerate(nearest(unit, chunk, number)):
            yield Direction(
                begin + row,
                extreme(logits[row], number, largest=True) if logits is not None else (),
                extreme(logits[row], number, largest=False) if logits is not None else (),
                near,
            )


def nearest(unit: Float[Tensor, "feature d"], chosen: Sequence[int], number: int = 10) -> Iterator[tuple[tuple[int, float], ...]]:
    """For each of these features, those whose directions have the largest cosines with its own. Wants rows of length 1."""
    cosines = unit[list(chosen)] @ unit.T
    cosines[torch.arange(len(chosen)), list(chosen)] = -2.0  # below any cosine: not its own neighbour
    found = cosines.topk(min(number, len(unit) - 1))
    for features, values in zip(found.indices.tolist(), found.values.tolist(), strict=True):
        yield tuple(zip(features, values, strict=True))


def extreme(logits: Float[Tensor, " vocabulary"], number: int, *, largest: bool) -> tuple[tuple[int, float], ...]:
    found = logits.topk(min(number, len(logits)), largest=largest)
    return tuple(zip(found.indices.tolist(), found.values.tolist(), strict=True))
