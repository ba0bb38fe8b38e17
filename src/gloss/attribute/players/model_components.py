"""The game of a model's parts: which heads, MLPs, layers or features make it say what it does, or a
feature fire, on a set of prompts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from gloss.attribute.measures import Edits, Measure, Pass
from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import Dictionary
from gloss.models.sites import Site
from gloss.models.structure.hooks import Edit
from gloss.models.subject import Subject
from gloss.records import PADDING

ROWS = 256  # masks times prompts in one forward pass


class Ablation(StrEnum):
    """What takes the place of what a component gives."""

    ZERO = "zero"
    # its mean over the prompts, or others, and all positions behind the front token; there, its own
    MEAN = "mean"
    # what it gives for the prompt before, or for another prompt, at the same position, or at its
    # last where it is shorter
    RESAMPLE = "resample"
    PATCH = "patch"  # what it gives for the prompt's own corrupted twin at the same position


@runtime_checkable
class Components(Protocol):
    """Parts of a model as players, and how a forward pass goes without some of them."""

    @property
    def players(self) -> tuple[str, ...]:
        """Their names."""
        ...

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where they are ablated."""
        ...

    def without(
        self, site: Site, x: Tensor, instead: Tensor, removed: Bool[Tensor, "row player"]
    ) -> Tensor:
        """What is at the site when each row lacks its own players.

        `instead` is what stands in for everything.
        """
        ...


@dataclass(frozen=True)
class Sublayers:
    """Whole sublayers: `mlp_out`, `attn_out`, or both of a layer as one player."""

    # of each player: its name, and the sites that it writes
    groups: tuple[tuple[str, tuple[Site, ...]], ...]

    @staticmethod
    def mlps(subject: Subject) -> "Sublayers":
        """Every MLP. Raises Mismatch where the model has none that could be proven."""
        return Sublayers(
            tuple(
                (f"MLP {n}", (subject.site(f"mlp_out.{n}"),))
                for n in subject.layers_with("mlp_out")
            )
        )

    @staticmethod
    def layers(subject: Subject) -> "Sublayers":
        """Every layer: its attention and its MLP.

        Raises Mismatch for a layer of which either could not be proven.
        """
        kinds = ("attn_out", "mlp_out")
        numbers = range(subject.layers)
        return Sublayers(
            tuple(
                (f"layer {n}", tuple(subject.site(f"{kind}.{n}") for kind in kinds))
                for n in numbers
            )
        )

    @property
    def players(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(name for name, _ in self.groups)

    @property
    def sites(self) -> tuple[Site, ...]:
        """All that they write."""
        return tuple(site for _, sites in self.groups for site in sites)

    def without(
        self, site: Site, x: Tensor, instead: Tensor, removed: Bool[Tensor, "row player"]
    ) -> Tensor:
        """All or nothing of what the sublayer adds."""
        own = next(number for number, (_, sites) in enumerate(self.groups) if site in sites)
        return torch.where(removed[:, own, None, None].to(x.device), instead, x)


@dataclass(frozen=True)
class Heads:
    """Attention heads: what each hands to the attention's last projection."""

    at: tuple[tuple[Site, int], ...]  # of each player: its site `z`, and its number there
    number: Mapping[Site, int]  # of heads at each site

    @staticmethod
    def of(subject: Subject, layers: tuple[int, ...] = ()) -> "Heads":
        """All heads, or those of some layers.

        Raises Mismatch where the model has none that could be proven.
        """
        number = {
            subject.site(f"z.{layer}"): subject.anatomy.heads(layer)
            for layer in layers or subject.layers_with("z")
        }
        return Heads(
            tuple((site, head) for site, heads in number.items() for head in range(heads)), number
        )

    @property
    def players(self) -> tuple[str, ...]:
        """`head 1.3` is head 3 of layer 1."""
        return tuple(f"head {site.layer}.{head}" for site, head in self.at)

    @property
    def sites(self) -> tuple[Site, ...]:
        """One for each layer."""
        return tuple(dict.fromkeys(site for site, _ in self.at))

    def without(
        self, site: Site, x: Tensor, instead: Tensor, removed: Bool[Tensor, "row player"]
    ) -> Tensor:
        """Each head's own stretch of numbers is exchanged."""
        gone = torch.zeros(len(x), self.number[site], dtype=torch.bool)
        for number, (own_site, head) in enumerate(self.at):
            if own_site == site:
                gone[:, head] = removed[:, number]
        wide = gone.repeat_interleave(x.shape[2] // self.number[site], dim=1)[:, None]
        return torch.where(wide.to(x.device), instead, x)


@dataclass(frozen=True)
class Features:
    """Features of a dictionary: each one's decoder direction is taken away as strongly as it is
    there, and the dictionary's error stays.
    """

    dictionary: Dictionary
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(set(self.indices)) < len(self.indices):
            raise BadInput(
                f"the features {', '.join(map(str, self.indices))} name one twice, which would be"
                " ablated twice; give each once"
            )

    @property
    def players(self) -> tuple[str, ...]:
        """`feature 17`."""
        return tuple(f"feature {index}" for index in self.indices)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where the dictionary reads and writes.

        Raises BadInput for a transcoder, whose two sites differ.
        """
        if self.dictionary.reads != self.dictionary.writes:
            raise BadInput(
                "only features of a dictionary that writes where it reads can be players; steer a"
                " transcoder's one by one"
            )
        return (self.dictionary.writes,)

    def without(
        self, site: Site, x: Tensor, instead: Tensor, removed: Bool[Tensor, "row player"]
    ) -> Tensor:
        """x minus activation times decoder direction, or plus what the feature's activation would
        be in its stead.
        """
        chosen = torch.tensor(self.indices)
        now, then = (self.activations(each)[..., chosen] for each in (x, instead))
        change = (then - now) * removed[:, None].to(x.device)
        return x + (change @ self.dictionary.decoder_directions[chosen].to(x.device)).to(x.dtype)

    def activations(
        self, x: Float[Tensor, "row position d"]
    ) -> Float[Tensor, "row position feature"]:
        """Of every feature at every position.

        Of zeros no feature is active, so that ablation to zero takes it away.
        """
        codes = self.dictionary.encode(x.reshape(-1, x.shape[-1]))
        dense = x.new_zeros(len(codes.values), self.dictionary.width, dtype=torch.float32)
        dense.scatter_add_(1, codes.indices.clamp_min(0), codes.values * (codes.indices >= 0))
        inactive = (x == 0).all(-1, keepdim=True)
        return torch.where(inactive, 0.0, dense.reshape(*x.shape[:2], -1))


@dataclass(frozen=True)
class AblationGame:
    """The game: a measure, as its mean over prompts, with the players that are not kept ablated, at
    every position of the prompt and of an answer behind it.
    """

    subject: Subject
    components: Components
    tokens: Int64[Tensor, "prompt position"]  # start token in front, PADDING behind
    measure: Measure
    ablation: Ablation = Ablation.MEAN
    # other prompts: those that the mean is over; one for each prompt to resample from; or its twin
    reference: Int64[Tensor, "other place"] | None = None

    def __post_init__(self) -> None:
        if self.ablation is Ablation.MEAN and isinstance(self.components, Features):
            raise BadSettings(
                "features cannot be ablated to the mean, which is no activation of theirs; choose"
                " zero or resample"
            )
        if self.ablation is Ablation.PATCH:
            self._check_twins()
        elif self.reference is not None:
            if self.ablation is Ablation.RESAMPLE and len(self.reference) != len(self.tokens):
                raise BadInput(
                    f"{len(self.reference)} other prompts were given to resample {len(self.tokens)}"
                    " prompts; give one for each"
                )
        elif self.ablation is Ablation.RESAMPLE and len(self.tokens) < 2:
            raise BadSettings(
                "resample takes what a component gives for another prompt, and there is one prompt;"
                " choose zero or mean, or give more"
            )

    def _check_twins(self) -> None:
        twins = self.reference
        if twins is None or twins.shape != self.tokens.shape:
            given = "none" if twins is None else f"twins of shape {tuple(twins.shape)}"
            raise BadInput(
                "patch takes what a component gives for each prompt's corrupted twin, and was given"
                f" {given} for prompts of shape {tuple(self.tokens.shape)}; give as many tokens"
            )
        uneven = torch.nonzero(((twins == PADDING) != (self.tokens == PADDING)).any(1))
        if len(uneven):
            raise BadInput(
                f"prompt {int(uneven[0])} and its corrupted twin differ in their number of tokens,"
                " and patch takes the same positions; give pairs of equal length"
            )

    @property
    def players(self) -> tuple[str, ...]:
        """The components."""
        return self.components.players

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """One mean a mask."""
        return self.values_by_prompt(masks).mean(axis=1)

    def values_by_prompt(
        self, masks: Bool[ndarray, "mask player"]
    ) -> Float64[ndarray, "mask prompt"]:
        """Every prompt's own value; so many masks are run together as fit into a pass."""
        step = max(1, ROWS // len(self.tokens))
        parts = [
            self._some(torch.from_numpy(~masks[begin : begin + step]))
            for begin in range(0, len(masks), step)
        ]
        return np.concatenate([np.empty((0, len(self.tokens))), *parts])

    def _some(self, removed: Bool[Tensor, "mask player"]) -> Float64[ndarray, "mask prompt"]:
        prompts = len(self.tokens)
        rows = Pass(
            self.subject,
            self.tokens.repeat(len(removed), 1),
            self.edits(removed.repeat_interleave(prompts, dim=0)),
            prompts,
        )
        return self.measure.of(rows).reshape(-1, prompts).numpy()

    def edits(self, removed: Bool[Tensor, "row player"]) -> Edits:
        """The edits of rows each of which lacks its own players."""

        def of_rows(tokens: Int64[Tensor, "row position"]) -> Mapping[Site, Edit]:
            instead = self.instead(tokens[: len(self.tokens)])
            return {site: self.edit(site, each, removed) for site, each in instead.items()}

        return of_rows

    def edit(
        self,
        site: Site,
        instead: Float[Tensor, "#prompt #position #d"],
        removed: Bool[Tensor, "row player"],
    ) -> Edit:
        """The edit at one site, each row without its own players."""

        def change(x: Tensor) -> Tensor:
            each = instead.to(x).repeat(len(x) // len(instead), 1, 1).expand_as(x)
            return self.components.without(site, x, each, removed)

        return change

    def instead(
        self, tokens: Int64[Tensor, "prompt position"]
    ) -> Mapping[Site, Float[Tensor, "#prompt #position #d"]]:
        """What stands in for what is ablated while the prompts, and answers behind them, are
        read.
        """
        match self.ablation:
            case Ablation.ZERO:
                return {site: torch.zeros(1, 1, 1) for site in self.components.sites}
            case Ablation.MEAN:
                width = tokens.shape[1] - 1
                return {
                    site: torch.cat([front, behind.expand(-1, width, -1)], dim=1)
                    for site, (front, behind) in self.means.items()
                }
            case Ablation.RESAMPLE:
                others = tokens.roll(1, dims=0) if self.reference is None else self.reference
                clean = self.subject.run(others, read=self.components.sites).activations
                last = (others != PADDING).sum(1, keepdim=True) - 1
                position = torch.arange(tokens.shape[1]).minimum(last)
                row = torch.arange(len(tokens))[:, None]
                return {site: x.cpu()[row, position] for site, x in clean.items()}
            case Ablation.PATCH:
                return self.subject.run(self.twins_of(tokens), self.components.sites).activations

    def twins_of(self, tokens: Int64[Tensor, "prompt position"]) -> Int64[Tensor, "prompt place"]:
        """The prompts' twins, with the answers behind them that stand behind the prompts."""
        twins, width = tokens.clone(), self.tokens.shape[1]
        if self.reference is not None:
            own = self.reference != PADDING
            twins[:, :width] = torch.where(own, self.reference, tokens[:, :width])
        return twins

    @cached_property
    def means(self) -> Mapping[Site, tuple[Float[Tensor, "1 1 d"], Float[Tensor, "1 1 d"]]]:
        """Each site's mean over the prompts at the front token, on which models park attention and
        which therefore is like no other; and over all positions behind it, from one clean run.
        """
        tokens = self.tokens if self.reference is None else self.reference
        clean = self.subject.run(tokens, read=self.components.sites).activations
        real = (tokens != PADDING)[..., None]
        front, behind = real.clone(), real.clone()
        front[:, 1:], behind[:, 0] = False, False
        return {
            site: (mean_at(x.cpu(), front), mean_at(x.cpu(), behind)) for site, x in clean.items()
        }


def mean_at(
    x: Float[Tensor, "prompt position d"], counted: Bool[Tensor, "prompt position 1"]
) -> Float[Tensor, "1 1 d"]:
    """The mean over the positions that count; 0 where none does."""
    return ((x * counted).sum((0, 1)) / counted.sum().clamp_min(1))[None, None]
