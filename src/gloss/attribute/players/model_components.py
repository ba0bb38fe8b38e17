"""The game of a model's parts: which heads, MLPs, layers or features make it say what it does on a
set of prompts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

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
    MEAN = "mean"  # its mean over the prompts and positions
    RESAMPLE = "resample"  # what it gives for another prompt, at the same position


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


LogitMetric = Callable[[Float[Tensor, "prompt vocabulary"]], Float[Tensor, " prompt"]]
"""What is read of the next token's logits after each prompt."""


@dataclass(frozen=True)
class AblationGame:
    """The game: a metric, as its mean over prompts, with the players that are not kept ablated."""

    subject: Subject
    components: Components
    tokens: Int64[Tensor, "prompt position"]  # start token in front, PADDING behind
    metric: LogitMetric
    ablation: Ablation = Ablation.MEAN

    def __post_init__(self) -> None:
        if self.ablation is Ablation.MEAN and isinstance(self.components, Features):
            raise BadSettings(
                "features cannot be ablated to the mean, which is no activation of theirs; choose"
                " zero or resample"
            )

    @property
    def players(self) -> tuple[str, ...]:
        """The components."""
        return self.components.players

    def values(self, masks: Bool[ndarray, "mask player"]) -> Float64[ndarray, " mask"]:
        """One mean a mask; so many masks are run together as fit into a pass."""
        step = max(1, ROWS // len(self.tokens))
        parts = [
            self._some(torch.from_numpy(~masks[begin : begin + step]))
            for begin in range(0, len(masks), step)
        ]
        return np.concatenate([np.empty(0), *parts])

    def _some(self, removed: Bool[Tensor, "mask player"]) -> Float64[ndarray, " mask"]:
        prompts = len(self.tokens)
        rows = removed.repeat_interleave(prompts, dim=0)
        edits = {site: self.edit(site, instead, rows) for site, instead in self.instead.items()}
        logits = self.subject.next_logits(self.tokens.repeat(len(removed), 1), edits)
        values = torch.stack([self.metric(each) for each in logits.split(prompts)])
        return values.double().mean(1).numpy()

    def edit(
        self,
        site: Site,
        instead: Float[Tensor, "prompt position d"],
        removed: Bool[Tensor, "row player"],
    ) -> Edit:
        """The edit at one site, each row without its own players."""

        def change(x: Tensor) -> Tensor:
            return self.components.without(
                site, x, instead.repeat(len(x) // len(instead), 1, 1).to(x), removed
            )

        return change

    @cached_property
    def instead(self) -> Mapping[Site, Float[Tensor, "prompt position d"]]:
        """What stands in for what is ablated, for each prompt: worked out once from a clean run."""
        sites = self.components.sites
        if self.ablation is Ablation.ZERO:
            shape = (len(self.tokens), self.tokens.shape[1], 1)
            return {
                site: torch.zeros(shape).expand(-1, -1, self.subject.width(site)) for site in sites
            }
        clean = self.subject.run(self.tokens, read=sites).activations
        if self.ablation is Ablation.RESAMPLE:
            return {site: clean[site].roll(1, dims=0).cpu() for site in sites}
        real = (self.tokens != PADDING)[..., None]
        means = {site: (clean[site].cpu() * real).sum((0, 1)) / real.sum() for site in sites}
        return {
            site: mean.expand(len(self.tokens), self.tokens.shape[1], -1)
            for site, mean in means.items()
        }


def logit_difference(
    right: Int64[Tensor, " prompt"], wrong: Int64[Tensor, " prompt"]
) -> LogitMetric:
    """The logit of each prompt's right next token minus that of a wrong one."""
    rows = torch.arange(len(right))
    return lambda logits: logits[rows, right] - logits[rows, wrong]


def log_probability(right: Int64[Tensor, " prompt"]) -> LogitMetric:
    """The log-probability of each prompt's right next token, in nats."""
    return lambda logits: logits.double().log_softmax(1)[torch.arange(len(right)), right]
