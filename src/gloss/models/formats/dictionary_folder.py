"""What the formats share: settings in a file, and a folder with cfg.json and tensors."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from gloss.errors import BadInput, Mismatch, error_cause
from gloss.models.dictionary import Card
from gloss.models.sites import Site, parse_site
from gloss.store.atomic import write_atomically, write_bytes

CONFIGURATION_FILE = "cfg.json"


@dataclass(frozen=True)
class StatedSettings:
    """The settings that a file of a dictionary states, read by kind.

    Each refusal names the file and the setting.
    """

    file: Path
    values: Mapping[str, Any]

    @staticmethod
    def read(file: Path) -> "StatedSettings":
        """The object in a file of JSON or YAML. Raises BadInput where there is none."""
        try:
            text = file.read_text("utf-8")
            read = yaml.safe_load(text) if file.suffix == ".yaml" else json.loads(text)
        except OSError as error:
            raise BadInput(
                f"{file} cannot be read: {error.strerror}; check that it is a file and may be read"
            ) from error
        except RecursionError as error:
            raise BadInput(
                f"{file} is nested too deeply for settings; fetch the dictionary again"
            ) from error
        except (ValueError, yaml.YAMLError) as error:  # also of UTF-8, of endless numbers
            kind = "YAML" if file.suffix == ".yaml" else "JSON"
            raise BadInput(
                f"{file} is not {kind} ({error_cause(error)}); fetch the dictionary again"
            ) from error
        if not isinstance(read, dict):
            raise BadInput(
                f"{file} is a {type(read).__name__} and should be an object; fetch the dictionary"
                " again"
            )
        return StatedSettings(file, read)

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def wrong_kind(self, name: str, kind: str) -> BadInput:
        shown = str(self.values.get(name))
        return BadInput(f"{self.file} states {name} = {shown[:60]}; wanted {kind}")

    def whole_number(self, name: str, default: int | None = None) -> int:
        """A whole number from 1, also where it was written as 4.0."""
        value = self.values.get(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**40:
            raise self.wrong_kind(name, "a whole number from 1")
        return value

    def positive_number(self, name: str) -> float | None:
        """A finite number above 0, or None where there is none."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e30:
            raise self.wrong_kind(name, "a number above 0")
        return float(value)

    def switch(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.values.get(name, default)
        if value is not None and not isinstance(value, bool):
            raise self.wrong_kind(name, "true or false")
        return bool(value)

    def string(self, name: str) -> str | None:
        """A text, or None where there is none."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong_kind(name, "text")
        return value

    def require_known(self, known: Collection[str]) -> None:
        """Raise BadInput for settings by other names: what they change would be missing from every
        number.
        """
        if left := sorted(name for name in self.values if name not in known and name in self):
            shown = ", ".join(f"{name} = {self.values[name]}"[:60] for name in left[:3])
            raise BadInput(
                f"{self.file} states {shown}, which gloss has no use for in a dictionary of this"
                " kind; if it changes nothing that is computed, take it out"
            )

    def inner(self, name: str) -> "StatedSettings":
        """The object of that name, empty where there is none."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong_kind(name, "an object")
        return StatedSettings(self.file, value or {})


def json_object(file: Path) -> Mapping[str, Any]:
    """The JSON object in the file, empty where there is none: to recognise a format by."""
    try:
        return StatedSettings.read(file).values
    except BadInput:
        return {}


def holds_files(place: Path, weights: str) -> bool:
    """Whether the folder, or that of the file, holds cfg.json and that file of tensors."""
    folder = place if place.is_dir() or place.name != weights else place.parent
    return (folder / weights).is_file() and (folder / CONFIGURATION_FILE).is_file()


def stated_k(
    configuration: StatedSettings, width: int, name: str = "k", default: int | None = None
) -> int:
    """How many features a TopK dictionary lets be active. Raises BadInput for more than it has."""
    k = configuration.whole_number(name, default)
    if k > width:
        raise BadInput(
            f"{configuration.file} states k = {k} of {width} features; the two cannot both be right"
        )
    return k


def write_files(
    folder: Path, weights: str, tensors: Mapping[str, Tensor], configuration: Mapping[str, Any]
) -> None:
    """Write both files, the configuration last, so that a folder without one is not taken for a
    dictionary. Raises Unwritable.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomically(folder / weights, lambda path: save_tensors(plain, path))
    write_bytes(folder / CONFIGURATION_FILE, (json.dumps(configuration, indent=1) + "\n").encode())


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a file of tensors; what the disk refuses is an OSError, as it is everywhere else."""
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def cast_tensors(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The same numbers in another precision. Raises Mismatch where one grows too large for it."""
    cast = {name: value.to(dtype) for name, value in tensors.items()}
    for name, value in cast.items():
        if not bool(value.isfinite().all()) and bool(tensors[name].isfinite().all()):
            raise Mismatch(
                f"{name} holds {float(tensors[name].abs().max()):g}, too large for {dtype}; save"
                " with torch.float32"
            )
    return cast


def resolve_site(stated: str | None, given: Site | None, folder: Path) -> Site:
    """The site that the folder states, or the given one where it states none.

    Raises Mismatch where they differ, and BadInput where there is neither.
    """
    if stated is None:
        if given is None:
            raise BadInput(
                f"{folder} does not say where its dictionary belongs; give the site, for example"
                " resid_post.5"
            )
        return given
    try:
        site = parse_site(stated)
    except BadInput:
        if given is None:
            raise
        return given
    if given is not None and given != site:
        called = "" if stated == str(site) else f" (there called {stated})"
        raise Mismatch(
            f"{folder} belongs to {site}{called}, and {given} was asked for; leave the site out"
        )
    return site


def read_card(stated: StatedSettings, model: str | None = None) -> Card:
    """The card among other entries; what is no entry of a card is left out."""
    found: dict[str, Any] = {
        "model": stated.string("model") or model,
        "corpus": stated.string("corpus"),
    }
    if "tokens" in stated:
        found["tokens"] = stated.whole_number("tokens")
    for name in (
        "fvu",
        "fvu_normal",
        "massive_share",
        "median_length",
        "l0",
        "dead_share",
        "cross_entropy_recovered",
    ):
        value = stated.values.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise stated.wrong_kind(name, "a number")
        found[name] = None if value is None else float(value)
    return Card(**found)


def card_entries(card: Card) -> dict[str, Any]:
    """The card's known entries."""
    return {name: value for name, value in asdict(card).items() if value is not None}
