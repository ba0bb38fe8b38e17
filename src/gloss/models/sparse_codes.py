"""Which pre-activations of a dictionary count as active, as sparse codes from the first."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gloss.errors import BadSettings, Mismatch

RUN = 64  # neighbours of which the largest is taken first


@dataclass(frozen=True, slots=True)
class Codes:
    """The active features of each token.

    Unused slots have value 0, at any index; no used slot has value 0.
    """

    indices: Int64[Tensor, "token active"]
    values: Float[Tensor, "token active"]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def used(self) -> Bool[Tensor, "token active"]:
        """Which slots hold an activation."""
        return self.values != 0

    def dense(self, width: int) -> Float[Tensor, "token feature"]:
        """Every feature's activation, zeros included: for tests and for few tokens."""
        return self.values.new_zeros(len(self), width).scatter_add_(1, self.indices, self.values)


@runtime_checkable
class Selection(Protocol):
    """How active features are told from inactive ones."""

    def select(self, pre: Float[Tensor, "token feature"]) -> Codes:
        """The codes of these pre-activations."""
        ...

    def together(self, width: int) -> int:
        """How many neighbouring features must be seen at once to decide on one of them."""
        ...

    def select_block(self, pre: Float[Tensor, "token feature"], first: int, width: int) -> Codes:
        """The codes of a block of so many features, the first of which is `first`, as far as the
        others can leave them; indices count from the block's first.
        """
        ...

    def among_blocks(self, codes: Codes) -> Codes:
        """The codes of all features, from those of each block side by side."""
        ...

    def to(self, device: torch.device | str) -> "Selection":
        """The same on another device."""
        ...


@dataclass(frozen=True, slots=True)
class LargestK:
    """TopK: a token's `k` largest pre-activations, as far as they are positive (Gao et al., 2024).

    Taking the largest before or after the ReLU gives the same codes, because unused slots hold 0
    either way.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadSettings(
                f"a dictionary with k={self.k} has no active features; k must be 1 or more"
            )

    def select(self, pre: Float[Tensor, "token feature"]) -> Codes:
        """The k largest, strongest first."""
        largest = pre.topk(self.k, dim=1)
        return Codes(largest.indices, largest.values.relu())

    def together(self, width: int) -> int:
        """Each feature is compared with all others, whenever that is."""
        return 1

    def select_block(self, pre: Float[Tensor, "token feature"], first: int, width: int) -> Codes:
        """The block's k largest, among which are those of the k largest of all that lie in it."""
        values, features = largest_in_rows(pre, self.k)
        return Codes(features, values.relu())

    def among_blocks(self, codes: Codes) -> Codes:
        """The k largest of all blocks' largest, strongest first."""
        largest = codes.values.topk(min(self.k, codes.values.shape[1]), dim=1)
        return Codes(codes.indices.gather(1, largest.indices), largest.values)

    def to(self, device: torch.device | str) -> "LargestK":
        """The same on another device."""
        return self


@dataclass(frozen=True, slots=True)
class LargestOfGroups:
    """GroupMax: the features in `k` groups of neighbours, and of each group the largest, as far as
    it is positive.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadSettings(
                f"a dictionary with k={self.k} groups has no active features; k must be 1 or more"
            )

    def select(self, pre: Float[Tensor, "token feature"]) -> Codes:
        """One for each group. Raises Mismatch where the groups would be of unequal size."""
        size = self.together(pre.shape[1])
        largest = pre.unflatten(1, (self.k, size)).max(dim=2)
        return Codes(
            largest.indices + torch.arange(self.k, device=pre.device) * size, largest.values.relu()
        )

    def together(self, width: int) -> int:
        """The features of a group. Raises Mismatch where groups would be of unequal size."""
        size, left = divmod(width, self.k)
        if left:
            raise Mismatch(
                f"{width} features cannot be cut into k={self.k} equal groups; k must divide the"
                " width"
            )
        return size

    def select_block(self, pre: Float[Tensor, "token feature"], first: int, width: int) -> Codes:
        """One for each group in the block."""
        return LargestOfGroups(pre.shape[1] // self.together(width)).select(pre)

    def among_blocks(self, codes: Codes) -> Codes:
        """Every group's."""
        return codes

    def to(self, device: torch.device | str) -> "LargestOfGroups":
        """The same on another device."""
        return self


@dataclass(frozen=True, slots=True)
class AboveThreshold:
    """JumpReLU: pre-activations above the feature's threshold, and above 0 (Rajamanoharan et al.,
    2024).

    A BatchTopK dictionary is this with one threshold for all features.
    """

    thresholds: Float[Tensor, " feature"]

    def select(self, pre: Float[Tensor, "token feature"]) -> Codes:
        """Those above, in the order of their indices."""
        return packed_codes(pre, (pre > self.thresholds) & (pre > 0))

    def together(self, width: int) -> int:
        """Each feature has a threshold of its own."""
        return 1

    def select_block(self, pre: Float[Tensor, "token feature"], first: int, width: int) -> Codes:
        """Those above, by the block's thresholds."""
        return AboveThreshold(self.thresholds[first : first + pre.shape[1]]).select(pre)

    def among_blocks(self, codes: Codes) -> Codes:
        """Every block's, without gaps."""
        return _without_gaps(codes)

    def to(self, device: torch.device | str) -> "AboveThreshold":
        """The same on another device."""
        return AboveThreshold(self.thresholds.to(device))


@dataclass(frozen=True, slots=True)
class Positive:
    """ReLU: every pre-activation above 0."""

    def select(self, pre: Float[Tensor, "token feature"]) -> Codes:
        """Those above 0, in the order of their indices."""
        return packed_codes(pre, pre > 0)

    def together(self, width: int) -> int:
        """Each feature counts by itself."""
        return 1

    def select_block(self, pre: Float[Tensor, "token feature"], first: int, width: int) -> Codes:
        """Those above 0."""
        return self.select(pre)

    def among_blocks(self, codes: Codes) -> Codes:
        """Every block's, without gaps."""
        return _without_gaps(codes)

    def to(self, device: torch.device | str) -> "Positive":
        """The same on another device."""
        return self


@dataclass(frozen=True, slots=True)
class PositiveTanh:
    """`tanh` of the ReLU: every pre-activation above 0, squashed below 1."""

    def select(self, pre: Float[Tensor, "token feature"]) -> Codes:
        """Those above 0, in the order of their indices."""
        return packed_codes(pre.tanh(), pre > 0)

    def together(self, width: int) -> int:
        """Each feature counts by itself."""
        return 1

    def select_block(self, pre: Float[Tensor, "token feature"], first: int, width: int) -> Codes:
        """Those above 0."""
        return self.select(pre)

    def among_blocks(self, codes: Codes) -> Codes:
        """Every block's, without gaps."""
        return _without_gaps(codes)

    def to(self, device: torch.device | str) -> "PositiveTanh":
        """The same on another device."""
        return self


@dataclass(frozen=True, slots=True)
class Gated:
    """Pre-activations above 0 open a gate, and `scale * pre + offset` is what passes, as far as it
    is positive (Rajamanoharan et al., 2024).

    With the encoder's bias of the gate `b_gate`, and `r_mag` and `b_mag` of the magnitude, `scale`
    is `exp(r_mag)` and `offset` is `b_mag - exp(r_mag) * b_gate`.
    """

    scale: Float[Tensor, " feature"]
    offset: Float[Tensor, " feature"]

    def select(self, pre: Float[Tensor, "token feature"]) -> Codes:
        """Those that pass, in the order of their indices."""
        passed = torch.addcmul(self.offset, self.scale, pre)
        return packed_codes(passed, (pre > 0) & (passed > 0))

    def together(self, width: int) -> int:
        """Each feature has a gate of its own."""
        return 1

    def select_block(self, pre: Float[Tensor, "token feature"], first: int, width: int) -> Codes:
        """Those that pass, by the block's gates."""
        last = first + pre.shape[1]
        return Gated(self.scale[first:last], self.offset[first:last]).select(pre)

    def among_blocks(self, codes: Codes) -> Codes:
        """Every block's, without gaps."""
        return _without_gaps(codes)

    def to(self, device: torch.device | str) -> "Gated":
        """The same on another device."""
        return Gated(self.scale.to(device), self.offset.to(device))


def packed_codes(
    pre: Float[Tensor, "token feature"], active: Bool[Tensor, "token feature"]
) -> Codes:
    """The active entries, moved to the front of each row.

    Rows are as long as the fullest one, and at least 1.
    """
    counts = active.sum(1)
    rows, columns = active.nonzero(as_tuple=True)
    slots = torch.arange(len(rows), device=pre.device) - (counts.cumsum(0) - counts)[rows]
    shape = (len(pre), max(1, int(counts.max())) if len(pre) else 1)
    indices = torch.zeros(shape, dtype=torch.int64, device=pre.device)
    indices[rows, slots] = columns
    values = pre.new_zeros(shape).index_put((rows, slots), pre[rows, columns])
    return Codes(indices, values)


def _without_gaps(codes: Codes) -> Codes:
    """The same codes, with unused slots at the end of each row."""
    packed = packed_codes(codes.values, codes.used)
    return Codes(codes.indices.gather(1, packed.indices) * packed.used, packed.values)


def largest_in_rows(
    rows: Float[Tensor, "row column"], k: int
) -> tuple[Float[Tensor, "row k"], Int64[Tensor, "row k"]]:
    """Each row's k largest, or all where there are fewer, largest first, and their columns.

    They lie in the k runs of neighbours that have the largest maxima, so that most numbers of a
    long row are looked at once. Of equal ones at the k-th place, any may be taken, as by `topk`.

        >>> largest_in_rows(torch.tensor([[1.0, 3.0, 2.0]]), 2)[1].tolist()
        [[1, 2]]
    """
    runs, left = divmod(rows.shape[1], RUN)
    if left or runs <= k:
        few = rows.topk(min(k, rows.shape[1]), dim=1)
        return few.values, few.indices
    by_run = rows.unflatten(1, (runs, RUN))
    best = by_run.amax(2).topk(k, dim=1, sorted=False).indices
    some = by_run.gather(1, best[:, :, None].expand(-1, -1, RUN)).flatten(1)
    largest = some.topk(k, dim=1)
    return (
        largest.values,
        best.gather(1, largest.indices // RUN) * RUN + largest.indices % RUN,
    )
