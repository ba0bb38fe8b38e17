"""Find the sites of a causal model by its structure: which modules' inputs and outputs add up to
the residual stream.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gloss.errors import BadInput
from gloss.models.structure.layout import Layer, Layout, ModuleSide, SiteLocation
from gloss.models.structure.placement import compute_device
from gloss.models.structure.recording import (
    OWN_TOKENS,
    SHARED_TOKENS,
    HeldTensor,
    ModuleCall,
    PassRecording,
    record_pass,
)
from gloss.models.structure.transformers_types import PreTrainedModel

TOKENS = 2 * (SHARED_TOKENS + OWN_TOKENS)
ROUNDINGS = 4  # rounding units that the two sides of a sum may differ by
ATTENTION = re.compile(r"att(?:n|ention)", re.IGNORECASE)  # linear attention too
FEED_FORWARD = re.compile(r"mlp|ff|feed_?forward|moe|expert|\bfc\d|dense", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class StreamSum:
    """target == carry * base + scale * (what these calls gave)."""

    givers: tuple[ModuleCall, ...]  # that gave the same numbers, in the order in which they ended
    carry: float = 1.0
    scale: float = 1.0


def discover_layout(model: PreTrainedModel) -> Layout:
    """The layout of a model, found in one shaken pass.

    Raises BadInput for one without a residual stream to follow.
    """
    recording = record_pass(model)
    blocks = find_blocks(model, recording)
    constants = tuple(stated_fractions(model.config.get_text_config().to_dict()))
    layers = tuple(SiteFinder(recording, block, constants).layer_sites() for block in blocks)
    return Layout(layers, *find_head(model, recording, blocks[-1]))


def find_blocks(model: PreTrainedModel, recording: PassRecording) -> list[ModuleCall]:
    """The calls of the decoder's layers: the longest list of modules each of which gets what the
    one before it gave.

    Raises BadInput where no list of modules passes a residual stream on, saying what the likeliest
    list does instead.
    """
    chains: list[list[ModuleCall]] = []
    broken: list[tuple[int, str]] = []
    for path, module in model.named_modules():
        if not isinstance(module, nn.ModuleList | nn.Sequential) or not len(module):
            continue
        runs = [
            call for call in recording.calls if re.fullmatch(re.escape(path) + r"\.\d+", call.path)
        ]
        if not runs:
            continue
        if reason := broken_chain_reason(runs, recording):
            broken.append((len(runs), f"{path}: {reason}"))
        else:
            chains.append(sorted(runs, key=lambda call: call.begun))
    if not chains:
        likeliest = max(broken, default=(0, "it has no list of layers that a pass goes through"))[1]
        raise BadInput(
            f"{type(model).__name__} has no residual stream that can be followed from layer to"
            f" layer: {likeliest}"
        )
    return max(chains, key=len)


def broken_chain_reason(runs: Sequence[ModuleCall], recording: PassRecording) -> str | None:
    """Why these calls are no layers that pass a residual stream on; None where they are."""
    for call in runs:
        if recording.times[call.path] > 1:
            return (
                f"a pass goes through {call.path.rpartition('.')[2]} {recording.times[call.path]}"
                " times"
            )
        for what, tensor in (("gets", call.got), ("gives", call.gave)):
            if tensor is None:
                return f"a layer {what} no tensor of activations"
            if tensor.vectors is None or len(tensor.shape) != 3 or len(tensor.vectors) != TOKENS:
                return (
                    f"a layer {what} a tensor of shape {tensor.shape}, wanted one vector of the"
                    " model's width a token"
                )
    for before, after in pairwise(runs):
        if before.gave is None or not before.gave.equals(after.got):
            return f"what {after.path} gets is not what {before.path} gave"
    return None


def find_head(
    model: PreTrainedModel, recording: PassRecording, last: ModuleCall
) -> tuple[bool, str | None]:
    """Whether the output embedding reads the residual stream, and the norm that it reads it
    through, if any.
    """
    head = model.get_output_embeddings()
    read = next((call.got for call in recording.calls if call.module is head), None)
    if read is None or read.vectors is None:
        return False, None
    if read.equals(last.gave):
        return True, None
    norm = next(
        (call for call in recording.calls if is_norm(call) and same_numbers(call.got, last.gave)),
        None,
    )
    if norm is None or norm.gave is None or norm.gave.vectors is None:
        return False, None
    alike = torch.nn.functional.cosine_similarity(
        norm.gave.vectors.flatten(), read.vectors.flatten(), dim=0
    )
    # some models divide what the norm gives by a constant
    return bool(alike > 1 - 100 * recording.eps), norm.path


class SiteFinder:
    """Finds the sites of one layer in what was recorded of it."""

    def __init__(
        self, recording: PassRecording, block: ModuleCall, constants: Sequence[float]
    ) -> None:
        self.recording = recording
        self.block = block
        self.constants = constants  # of the configuration, where scales come from
        self.inner = [call for call in recording.calls if call.within(block)]
        assert block.got is not None
        assert block.gave is not None
        self.enters, self.leaves = block.got, block.gave

    def layer_sites(self) -> Layer:
        """The layer's sites."""
        width = self.enters.shape[-1]
        self.locations = {
            "resid_pre": SiteLocation(self.block.path, ModuleSide.INPUT, width),
            "resid_post": SiteLocation(self.block.path, ModuleSide.OUTPUT, width),
        }
        self.missing: dict[str, str] = {}
        self.fixed: dict[str, str] = {}
        self.norms: dict[str, str | None] = {}
        self.head_width: int | None = None
        attention, mlp, middle = self.layer_parts()
        carry = 1.0
        if middle is not None:
            self.put_middle(middle, mlp)
        if attention is not None:
            self.put_part("attn", attention, attention.scale)
        if mlp is not None:
            carry = mlp.carry
            self.put_part("mlp", mlp, mlp.scale / mlp.carry)
            self.put_mlp_in(mlp, middle)
        self.explain_missing(attention, mlp)
        return Layer(
            self.block.path,
            self.locations,
            self.missing,
            self.fixed,
            carry,
            self.norms.get("before_mlp"),
            self.norms.get("mlp"),
            self.norms.get("attn"),
            self.head_width,
        )

    # -- which sums the layer is made of

    def layer_parts(self) -> tuple[StreamSum | None, StreamSum | None, HeldTensor | None]:
        """What attention adds, what the MLP adds, and the stream between them, as far as they are
        there.
        """
        best: tuple[StreamSum | None, StreamSum | None, HeldTensor | None] = (None, None, None)
        for middle, since in self.middle_streams():
            before = [call for call in self.inner if call.ended < since]
            after = [call for call in self.inner if call.begun >= since]
            first = self.sum_of(middle, self.enters, before)
            second = self.sum_of(self.leaves, middle, after)
            if first and second:
                return self.name_parts(first, second, middle)
            if (
                second
                and self.matches_hint(FEED_FORWARD, second.givers)
                and not self.matches_hint(ATTENTION, second.givers)
            ):
                best = (None, second, middle)
            elif (
                first
                and self.matches_hint(ATTENTION, first.givers)
                and best[2] is None
                and first.carry == 1
            ):
                best = (first, None, middle)
        if alone := self.sum_of(self.leaves, self.enters, self.inner):
            if self.matches_hint(ATTENTION, alone.givers):
                return alone, None, None
            return (
                (None, alone, None)
                if self.matches_hint(FEED_FORWARD, alone.givers)
                else (None, None, None)
            )
        return self.parallel_parts() or best

    def name_parts(
        self, first: StreamSum, second: StreamSum, middle: HeldTensor
    ) -> tuple[StreamSum | None, StreamSum | None, HeldTensor | None]:
        """Two sums in turn: an attention and an MLP, or something that mixes tokens in another way
        and an MLP.
        """
        attends = self.matches_hint(ATTENTION, first.givers)
        if self.matches_hint(ATTENTION, second.givers) and not attends:
            self.missing["resid_mid"] = "the MLP comes before attention"
            return second, first, None
        return first if attends and first.carry == 1 else None, second, middle

    def middle_streams(self) -> Iterator[tuple[HeldTensor, int]]:
        """The streams that modules within the layer get, other than what enters and leaves it, and
        when each is got first.
        """
        seen: list[HeldTensor] = [self.enters, self.leaves]
        for call in sorted(self.inner, key=lambda call: call.begun):
            got = call.got
            if got is None or not self.is_stream(got) or any(got.equals(each) for each in seen):
                continue
            seen.append(got)
            yield got, call.begun

    def parallel_parts(self) -> tuple[StreamSum, StreamSum, None] | None:
        """Attention and MLP of a layer in which they run in parallel."""
        groups = list(self.equal_calls(self.inner))
        attentions = [group for group in groups if self.matches_hint(ATTENTION, group)]
        others = [group for group in groups if group not in attentions]
        pairs = [(attention, mlp) for attention in attentions for mlp in others]
        terms = [
            (self.enters.vectors, given_vectors(attention[0]), given_vectors(mlp[0]))
            for attention, mlp in pairs
        ]
        found = self.nearest_terms(self.leaves, terms)
        if found is None:
            return None
        (attention, mlp), (carry, of_attention, of_mlp) = pairs[found[0]], found[1]
        return StreamSum(attention, 1.0, of_attention / carry), StreamSum(mlp, carry, of_mlp), None

    def matches_hint(self, hint: re.Pattern[str], givers: tuple[ModuleCall, ...]) -> bool:
        """Whether paths or classes of what gives these numbers, but for a norm after it, match the
        hint.
        """
        _, raw = self.before_norm(givers)
        names = " ".join(
            f"{call.path.removeprefix(self.block.path)} {type(call.module).__name__}"
            for call in raw or givers
        )
        return hint.search(names) is not None

    def before_norm(
        self, givers: tuple[ModuleCall, ...]
    ) -> tuple[ModuleCall | None, tuple[ModuleCall, ...]]:
        """The norm that gives these numbers, if one does, and the calls that give what it gets."""
        norm = next(
            (call for call in givers if is_norm(call) and not same_numbers(call.got, call.gave)),
            None,
        )
        if norm is None:
            return None, givers
        return norm, next(
            (
                group
                for group in self.equal_calls(self.inner)
                if same_numbers(group[0].gave, norm.got)
            ),
            (),
        )

    def sum_of(
        self, target: HeldTensor, base: HeldTensor, calls: Iterable[ModuleCall]
    ) -> StreamSum | None:
        """The calls whose output, added to the base, makes the target."""
        others = [
            group for group in self.equal_calls(calls) if not same_numbers(group[0].gave, target)
        ]
        terms = [(base.vectors, given_vectors(group[0])) for group in others]
        found = self.nearest_terms(target, terms)
        return StreamSum(others[found[0]], *found[1]) if found else None

    def equal_calls(self, calls: Iterable[ModuleCall]) -> Iterator[tuple[ModuleCall, ...]]:
        """Calls that gave the same numbers, as wide as the stream.

        Those of modules that ran more than once are left out.
        """
        found: list[list[ModuleCall]] = []
        for call in calls:
            if call.gave is None or not self.is_stream(call.gave):
                continue
            own = next((group for group in found if call.gave.equals(group[0].gave)), None)
            if own is None:
                found.append(own := [])
            own.append(call)
        return (tuple(group) for group in found)

    def nearest_terms(
        self, target: HeldTensor, candidates: Sequence[Sequence[Tensor | None]]
    ) -> tuple[int, tuple[float, ...]] | None:
        """Which terms make the target, number for number, and by which numbers they must be taken:
        by 1 where that does.
        """
        assert target.vectors is not None
        wanted = target.vectors.double()
        for solve in (self.unit_weights, self.fitted_weights):
            best: tuple[float, int, tuple[float, ...]] | None = None
            for index, candidate in enumerate(candidates):
                terms = [term.double() for term in candidate if term is not None]
                numbers = solve(wanted, terms)
                off = self.distance(wanted, terms, numbers) if numbers else float("inf")
                if numbers and off <= ROUNDINGS and (best is None or off < best[0]):
                    best = (off, index, numbers)
            if best is not None:
                return best[1], best[2]
        return None

    def unit_weights(self, _: Tensor, terms: Sequence[Tensor]) -> tuple[float, ...]:
        """Each term as it is."""
        return (1.0,) * len(terms)

    def fitted_weights(self, target: Tensor, terms: Sequence[Tensor]) -> tuple[float, ...] | None:
        """The numbers that bring the terms nearest to the target; None where some term hardly
        counts.
        """
        matrix = torch.stack([term.flatten() for term in terms], dim=1)
        if not bool(torch.isfinite(matrix).all()) or not bool(torch.isfinite(target).all()):
            return None
        solved = torch.linalg.lstsq(matrix, target.flatten()[:, None]).solution[:, 0].tolist()
        return (
            None
            if min(abs(number) for number in solved) < 1e-4
            else tuple(self.snapped(number) for number in solved)
        )

    def snapped(self, number: float) -> float:
        """1, a number of the configuration or a short one, where one is as near as rounding lets us
        see.
        """
        known = (1.0, *self.constants, *(float(f"{number:.{digits}g}") for digits in range(1, 7)))
        return next(
            (each for each in known if abs(each - number) <= 4 * self.recording.eps * abs(number)),
            number,
        )

    def distance(self, target: Tensor, terms: Sequence[Tensor], numbers: Sequence[float]) -> float:
        """The most roundings by which any number of the sum differs from the target's."""
        parts = [term * number for term, number in zip(terms, numbers, strict=True)]
        total = torch.stack(parts)
        unit = self.recording.eps * (total.abs().sum(0) + target.abs()) + 1e-30
        return float(((total.sum(0) - target).abs() / unit).max())

    # -- where the sites of each part lie

    def put_middle(self, middle: HeldTensor, mlp: StreamSum | None) -> None:
        getters = [call for call in self.inner if call.got is not None and call.got.equals(middle)]
        outermost = [call for call in getters if not any(call.within(other) for other in getters)]
        location = next((call for call in outermost if self.recording.times[call.path] == 1), None)
        if location is None:
            self.missing["resid_mid"] = "what gets it runs several times in a pass"
            return
        self.locations["resid_mid"] = SiteLocation(
            location.path, ModuleSide.INPUT, self.enters.shape[-1]
        )
        if len(outermost) > 1:
            self.fixed["resid_mid"] = f"{len(outermost)} modules get it"
        elif mlp is None:
            self.fixed["resid_mid"] = "what the layer adds after it is not known as mlp_out"

    def put_part(self, what: str, part: StreamSum, scale: float) -> None:
        """`attn_out`, `attn_raw` and `z`, or `mlp_out`, `mlp_raw` and `mlp_act`."""
        width = self.enters.shape[-1]
        givers = self.singles(part.givers)
        if not givers:
            self.missing[f"{what}_out"] = f"{part.givers[-1].path} runs several times in a pass"
            return
        self.locations[f"{what}_out"] = SiteLocation(
            givers[-1].path, ModuleSide.OUTPUT, width, scale
        )
        norm, raw = self.before_norm(part.givers)
        self.norms[what] = norm.path if norm else None
        givers = self.singles(raw)
        if not givers:
            self.missing[f"{what}_raw"] = "no module gives what the norm gets"
            return
        self.locations[f"{what}_raw"] = SiteLocation(givers[-1].path, ModuleSide.OUTPUT, width)
        self.put_hidden("mlp_act" if what == "mlp" else "z", givers)

    def put_hidden(self, kind: str, givers: Sequence[ModuleCall]) -> None:
        """What the last projection gets: the neurons, or the heads."""
        projection = next((call for call in givers if is_projection(call)), None)
        if projection is None:
            self.missing[kind] = (
                f"what the {'MLP' if kind == 'mlp_act' else 'attention'} gives is not one matrix"
                " times something"
            )
            return
        assert projection.got is not None
        self.locations[kind] = SiteLocation(
            projection.path, ModuleSide.INPUT, projection.got.shape[-1]
        )
        if kind == "z":
            self.head_width = find_head_width(self.recording, projection)

    def put_mlp_in(self, mlp: StreamSum, middle: HeldTensor | None) -> None:
        """What the MLP gets: the input of the module that gives mlp_raw, or what the norm before it
        gives.
        """
        stream = middle or self.enters
        norms = [
            call
            for call in self.inner
            if is_norm(call) and call.got is not None and call.got.equals(stream)
        ]
        raw = self.locations.get("mlp_raw")
        whole = None if raw is None else self.recording.once(raw.path)
        if whole is not None and whole.got is not None and not is_projection(whole):
            norm = next((call for call in norms if whole.got.equals(call.gave)), None)
            if norm is not None or whole.got.equals(stream):
                self.locations["mlp_in"] = SiteLocation(
                    whole.path, ModuleSide.INPUT, whole.got.shape[-1]
                )
                self.norms["before_mlp"] = norm.path if norm else None
                return
        if middle is not None and len(singles := self.singles(norms)) == 1:
            self.locations["mlp_in"] = SiteLocation(
                singles[0].path, ModuleSide.OUTPUT, self.enters.shape[-1]
            )
            self.norms["before_mlp"] = singles[0].path
            return
        self.missing["mlp_in"] = "no module gets it alone"

    def singles(self, calls: Iterable[ModuleCall]) -> list[ModuleCall]:
        """The calls of modules that ran once and did something.

        Dropout, which does nothing here, only where nothing else is.
        """
        once = [call for call in calls if self.recording.times[call.path] == 1]
        return [call for call in once if not same_numbers(call.got, call.gave)] or once

    def is_stream(self, held: HeldTensor) -> bool:
        """Whether this is one vector of the stream's width for each token."""
        return held.vectors is not None and len(held.vectors) == TOKENS

    def explain_missing(self, attention: StreamSum | None, mlp: StreamSum | None) -> None:
        """A reason for each kind that has no place."""
        reasons = {"attn": "attention does not give all that the layer adds to resid_pre"}
        if not any(self.matches_hint(ATTENTION, (call,)) for call in self.inner):
            reasons["attn"] = "the layer has no attention"
        reasons["mlp"] = "the MLP does not give all that the layer adds after resid_mid"
        if any(is_norm(call) and same_numbers(call.gave, self.leaves) for call in self.inner):
            reasons["mlp"] = "the layer norms what leaves it, so that nothing adds up to resid_post"
        elif not any(self.matches_hint(FEED_FORWARD, (call,)) for call in self.inner):
            reasons["mlp"] = "the layer has no MLP"
        for what, part, kinds in (
            ("attn", attention, ("attn_out", "attn_raw", "z")),
            ("mlp", mlp, ("mlp_out", "mlp_raw", "mlp_act", "mlp_in")),
        ):
            for kind in kinds:
                if kind not in self.locations and part is None:
                    self.missing.setdefault(kind, reasons[what])
        if "resid_mid" not in self.locations:
            reason = "no module gets resid_pre with one part of the layer added"
            if attention is not None and mlp is not None:
                reason = (
                    "attention and MLP run in parallel on resid_pre, so nothing lies between them"
                )
            self.missing.setdefault("resid_mid", reason)


def same_numbers(one: HeldTensor | None, other: HeldTensor | None) -> bool:
    """Whether both are there and hold the same numbers."""
    return one is not None and one.equals(other)


def given_vectors(call: ModuleCall) -> Tensor:
    """What a call gave, as recorded."""
    assert call.gave is not None
    assert call.gave.vectors is not None
    return call.gave.vectors


def is_norm(call: ModuleCall) -> bool:
    """Whether the module normalises: no parts, no matrix, a name that says so."""
    own = list(call.module.parameters())
    return (
        all(parameter.ndim < 2 for parameter in own)
        and "norm" in type(call.module).__name__.lower()
        and call.gave is not None
    )


def is_projection(call: ModuleCall) -> bool:
    """Whether the module is one matrix, with or without a bias, and its input is one vector a
    token.
    """
    if (
        any(True for _ in call.module.children())
        or call.got is None
        or not 2 <= len(call.got.shape) <= 3
    ):
        return False
    weight = getattr(call.module, "weight", None)
    return (
        isinstance(weight, Tensor)
        and weight.ndim == 2
        and is_affine(call.module, list(call.got.shape)[-1])
    )


@torch.no_grad()
def is_affine(module: nn.Module, width: int) -> bool:
    """Whether twice the input gives twice the output, but for a constant."""
    like = next(module.parameters())
    kind = like.dtype if like.dtype.is_floating_point else torch.float32
    x = torch.randn(1, width, generator=torch.Generator().manual_seed(0))
    x = x.to(compute_device(module, like.device), kind)
    nothing, once, twice = (module(each) for each in (torch.zeros_like(x), x, 2 * x))
    wanted = (2 * once - nothing).float()
    return bool(((twice.float() - wanted).norm() <= 0.02 * wanted.norm()).item()) or not bool(
        wanted.any()
    )


def find_head_width(recording: PassRecording, projection: ModuleCall) -> int | None:
    """How many numbers one head gives, as the attention module says; None where it does not."""
    width = projection.got.shape[-1] if projection.got else 0
    path = projection.path
    while path := path.rpartition(".")[0]:
        call = recording.once(path)
        for name in (
            "v_head_dim",
            "head_v_dim",
            "head_dim",
            "attention_head_size",
            "head_size",
            "kv_channels",
            "d_head",
        ):
            size: Any = getattr(call.module, name, None) if call else None
            if isinstance(size, int) and size > 0 and width % size == 0:
                return size
    return None


def stated_fractions(settings: dict[str, Any]) -> Iterator[float]:
    """The fractions that a configuration states."""
    for value in settings.values():
        if isinstance(value, float) and value:
            yield value
