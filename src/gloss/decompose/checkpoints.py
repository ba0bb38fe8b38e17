"""How far a training is, kept on the disk, so that one that is killed goes on from there with the
same bytes.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gloss.models.content_hash import content_hash
from gloss.store.atomic import write_atomically

SHARE = 50  # the time between two checkpoints is at least so many times what writing one takes
TensorState = dict[str, Tensor]


@runtime_checkable
class HasState(Protocol):
    """Batches that can be gone on with."""

    @property
    def state(self) -> TensorState:
        """All that the next batches depend on, besides the generator."""
        ...

    @state.setter
    def state(self, kept: TensorState) -> None: ...


@dataclass
class Checkpoints:
    """One file, which the newest checkpoint replaces.

    Raises Unwritable where it cannot be written.
    """

    path: Path
    seconds: float = 60.0  # at least, between two
    written: float = field(default_factory=time.monotonic)  # when the last one was
    took: float = 0.0  # seconds

    def due(self) -> bool:
        """Whether it is time for another."""
        return time.monotonic() - self.written >= max(self.seconds, SHARE * self.took)

    def write(self, state: TensorState, values: dict[str, Any]) -> None:
        """Keep tensors and plain values."""
        begun = time.monotonic()
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
        words = json.dumps(values)
        metadata = {"values": words, "digest": content_hash({**plain, "values": words})}
        write_atomically(self.path, lambda path: write_state_file(plain, path, metadata))
        self.written = time.monotonic()
        self.took = self.written - begun

    def read(self) -> tuple[TensorState, dict[str, Any]] | None:
        """What was kept; None where nothing was, or what is there is not what was written."""
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                state = {
                    name: file.get_tensor(name).clone()
                    for name in file.keys()  # noqa: SIM118
                }
            if metadata["digest"] == content_hash({**state, "values": metadata["values"]}):
                return state, json.loads(metadata["values"])
        except (FileNotFoundError, SafetensorError, KeyError, ValueError):
            pass
        return None

    def remove(self) -> None:
        """Forget it, once the training is done."""
        self.path.unlink(missing_ok=True)


def write_state_file(state: TensorState, path: Path, metadata: dict[str, str]) -> None:
    """Write a file of tensors; what the disk refuses is an OSError, as it is everywhere else."""
    try:
        save_file(state, path, metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def prefix_state(name: str, state: TensorState) -> TensorState:
    """A state as a part of another."""
    return {f"{name}.{key}": value for key, value in state.items()}


def extract_state(state: TensorState, name: str) -> TensorState:
    """That part again."""
    return {
        key.removeprefix(f"{name}."): value
        for key, value in state.items()
        if key.startswith(f"{name}.")
    }
