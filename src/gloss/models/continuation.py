"""What comes after growing sequences, with the keys and values kept of what was read before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gloss.models.sites import Site
from gloss.models.structure.forward_pass import compute_logits
from gloss.models.structure.hooks import Edit, tap_sites
from gloss.models.structure.transformers_types import Cache

if TYPE_CHECKING:
    from gloss.models.subject import Subject

# the edits of some rows of a batch, whose tensors begin at this position of the sequence: for edits
# that act on each position by itself
PositionEdits = Callable[[Int64[Tensor, " row"], int], Mapping[Site, Edit]]


@dataclass
class RowsOfOneLength:
    """Rows that are read together, and what is kept of them."""

    rows: Int64[Tensor, " row"]
    length: int  # of what is to be read by now
    cache: Cache
    read: int = 0  # positions of it that the cache holds


class CachedContinuation:
    """Reads only what is new of each row; rows of one length are one batch, so that no padding
    stands between what is kept.
    """

    def __init__(
        self, subject: "Subject", lengths: Int64[Tensor, " sequence"], edits: PositionEdits
    ) -> None:
        from transformers import DynamicCache

        self.subject, self.edits = subject, edits
        self.groups = [
            RowsOfOneLength((lengths == length).nonzero()[:, 0], length, DynamicCache())
            for length in lengths.unique().tolist()
        ]

    def next_logits(
        self, tokens: Int64[Tensor, "sequence position"]
    ) -> Float[Tensor, "sequence vocabulary"]:
        """The logits of what comes next, in 32 bits on the CPU; every row is one token longer than
        it was at the call before, or has ended in padding.
        """
        found = torch.zeros(len(tokens), len(self.subject.unembedding))
        for group in self.groups:
            found[group.rows] = self.read_on(group, tokens[group.rows])
        return found

    def read_on(
        self, group: RowsOfOneLength, tokens: Int64[Tensor, "row position"]
    ) -> Float[Tensor, "row vocabulary"]:
        """Read what is new of a group's rows, with its edits."""
        new = tokens[:, group.read : group.length]
        filled = torch.where(new >= 0, new, tokens[:, :1]).to(self.subject.device)
        edits = self.edits(group.rows, group.read)
        last = torch.tensor([filled.shape[1] - 1], device=filled.device)
        with tap_sites(self.subject.anatomy, len(filled), (), edits, to_the_end=True):
            logits = compute_logits(self.subject.model, filled, last, group.cache)
        group.read, group.length = group.length, group.length + 1
        return logits[:, 0].float().cpu()
