"""Files of tensors, of each kind that dictionaries come in: safetensors, NumPy's npz, and what
`torch.save` wrote, of which nothing is executed.
"""

import json
import pickletools
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gloss.errors import BadInput, error_cause
from gloss.models.formats import pickle_reader
from gloss.models.pretrained.hub_files import NUMPY, PICKLES, SAFETENSORS

HEADER = 2**27  # bytes of a file's list of names, at most
PICKLES_OF_A_FILE = 5  # the oldest files of torch are so many pickles, one behind the other


@dataclass(frozen=True)
class StoredTensors:
    """The tensors of a file, in 32 bits, and what lies beside them; each is asked for once.

    What has not been asked for in the end would be missing from every number, so that
    `require_all_taken` refuses it.
    """

    file: Path
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    taken: set[str] = field(default_factory=set[str])

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of the tensor of that name. Raises BadInput where there is none."""
        return tuple(self.take(name).shape)

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """The tensor of that name.

        Raises BadInput where it is missing, or has another shape than is asked for.
        """
        if name not in self.tensors:
            raise BadInput(
                f"{self.file} has no tensor {name}, only {', '.join(sorted(self.tensors))}; fetch"
                " the dictionary again"
            )
        self.taken.add(name)
        found = self.tensors[name]
        if shape is not None and tuple(found.shape) != shape:
            raise BadInput(
                f"{self.file}: {name} has the shape {tuple(found.shape)} and the settings ask for"
                f" {shape}; the two do not belong together"
            )
        return found

    def scalar(self, name: str) -> float:
        """The only number of the tensor of that name. Raises BadInput where it holds several."""
        found = self.take(name)
        if found.numel() != 1:
            raise BadInput(
                f"{self.file}: {name} has the shape {tuple(found.shape)}, and should be one number;"
                " fetch the dictionary again"
            )
        return float(found)

    def matrix(self, name: str) -> tuple[int, int]:
        """The two lengths of a matrix. Raises BadInput for what is none."""
        shape = self.shape(name)
        if len(shape) != 2 or not all(shape):
            raise BadInput(
                f"{self.file}: {name} has the shape {shape}, and should be a matrix; fetch the"
                " dictionary again"
            )
        return shape[0], shape[1]

    def ignore(self, *names: str) -> None:
        """Of statistics of training, which change nothing that is computed."""
        self.taken.update(names)

    def require_all_taken(self) -> None:
        """Raise BadInput for tensors that nothing reads."""
        if left := sorted(set(self.tensors) - self.taken):
            raise BadInput(
                f"{self.file} has tensors that its settings have no use for"
                f" ({', '.join(left[:4])}); this kind cannot be read"
            )


def read_tensors(path: Path) -> StoredTensors:
    """Every tensor of the file, in 32 bits.

    Raises BadInput for a broken file, and for numbers that are none.
    """
    values = dict[str, Any]()
    if path.suffix == NUMPY:
        tensors = _opened(path, "npz", _read_npz)
    elif path.suffix in PICKLES:
        tensors, values = _read_pickle(path)
    else:
        tensors = _opened(path, "safetensors", load_file)
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise BadInput(
                f"{path}: {name} holds values that are not finite; fetch the dictionary again"
            )
    return StoredTensors(path, tensors, values)


def _opened(path: Path, kind: str, read: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    try:
        return read(path)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read: {error.strerror or error}; check that it is a file and may be"
            " read"
        ) from error
    except (SafetensorError, zipfile.BadZipFile, ValueError, EOFError) as error:
        raise BadInput(
            f"{path} is not a whole {kind} file ({error_cause(error)}); fetch the dictionary again"
        ) from error


def _read_npz(path: Path) -> dict[str, Tensor]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no archive")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays}


def _read_pickle(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """By another process, which executes nothing of it either."""
    if not path.is_file():
        raise BadInput(f"{path} is no file; fetch the dictionary again")
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-I", str(pickle_reader.__file__), str(path), folder]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise BadInput(
                f"{path} cannot be read as tensors and plain values ({said[:160]}), and other"
                " objects of Python are never executed; fetch it again, or have the library that"
                " wrote it save its state_dict"
            )
        values = json.loads((Path(folder) / "values.json").read_text("utf-8"))
        return load_file(Path(folder) / "tensors.safetensors"), values


def tensor_names(path: Path) -> frozenset[str]:
    """The names of the file's tensors, without reading one; of a pickle every string in it.

    None for a file of another kind, or a broken one.
    """
    try:
        return _names_in(path, path.stat().st_mtime_ns)
    except OSError:
        return frozenset()


@lru_cache(maxsize=4096)
def _names_in(path: Path, changed: int) -> frozenset[str]:
    try:
        if path.suffix == SAFETENSORS:
            return _names_of_safetensors(path)
        if path.suffix == NUMPY:
            with zipfile.ZipFile(path) as archive:
                return frozenset(name.removesuffix(".npy") for name in archive.namelist())
        if path.suffix in PICKLES:
            return _strings_of_pickle(path)
    except (ValueError, zipfile.BadZipFile, KeyError, RecursionError):
        pass
    return frozenset()


def _names_of_safetensors(path: Path) -> frozenset[str]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > HEADER:
            return frozenset()
        header = json.loads(file.read(length))
    return frozenset(header) - {"__metadata__"} if isinstance(header, dict) else frozenset()


def _strings_of_pickle(path: Path) -> frozenset[str]:
    """What the pickle's instructions carry, which are looked through and not followed."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = next((name for name in archive.namelist() if name.endswith("data.pkl")), "")
            with archive.open(inside) as file:
                instructions = BytesIO(file.read(HEADER))
    else:
        with path.open("rb") as file:
            instructions = BytesIO(file.read(HEADER))
    found = set[str]()
    try:
        for _ in range(PICKLES_OF_A_FILE):
            for _, argument, _ in pickletools.genops(instructions):
                if isinstance(argument, str):
                    found.add(argument)
    except (ValueError, UnicodeDecodeError):
        pass
    return frozenset(found)


def files_of_tensors(place: Path, names: Collection[str], *suffixes: str) -> list[Path]:
    """The file, or those right in the folder, that end so and hold tensors of all these names."""
    if place.is_file():
        there = [place]
    else:
        there = sorted(each for each in place.iterdir() if each.suffix in suffixes)
    return [each for each in there if each.suffix in suffixes and tensor_names(each) >= set(names)]
