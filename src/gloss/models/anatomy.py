"""One model's layers and the points of its sites: a layout bound to the modules of a model."""

from dataclasses import dataclass

from torch import nn

from gloss.errors import Mismatch
from gloss.models.foreign import PreTrainedConfig, PreTrainedModel
from gloss.models.layout import Layer, Layout, Side
from gloss.models.sites import Site


@dataclass(frozen=True, slots=True)
class Point:
    """A site found in a model: two sites at one point are the same place."""

    module: nn.Module
    side: Side
    scale: float = 1.0  # the site is so many times what the module holds
    overwritten: bool = False  # the model writes into it afterwards


class Anatomy:
    """Where the sites of one model lie, and which it has."""

    def __init__(self, model: PreTrainedModel, layout: Layout) -> None:
        self.model = model
        self.layout = layout
        self.text_config: PreTrainedConfig = model.config.get_text_config()
        self.layers: tuple[nn.Module, ...] = tuple(model.get_submodule(layer.path) for layer in layout.layers)
        self._points = [
            {
                kind: Point(model.get_submodule(place.path), place.side, place.scale, place.overwritten)
                for kind, place in layer.places.items()
            }
            for layer in layout.layers
        ]
        self.norm_at_end: nn.Module | None = model.get_submodule(layout.norm_at_end) if layout.norm_at_end else None

    def layer(self, site: Site) -> Layer:
        """What is known of the site's layer. Raises Mismatch where the model has no such layer."""
        if site.layer >= len(self.layers):
            raise Mismatch(f"site {site}: the model has {len(self.layers)} layers, 0 to {len(self.layers) - 1}")
        return self.layout.layers[site.layer]

    def has(self, site: Site) -> bool:
        """Whether the model has this site, proven."""
        return site.layer < len(self.layers) and site.kind in self.layout.layers[site.layer].places

    def check(self, site: Site) -> None:
        """Raises Mismatch for a site that this model does not have, and says why."""
        layer = self.layer(site)
        if site.kind in layer.places:
            return
        offered = ", ".join(f"{kind}.{site.layer}" for kind in layer.places)
        raise Mismatch(f"site {site} is not offered: {layer.missing[site.kind]}; layer {site.layer} has {offered}")

    def check_edit(self, site: Site) -> None:
        """Raises Mismatch for a site that this model does not have, or that can be read and not edited."""
        self.check(site)
        if reason := self.layer(site).fixed.get(site.kind):
            raise Mismatch(
                f"site {site} can be read but not edited: {reason}; edit resid_pre.{site.layer} or resid_post.{site.layer}"
            )

    def point(self, site: Site) -> Point:
        """The module and side where a site lies. Raises Mismatch for a site that this model does not have."""
        self.check(site)
        return self._points[site.layer][site.kind]

    def canonical(self, site: Site) -> Site:
        """The site's usual name in this model: without post-norms `mlp_raw` is `mlp_out` and `attn_raw` is `attn_out`."""
        for raw, contribution in (("mlp_raw", "mlp_out"), ("attn_raw", "attn_out")):
            places = self.layer(site).places
            if site.kind == raw and raw in places and places[raw] == places.get(contribution):
                return Site(contribution, site.layer)
        return site

    def width(self, site: Site) -> int:
        """How many numbers the site holds at each position. Raises Mismatch for a site that this model does not have."""
        self.check(site)
        return self.layer(site).places[site.kind].width

    def heads(self, layer: int) -> int:
        """How many heads lie side by side at `z`. Raises Mismatch where there is none, or nothing tells its heads apart."""
        site = Site("z", layer)
        width = self.width(site)
        head_width = self.layer(site).head_width
        if head_width is not None:
            return width // head_width
        number = getattr(self.text_config, "num_attention_heads", None)
        if not isinstance(number, int) or width % number:
            raise Mismatch(f"site {site} holds {width} numbers, and the model does not say how many of them are one head's")
        return number
