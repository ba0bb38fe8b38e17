"""Dictionaries on disk: the formats of other libraries, told apart by the names of their files."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

import torch

from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import SparseCoder
from gloss.models.formats import sae_lens, sparsify
from gloss.models.sites import Site

FORMATS: Mapping[str, ModuleType] = MappingProxyType({"sae_lens": sae_lens, "sparsify": sparsify})
# By which files formats are known that cannot be read.
FOREIGN: Mapping[str, str] = MappingProxyType(
    {
        "ae.pt": "dictionary_learning",
        "params.npz": "Gemma Scope",
        "config.yaml": "circuit-tracer",
        "hyperparams.json": "Llama Scope",
    }
)


def load_dictionary(path: str | Path, site: Site | None = None) -> SparseCoder:
    """Read a dictionary's folder.

    `site` is wanted where the folder does not say where the dictionary belongs.

    Raises BadInput for a folder that holds no dictionary, or one of a kind that is not known, and
    Mismatch where the folder names another site than the one given.
    """
    folder = Path(path)
    if not folder.is_dir():
        found = (
            "is a file"
            if folder.exists()
            else "is no folder here, and names of the hub are not fetched"
        )
        raise BadInput(
            f"{folder} {found}; give the folder that holds the dictionary's cfg.json and weights"
        )
    for known in (sae_lens, sparsify):
        if (folder / known.WEIGHTS).is_file() and (folder / "cfg.json").is_file():
            return known.read(folder, site)
    found = sorted(entry.name for entry in folder.iterdir())
    if foreign := [FOREIGN[name] for name in found if name in FOREIGN]:
        raise BadInput(
            f"{folder} is in the format of {foreign[0]}, which gloss cannot read yet; convert it to"
            " SAELens' format or sparsify's"
        )
    raise BadInput(
        f"{folder} holds {', '.join(found[:8]) or 'nothing'}, and a dictionary is cfg.json with"
        f" {sae_lens.WEIGHTS} (SAELens) or with {sparsify.WEIGHTS} (sparsify); give that folder"
    )


def save_dictionary(
    dictionary: SparseCoder,
    path: str | Path,
    format: str = "sae_lens",  # noqa: A002
    *,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the dictionary into the folder, for `load_dictionary` and for the library that the
    format belongs to.

    Raises BadSettings where the format cannot hold the dictionary; `torch.float16` halves the file.
    """
    if format not in FORMATS:
        raise BadSettings(
            f'there is no format {format!r} of dictionaries; choose "sae_lens" or "sparsify"'
        )
    FORMATS[format].write(dictionary, Path(path), dtype)
