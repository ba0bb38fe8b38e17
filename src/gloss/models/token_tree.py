"""Sequences that begin alike as one tree, so that what they share is read once: each token sees its
ancestors alone, at the position that it has in its own sequences.

As in tree attention (Miao et al., 2023, "SpecInfer"), there for drafts of one text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from gloss.records import PADDING


@dataclass(frozen=True)
class TokenTree:
    """The distinct beginnings of some sequences, parents before children."""

    tokens: Int64[Tensor, " node"]  # the last of each beginning
    positions: Int64[Tensor, " node"]
    sees: Bool[Tensor, "node node"]  # itself and its ancestors
    places: Int64[Tensor, "sequence position"]  # the node of each; 0 behind a sequence's end

    @staticmethod
    def of(rows: Int64[Tensor, "sequence position"]) -> "TokenTree":
        """From sequences with PADDING behind."""
        known: dict[tuple[int, int], int] = {}
        positions, parents = list[int](), list[int]()
        places = torch.zeros_like(rows)
        for number, row in enumerate(rows.tolist()):
            parent = -1
            for position, token in enumerate(row):
                if token == PADDING:
                    break
                node = known.setdefault((parent, token), len(known))
                if node == len(parents):
                    parents.append(parent)
                    positions.append(position)
                places[number, position] = parent = node
        sees = torch.eye(len(parents), dtype=torch.bool)
        for node, parent in enumerate(parents):
            if parent >= 0:
                sees[node] |= sees[parent]
        tokens = torch.tensor([token for _, token in known])
        return TokenTree(tokens, torch.tensor(positions), sees, places)


def tree_batches(rows: Sequence[Sequence[int]], nodes: int) -> list[list[int]]:
    """The numbers of the rows, in batches whose trees have at most so many nodes, those that begin
    alike together; a longer row is alone.
    """
    order = sorted(range(len(rows)), key=lambda number: tuple(rows[number]))
    batches, used = list[list[int]](), 0
    last: Sequence[int] = ()
    for number in order:
        row = rows[number]
        pairs = zip(row, last, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if batches and used + len(row) - shared <= nodes:
            batches[-1].append(number)
            used += len(row) - shared
        else:
            batches.append([number])
            used = len(row)
        last = row
    return batches
