"""Activations of one site in shuffled batches, made as they are needed: what a dictionary is trained on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gloss.collect.forward import Forward
from gloss.errors import BadSettings
from gloss.models.massive import ANY, Lengths
from gloss.models.sites import Site
from gloss.models.subject import Subject
from gloss.store.corpus import Corpus


@dataclass(frozen=True, slots=True)
class Shuffle:
    """How activations are mixed: neighbours in a text resemble each other, and training wants them apart."""

    batch_size: int = 2**12  # tokens in each batch that is given out
    buffer_tokens: int = 2**17  # among which tokens are mixed; half of them leave before others come in
    epochs: int = 1
    batch_tokens: int = 2**13  # positions in one forward pass

    def __post_init__(self) -> None:
        for name in ("batch_size", "buffer_tokens", "epochs", "batch_tokens"):
            if (given := getattr(self, name)) < 1:
                raise BadSettings(f"{name} is {given}; give 1 or more")


def activation_batches(
    subject: Subject,
    site: Site,
    corpus: Corpus,
    rng: np.random.Generator,
    shuffle: Shuffle | None = None,
    *,
    left_out: frozenset[int] = frozenset(),
    lengths: Lengths = ANY,
) -> Iterator[Float[Tensor, "token d"]]:
    """Yield the site's vectors at every token of the corpus, once an epoch, in mixed order; start tokens are left out.

    So are the tokens in `left_out` and those that are massive by `lengths`. Batches have `batch_size` tokens, the last one what
    is left. Sequences come in an order drawn anew for each epoch.
    """
    shuffle = shuffle or Shuffle()
    incoming = drawn_vectors(Forward(subject, site, shuffle.batch_tokens, left_out, lengths), corpus, rng, shuffle)
    buffer: list[Tensor] = []
    for vectors in incoming:
        buffer.append(vectors)
        if sum(map(len, buffer)) >= shuffle.buffer_tokens:
            mixed = mix(buffer, rng)
            leaving = max(1, len(mixed) // 2 // shuffle.batch_size) * shuffle.batch_size
            yield from mixed[:leaving].split(shuffle.batch_size)
            buffer = [mixed[leaving:].clone()]
    if buffer:
        yield from (batch for batch in mix(buffer, rng).split(shuffle.batch_size) if len(batch))


def drawn_vectors(
    forward: Forward, corpus: Corpus, rng: np.random.Generator, shuffle: Shuffle
) -> Iterator[Float[Tensor, "token d"]]:
    """The vectors of all sequences in random order, some sequences at a time so that those of like length share a batch."""
    lengths = np.diff(corpus.offsets)
    for _ in range(shuffle.epochs):
        order = rng.permutation(len(lengths))
        groups = np.cumsum(lengths[order]) // max(1, shuffle.buffer_tokens // 2)
        for rows in np.split(order, np.flatnonzero(np.diff(groups)) + 1):
            tokens = np.concatenate([corpus.tokens[corpus.offsets[row] : corpus.offsets[row + 1]] for row in rows])
            for batch in forward.over(tokens, lengths[rows]):
                yield batch.vectors


def mix(buffer: list[Tensor], rng: np.random.Generator) -> Float[Tensor, "token d"]:
    """All vectors of the buffer, in random order."""
    whole = torch.cat(buffer)
    return whole[torch.from_numpy(rng.permutation(len(whole))).to(whole.device)]
