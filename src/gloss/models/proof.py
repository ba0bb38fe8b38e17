"""Prove a layout: in a pass in which every site is edited, what the model computes from the edited values must add up.

So one pass shows that each site holds what its name says and that an edit there has its effect. Sites whose equation does not
hold are dropped from the layout, and the reason says by how much it fails.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from gloss.errors import BadInput
from gloss.models.anatomy import Anatomy
from gloss.models.foreign import PreTrainedModel
from gloss.models.forward import logits_of_pass
from gloss.models.hooks import tapped
from gloss.models.layout import Layer, Layout, Place
from gloss.models.recording import SAME, probe_tokens
from gloss.models.sites import KINDS, Site

NUDGE = 0.1  # of the root mean square of what is at a site


@dataclass(frozen=True, slots=True)
class Seen:
    """What was at a site before its edit and after it, and whether the model wrote into it later. Not all can be edited."""

    before: Tensor
    after: Tensor
    overwritten: bool


@dataclass(frozen=True, slots=True)
class Equation:
    """Two sides that must be equal, and the site that is not offered where they are not."""

    blamed: str
    text: str
    left: Tensor
    right: Tensor

    def off(self) -> float:
        """How far the sides are apart, as a share of the right one, at the worst token."""
        left, right = self.left.float(), self.right.float()
        apart = (left - right).norm(dim=-1) / right.norm(dim=-1).clamp_min(1e-20)
        return float(apart.nan_to_num(float("inf")).max())


@torch.no_grad()
def proven(model: PreTrainedModel, layout: Layout) -> Layout:
    """The layout with those sites only whose equations hold.

    Raises BadInput where the residual stream itself is not what its name says, or a token's vectors depend on later tokens.
    """
    anatomy = Anatomy(model, layout)
    seen = edited_pass(model, anatomy)
    tolerance = 0.02 if torch.finfo(model.dtype).eps > 1e-4 else 1e-4
    require_causal(model, seen, tolerance)
    layers = list[Layer]()
    for number, layer in enumerate(layout.layers):
        own = {kind: seen[Site(kind, number)] for kind in KINDS if Site(kind, number) in seen}
        following = seen.get(Site("resid_pre", number + 1))
        reasons = {
            equation.blamed: f"{equation.text} differs by {equation.off():.2g} of its size"
            for equation in equations(anatomy, layer, own, following)
            if equation.off() > tolerance
        }
        if reason := reasons.get("resid_post"):
            raise BadInput(f"{type(model).__name__}: {reason} at layer {number}, so no layer's residual stream is known")
        layers.append(kept(layer, reasons, own))
    return replace(layout, layers=tuple(layers))


def edited_pass(model: PreTrainedModel, anatomy: Anatomy) -> dict[Site, Seen]:
    """What was at every site in a pass in which each was edited."""
    before, after = dict[Site, Tensor](), dict[Site, Tensor]()
    generator = torch.Generator().manual_seed(0)

    def nudge(site: Site, x: Tensor) -> Tensor:
        before[site] = x.clone()
        size = x.float().square().mean().sqrt().clamp_min(1e-3)
        x += (torch.randn(x.shape[-1], generator=generator).to(x.device) * size * NUDGE).to(x.dtype)
        after[site] = x.clone()
        return x

    places = {
        Site(kind, number): place for number, layer in enumerate(anatomy.layout.layers) for kind, place in layer.places.items()
    }
    edits = {site: partial(nudge, site) for site in edited_sites(anatomy)}
    tokens = probe_tokens(model)
    with tapped(anatomy, len(tokens), list(places), edits, to_the_end=True) as taken:
        logits_of_pass(model, tokens)
    seen = {site: Seen(before[site], after[site], not torch.equal(taken[site], after[site])) for site in edits}
    at_place = {places[site]: each for site, each in seen.items()}
    return {
        site: seen.get(site) or at_place.get(place) or Seen(taken[site], taken[site], False) for site, place in places.items()
    }


def edited_sites(anatomy: Anatomy) -> Iterator[Site]:
    """All sites that can be edited, each place once."""
    for number, layer in enumerate(anatomy.layout.layers):
        taken = set[Place]()
        for kind, place in layer.places.items():
            if kind not in layer.fixed and place not in taken:
                taken.add(place)
                yield Site(kind, number)


def equations(anatomy: Anatomy, layer: Layer, own: Mapping[str, Seen], following: Seen | None) -> Iterator[Equation]:
    """Those that hold in this layer by its layout."""

    def give(path: str | None) -> Callable[[Tensor], Tensor]:
        return (lambda x: x) if path is None else anatomy.model.get_submodule(path)

    at = {kind: seen.after for kind, seen in own.items()}
    given = {kind: seen.before for kind, seen in own.items()}
    if following is not None:
        yield Equation("resid_post", "resid_pre of the next layer", following.before, at["resid_post"])
    stream = at["resid_pre"]
    if "attn_out" in own:
        stream = stream + at["attn_out"]
    if "resid_mid" in own and "attn_out" in own:
        yield Equation("attn_out", "resid_pre + attn_out == resid_mid", stream, given["resid_mid"])
    if "resid_mid" in own:
        stream = at["resid_mid"]
    if "mlp_out" in own:
        stream = stream + at["mlp_out"]
    if "mlp_out" in own:
        yield Equation("mlp_out", "resid_mid + mlp_out == resid_post", stream * layer.carry, given["resid_post"])
    elif "attn_out" in own and "resid_mid" not in own:
        yield Equation("attn_out", "resid_pre + attn_out == resid_post", stream * layer.carry, given["resid_post"])
    if "mlp_in" in own and layer.places["mlp_in"] != layer.places.get("resid_mid"):
        base = at["resid_mid" if "resid_mid" in own else "resid_pre"]
        yield Equation("mlp_in", "norm(resid_mid) == mlp_in", give(layer.norm_before_mlp)(base), given["mlp_in"])
    for kind, raw, out, norm in (
        ("mlp_act", "mlp_raw", "mlp_out", layer.norm_after_mlp),
        ("z", "attn_raw", "attn_out", layer.norm_after_attention),
    ):
        if raw in own and out in own and layer.places[raw] != layer.places[out]:
            yield Equation(out, f"{out} of {raw}", give(norm)(at[raw]) * layer.places[out].scale, given[out])
        if kind in own:
            yield Equation(kind, f"projection({kind}) == {raw}", give(layer.places[kind].path)(at[kind]), given[raw])


def kept(layer: Layer, reasons: Mapping[str, str], own: Mapping[str, Seen]) -> Layer:
    """The layer without the sites that failed."""
    places = {
        kind: replace(place, overwritten=kind in own and own[kind].overwritten)
        for kind, place in layer.places.items()
        if kind not in reasons
    }
    fixed = dict(layer.fixed)
    if "resid_mid" in places and "mlp_out" in reasons:
        fixed["resid_mid"] = "what the layer adds after it is not known as mlp_out"
    return replace(layer, places=places, missing=dict(layer.missing) | dict(reasons), fixed=fixed)


def require_causal(model: PreTrainedModel, seen: Mapping[Site, Seen], tolerance: float) -> None:
    """Raises BadInput where what a token makes of a text depends on the tokens after it."""
    last = seen[max((site for site in seen if site.kind == "resid_post"), key=lambda site: site.layer)].after.float()
    apart = Equation("", "", last[:1, :SAME], last[1:, :SAME]).off()
    if apart > 10 * tolerance:
        raise BadInput(
            f"{type(model).__name__} is no causal model as it is configured: what it makes of a token changes with later tokens; "
            "where its config.json has is_decoder, set it to true"
        )
