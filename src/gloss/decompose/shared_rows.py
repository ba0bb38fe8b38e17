"""Rows of activations that several trainings learn from: read once, and cut for each as it wants
them.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gloss.decompose.checkpoints import HasState, TensorState, extract_state, prefix_state
from gloss.errors import Mismatch
from gloss.models.sites import Site


class SharedRows:
    """Batches that are handed to several trainings, and held until the last of them has had them.

    A row has the vectors of `sites` side by side.
    """

    def __init__(
        self, batches: Iterator[Float[Tensor, "_ d_row"]], sites: Sequence[Site], takers: int
    ) -> None:
        self.batches, self.sites = batches, tuple(sites)
        # where the batches come from, if they say so
        self.device: torch.device | None = getattr(batches, "device", None)
        # how long each site's vectors are, if they say so
        self.widths: Sequence[int] | None = getattr(batches, "widths", None)
        self.held: list[Tensor] = []
        # how many of the held batches each taker has had; None once it wants no more
        self.had: list[int | None] = [0] * takers

    def take(self, taker: int) -> Float[Tensor, "_ d_row"]:
        """The taker's next batch. Raises StopIteration where there are no more."""
        place = self.had[taker]
        assert place is not None
        if place == len(self.held):
            self.held.append(next(self.batches))
        batch = self.held[place]
        self.had[taker] = place + 1
        self._let_go()
        return batch

    def leave(self, taker: int) -> None:
        """It has learned enough."""
        self.had[taker] = None
        self._let_go()

    def _let_go(self) -> None:
        places = [place for place in self.had if place is not None]
        done = min(places, default=len(self.held))
        if done:
            del self.held[:done]
            self.had = [None if place is None else place - done for place in self.had]

    @property
    def state(self) -> TensorState:
        """The batches that wait, and the state of their source."""
        assert isinstance(self.batches, HasState)
        own = {f"held.{number}": batch for number, batch in enumerate(self.held)}
        places = torch.tensor([-1 if place is None else place for place in self.had])
        return own | {"had": places} | prefix_state("batches", self.batches.state)

    @state.setter
    def state(self, kept: TensorState) -> None:
        assert isinstance(self.batches, HasState)
        self.had = [None if place < 0 else place for place in kept["had"].tolist()]
        held = extract_state(kept, "held")
        self.held = [held[str(number)].to(self.device) for number in range(len(held))]
        self.batches.state = extract_state(kept, "batches")


class EvenRows:
    """One taker's rows, `size` at a time, of its own sites, the first of which it reads."""

    def __init__(
        self, shared: SharedRows, taker: int, sites: Sequence[Site], size: int, reads: int = 1
    ) -> None:
        self.shared, self.taker, self.size, self.reads = shared, taker, size, reads
        self.columns = [shared.sites.index(site) for site in sites]
        self.ready = torch.empty(0)

    def __iter__(self) -> "EvenRows":
        return self

    def __next__(self) -> Float32[Tensor, "_ d_row"]:
        held = [self.ready] if len(self.ready) else []
        while sum(map(len, held)) < self.size:
            try:
                held.append(self._take())
            except StopIteration:
                self.ready = torch.cat(held) if held else self.ready
                raise
        joined = torch.cat(held) if len(held) > 1 else held[0]
        row, self.ready = joined[: self.size], joined[self.size :]
        return row

    def _take(self) -> Float32[Tensor, "_ d_row"]:
        batch = self.shared.take(self.taker).to(self.shared.device)
        if self.columns != list(range(len(self.shared.sites))):
            sites, stated = self.shared.sites, self.shared.widths
            parts = batch.split(part_widths(batch.shape[1], len(sites), stated), dim=1)
            batch = torch.cat([parts[column] for column in self.columns], dim=1)
        return batch.float()

    def widths(self, rows: Float32[Tensor, "_ d_row"]) -> tuple[int, ...]:
        """How long the vectors of each site are."""
        stated = self.shared.widths
        own = stated and [stated[column] for column in self.columns]
        return part_widths(rows.shape[1], len(self.columns), own)

    def read(self, rows: Float32[Tensor, "_ d_row"]) -> Float32[Tensor, "_ d_in"]:
        """What is of the sites that are read."""
        return rows[:, : sum(self.widths(rows)[: self.reads])]


def part_widths(row: int, sites: int, stated: Sequence[int] | None) -> tuple[int, ...]:
    """How long each site's vectors are in a row of so many numbers: as stated, or equally long.

    Raises Mismatch where that makes no row.
    """
    found = tuple(stated or (row // sites,) * sites)
    if len(found) != sites or sum(found) != row:
        raise Mismatch(
            f"rows of {row} numbers, in parts of {found}, are not those of {sites} sites side by"
            " side; read activation_batches of these sites"
        )
    return found
