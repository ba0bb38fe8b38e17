"""What a dictionary's directions say by themselves: the tokens whose logits they move, and which of
them lie close together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Lens = Callable[[Tensor], Tensor]
"""Gives the logits that directions alone make.

These are `[direction, vocabulary]`, of directions `[direction, d_model]`.
"""

CHUNK = 1024  # features at a time: never width x width, nor width x vocabulary, in memory


@dataclass(frozen=True, slots=True)
class DirectionDescription:
    """One feature's decoder row, read against the unembedding and against the other rows."""

    feature: int
    promoted_tokens: tuple[tuple[int, float], ...]  # token and logit, highest first
    suppressed_tokens: tuple[tuple[int, float], ...]  # lowest first
    neighbours: tuple[tuple[int, float], ...]  # feature and cosine, nearest first


def describe_directions(
    decoder_directions: Float[Tensor, "feature d_model"], lens: Lens | None, number: int = 10
) -> Iterator[DirectionDescription]:
    """Describe every feature.

    Without a lens, where nothing reads the directions as tokens, there are none to name.
    """
    unit = torch.nn.functional.normalize(decoder_directions.float(), dim=1)
    for begin in range(0, len(decoder_directions), CHUNK):
        chunk = range(begin, min(begin + CHUNK, len(decoder_directions)))
        logits = lens(decoder_directions[begin : begin + CHUNK]) if lens is not None else None
        for row, near in enumerate(nearest_directions(unit, chunk, number)):
            yield DirectionDescription(
                begin + row,
                extreme_tokens(logits[row], number, largest=True) if logits is not None else (),
                extreme_tokens(logits[row], number, largest=False) if logits is not None else (),
                near,
            )


def nearest_directions(
    unit: Float[Tensor, "feature d"], chosen: Sequence[int], number: int = 10
) -> Iterator[tuple[tuple[int, float], ...]]:
    """For each of these features, those whose directions have the largest cosines with its own.

    Wants rows of length 1.
    """
    cosines = unit[list(chosen)] @ unit.T
    # below any cosine: not its own neighbour
    cosines[torch.arange(len(chosen)), list(chosen)] = -2.0
    found = cosines.topk(min(number, len(unit) - 1))
    for features, values in zip(found.indices.tolist(), found.values.tolist(), strict=True):
        yield tuple(zip(features, values, strict=True))


def extreme_tokens(
    logits: Float[Tensor, " vocabulary"], number: int, *, largest: bool
) -> tuple[tuple[int, float], ...]:
    found = logits.topk(min(number, len(logits)), largest=largest)
    return tuple(zip(found.indices.tolist(), found.values.tolist(), strict=True))
