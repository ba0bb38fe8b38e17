"""Reads the vectors at one site: sequences in batches of like length, the start token in front, its
vectors and some others left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64
from numpy import ndarray
from torch import Tensor

from gloss.models.massive_tokens import NONE_MASSIVE, VectorLengths
from gloss.models.sites import Site
from gloss.models.subject import Subject
from gloss.records import PADDING


@dataclass(frozen=True, slots=True)
class SiteVectors:
    """What was at a site, and the index of each vector's token among the tokens that were given."""

    positions: Int64[ndarray, " token"]
    vectors: Float[Tensor, "token d"]
    # the tokens whose vectors are not here because they are massive
    massive: Int64[ndarray, " massive"]


@dataclass(frozen=True, slots=True)
class SiteReader:
    """Reads one site. What is in a batch depends on the sequences alone, so that a run gives the
    same bits again.
    """

    subject: Subject
    site: Site
    # positions in a batch, start tokens and padding included, as far as one sequence allows
    batch_tokens: int
    left_out: frozenset[int] = frozenset()  # tokens that are read, and whose vectors are not given
    # which vectors are massive, and therefore not given either
    lengths: VectorLengths = NONE_MASSIVE
    # other sites, whose vectors come behind the site's own in each row
    beside: tuple[Site, ...] = ()

    def read_batches(
        self, tokens: Int32[ndarray, " token"], lengths: Int64[ndarray, " sequence"]
    ) -> Iterator[SiteVectors]:
        """The site's vectors at every token that is not left out, longest sequences first.

        The start tokens' are not given.
        """
        starts = np.cumsum(lengths) - lengths
        for rows in self.batches(lengths):
            yield self.batch(tokens, starts[rows], lengths[rows])

    def batches(self, lengths: Int64[ndarray, " sequence"]) -> Iterator[Int64[ndarray, " row"]]:
        """Numbers of sequences, longest first, as many as fit when padded to the longest."""
        order = np.argsort(-lengths, kind="stable")
        first = 0
        while first < len(order):
            number = max(1, self.batch_tokens // (int(lengths[order[first]]) + len(self.front)))
            yield order[first : first + number]
            first += number

    @property
    def front(self) -> Sequence[int]:
        """What stands before each sequence."""
        return [] if self.subject.start_token is None else [self.subject.start_token]

    def padded(
        self,
        tokens: Int32[ndarray, " token"],
        starts: Int64[ndarray, " row"],
        lengths: Int64[ndarray, " row"],
    ) -> tuple[
        Int64[Tensor, "row position"],
        Bool[ndarray, "row real_position"],
        Int64[ndarray, "row real_position"],
    ]:
        """What the subject is given, which of its positions behind the start token are read, and
        where these stand among the tokens.
        """
        position = np.arange(lengths.max())
        real = position < lengths[:, None]
        where = np.where(real, starts[:, None] + position, 0)
        padded = np.where(real, tokens[where], PADDING).astype(np.int64)
        front = np.tile(np.array(self.front, dtype=np.int64), (len(starts), 1))
        given = torch.from_numpy(np.concatenate([front, padded], axis=1))
        return given, real & ~np.isin(padded, list(self.left_out)), where

    def batch(
        self,
        tokens: Int32[ndarray, " token"],
        starts: Int64[ndarray, " row"],
        lengths: Int64[ndarray, " row"],
    ) -> SiteVectors:
        given, kept, where = self.padded(tokens, starts, lengths)
        found = self.subject.run(given, read=[self.site, *self.beside]).activations

        def vectors_at(site: Site) -> Float[Tensor, "token d"]:
            activation = found[site]
            return activation[:, len(self.front) :][torch.from_numpy(kept).to(activation.device)]

        vectors = vectors_at(self.site)
        positions, massive = where[kept], self.lengths.are_massive(vectors)
        is_massive = massive.cpu().numpy()
        if self.beside:
            others = [vectors_at(site).to(vectors) for site in self.beside]
            vectors = torch.cat([vectors, *others], dim=1)
        return SiteVectors(positions[~is_massive], vectors[~massive], positions[is_massive])

    def with_median_length(
        self, tokens: Int32[ndarray, " token"], lengths: Int64[ndarray, " sequence"], massive: float
    ) -> "SiteReader":
        """The same, leaving out vectors longer than this multiple of the median length that these
        sequences have.
        """
        if massive == 0:
            return replace(self, lengths=NONE_MASSIVE)
        every = replace(self, lengths=NONE_MASSIVE)
        return replace(
            self,
            lengths=VectorLengths.of(
                torch.cat([batch.vectors for batch in every.read_batches(tokens, lengths)]), massive
            ),
        )
