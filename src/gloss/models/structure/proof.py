"""Prove a layout: in a pass in which every site is edited, what the model computes from the edited
values must add up.

So one pass shows that each site holds what its name says and that an edit there has its effect.
Sites whose equation does not hold are dropped from the layout, and the reason says by how much it
fails.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from gloss.errors import BadInput
from gloss.models.sites import KINDS, Site
from gloss.models.structure.forward_pass import compute_logits
from gloss.models.structure.hooks import tap_sites
from gloss.models.structure.layout import Anatomy, Layer, Layout, SiteLocation
from gloss.models.structure.placement import compute_device, input_device
from gloss.models.structure.recording import SHARED_TOKENS, probe_tokens
from gloss.models.structure.transformers_types import PreTrainedModel

NUDGE = 0.1  # of the root mean square of what is at a site


@dataclass(frozen=True, slots=True)
class SiteValues:
    """What was at a site before its edit and after it, and whether the model wrote into it later.

    The two are equal at a site that cannot be edited.
    """

    before: Tensor
    after: Tensor
    overwritten: bool


@dataclass(frozen=True, slots=True)
class SiteEquation:
    """Two sides that must be equal, and the site that is not offered where they are not."""

    blamed: str
    text: str
    left: Tensor
    right: Tensor

    def off(self) -> float:
        """How far the sides are apart, as a share of the right one, at the worst token."""
        left, right = self.left.float(), self.right.float().to(self.left.device)
        apart = (left - right).norm(dim=-1) / right.norm(dim=-1).clamp_min(1e-20)
        return float(apart.nan_to_num(float("inf")).max())


@torch.no_grad()
def prove_layout(model: PreTrainedModel, layout: Layout) -> Layout:
    """The layout with those sites only whose equations hold.

    Raises BadInput where the residual stream itself is not what its name says, or a token's vectors
    depend on later tokens.
    """
    anatomy = Anatomy(model, layout)
    seen = run_edited_pass(model, anatomy)
    tolerance = 0.02 if torch.finfo(model.dtype).eps > 1e-4 else 1e-4
    require_causal(model, seen, tolerance)
    layers = list[Layer]()
    for number, layer in enumerate(layout.layers):
        own = {kind: seen[Site(kind, number)] for kind in KINDS if Site(kind, number) in seen}
        following = seen.get(Site("resid_pre", number + 1))
        reasons = {
            equation.blamed: f"{equation.text} differs by {equation.off():.2g} of its size"
            for equation in layer_equations(anatomy, layer, own, following)
            if equation.off() > tolerance
        }
        if reason := reasons.get("resid_post"):
            raise BadInput(
                f"{type(model).__name__}: {reason} at layer {number}, so no layer's residual stream"
                " is known"
            )
        layers.append(drop_failed_sites(layer, reasons, own))
    return replace(layout, layers=tuple(layers))


def run_edited_pass(model: PreTrainedModel, anatomy: Anatomy) -> dict[Site, SiteValues]:
    """What was at every site in a pass in which each was edited."""
    before, after = dict[Site, Tensor](), dict[Site, Tensor]()
    generator = torch.Generator().manual_seed(0)

    def nudge(site: Site, x: Tensor) -> Tensor:
        before[site] = x.clone()
        size = x.float().square().mean().sqrt().clamp_min(1e-3)
        x += (torch.randn(x.shape[-1], generator=generator).to(x.device) * size * NUDGE).to(x.dtype)
        after[site] = x.clone()
        return x

    locations = {
        Site(kind, number): location
        for number, layer in enumerate(anatomy.layout.layers)
        for kind, location in layer.locations.items()
    }
    edits = {site: partial(nudge, site) for site in editable_sites(anatomy)}
    tokens = probe_tokens(model)
    with tap_sites(anatomy, len(tokens), list(locations), edits, to_the_end=True) as taken:
        compute_logits(model, tokens)
    home = input_device(model)  # a model may be spread over devices
    for held in (before, after, taken):
        held.update({site: x.to(home) for site, x in held.items()})
    seen = {
        site: SiteValues(before[site], after[site], not torch.equal(taken[site], after[site]))
        for site in edits
    }
    at_location = {locations[site]: each for site, each in seen.items()}
    return {
        site: (
            seen.get(site)
            or at_location.get(location)
            or SiteValues(taken[site], taken[site], False)
        )
        for site, location in locations.items()
    }


def editable_sites(anatomy: Anatomy) -> Iterator[Site]:
    """All sites that can be edited, each location once."""
    for number, layer in enumerate(anatomy.layout.layers):
        taken = set[SiteLocation]()
        for kind, location in layer.locations.items():
            if kind not in layer.fixed and location not in taken:
                taken.add(location)
                yield Site(kind, number)


def layer_equations(
    anatomy: Anatomy, layer: Layer, own: Mapping[str, SiteValues], following: SiteValues | None
) -> Iterator[SiteEquation]:
    """Those that hold in this layer by its layout."""

    def give(path: str | None) -> Callable[[Tensor], Tensor]:
        if path is None:
            return lambda x: x
        module = anatomy.model.get_submodule(path)
        return lambda x: module(x.to(compute_device(module, x.device))).to(x.device)

    at = {kind: seen.after for kind, seen in own.items()}
    given = {kind: seen.before for kind, seen in own.items()}
    if following is not None:
        yield SiteEquation(
            "resid_post", "resid_pre of the next layer", following.before, at["resid_post"]
        )
    stream = at["resid_pre"]
    if "attn_out" in own:
        stream = stream + at["attn_out"]
    if "resid_mid" in own and "attn_out" in own:
        yield SiteEquation(
            "attn_out", "resid_pre + attn_out == resid_mid", stream, given["resid_mid"]
        )
    if "resid_mid" in own:
        stream = at["resid_mid"]
    if "mlp_out" in own:
        stream = stream + at["mlp_out"]
    if "mlp_out" in own:
        yield SiteEquation(
            "mlp_out",
            "resid_mid + mlp_out == resid_post",
            stream * layer.carry,
            given["resid_post"],
        )
    elif "attn_out" in own and "resid_mid" not in own:
        yield SiteEquation(
            "attn_out",
            "resid_pre + attn_out == resid_post",
            stream * layer.carry,
            given["resid_post"],
        )
    if "mlp_in" in own and layer.locations["mlp_in"] != layer.locations.get("resid_mid"):
        base = at["resid_mid" if "resid_mid" in own else "resid_pre"]
        yield SiteEquation(
            "mlp_in",
            "norm(resid_mid) == mlp_in",
            give(layer.norm_before_mlp)(base),
            given["mlp_in"],
        )
    for kind, raw, out, norm in (
        ("mlp_act", "mlp_raw", "mlp_out", layer.norm_after_mlp),
        ("z", "attn_raw", "attn_out", layer.norm_after_attention),
    ):
        if raw in own and out in own and layer.locations[raw] != layer.locations[out]:
            yield SiteEquation(
                out, f"{out} of {raw}", give(norm)(at[raw]) * layer.locations[out].scale, given[out]
            )
        if kind in own:
            yield SiteEquation(
                kind,
                f"projection({kind}) == {raw}",
                give(layer.locations[kind].path)(at[kind]),
                given[raw],
            )


def drop_failed_sites(
    layer: Layer, reasons: Mapping[str, str], own: Mapping[str, SiteValues]
) -> Layer:
    """The layer without the sites that failed."""
    locations = {
        kind: replace(location, overwritten=kind in own and own[kind].overwritten)
        for kind, location in layer.locations.items()
        if kind not in reasons
    }
    fixed = dict(layer.fixed)
    if "resid_mid" in locations and "mlp_out" in reasons:
        fixed["resid_mid"] = "what the layer adds after it is not known as mlp_out"
    return replace(
        layer, locations=locations, missing=dict(layer.missing) | dict(reasons), fixed=fixed
    )


def require_causal(
    model: PreTrainedModel, seen: Mapping[Site, SiteValues], tolerance: float
) -> None:
    """Raises BadInput where what a token makes of a text depends on the tokens after it."""
    last = seen[
        max((site for site in seen if site.kind == "resid_post"), key=lambda site: site.layer)
    ].after.float()
    apart = SiteEquation("", "", last[:1, :SHARED_TOKENS], last[1:, :SHARED_TOKENS]).off()
    if apart > 10 * tolerance:
        raise BadInput(
            f"{type(model).__name__} is no causal model as it is configured: what it makes of a"
            " token changes with later tokens; where its config.json has is_decoder, set it to"
            " true"
        )
