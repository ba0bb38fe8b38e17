"""Dictionaries on disk, in every format that is installed: gloss' own and strangers'."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import cast

import torch

from gloss.errors import BadInput, BadSettings, GlossError, error_cause
from gloss.installed import installed, is_own, listed, package_name
from gloss.models.dictionary import Dictionary, HasSites, SparseCoder
from gloss.models.formats.dictionary_format import (
    GROUP,
    DictionaryFormat,
    DictionaryRequest,
    StoredDictionary,
    installed_formats,
)
from gloss.models.formats.refused import refusal
from gloss.models.pretrained.published import PublishedDictionary, published_dictionary
from gloss.models.sites import Site
from gloss.store.named_parts import split_part_name

# What a stored dictionary has.
MEMBERS = (
    *("reads", "writes", "width", "decoder_directions", "card"),
    *("encode", "decode", "reconstruct", "to"),
)


def load_dictionary(
    path: str | Path, site: Site | None = None, subject: HasSites | None = None
) -> StoredDictionary:
    """Read a dictionary's folder or file, in whichever installed format it is, or what a name means
    that is published: `hf://owner/repository/path@revision`, or `release/id` of SAELens' registry.

    `site` is wanted where the files do not say where the dictionary belongs; `subject` where they
    do not say how long that site's vectors are. A folder of several dictionaries takes the name of
    one behind it: `folder#name`.

    Raises BadInput for a place that holds no dictionary, or one of a kind that is not known, and
    Mismatch where the files name another site than the one given.
    """
    found = published_dictionary(str(path))
    named, part = (str(found.place), found.part) if found else split_part_name(str(path))
    place = Path(named)
    if not os.path.exists(named):  # noqa: PTH110  Path raises for some names
        raise BadInput(
            f"{path} is no folder or file here; give the dictionary's, or its name on the hub as"
            " hf://owner/repository/folder, or in SAELens' registry as release/id"
        )
    name, format_ = recognised_format(place)
    folder = place if place.is_dir() else place.parent
    with naming_package(name, folder):
        part = chosen_part(format_, folder, part if place.is_dir() else place.name)
        stated = found.stated if found else {}
        dictionary = format_.read(DictionaryRequest(folder, site, part, subject, stated))
    return with_registry_card(require_stored(dictionary, name), found)


def with_registry_card(
    dictionary: StoredDictionary, found: PublishedDictionary | None
) -> StoredDictionary:
    """The dictionary with what its registry says was measured of it, where its files do not."""
    if found is None or not isinstance(dictionary, SparseCoder):
        return dictionary
    card = dictionary.card
    l0 = found.l0 if card.l0 is None else card.l0
    return replace(
        dictionary,
        card=replace(card, l0=l0, fvu=found.fvu if card.fvu is None else card.fvu),
    )


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


def recognised_format(place: Path) -> tuple[str, DictionaryFormat]:
    """The one format that knows the folder or file, with its name.

    Raises BadInput for none, or several.
    """
    formats = installed_formats()
    found = [name for name, format_ in formats.items() if is_recognised(format_, place, name)]
    if len(found) > 1:
        raise BadInput(
            f"{place} is a dictionary in {len(found)} formats, {' and '.join(found)}; take the"
            " files of all but one out of it"
        )
    if found:
        return found[0], formats[found[0]]
    if why := refusal(place):
        raise BadInput(why)
    known = listed(format_.title for format_ in formats.values())
    there = "" if place.is_file() else ", ".join(sorted(each.name for each in place.iterdir())[:8])
    held = "is a file" if place.is_file() else f"holds {there or 'nothing'}"
    raise BadInput(
        f"{place} {held}, which is no dictionary in the format of {known}; give the folder, or the"
        " file, that holds one (gloss methods format lists their files)"
    )


def is_recognised(format_: DictionaryFormat, folder: Path, name: str) -> bool:
    """Whether the format knows the folder. Raises BadInput where it fails to tell."""
    with naming_package(name, folder):
        return bool(format_.recognises(folder))


def chosen_part(format_: DictionaryFormat, folder: Path, asked: str) -> str:
    """Which dictionary of the folder is meant, by its name or, where that is a file's, without the
    ending.

    Raises BadInput where it holds none of that name, or several and none is named.
    """
    parts: list[str] = list(format_.parts(folder))
    if not asked and len(parts) <= 1:
        return "".join(parts)
    if asked in parts:
        return asked
    if len(meant := [part for part in parts if part.partition(".")[0] == asked]) == 1:
        return meant[0]
    if not parts:
        if (folder / asked).is_file():  # one of the files that make up the only one
            return ""
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
    dictionary: Dictionary,
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
    if not isinstance(dictionary, formats[format].writes):
        kinds, kind = listed(each.__name__ for each in formats[format].writes), type(dictionary)
        able = [name for name, each in formats.items() if each.write and kind in each.writes]
        raise BadSettings(
            f"a {kind.__name__} cannot be written as {format}, which holds a {kinds}; "
            + (f"choose {listed(able)}" if able else "no format that is installed holds it")
        )
    write(dictionary, Path(path), dtype)
