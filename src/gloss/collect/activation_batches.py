"""Activations of one site in shuffled batches, made as they are needed: what a dictionary is
trained on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy import ndarray
from torch import Tensor

from gloss.collect.site_reader import SiteReader
from gloss.errors import BadSettings
from gloss.models.massive_tokens import NONE_MASSIVE, VectorLengths
from gloss.models.sites import Site
from gloss.models.subject import Subject
from gloss.store.corpus import Corpus
from gloss.store.progress import Progress, ignore_progress


@dataclass(frozen=True, slots=True)
class ShuffleSettings:
    """How activations are mixed: neighbours in a text resemble each other, and training wants them
    apart.
    """

    batch_size: int = 2**12  # tokens in each batch that is given out
    # among which tokens are mixed; half of them leave before others come in
    buffer_tokens: int = 2**17
    epochs: int = 1
    batch_tokens: int = 2**13  # positions in one forward pass

    def __post_init__(self) -> None:
        for name in ("batch_size", "buffer_tokens", "epochs", "batch_tokens"):
            if (given := getattr(self, name)) < 1:
                raise BadSettings(f"{name} is {given}; give 1 or more")


def activation_batches(
    subject: Subject,
    site: Site | Sequence[Site],
    corpus: Corpus,
    rng: np.random.Generator,
    shuffle: ShuffleSettings | None = None,
    *,
    left_out: frozenset[int] = frozenset(),
    lengths: VectorLengths = NONE_MASSIVE,
) -> "ActivationBatches":
    """Yield the site's vectors at every token of the corpus, once an epoch, in mixed order.

    Start tokens are left out, as are the tokens in `left_out` and those that are massive by
    `lengths`. Batches have `batch_size` tokens, the last one what is left. Sequences come in an
    order drawn anew for each epoch. Of several sites, read in one pass, a row has the vectors side
    by side, as long as `widths` says, and the first site says which are massive.
    """
    shuffle = shuffle or ShuffleSettings()
    first, *others = [site] if isinstance(site, Site) else site
    reader = SiteReader(subject, first, shuffle.batch_tokens, left_out, lengths, tuple(others))
    return ActivationBatches(reader, corpus, rng, shuffle)


class ActivationBatches:
    """Batches that can be gone on with: `state`, between two of them, is all that the next depend
    on besides the generator.
    """

    def __init__(
        self,
        forward: SiteReader,
        corpus: Corpus,
        rng: np.random.Generator,
        shuffle: ShuffleSettings,
    ) -> None:
        self.forward, self.corpus, self.rng, self.shuffle = forward, corpus, rng, shuffle
        # hears how many tokens have been read, of no known total, before the first batch
        self.filling: Progress = ignore_progress
        # what is read next: groups of sequences, each in several batches
        self.epoch = self.group = self.batch = 0
        # of the sequences in this epoch
        self.order: Int64[ndarray, " sequence"] = np.empty(0, np.int64)
        self.incoming = self.read_on()
        self.mixed = torch.empty(0)  # vectors that wait
        self.leaving = 0  # so many of them, from the front, go out before others come in

    @property
    def device(self) -> torch.device:
        """Where the vectors are: with the subject."""
        return torch.device(self.forward.subject.device)

    @property
    def widths(self) -> tuple[int, ...]:
        """How long the vectors of each site are, which lie side by side in a row."""
        sites = (self.forward.site, *self.forward.beside)
        return tuple(self.forward.subject.width_at(site) for site in sites)

    def __iter__(self) -> "ActivationBatches":
        return self

    def __next__(self) -> Float[Tensor, "token d"]:
        if not self.leaving:
            self.refill()
        if not self.leaving:
            raise StopIteration
        size = min(self.shuffle.batch_size, self.leaving)
        batch, self.mixed = self.mixed[:size], self.mixed[size:]
        self.leaving -= size
        return batch

    def refill(self) -> None:
        """Let vectors come in until the buffer is full, and mix.

        Half of them leave, at the end of the last epoch all.
        """
        buffer = [self.mixed.clone()] if len(self.mixed) else []  # which lets go of what has left
        first, full = not buffer, False
        while not full and (vectors := next(self.incoming, None)) is not None:
            buffer.append(vectors)
            held = sum(map(len, buffer))
            if first:
                self.filling(held, None)
            full = held >= self.shuffle.buffer_tokens
        self.mixed = shuffle_vectors(buffer, self.rng) if buffer else torch.empty(0)
        size = self.shuffle.batch_size
        self.leaving = (
            min(len(self.mixed), max(1, len(self.mixed) // 2 // size) * size)
            if full
            else len(self.mixed)
        )

    def read_on(self) -> Iterator[Float[Tensor, "token d"]]:
        """The vectors of all sequences in random order, from where the reading stands.

        Some sequences are read at a time, so that those of like length share a batch.
        """
        lengths = np.diff(self.corpus.offsets)
        while self.epoch < self.shuffle.epochs:
            if not len(self.order):
                self.order = self.rng.permutation(len(lengths))
            numbers = np.cumsum(lengths[self.order]) // max(1, self.shuffle.buffer_tokens // 2)
            for rows in np.split(self.order, np.flatnonzero(np.diff(numbers)) + 1)[self.group :]:
                tokens = np.concatenate(
                    [self.corpus.tokens[slice(*self.corpus.offsets[row : row + 2])] for row in rows]
                )
                starts = np.cumsum(lengths[rows]) - lengths[rows]
                for chosen in list(self.forward.batches(lengths[rows]))[self.batch :]:
                    self.batch += 1
                    yield self.forward.batch(tokens, starts[chosen], lengths[rows][chosen]).vectors
                self.group, self.batch = self.group + 1, 0
            self.epoch, self.group, self.order = self.epoch + 1, 0, self.order[:0]

    def sequences(
        self, positions: int
    ) -> Iterator[tuple[Int64[Tensor, "row position"], Bool[Tensor, "row position"]]]:
        """The sequences themselves, about so many positions at a time, in random order: what the
        subject is given, and at which positions batches have vectors. For methods that run the
        subject themselves.
        """
        lengths, front = np.diff(self.corpus.offsets), len(self.forward.front)
        reader, order = (
            replace(self.forward, batch_tokens=positions),
            self.rng.permutation(len(lengths)),
        )
        numbers = np.cumsum(lengths[order] + front) // positions
        for rows in np.split(order, np.flatnonzero(np.diff(numbers)) + 1):
            for chosen in reader.batches(lengths[rows]):
                given, kept, _ = reader.padded(
                    self.corpus.tokens, self.corpus.offsets[rows[chosen]], lengths[rows[chosen]]
                )
                yield given, torch.from_numpy(np.pad(kept, ((0, 0), (front, 0))))

    @property
    def state(self) -> dict[str, Tensor]:
        """What the next batches depend on, the vectors that wait among it."""
        place = torch.tensor([self.leaving, self.epoch, self.group, self.batch])
        return {
            "mixed": self.mixed.cpu().contiguous(),
            "place": place,
            "order": torch.from_numpy(self.order),
        }

    @state.setter
    def state(self, kept: dict[str, Tensor]) -> None:
        self.leaving, self.epoch, self.group, self.batch = kept["place"].tolist()
        self.mixed, self.order = (
            kept["mixed"].to(self.forward.subject.device_at(self.forward.site)),
            kept["order"].numpy(),
        )
        self.incoming = self.read_on()


def shuffle_vectors(buffer: list[Tensor], rng: np.random.Generator) -> Float[Tensor, "token d"]:
    """All vectors of the buffer, in random order."""
    whole = torch.cat(buffer)
    return whole[torch.from_numpy(rng.permutation(len(whole))).to(whole.device)]
