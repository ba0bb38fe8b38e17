"""A shaken pass, written down: what every module of a model got and gave over a few tokens.

Every module that holds a matrix has a vector added to what it gives. So no two places hold the same
by chance: a projection of zeros, as some models have before training, would otherwise leave the
stream as it was, and nothing could tell them apart.
"""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gloss.errors import BadInput
from gloss.models.structure.forward_pass import compute_logits, first_input, first_output
from gloss.models.structure.placement import input_device
from gloss.models.structure.transformers_types import PreTrainedModel

SHAKE = 0.3  # of the root mean square of what a module gives
SHARED_TOKENS, OWN_TOKENS = 4, 2  # tokens that both sequences begin with, and that each ends with
MODEL_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
Vectors = Float32[Tensor, "token width"]


@dataclass(frozen=True, slots=True)
class HeldTensor:
    """A tensor that a module got or gave.

    Numbers are kept where it is as wide as the residual stream.
    """

    shape: tuple[int, ...]
    vectors: Vectors | None

    def equals(self, other: "HeldTensor | None") -> bool:
        """Whether both hold the same numbers, whatever their shape."""
        if other is None or self.vectors is None or other.vectors is None:
            return False
        return torch.equal(self.vectors, other.vectors)


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """One call of a module: what it got first and gave first, and when, counted in calls begun and
    ended before.
    """

    path: str
    module: nn.Module
    got: HeldTensor | None
    gave: HeldTensor | None
    begun: int
    ended: int

    def within(self, other: "ModuleCall") -> bool:
        """Whether this call was made during the other."""
        return other.begun < self.begun and self.ended < other.ended


@dataclass(frozen=True, slots=True)
class PassRecording:
    """All calls of a pass, in the order in which they ended, and how many each module had."""

    calls: Sequence[ModuleCall]
    times: Mapping[str, int]
    eps: float  # the rounding unit of the model's numbers

    def once(self, path: str) -> ModuleCall | None:
        """The call of a module that was called once; None for others."""
        return (
            next((call for call in self.calls if call.path == path), None)
            if self.times.get(path) == 1
            else None
        )


def probe_tokens(model: PreTrainedModel) -> Int64[Tensor, "2 position"]:
    """Two sequences from the middle of the vocabulary that begin alike and end apart."""
    embedding: Any = model.get_input_embeddings()
    rows = int(embedding.weight.shape[0])
    first = torch.arange(SHARED_TOKENS + OWN_TOKENS) + rows // 2
    second = torch.where(
        torch.arange(SHARED_TOKENS + OWN_TOKENS) < SHARED_TOKENS, first, first + OWN_TOKENS + 1
    )
    return (torch.stack([first, second]) % rows).to(input_device(model))


def record_pass(model: PreTrainedModel) -> PassRecording:
    """The calls of one shaken pass over `probe_tokens`.

    Raises BadInput for a model that cannot be run on tokens alone.
    """
    width = int(getattr(model.config.get_text_config(), "hidden_size", 0))
    started: list[tuple[int, HeldTensor | None]] = []
    calls: list[ModuleCall] = []
    clock = 0

    def begin(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal clock
        found = first_input(args, kwargs)
        started.append((clock, None if found is None else copy_held(found[1], width)))
        clock += 1

    def end(path: str, module: nn.Module, output: Any) -> Any:
        nonlocal clock
        if isinstance(output, Tensor) and has_matrix(module) and torch.is_floating_point(output):
            output = output + shake_vector(path, output)
        begun, got = started.pop()
        gave = first_output(output)
        calls.append(
            ModuleCall(
                path, module, got, None if gave is None else copy_held(gave, width), begun, clock
            )
        )
        clock += 1
        return output

    try:
        with hook_modules(model, begin, end), torch.no_grad():
            compute_logits(model, probe_tokens(model))
    except MODEL_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{type(model).__name__} cannot be run on tokens alone: {type(error).__name__},"
            f" {reason}"
        ) from error
    return PassRecording(calls, Counter(call.path for call in calls), torch.finfo(model.dtype).eps)


@contextmanager
def hook_modules(model: nn.Module, begin: Any, end: Any) -> Generator[None]:
    """Every module but the root calls `begin` before and `end` after it runs."""
    handles: list[RemovableHandle] = []
    try:
        for path, module in model.named_modules():
            if path:
                handles.append(module.register_forward_pre_hook(begin, with_kwargs=True))
                after: Any = lambda module, _, output, path=path: end(path, module, output)  # noqa: E731
                handles.append(module.register_forward_hook(after))
        yield
    finally:
        for handle in handles:
            handle.remove()


def has_matrix(module: nn.Module) -> bool:
    """Whether the module itself, without its parts, holds a matrix."""
    return any(parameter.ndim >= 2 for parameter in module.parameters(recurse=False))


def shake_vector(path: str, output: Tensor) -> Tensor:
    """A vector of the module's own, some tenths as large as what it gives, the same at every
    position.
    """
    generator = torch.Generator().manual_seed(sum(path.encode()) * 1000003 + len(path))
    vector = torch.randn(output.shape[-1], generator=generator)
    size = float(output.float().square().mean().sqrt())
    return (vector * (SHAKE * size if 0 < size < float("inf") else SHAKE)).to(output)


def copy_held(x: Tensor, width: int) -> HeldTensor:
    """A copy of what may be overwritten, on the CPU."""
    if x.shape[-1] != width:
        return HeldTensor(tuple(x.shape), None)
    return HeldTensor(
        tuple(x.shape), x.detach().reshape(-1, width).to("cpu", torch.float32, copy=True)
    )
