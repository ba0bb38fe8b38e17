"""A hash of what something is made of, weights included, so that results are reused for the same
thing only.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import torch
from numpy import ndarray
from torch import Tensor, nn

from gloss.models.structure.placement import RestingWeights

# Where a model was found, and what wrote it: neither changes what it computes.
IGNORED = frozenset(
    {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"}
)


def content_hash(thing: Any) -> str:
    """The SHA-256 of a module's weights and configuration, of a dataclass's fields, or of plain
    values.

    Raises TypeError for what has no stable content.
    """
    digest = hashlib.sha256()
    for part in hashed_content(thing):
        digest.update(part)
    return digest.hexdigest()


def hashed_content(thing: Any) -> Iterator[bytes | memoryview]:
    yield f"<{type(thing).__name__}>".encode()
    match thing:
        case Tensor():
            plain = thing.detach().cpu().contiguous()
            yield f"{plain.dtype} {tuple(plain.shape)}".encode()
            yield plain.reshape(-1).view(torch.uint8).numpy().data
        case ndarray():
            yield f"{thing.dtype} {thing.shape}".encode()
            yield thing.tobytes()
        case None | bool() | int() | float() | str() | Enum():
            yield repr(thing).encode()
        case Mapping():
            yield from hashed_items(thing)
        case list() | tuple():
            for item in thing:
                yield from hashed_content(item)
        case nn.Module():
            if (config := getattr(thing, "config", None)) is not None:  # of transformers
                settings = {
                    name: value for name, value in config.to_dict().items() if name not in IGNORED
                }
                yield json.dumps(settings, sort_keys=True, default=str).encode()
            yield b"<dict>"  # of weights, wherever they rest
            yield from hashed_items(RestingWeights(thing))
        case _ if is_dataclass(thing):
            for field in fields(thing):
                yield from hashed_content(field.name)
                yield from hashed_content(getattr(thing, field.name))
        case _:
            raise TypeError(
                f"a {type(thing).__name__} has no content to tell it by; make it a dataclass or a"
                " torch module"
            )


def hashed_items(things: Mapping[Any, Any]) -> Iterator[bytes | memoryview]:
    """Names and what they stand for, in the order of the names."""
    for name in sorted(things, key=str):
        yield from hashed_content(str(name))
        yield from hashed_content(things[name])
