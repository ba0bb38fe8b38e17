"""Published formats that cannot be read, told by their files so that they are refused by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gloss.errors import BadInput
from gloss.models.formats.dictionary_folder import StatedSettings, json_object
from gloss.models.formats.tensor_files import PICKLES, files_of_tensors, tensor_names


@dataclass(frozen=True, slots=True)
class RefusedFormat:
    """What a place of its kind holds, how that is told, and why it cannot be read."""

    title: str
    recognises: Callable[[Path], bool]
    why: str


def _lists_transcoders(place: Path) -> bool:
    return "transcoders" in _yaml(place / "config.yaml")


def _crosscoder(place: Path) -> bool:
    if "cc_weights.pt" in _names(place):
        return True
    trainer = json_object(place / "config.json").get("trainer")
    named = trainer.get("dict_class", "") if isinstance(trainer, dict) else ""
    return "CrossCoder" in str(named)


def _has(place: Path, tensors: set[str]) -> bool:
    return bool(files_of_tensors(place, tensors, ".safetensors", *PICKLES))


def _names(place: Path) -> list[str]:
    return [place.name] if place.is_file() else [each.name for each in place.iterdir()]


def _yaml(file: Path) -> Mapping[str, object]:
    try:
        return StatedSettings.read(file).values
    except BadInput:
        return {}


REFUSED = (
    RefusedFormat(
        "circuit-tracer's list of transcoders that lie elsewhere",
        _lists_transcoders,
        "name one of them, as it stands in config.yaml",
    ),
    RefusedFormat(
        "a crosscoder of two models",
        _crosscoder,
        "each model's vectors have a scale that is not in its files; train one here, or convert it"
        " to gloss' own format",
    ),
    RefusedFormat(
        "a temporal dictionary",
        lambda place: "latest_ckpt.safetensors" in _names(place),
        "its codes depend on the tokens before, and gloss encodes each token by itself",
    ),
    RefusedFormat(
        "a dictionary of Llamascopium",
        lambda place: _has(place, {"W_E", "W_D"}),
        "which of its settings change what is computed is not known here; convert it to SAELens'"
        " format with its own library",
    ),
    RefusedFormat(
        "a dictionary of the science-of-finetuning fork",
        lambda place: (
            place.is_dir()
            and bool(files_of_tensors(place, {"encoder.weight"}, ".safetensors"))
            and "model.safetensors" in _names(place)
        ),
        "its threshold and its scales are those of several models' activations",
    ),
    RefusedFormat(
        "a dictionary of Goodfire's for R1",
        lambda place: any({"W", "b_enc", "b_dec"} <= set(names) for names in _string_sets(place)),
        "it keeps the largest of a whole batch, so that codes depend on the tokens beside them",
    ),
    RefusedFormat(
        "a dictionary_learning checkpoint without its config.json",
        lambda place: "ae.pt" in _names(place),
        "its class stands there alone; put config.json beside it",
    ),
)


def _string_sets(place: Path) -> list[frozenset[str]]:
    return [tensor_names(file) for file in files_of_tensors(place, (), *PICKLES)]


def refusal(place: Path) -> str | None:
    """Why the place's dictionary cannot be read, where it is of a format that is known by name."""
    for each in REFUSED:
        if each.recognises(place):
            return f"{place} holds {each.title}, which cannot be read: {each.why}"
    return None
