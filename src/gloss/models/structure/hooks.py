"""Reading and editing in one forward pass, by plain torch hooks: all that is done at one place is
done by one hook.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from gloss.errors import Mismatch
from gloss.models.sites import Site, parts_of
from gloss.models.structure.forward_pass import first_input, first_output
from gloss.models.structure.layout import Anatomy, ModuleSide, SitePoint

Activation = Float[Tensor, "sequence position _"]
Edit = Callable[[Tensor], Tensor]
"""Gets what is at a site, `[sequence, position, width]`, gives what shall be there instead.

It gives the same shape and may change its argument in place. What it gives is brought to the type
and device of what it got.
"""


class _Finished(Exception):
    """Every place has been reached and nobody wants the rest of the pass."""


@dataclass(slots=True)
class SiteTap:
    """What happens at one point: first the edits in their order, then the reads, which see what the
    edits gave.
    """

    edits: list[tuple[Site, Edit]] = field(default_factory=list[tuple[Site, Edit]])
    reads: list[Site] = field(default_factory=list[Site])


@contextmanager
def tap_sites(
    anatomy: Anatomy,
    sequences: int,
    read: Sequence[Site],
    edits: Mapping[Site, Edit],
    *,
    to_the_end: bool,
) -> Generator[dict[Site, Activation], None, None]:
    """Within it a forward pass over so many sequences fills the dictionary and applies the edits.

    Afterwards no hook is left. Unless it shall run `to_the_end`, the pass is broken off after the
    last read and the last edit. Raises Mismatch for a site that the model does not have or cannot
    have edited, and for an edit that changes the shape.
    """
    taps = collect_taps(anatomy, read, edits)
    taken: dict[Site, Activation] = {}
    outstanding = set(taps)
    handles: list[RemovableHandle] = []

    def visit(point: SitePoint, x: Activation) -> Activation:
        for site, edit in taps[point].edits:
            x = apply_edit(site, edit, x)
        for site in taps[point].reads:
            taken[site] = x.clone() if point.overwritten else x
        outstanding.discard(point)
        if not outstanding and not to_the_end:
            raise _Finished
        return x

    try:
        for point in sorted(
            taps, key=lambda point: point.scale != 1
        ):  # of two sites at one module, the one before the scale first
            handles.append(hook_point(point, partial(visit, point), sequences))
        for site in edits:
            if site.kind == "resid_mid":
                handles += carry_past_the_mlp(anatomy, site.layer, sequences)
        yield taken
    except _Finished:
        pass
    finally:
        for handle in handles:
            handle.remove()


def collect_taps(
    anatomy: Anatomy, read: Sequence[Site], edits: Mapping[Site, Edit]
) -> dict[SitePoint, SiteTap]:
    """What is wanted at each point; two names of one place share a tap."""
    taps: dict[SitePoint, SiteTap] = {}
    for site, edit in edits.items():
        anatomy.check_edit(site)
        taps.setdefault(anatomy.point(site), SiteTap()).edits.append((site, edit))
    for site in dict.fromkeys(part for each in read for part in parts_of(each)):
        taps.setdefault(anatomy.point(site), SiteTap()).reads.append(site)
    return taps


def taken_at(taken: Mapping[Site, Activation], read: Iterable[Site]) -> dict[Site, Activation]:
    """What was at these sites; of several together side by side, where the first one is."""
    found: dict[Site, Activation] = {}
    for site in read:
        first, *others = [taken[part] for part in parts_of(site)]
        found[site] = (
            torch.cat([first, *(each.to(first) for each in others)], dim=-1) if others else first
        )
    return found


def apply_edit(site: Site, edit: Edit, x: Activation) -> Activation:
    """What the edit gives, checked.

    The edit gets a copy, so that one that works in place does not change earlier reads.
    """
    y = edit(x.clone())
    if not isinstance(y, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  # a forgotten `return` gives None
        raise Mismatch(
            f"the edit at {site} gave {type(y).__name__}, wanted a tensor of shape {tuple(x.shape)}"
        )
    if y.shape != x.shape:
        raise Mismatch(
            f"the edit at {site} gave a tensor of shape {tuple(y.shape)}, wanted {tuple(x.shape)}"
        )
    return y.to(x)


def hook_point(
    point: SitePoint, visit: Callable[[Tensor], Tensor], sequences: int, *, first: bool = False
) -> RemovableHandle:
    """Let `visit` replace what goes in or comes out of a module (of several values, the first),
    before other hooks if `first`.

    `visit` gets `[sequence, position, width]` at the site's own scale, whatever the module holds.
    """

    def exchange(held: Tensor) -> Tensor:
        x = held if held.ndim == 3 else held.view(sequences, -1, held.shape[-1])
        if point.scale == 1:
            return visit(x).view(held.shape)
        scaled = x * point.scale
        y = visit(scaled)
        return (
            held if y is scaled else torch.where(y == scaled, x, y / point.scale).view(held.shape)
        )

    if point.side is ModuleSide.INPUT:

        def before(
            _: object, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            found = first_input(args, kwargs)
            assert found is not None
            slot, x = found
            if isinstance(slot, int):
                return (*args[:slot], exchange(x), *args[slot + 1 :]), kwargs
            return args, kwargs | {slot: exchange(x)}

        return point.module.register_forward_pre_hook(before, prepend=first, with_kwargs=True)

    def after(_: object, __: object, output: Any) -> Any:
        x = first_output(output)
        assert x is not None
        return (
            type(output)((exchange(x), *output[1:]))
            if isinstance(output, tuple | list)
            else exchange(x)
        )

    return point.module.register_forward_hook(after, prepend=first)


def carry_past_the_mlp(anatomy: Anatomy, layer: int, sequences: int) -> list[RemovableHandle]:
    """Make an edit of resid_mid, hooked already, reach the layer's end.

    Its point is the input of what reads it before the MLP, but the residual stream goes past that:
    an edit there alone would change only what the MLP sees. So the layer's output is summed anew
    from the edited stream, as the model sums it.
    """
    held: dict[str, Tensor] = {}
    carry = anatomy.layout.layers[layer].carry

    def keep(name: str, x: Tensor) -> Tensor:
        held[name] = x
        return x

    def sum_anew(x: Tensor) -> Tensor:
        before, stream, contribution = (
            held.pop(name).to(x.device) for name in ("before", "stream", "contribution")
        )
        return torch.where(stream == before, x, ((stream + contribution) * carry).to(x))

    middle = anatomy.point(Site("resid_mid", layer))
    return [
        hook_point(middle, partial(keep, "before"), sequences, first=True),
        hook_point(middle, partial(keep, "stream"), sequences),
        hook_point(anatomy.point(Site("mlp_out", layer)), partial(keep, "contribution"), sequences),
        hook_point(anatomy.point(Site("resid_post", layer)), sum_anew, sequences, first=True),
    ]
