"""Where the parts of a model lie: on one device, or, of a model that is larger than a card, spread
over cards, this machine's memory and its disk, as accelerate does it.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from gloss.errors import BadSettings


@dataclass(frozen=True)
class DeviceMap:
    """How a model is spread: by one of transformers' words, or a place for each of its parts, by
    the part's name: the number of a card, "cpu" or "disk".
    """

    given: str | Mapping[str, str | int]

    @property
    def settings(self) -> dict[str, Any]:
        """What transformers is told.

        Weights that are on the disk, but in no file that can be read in place, are put into a
        folder that goes with this process. Raises BadSettings where accelerate is not installed.
        """
        if find_spec("accelerate") is None:
            raise BadSettings(
                "device_map wants the package accelerate; pip install 'gloss-lm[real]'"
            )
        given = self.given if isinstance(self.given, str) else dict(self.given)
        _folders.append(tempfile.TemporaryDirectory(prefix="gloss-offload-"))
        return {"device_map": given, "offload_folder": _folders[-1].name}


_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed when this process ends


def compute_device(module: nn.Module, otherwise: torch.device) -> torch.device:
    """Where a module computes, wherever its weights rest; `otherwise` where it has none."""
    for each in module.modules():
        hook = getattr(each, "_hf_hook", None)
        for one in getattr(hook, "hooks", [hook]):
            if (found := getattr(one, "execution_device", None)) is not None:
                return torch.device(found)
    first = next(module.parameters(), None)
    return otherwise if first is None else first.device


def input_device(model: Any) -> torch.device:
    """Where a model of transformers wants its tokens."""
    if getattr(model, "hf_device_map", None) is None:
        return model.device
    return compute_device(model.get_input_embeddings(), model.device)


def resting_weight(module: nn.Module, name: str = "weight") -> Tensor:
    """A weight of a module, fetched from where it rests."""
    weight = module.get_parameter(name).detach()
    if not weight.is_meta:
        return weight
    from accelerate.utils import align_module_device

    with align_module_device(module):
        return module.get_parameter(name).detach().clone()


class RestingWeights(Mapping[str, Any]):
    """What a module's state holds, each weight fetched when it is asked for."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.state = module, dict(module.state_dict())

    def __iter__(self) -> Iterator[str]:
        return iter(self.state)

    def __len__(self) -> int:
        return len(self.state)

    def __getitem__(self, name: str) -> Any:
        found = self.state[name]
        if not (isinstance(found, Tensor) and found.is_meta):
            return found
        path, _, own = name.rpartition(".")
        return resting_weight(self.module.get_submodule(path), own)
