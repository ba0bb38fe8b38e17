"""What the formats share: a folder with cfg.json and one file of tensors."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gloss.errors import BadInput, Mismatch
from gloss.models.dictionary import Card
from gloss.models.sites import Site, parse_site
from gloss.store.atomic import write_atomically, write_bytes

CONFIGURATION = "cfg.json"


def read_configuration(folder: Path) -> dict[str, Any]:
    """The folder's cfg.json. Raises BadInput where it is no JSON object."""
    try:
        read = json.loads((folder / CONFIGURATION).read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{folder / CONFIGURATION} is not JSON ({error}); fetch the dictionary again") from error
    if not isinstance(read, dict):
        raise BadInput(f"{folder / CONFIGURATION} is a {type(read).__name__} and should be an object; fetch the dictionary again")
    return read


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of the file, in 32 bits. Raises BadInput for a broken file."""
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise BadInput(f"{path} is not a whole safetensors file ({error}); fetch the dictionary again") from error


def tensor(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], folder: Path) -> Tensor:
    """The tensor of that name. Raises BadInput where it is missing, or has another shape than cfg.json says."""
    if name not in tensors:
        raise BadInput(f"{folder} has no tensor {name}, only {', '.join(sorted(tensors))}; fetch the dictionary again")
    if tuple(tensors[name].shape) != shape:
        raise BadInput(
            f"{folder}: {name} has the shape {tuple(tensors[name].shape)} and cfg.json asks for {shape}; "
            "the two files do not belong together"
        )
    return tensors[name]


def write_files(folder: Path, weights: str, tensors: Mapping[str, Tensor], configuration: Mapping[str, Any]) -> None:
    """Write both files, the configuration last, so that a folder without one is not taken for a dictionary. Raises Unwritable."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomically(folder / weights, lambda path: save_tensors(plain, path))
    write_bytes(folder / CONFIGURATION, (json.dumps(configuration, indent=1) + "\n").encode())


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a file of tensors; what the disk refuses is an OSError, as it is everywhere else."""
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def in_dtype(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The same numbers in another precision. Raises Mismatch where one grows too large for it."""
    cast = {name: value.to(dtype) for name, value in tensors.items()}
    for name, value in cast.items():
        if not bool(value.isfinite().all()) and bool(tensors[name].isfinite().all()):
            raise Mismatch(f"{name} holds {float(tensors[name].abs().max()):g}, too large for {dtype}; save with torch.float32")
    return cast


def settled_site(stated: str | None, given: Site | None, folder: Path) -> Site:
    """The site that the folder states, or the given one where it states none.

    Raises Mismatch where they differ, and BadInput where there is neither.
    """
    if stated is None:
        if given is None:
            raise BadInput(f"{folder} does not say where its dictionary belongs; give the site, for example resid_post.5")
        return given
    try:
        site = parse_site(stated)
    except BadInput:
        if given is None:
            raise
        return given
    if given is not None and given != site:
        raise Mismatch(f"{folder} belongs to {site} (there called {stated}), and {given} was asked for; leave the site out")
    return site


def card_of(stated: Mapping[str, Any]) -> Card:
    """The card among other entries; what is no entry of a card is left out."""
    return Card(**{entry.name: stated[entry.name] for entry in fields(Card) if stated.get(entry.name) is not None})


def stated_card(card: Card) -> dict[str, Any]:
    """The card's known entries."""
    return {name: value for name, value in asdict(card).items() if value is not None}
