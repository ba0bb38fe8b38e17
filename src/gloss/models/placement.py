"""Where a model is computed and in which type of number: what was asked for, or what this machine does best."""

import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from transformers import PreTrainedModel

from gloss.errors import BadSettings
from gloss.models.forward import logits_of_pass
from gloss.models.machine import AUTO, DTYPES

TYPES: Mapping[str, torch.dtype] = {name: getattr(torch, name) for name in DTYPES}
MARGIN = 1.5  # how many times faster than float32 a CPU must be in a model's own type for that to be taken
ROUNDS = 7
POSITIONS = 64


@dataclass(frozen=True, slots=True)
class Speed:
    """How much longer one layer takes in another type than in float32: the median of paired passes."""

    dtype: torch.dtype
    ratio: float

    @property
    def faster(self) -> bool:
        """Whether the other type is worth taking."""
        return self.ratio * MARGIN < 1


def device_of(name: str) -> torch.device:
    """The device of that name; `auto` is the first CUDA or ROCm card where there is one, otherwise the CPU.

    Raises BadSettings for a name that is none, and for a device that this machine does not have.
    """
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # which computes nothing either
    if device.type == "cpu" and not device.index:
        return device
    if device.type not in ("cuda", "mps", "xpu"):
        raise BadSettings(f"device {name!r} is none that computes; give auto, cpu, cuda, cuda:1, mps or xpu")
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    number = torch.accelerator.device_count() if here is not None and here.type == device.type else 0
    if (device.index or 0) >= number:
        has = f"{number} of that kind" if number else "none that torch can use"
        raise BadSettings(f"device {name!r} is not there: this machine has {has}; give auto or cpu, or run where there is one")
    return device


def dtype_of(name: str) -> torch.dtype | None:
    """The type of that name; None for `auto`. Raises BadSettings."""
    if name == AUTO:
        return None
    if name not in TYPES:
        raise BadSettings(f"dtype {name!r} is none that models are computed in; give auto, {', '.join(TYPES)}")
    return TYPES[name]


def speed(model: PreTrainedModel, dtype: torch.dtype, rows: int) -> Speed | None:
    """How long the first layer of a float32 model takes in another type, against float32, in turns.

    One layer stands for all, so that this costs little of any model. None where the layer cannot be found or cannot compute in
    that type. `rows` is the size of the vocabulary.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not lists:
        return None
    layer = max(lists, key=len)[0]
    tokens = torch.arange(POSITIONS)[None] % rows
    try:
        args, kwargs = inputs_of(model, layer, tokens)
        other = deepcopy(layer).to(dtype)
        given = tree_map(lambda value: as_type(value, dtype), (args, kwargs))
        taken(other, *given)  # the first pass of each pays for what is set up once
        taken(layer, args, kwargs)
        ratios = [taken(other, *given) / taken(layer, args, kwargs) for _ in range(ROUNDS)]
    except (RuntimeError, TypeError, LookupError):
        return None
    return Speed(dtype, median(ratios))


class _Reached(Exception):
    """The layer has been reached; what comes after it is not computed."""


def inputs_of(model: PreTrainedModel, layer: nn.Module, tokens: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a layer is called with. Raises LookupError where the model does not call it."""
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def catch(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append((args, kwargs))
        raise _Reached

    handle = layer.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        with torch.no_grad():
            logits_of_pass(model, tokens)
    except _Reached:
        return found[0]
    finally:
        handle.remove()
    raise LookupError("the model does not call this layer")


def as_type(value: Any, dtype: torch.dtype) -> Any:
    """A floating tensor in another type; anything else as it is."""
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def taken(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """The seconds of one pass."""
    begun = time.perf_counter()
    with torch.no_grad():
        layer(*args, **kwargs)
    return time.perf_counter() - begun
