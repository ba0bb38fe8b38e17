"""Where in one model each kind of site lies: what discovery finds, and what an anatomy binds to the model's modules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Side(StrEnum):
    """Whether a site is what a module gets or what it gives."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Place:
    """The module that holds a site, by its path from the model's root, and what the site is of what the module holds."""

    path: str
    side: Side
    width: int  # numbers at each position
    scale: float = 1.0  # the site is so many times what the module holds: a residual multiplier
    overwritten: bool = False  # the model writes into the tensor afterwards, so that a read needs a copy


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: its sites' places, why others are not offered, and what their equations need."""

    path: str
    places: Mapping[str, Place] = field(default_factory=dict[str, Place])  # by kind of site
    missing: Mapping[str, str] = field(default_factory=dict[str, str])  # by kind: why it is not offered
    fixed: Mapping[str, str] = field(default_factory=dict[str, str])  # by kind: why it can be read and not edited
    carry: float = 1.0  # resid_post == carry * (resid_pre + attn_out + mlp_out)
    norm_before_mlp: str | None = None  # from resid_mid (in parallel layers resid_pre) to mlp_in
    norm_after_mlp: str | None = None  # from mlp_raw to mlp_out
    norm_after_attention: str | None = None  # from attn_raw to attn_out
    head_width: int | None = None  # numbers of one head in z


@dataclass(frozen=True, slots=True)
class Layout:
    """All layers of a model, in the order in which a pass goes through them."""

    layers: tuple[Layer, ...]
    unembeds: bool  # whether the unembedding reads what leaves the last layer, but for a norm
    norm_at_end: str | None = None  # that norm
