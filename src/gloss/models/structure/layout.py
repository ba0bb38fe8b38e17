"""Where in one model each kind of site lies: the layout that discovery finds, and the anatomy that
binds it to modules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from torch import nn

from gloss.errors import Mismatch
from gloss.models.sites import JointSite, OtherSite, Site, parts_of
from gloss.models.structure.transformers_types import PreTrainedConfig, PreTrainedModel


class ModuleSide(StrEnum):
    """Whether a site is what a module gets or what it gives."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class SiteLocation:
    """The module that holds a site, by its path from the model's root, and what the site is of what
    the module holds.
    """

    path: str
    side: ModuleSide
    width: int  # numbers at each position
    scale: float = 1.0  # the site is so many times what the module holds: a residual multiplier
    # the model writes into the tensor afterwards, so that a read needs a copy
    overwritten: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: where its sites lie, why others are not offered, and what their equations need."""

    path: str
    # by kind of site
    locations: Mapping[str, SiteLocation] = field(default_factory=dict[str, SiteLocation])
    # by kind: why it is not offered
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    # by kind: why it can be read and not edited
    fixed: Mapping[str, str] = field(default_factory=dict[str, str])
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


@dataclass(frozen=True, slots=True)
class SitePoint:
    """A site found in a model: two sites at one point are the same place."""

    module: nn.Module
    side: ModuleSide
    scale: float = 1.0  # the site is so many times what the module holds
    overwritten: bool = False  # the model writes into it afterwards


class Anatomy:
    """Where the sites of one model lie, and which it has."""

    def __init__(self, model: PreTrainedModel, layout: Layout) -> None:
        self.model = model
        self.layout = layout
        self.text_config: PreTrainedConfig = model.config.get_text_config()
        self.layers: tuple[nn.Module, ...] = tuple(
            model.get_submodule(layer.path) for layer in layout.layers
        )
        self._points = [
            {
                kind: SitePoint(
                    model.get_submodule(location.path),
                    location.side,
                    location.scale,
                    location.overwritten,
                )
                for kind, location in layer.locations.items()
            }
            for layer in layout.layers
        ]
        self.norm_at_end: nn.Module | None = (
            model.get_submodule(layout.norm_at_end) if layout.norm_at_end else None
        )

    def layer(self, site: Site) -> Layer:
        """What is known of the site's layer. Raises Mismatch where the model has no such layer."""
        if site.layer >= len(self.layers):
            raise Mismatch(
                f"site {site}: the model has {len(self.layers)} layers, 0 to {len(self.layers) - 1}"
            )
        return self.layout.layers[site.layer]

    def has(self, site: Site) -> bool:
        """Whether the model has this site, proven."""
        return all(
            part.layer < len(self.layers) and part.kind in self.layout.layers[part.layer].locations
            for part in parts_of(site)
        )

    def require_site(self, site: Site) -> None:
        """Raises Mismatch for a site that this model does not have, and says why."""
        if isinstance(site, JointSite):
            for part in site.parts:
                self.require_site(part)
            return
        layer = self.layer(site)
        if site.kind in layer.locations:
            return
        offered = ", ".join(f"{kind}.{site.layer}" for kind in layer.locations)
        raise Mismatch(
            f"site {site} is not offered: {layer.missing[site.kind]}; layer {site.layer} has"
            f" {offered}"
        )

    def check_edit(self, site: Site) -> None:
        """Raises Mismatch for a site that this model does not have, or that can be read and not
        edited.
        """
        self.require_site(site)
        if isinstance(site, JointSite):
            own = [part for part in site.parts if not isinstance(part, OtherSite)]
            raise Mismatch(
                f"{site} are several sites, which can be read together and not edited; name one of"
                f" them, as in the site {own[-1] if own else site.parts[-1]}"
            )
        if isinstance(site, OtherSite):
            raise Mismatch(
                f"{site} is of the other model, which is only read; name a site of the subject, as"
                f" {site.there}"
            )
        if reason := self.layer(site).fixed.get(site.kind):
            raise Mismatch(
                f"site {site} can be read but not edited: {reason}; edit resid_pre.{site.layer} or"
                f" resid_post.{site.layer}"
            )

    def point(self, site: Site) -> SitePoint:
        """The module and side where a site lies.

        Raises Mismatch for a site that this model does not have.
        """
        self.require_site(site)
        return self._points[site.layer][site.kind]

    def canonical(self, site: Site) -> Site:
        """The site's usual name in this model: without post-norms `mlp_raw` is `mlp_out` and
        `attn_raw` is `attn_out`.
        """
        if isinstance(site, JointSite):
            return JointSite.of([self.canonical(part) for part in site.parts])
        for raw, contribution in (("mlp_raw", "mlp_out"), ("attn_raw", "attn_out")):
            locations = self.layer(site).locations
            if (
                site.kind == raw
                and raw in locations
                and locations[raw] == locations.get(contribution)
            ):
                return type(site)(contribution, site.layer)
        return site

    def width_at(self, site: Site) -> int:
        """How many numbers the site holds at each position.

        Raises Mismatch for a site that this model does not have.
        """
        self.require_site(site)
        return sum(self.layer(part).locations[part.kind].width for part in parts_of(site))

    def heads(self, layer: int) -> int:
        """How many heads lie side by side at `z`.

        Raises Mismatch where there is none, or nothing tells its heads apart.
        """
        site = Site("z", layer)
        width = self.width_at(site)
        head_width = self.layer(site).head_width
        if head_width is not None:
            return width // head_width
        number = getattr(self.text_config, "num_attention_heads", None)
        if not isinstance(number, int) or width % number:
            raise Mismatch(
                f"site {site} holds {width} numbers, and the model does not say how many of them"
                " are one head's"
            )
        return number
