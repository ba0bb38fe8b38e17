"""A program by itself, which imports nothing of gloss: what `torch.save` wrote, as safetensors.

`python pickle_reader.py FILE FOLDER` reads tensors and plain values alone, by torch's reader that
executes nothing, and writes them to `tensors.safetensors` and `values.json` in the folder.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file


def named_leaves(held: object, name: str = "") -> Iterator[tuple[str, object]]:
    """What lies in mappings within mappings, by its names joined with dots."""
    if not isinstance(held, Mapping):
        yield name, held
        return
    for key, value in held.items():
        yield from named_leaves(value, f"{name}.{key}" if name else str(key))


def convert_pickle(file: str, folder: str) -> None:
    """Write the file's tensors and plain values into the folder.

    Raises whatever torch raises for what is no such file.
    """
    held = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(held, Mapping):
        raise TypeError(f"it holds a {type(held).__name__}, and should hold tensors by name")
    tensors = dict[str, torch.Tensor]()
    values = dict[str, Any]()
    for name, leaf in named_leaves(held):
        if isinstance(leaf, torch.Tensor):
            tensors[name] = leaf.detach().to_dense().contiguous().clone()
        else:
            values[name] = leaf
    save_file(tensors, Path(folder) / "tensors.safetensors")
    (Path(folder) / "values.json").write_text(json.dumps(values, default=str), "utf-8")


if __name__ == "__main__":
    try:
        convert_pickle(*sys.argv[1:])
    except Exception as error:  # torch raises anything; the first line says what
        print(f"{type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)
        raise SystemExit(1) from None
