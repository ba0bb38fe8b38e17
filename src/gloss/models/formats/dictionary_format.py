"""What a format of dictionaries is, gloss' own or a stranger's, and which are installed."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import torch

from gloss.errors import BadInput, BadSettings
from gloss.installed import installed, load_installed, package_name
from gloss.models.dictionary import Card, Dictionary, HasSites, SparseCoder
from gloss.models.sites import Site

GROUP = "gloss.format"


@runtime_checkable
class StoredDictionary(Dictionary, Protocol):
    """A dictionary that a format reads: a dataclass or a torch module, so that results can be told
    apart by its content.
    """

    @property
    def card(self) -> Card:
        """What its makers measured."""
        ...

    def to(self, device: torch.device | str) -> "StoredDictionary":
        """The same on another device."""
        ...


@dataclass(frozen=True, slots=True)
class DictionaryRequest:
    """Which dictionary is wanted: everything that a format may need to read one.

    A new wish is a new field with a default here, so that formats stay as they are.
    """

    folder: Path
    site: Site | None = None  # where it belongs, as the caller says; None where the files must say
    part: str = ""  # which of several in the folder; "" where there is one
    subject: HasSites | None = None  # the model that it is for, where that is loaded already
    # settings by which a registry completes the files', as that of SAELens does
    stated: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def file(self) -> Path:
        """The file of that part, or the folder where there is one dictionary."""
        return self.folder / self.part if self.part else self.folder

    def width_at(self, site: Site) -> int:
        """The length of the subject's vectors at a site, for files that do not state it.

        Raises BadInput where no model is at hand.
        """
        if self.subject is None:
            raise BadInput(
                f"{self.folder} does not say how long the vectors at {site} are; open it beside its"
                " model, as gloss check and gloss run do"
            )
        return self.subject.width_at(site)


def one_part(_: Path) -> Sequence[str]:
    """The parts of a folder that is one dictionary."""
    return ()


@dataclass(frozen=True, slots=True)
class DictionaryFormat:
    """How dictionaries of one kind lie in a folder. An entry point of `gloss.format` names one.

    `recognises` looks at names of files and of tensors, or little more: it is asked of every
    folder, and of a single file where one is given. `read` raises BadInput for files that it cannot
    read, and Mismatch for ones that contradict the request. `parts` names the dictionaries where a
    folder holds several; a single file is a part by its name.
    """

    title: str  # what people call the format: "SAELens"
    files: str  # what a folder of it holds, for errors: "cfg.json with sae_weights.safetensors"
    recognises: Callable[[Path], bool]
    read: Callable[[DictionaryRequest], StoredDictionary]
    # raises BadSettings for dictionaries that the format cannot hold; None where it only reads
    write: Callable[[Any, Path, torch.dtype], None] | None = None
    parts: Callable[[Path], Sequence[str]] = one_part
    kinds: tuple[str, ...] = ()  # what is read, for the table in the docs
    written: tuple[str, ...] = ()  # those of them that are written, too
    refused: tuple[str, ...] = ()  # what is known and cannot be read
    writes: tuple[type, ...] = (SparseCoder,)  # of dictionaries


def load_format(point: EntryPoint) -> DictionaryFormat:
    """The format that an entry point names. Raises BadSettings where it is none."""
    found = load_installed(point)
    if not isinstance(found, DictionaryFormat):
        raise BadSettings(
            f"{point.name} ({GROUP}) of {package_name(point)} is of type {type(found).__name__};"
            f" make {point.value} a DictionaryFormat"
        )
    return found


@cache
def installed_formats() -> Mapping[str, DictionaryFormat]:
    """Every format that can be imported, by name; each other one costs a line on standard error.

    Raises BadSettings where not even gloss' own are installed.
    """
    found: dict[str, DictionaryFormat] = {}
    if not (points := installed(GROUP)):
        raise BadSettings(
            "no format of dictionaries is installed: gloss was installed before it had entry points"
            " for them; install it again, as in pip install --editable ."
        )
    for name, point in points.items():
        try:
            found[name] = load_format(point)
        except BadSettings as problem:
            print(f"note: {problem}", file=sys.stderr)
    return MappingProxyType(found)
