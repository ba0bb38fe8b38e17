"""Find the sites of a causal model by its structure: which modules' inputs and outputs add up to the residual stream."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gloss.errors import BadInput
from gloss.models.foreign import PreTrainedModel
from gloss.models.layout import Layer, Layout, Place, Side
from gloss.models.recording import OWN, SAME, Call, Held, Recording, record

TOKENS = 2 * (SAME + OWN)
ROUNDINGS = 4  # rounding units that the two sides of a sum may differ by
ATTENTION = re.compile(r"att(?:n|ention)", re.IGNORECASE)  # linear attention too
FEED_FORWARD = re.compile(r"mlp|ff|feed_?forward|moe|expert|\bfc\d|dense", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sum:
    """target == carry * base + scale * (what these calls gave)."""

    givers: tuple[Call, ...]  # that gave the same numbers, in the order in which they ended
    carry: float = 1.0
    scale: float = 1.0


def discover(model: PreTrainedModel) -> Layout:
    """The layout of a model, found in one shaken pass. Raises BadInput for one without a residual stream to follow."""
    recording = record(model)
    blocks = find_blocks(model, recording)
    constants = tuple(numbers_in(model.config.get_text_config().to_dict()))
    layers = tuple(Finder(recording, block, constants).layer() for block in blocks)
    return Layout(layers, *find_head(model, recording, blocks[-1]))


def find_blocks(model: PreTrainedModel, recording: Recording) -> list[Call]:
    """The calls of the decoder's layers: the longest list of modules each of which gets what the one before it gave.

    Raises BadInput where no list of modules passes a residual stream on, saying what the likeliest list does instead.
    """
    chains: list[list[Call]] = []
    broken: list[tuple[int, str]] = []
    for path, module in model.named_modules():
        if not isinstance(module, nn.ModuleList | nn.Sequential) or not len(module):
            continue
        runs = [call for call in recording.calls if re.fullmatch(re.escape(path) + r"\.\d+", call.path)]
        if not runs:
            continue
        if reason := unchained(runs, recording):
            broken.append((len(runs), f"{path}: {reason}"))
        else:
            chains.append(sorted(runs, key=lambda call: call.begun))
    if not chains:
        likeliest = max(broken, default=(0, "it has no list of layers that a pass goes through"))[1]
        raise BadInput(f"{type(model).__name__} has no residual stream that can be followed from layer to layer: {likeliest}")
    return max(chains, key=len)


def unchained(runs: Sequence[Call], recording: Recording) -> str | None:
    """Why these calls are no layers that pass a residual stream on; None where they are."""
    for call in runs:
        if recording.times[call.path] > 1:
            return f"a pass goes through {call.path.rpartition('.')[2]} {recording.times[call.path]} times"
        for what, tensor in (("gets", call.got), ("gives", call.gave)):
            if tensor is None:
                return f"a layer {what} no tensor of activations"
            if tensor.vectors is None or len(tensor.shape) != 3 or len(tensor.vectors) != TOKENS:
                return f"a layer {what} a tensor of shape {tensor.shape}, wanted one vector of the model's width a token"
    for before, after in pairwise(runs):
        if before.gave is None or not before.gave.equals(after.got):
            return f"what {after.path} gets is not what {before.path} gave"
    return None


def find_head(model: PreTrainedModel, recording: Recording, last: Call) -> tuple[bool, str | None]:
    """Whether the output embedding reads the residual stream, straight or through a norm; and that norm."""
    head = model.get_output_embeddings()
    read = next((call.got for call in recording.calls if call.module is head), None)
    if read is None or read.vectors is None:
        return False, None
    if read.equals(last.gave):
        return True, None
    norm = next((call for call in recording.calls if is_norm(call) and same(call.got, last.gave)), None)
    if norm is None or norm.gave is None or norm.gave.vectors is None:
        return False, None
    alike = torch.nn.functional.cosine_similarity(norm.gave.vectors.flatten(), read.vectors.flatten(), dim=0)
    return bool(alike > 1 - 100 * recording.eps), norm.path  # some models divide what the norm gives by a constant


class Finder:
    """Finds the sites of one layer in what was recorded of it."""

    def __init__(self, recording: Recording, block: Call, constants: Sequence[float]) -> None:
        self.recording = recording
        self.block = block
        self.constants = constants  # of the configuration, where scales come from
        self.inner = [call for call in recording.calls if call.within(block)]
        assert block.got is not None
        assert block.gave is not None
        self.enters, self.leaves = block.got, block.gave

    def layer(self) -> Layer:
        """The layer's sites."""
        width = self.enters.shape[-1]
        self.places = {
            "resid_pre": Place(self.block.path, Side.INPUT, width),
            "resid_post": Place(self.block.path, Side.OUTPUT, width),
        }
        self.missing: dict[str, str] = {}
        self.fixed: dict[str, str] = {}
        self.norms: dict[str, str | None] = {}
        self.head_width: int | None = None
        attention, mlp, middle = self.parts()
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
            self.block.path, self.places, self.missing, self.fixed, carry,
            self.norms.get("before_mlp"), self.norms.get("mlp"), self.norms.get("attn"), self.head_width,
        )  # fmt: skip

    # -- which sums the layer is made of

    def parts(self) -> tuple[Sum | None, Sum | None, Held | None]:
        """What attention adds, what the MLP adds, and the stream between them, as far as they are there."""
        best: tuple[Sum | None, Sum | None, Held | None] = (None, None, None)
        for middle, since in self.middles():
            before = [call for call in self.inner if call.ended < since]
            after = [call for call in self.inner if call.begun >= since]
            first = self.sum_of(middle, self.enters, before)
            second = self.sum_of(self.leaves, middle, after)
            if first and second:
                return self.named(first, second, middle)
            if second and self.says(FEED_FORWARD, second.givers) and not self.says(ATTENTION, second.givers):
                best = (None, second, middle)
            elif first and self.says(ATTENTION, first.givers) and best[2] is None and first.carry == 1:
                best = (first, None, middle)
        if alone := self.sum_of(self.leaves, self.enters, self.inner):
            if self.says(ATTENTION, alone.givers):
                return alone, None, None
            return (None, alone, None) if self.says(FEED_FORWARD, alone.givers) else (None, None, None)
        return self.both() or best

    def named(self, first: Sum, second: Sum, middle: Held) -> tuple[Sum | None, Sum | None, Held | None]:
        """Two sums in turn: an attention and an MLP, or something that mixes tokens in another way and an MLP."""
        attends = self.says(ATTENTION, first.givers)
        if self.says(ATTENTION, second.givers) and not attends:
            self.missing["resid_mid"] = "the MLP comes before attention"
            return second, first, None
        return first if attends and first.carry == 1 else None, second, middle

    def middles(self) -> Iterator[tuple[Held, int]]:
        """The streams that modules within the layer get, other than what enters and leaves it, and when each is got first."""
        seen: list[Held] = [self.enters, self.leaves]
        for call in sorted(self.inner, key=lambda call: call.begun):
            got = call.got
            if got is None or not self.is_stream(got) or any(got.equals(each) for each in seen):
                continue
            seen.append(got)
            yield got, call.begun

    def both(self) -> tuple[Sum, Sum, None] | None:
        """Attention and MLP of a layer in which they run in parallel."""
        groups = list(self.groups(self.inner))
        attentions = [group for group in groups if self.says(ATTENTION, group)]
        others = [group for group in groups if group not in attentions]
        pairs = [(attention, mlp) for attention in attentions for mlp in others]
        terms = [(self.enters.vectors, vectors(attention[0]), vectors(mlp[0])) for attention, mlp in pairs]
        found = self.nearest(self.leaves, terms)
        if found is None:
            return None
        (attention, mlp), (carry, of_attention, of_mlp) = pairs[found[0]], found[1]
        return Sum(attention, 1.0, of_attention / carry), Sum(mlp, carry, of_mlp), None

    def says(self, hint: re.Pattern[str], givers: tuple[Call, ...]) -> bool:
        """Whether paths or classes of what gives these numbers, but for a norm after it, match the hint."""
        _, raw = self.before_norm(givers)
        names = " ".join(f"{call.path.removeprefix(self.block.path)} {type(call.module).__name__}" for call in raw or givers)
        return hint.search(names) is not None

    def before_norm(self, givers: tuple[Call, ...]) -> tuple[Call | None, tuple[Call, ...]]:
        """The norm that gives these numbers, if one does, and the calls that give what it gets."""
        norm = next((call for call in givers if is_norm(call) and not same(call.got, call.gave)), None)
        if norm is None:
            return None, givers
        return norm, next((group for group in self.groups(self.inner) if same(group[0].gave, norm.got)), ())

    def sum_of(self, target: Held, base: Held, calls: Iterable[Call]) -> Sum | None:
        """The calls whose output, added to the base, makes the target."""
        others = [group for group in self.groups(calls) if not same(group[0].gave, target)]
        terms = [(base.vectors, vectors(group[0])) for group in others]
        found = self.nearest(target, terms)
        return Sum(others[found[0]], *found[1]) if found else None

    def groups(self, calls: Iterable[Call]) -> Iterator[tuple[Call, ...]]:
        """Calls that gave the same numbers, as wide as the stream; those of modules that ran more than once are left out."""
        found: list[list[Call]] = []
        for call in calls:
            if call.gave is None or not self.is_stream(call.gave):
                continue
            own = next((group for group in found if call.gave.equals(group[0].gave)), None)
            if own is None:
                found.append(own := [])
            own.append(call)
        return (tuple(group) for group in found)

    def nearest(self, target: Held, candidates: Sequence[Sequence[Tensor | None]]) -> tuple[int, tuple[float, ...]] | None:
        """Which terms make the target, number for number, and by which numbers they must be taken: by 1 where that does."""
        assert target.vectors is not None
        wanted = target.vectors.double()
        for solve in (self.ones, self.weights):
            best: tuple[float, int, tuple[float, ...]] | None = None
            for index, candidate in enumerate(candidates):
                terms = [term.double() for term in candidate if term is not None]
                numbers = solve(wanted, terms)
                off = self.off(wanted, terms, numbers) if numbers else float("inf")
                if numbers and off <= ROUNDINGS and (best is None or off < best[0]):
                    best = (off, index, numbers)
            if best is not None:
                return best[1], best[2]
        return None

    def ones(self, _: Tensor, terms: Sequence[Tensor]) -> tuple[float, ...]:
        """Each term as it is."""
        return (1.0,) * len(terms)

    def weights(self, target: Tensor, terms: Sequence[Tensor]) -> tuple[float, ...] | None:
        """The numbers that bring the terms nearest to the target; None where some term hardly counts."""
        matrix = torch.stack([term.flatten() for term in terms], dim=1)
        if not bool(torch.isfinite(matrix).all()) or not bool(torch.isfinite(target).all()):
            return None
        solved = torch.linalg.lstsq(matrix, target.flatten()[:, None]).solution[:, 0].tolist()
        return None if min(abs(number) for number in solved) < 1e-4 else tuple(self.snapped(number) for number in solved)

    def snapped(self, number: float) -> float:
        """1, a number of the configuration or a short one, where one is as near as rounding lets us see."""
        known = (1.0, *self.constants, *(float(f"{number:.{digits}g}") for digits in range(1, 7)))
        return next((each for each in known if abs(each - number) <= 4 * self.recording.eps * abs(number)), number)

    def off(self, target: Tensor, terms: Sequence[Tensor], numbers: Sequence[float]) -> float:
        """The most roundings by which any number of the sum differs from the target's."""
        parts = [term * number for term, number in zip(terms, numbers, strict=True)]
        total = torch.stack(parts)
        unit = self.recording.eps * (total.abs().sum(0) + target.abs()) + 1e-30
        return float(((total.sum(0) - target).abs() / unit).max())

    # -- where the sites of each part lie

    def put_middle(self, middle: Held, mlp: Sum | None) -> None:
        getters = [call for call in self.inner if call.got is not None and call.got.equals(middle)]
        outermost = [call for call in getters if not any(call.within(other) for other in getters)]
        place = next((call for call in outermost if self.recording.times[call.path] == 1), None)
        if place is None:
            self.missing["resid_mid"] = "what gets it runs several times in a pass"
            return
        self.places["resid_mid"] = Place(place.path, Side.INPUT, self.enters.shape[-1])
        if len(outermost) > 1:
            self.fixed["resid_mid"] = f"{len(outermost)} modules get it"
        elif mlp is None:
            self.fixed["resid_mid"] = "what the layer adds after it is not known as mlp_out"

    def put_part(self, what: str, part: Sum, scale: float) -> None:
        """`attn_out`, `attn_raw` and `z`, or `mlp_out`, `mlp_raw` and `mlp_act`."""
        width = self.enters.shape[-1]
        givers = self.singles(part.givers)
        if not givers:
            self.missing[f"{what}_out"] = f"{part.givers[-1].path} runs several times in a pass"
            return
        self.places[f"{what}_out"] = Place(givers[-1].path, Side.OUTPUT, width, scale)
        norm, raw = self.before_norm(part.givers)
        self.norms[what] = norm.path if norm else None
        givers = self.singles(raw)
        if not givers:
            self.missing[f"{what}_raw"] = "no module gives what the norm gets"
            return
        self.places[f"{what}_raw"] = Place(givers[-1].path, Side.OUTPUT, width)
        self.put_hidden("mlp_act" if what == "mlp" else "z", givers)

    def put_hidden(self, kind: str, givers: Sequence[Call]) -> None:
        """What the last projection gets: the neurons, or the heads."""
        projection = next((call for call in givers if is_projection(call)), None)
        if projection is None:
            self.missing[kind] = f"what the {'MLP' if kind == 'mlp_act' else 'attention'} gives is not one matrix times something"
            return
        assert projection.got is not None
        self.places[kind] = Place(projection.path, Side.INPUT, projection.got.shape[-1])
        if kind == "z":
            self.head_width = head_width(self.recording, projection)

    def put_mlp_in(self, mlp: Sum, middle: Held | None) -> None:
        """What the MLP gets: the input of the module that gives mlp_raw, or what the norm before it gives."""
        stream = middle or self.enters
        norms = [call for call in self.inner if is_norm(call) and call.got is not None and call.got.equals(stream)]
        raw = self.places.get("mlp_raw")
        whole = None if raw is None else self.recording.once(raw.path)
        if whole is not None and whole.got is not None and not is_projection(whole):
            norm = next((call for call in norms if whole.got.equals(call.gave)), None)
            if norm is not None or whole.got.equals(stream):
                self.places["mlp_in"] = Place(whole.path, Side.INPUT, whole.got.shape[-1])
                self.norms["before_mlp"] = norm.path if norm else None
                return
        if middle is not None and len(singles := self.singles(norms)) == 1:
            self.places["mlp_in"] = Place(singles[0].path, Side.OUTPUT, self.enters.shape[-1])
            self.norms["before_mlp"] = singles[0].path
            return
        self.missing["mlp_in"] = "no module gets it alone"

    def singles(self, calls: Iterable[Call]) -> list[Call]:
        """The calls of modules that ran once and did something; dropout, which does nothing here, only where nothing else is."""
        once = [call for call in calls if self.recording.times[call.path] == 1]
        return [call for call in once if not same(call.got, call.gave)] or once

    def is_stream(self, held: Held) -> bool:
        """Whether this is one vector of the stream's width for each token."""
        return held.vectors is not None and len(held.vectors) == TOKENS

    def explain_missing(self, attention: Sum | None, mlp: Sum | None) -> None:
        """A reason for each kind that has no place."""
        reasons = {"attn": "attention does not give all that the layer adds to resid_pre"}
        if not any(self.says(ATTENTION, (call,)) for call in self.inner):
            reasons["attn"] = "the layer has no attention"
        reasons["mlp"] = "the MLP does not give all that the layer adds after resid_mid"
        if any(is_norm(call) and same(call.gave, self.leaves) for call in self.inner):
            reasons["mlp"] = "the layer norms what leaves it, so that nothing adds up to resid_post"
        elif not any(self.says(FEED_FORWARD, (call,)) for call in self.inner):
            reasons["mlp"] = "the layer has no MLP"
        for what, part, kinds in (
            ("attn", attention, ("attn_out", "attn_raw", "z")),
            ("mlp", mlp, ("mlp_out", "mlp_raw", "mlp_act", "mlp_in")),
        ):
            for kind in kinds:
                if kind not in self.places and part is None:
                    self.missing.setdefault(kind, reasons[what])
        if "resid_mid" not in self.places:
            reason = "no module gets resid_pre with one part of the layer added"
            if attention is not None and mlp is not None:
                reason = "attention and MLP run in parallel on resid_pre, so nothing lies between them"
            self.missing.setdefault("resid_mid", reason)


def same(one: Held | None, other: Held | None) -> bool:
    """Whether both are there and hold the same numbers."""
    return one is not None and one.equals(other)


def vectors(call: Call) -> Tensor:
    """What a call gave, as recorded."""
    assert call.gave is not None
    assert call.gave.vectors is not None
    return call.gave.vectors


def is_norm(call: Call) -> bool:
    """Whether the module normalises: no parts, no matrix, a name that says so."""
    own = list(call.module.parameters())
    return all(parameter.ndim < 2 for parameter in own) and "norm" in type(call.module).__name__.lower() and call.gave is not None


def is_projection(call: Call) -> bool:
    """Whether the module is one matrix, with or without a bias, and its input is one vector a token."""
    if any(True for _ in call.module.children()) or call.got is None or not 2 <= len(call.got.shape) <= 3:
        return False
    weight = getattr(call.module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2 and is_affine(call.module, list(call.got.shape)[-1])


@torch.no_grad()
def is_affine(module: nn.Module, width: int) -> bool:
    """Whether twice the input gives twice the output, but for a constant."""
    like = next(module.parameters())
    kind = like.dtype if like.dtype.is_floating_point else torch.float32
    x = torch.randn(1, width, generator=torch.Generator().manual_seed(0)).to(like.device, kind)
    nothing, once, twice = (module(each) for each in (torch.zeros_like(x), x, 2 * x))
    wanted = (2 * once - nothing).float()
    return bool(((twice.float() - wanted).norm() <= 0.02 * wanted.norm()).item()) or not bool(wanted.any())


def head_width(recording: Recording, projection: Call) -> int | None:
    """How many numbers one head gives, as the attention module says; None where it does not."""
    width = projection.got.shape[-1] if projection.got else 0
    path = projection.path
    while path := path.rpartition(".")[0]:
        call = recording.once(path)
        for name in ("v_head_dim", "head_v_dim", "head_dim", "attention_head_size", "head_size", "kv_channels", "d_head"):
            size: Any = getattr(call.module, name, None) if call else None
            if isinstance(size, int) and size > 0 and width % size == 0:
                return size
    return None


def numbers_in(settings: dict[str, Any]) -> Iterator[float]:
    """The fractions that a configuration states."""
    for value in settings.values():
        if isinstance(value, float) and value:
            yield value
