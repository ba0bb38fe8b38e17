"""Dictionaries on disk, in every format that is installed: gloss' own and strangers'."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

import torch

from gloss.errors import BadInput, BadSettings, GlossError, error_cause
from gloss.installed import installed, is_own, listed, package_name
from gloss.models.dictionary import HasSites, SparseCoder
from gloss.models.formats.dictionary_format import (
    GROUP,
    DictionaryFormat,
    DictionaryRequest,
    StoredDictionary,
    installed_formats,
)
from gloss.models.sites import Site
from gloss.store.named_parts import split_part_name

# By which files formats are known that cannot be read, unless somebody installs one that does.
FOREIGN: Mapping[str, str] = MappingProxyType(
    {
        "ae.pt": "dictionary_learning",
        "params.npz": "Gemma Scope",
        "config.yaml": "circuit-tracer",
        "hyperparams.json": "Llama Scope",
    }
)
# What a stored dictionary has.
MEMBERS = (
    *("reads", "writes", "width", "decoder_directions", "card"),
    *("encode", "decode", "reconstruct", "to"),
)


def load_dictionary(
    path: str | Path, site: Site | None = None, subject: HasSites | None = None
) -> StoredDictionary:
    """Read a dictionary's folder, in whichever installed format it is.

    `site` is wanted where the folder does not say where the dictionary belongs; `subject` where it
    does not say how long that site's vectors are. A folder of several dictionaries takes the name
    of one behind it: `folder#name`.

    Raises BadInput for a folder that holds no dictionary, or one of a kind that is not known, and
    Mismatch where the folder names another site than the one given.
    """
    named, part = split_part_name(str(path))
    folder = Path(named)
    if not folder.is_dir():
        found = (
            "is a file"
            if folder.exists()
            else "is no folder here, and names of the hub are not fetched"
        )
        raise BadInput(f"{folder} {found}; give the folder that holds the dictionary's files")
    name, format_ = recognised_format(folder)
    with naming_package(name, folder):
        part = chosen_part(format_, folder, part)
        dictionary = format_.read(DictionaryRequest(folder, site, part, subject))
    return require_stored(dictionary, name)


@contextmanager
def naming_package(name: str, folder: Path) -> Generator[None]:
    """What goes wrong inside a stranger's format, and is no GlossError, becomes a BadInput that
    names its package.
    """
    try:
        yield
    except GlossError:
        raise
    except Exception as problem:
        if is_own(point := installed(GROUP)[name]):
            raise
        raise BadInput(
            f"{folder} cannot be read by the format {name} of {package_name(point)}"
            f" ({error_cause(problem)}); check the folder, and mend or remove the package"
        ) from problem


def recognised_format(folder: Path) -> tuple[str, DictionaryFormat]:
    """The one format that knows the folder, with its name. Raises BadInput for none, or several."""
    formats = installed_formats()
    found = [name for name, format_ in formats.items() if is_recognised(format_, folder, name)]
    if len(found) > 1:
        raise BadInput(
            f"{folder} is a dictionary in {len(found)} formats, {' and '.join(found)}; take the"
            " files of all but one out of it"
        )
    if found:
        return found[0], formats[found[0]]
    there = sorted(entry.name for entry in folder.iterdir())
    if foreign := [FOREIGN[name] for name in there if name in FOREIGN]:
        raise BadInput(
            f"{folder} is in the format of {foreign[0]}, which gloss cannot read yet; convert it to"
            f" the format of {listed(format_.title for format_ in formats.values())}"
        )
    known = listed(f"{format_.files} ({format_.title})" for format_ in formats.values())
    raise BadInput(
        f"{folder} holds {', '.join(there[:8]) or 'nothing'}, and a dictionary is {known}; give"
        " that folder"
    )


def is_recognised(format_: DictionaryFormat, folder: Path, name: str) -> bool:
    """Whether the format knows the folder. Raises BadInput where it fails to tell."""
    with naming_package(name, folder):
        return bool(format_.recognises(folder))


def chosen_part(format_: DictionaryFormat, folder: Path, asked: str) -> str:
    """Which dictionary of the folder is meant.

    Raises BadInput where it holds none of that name, or several and none is named.
    """
    parts: list[str] = list(format_.parts(folder))
    if asked in parts or (not asked and len(parts) <= 1):
        return asked or "".join(parts)
    if not parts:
        raise BadInput(f"{folder} holds one dictionary; leave #{asked} out")
    shown = ", ".join(parts[:8]) + (", ..." if len(parts) > 8 else "")
    raise BadInput(
        f"{folder} holds {len(parts)} dictionaries ({shown}){f' and no {asked}' if asked else ''};"
        f" name one, as in {folder}#{parts[0]}"
    )


def require_stored(dictionary: object, name: str) -> StoredDictionary:
    """Raise BadInput for what a format gave that is no dictionary that gloss can work with."""
    kind = type(dictionary).__name__
    # not isinstance, which from Python 3.12 on sees no parameters and buffers of a torch module
    if wanted := [member for member in MEMBERS if not hasattr(dictionary, member)]:
        raise BadInput(
            f"the format {name} gave something of type {kind} without {listed(wanted)}; let it"
            " give a SparseCoder, or what else is a StoredDictionary"
        )
    if not is_dataclass(dictionary) and not isinstance(dictionary, torch.nn.Module):
        raise BadInput(
            f"the format {name} gave something of type {kind}, by whose content results cannot be"
            " told apart; make it a dataclass or a torch module"
        )
    return cast(StoredDictionary, dictionary)


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
    formats = installed_formats()
    if format not in formats:
        raise BadSettings(
            f"there is no format {format!r} of dictionaries; choose {listed(formats)}"
        )
    write = formats[format].write
    if write is None:
        writable = listed(name for name, each in formats.items() if each.write is not None)
        raise BadSettings(f"the format {format} is only read; choose {writable}")
    write(dictionary, Path(path), dtype)
