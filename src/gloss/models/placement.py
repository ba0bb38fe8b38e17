"""Where a model is computed and in which type of number: what was asked for, or what suits the machine."""

from collections.abc import Mapping

import torch

from gloss.errors import BadSettings
from gloss.models.machine import AUTO, DTYPES

TYPES: Mapping[str, torch.dtype] = {name: getattr(torch, name) for name in DTYPES}


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
