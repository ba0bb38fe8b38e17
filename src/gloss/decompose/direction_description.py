"""What a dictionary's directions say by themselves: the tokens whose logits they move, and which of
them lie close together.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from gloss.models.sparse_codes import largest_in_rows

Lens = Callable[[Tensor], Tensor]
"""Gives the logits that directions alone make.

These are `[direction, vocabulary]`, of directions `[direction, d_model]`.
"""

NeighbourSearch = Callable[[Sequence[int], int], Iterable[tuple[tuple[int, float], ...]]]
"""Gives for each of some features its so many neighbours and their cosines, nearest first."""

CHUNK = 1024  # features that are described at a time
READ_AT_ONCE = 128  # of these, so that directions x vocabulary stays small
HELD = 2**24  # cosines in memory at a time: never width x width


@dataclass(frozen=True, slots=True)
class DirectionDescription:
    """One feature's decoder row, read against the unembedding and against the other rows."""

    feature: int
    promoted_tokens: tuple[tuple[int, float], ...]  # token and logit, highest first
    suppressed_tokens: tuple[tuple[int, float], ...]  # lowest first
    neighbours: tuple[tuple[int, float], ...]  # feature and cosine, nearest first


def describe_directions(
    decoder_directions: Float[Tensor, "feature d_model"],
    lens: Lens | None,
    number: int = 10,
    chosen: Sequence[int] | None = None,
    search: NeighbourSearch | None = None,
) -> Iterator[DirectionDescription]:
    """Describe every feature, or those that are chosen; neighbours are looked for among all,
    exactly or by another search.

    Without a lens, where nothing reads the directions as tokens, there are none to name.
    """
    features = range(len(decoder_directions)) if chosen is None else chosen
    search = search or partial(nearest_directions, decoder_directions)
    for begin in range(0, len(features), CHUNK):
        chunk = features[begin : begin + CHUNK]
        tokens = extreme_tokens(decoder_directions, chunk, lens, number)
        near = search(chunk, number)
        for feature, (promoted, suppressed), its in zip(chunk, tokens, near, strict=True):
            yield DirectionDescription(feature, promoted, suppressed, its)


def nearest_directions(
    directions: Float[Tensor, "feature d"], chosen: Sequence[int], number: int = 10
) -> Iterator[tuple[tuple[int, float], ...]]:
    """For each of these features, those whose directions have the largest cosines with its own.

    All features are compared, a block of them at a time, so that memory grows neither with their
    number nor with that of the chosen.
    """
    number = min(number, len(directions) - 1)
    for begin in range(0, len(chosen), CHUNK):
        own = torch.tensor(chosen[begin : begin + CHUNK], device=directions.device)
        unit = normalize(directions[own].float(), dim=1)
        block = HELD // len(own)
        values, features = unit.new_empty(len(own), 0), own.new_empty(len(own), 0)
        for first in range(0, len(directions), block):
            others = normalize(directions[first : first + block].float(), dim=1)
            cosines = unit @ others.T
            here = ((own >= first) & (own < first + len(others))).nonzero()[:, 0]
            # below any cosine: not its own neighbour
            cosines[here, own[here] - first] = -2.0
            found, columns = largest_in_rows(cosines, number)
            best = torch.cat([values, found], dim=1).topk(
                min(number, values.shape[1] + found.shape[1]), dim=1
            )
            features = torch.cat([features, columns + first], dim=1).gather(1, best.indices)
            values = best.values
        for its, cosine in zip(features.tolist(), values.tolist(), strict=True):
            yield tuple(zip(its, cosine, strict=True))


def extreme_tokens(
    directions: Float[Tensor, "feature d_model"],
    chosen: Sequence[int],
    lens: Lens | None,
    number: int,
) -> Iterator[tuple[tuple[tuple[int, float], ...], tuple[tuple[int, float], ...]]]:
    """The tokens whose logits each of these features raises most, and lowers most."""
    if lens is None:
        yield from (((), ()) for _ in chosen)
        return
    for part in torch.tensor(chosen, device=directions.device).split(READ_AT_ONCE):
        logits = lens(directions[part])
        ends = (
            logits.topk(min(number, logits.shape[1]), largest=largest) for largest in (True, False)
        )
        both = [
            [
                tuple(zip(*each, strict=True))
                for each in zip(end.indices.tolist(), end.values.tolist(), strict=True)
            ]
            for end in ends
        ]
        yield from zip(*both, strict=True)
