"""gloss' own format of dictionaries of several sites: cfg.json and joint.safetensors."""

from pathlib import Path
from typing import Any

import torch

from gloss.errors import BadInput, BadSettings, Mismatch
from gloss.models.dictionary import Weights
from gloss.models.formats.dictionary_folder import (
    CONFIGURATION_FILE,
    StatedSettings,
    card_entries,
    cast_tensors,
    holds_files,
    read_card,
    stated_k,
    write_files,
)
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.formats.tensor_files import StoredTensors, read_tensors
from gloss.models.joint_coder import JointCoder
from gloss.models.sites import Site, parse_site, parts_of
from gloss.models.sparse_codes import AboveThreshold, LargestK, Positive, Selection

WEIGHTS = "joint.safetensors"
THRESHOLDS = "thresholds"
KINDS = tuple(
    f"{kind}, {selection}"
    for kind in ("crosscoder", "cross-layer transcoder")
    for selection in ("TopK", "JumpReLU", "ReLU")
)


def read_joint(request: DictionaryRequest) -> JointCoder:
    """The dictionary in the folder; its features' part at one site, where one is asked for."""
    stated = StatedSettings.read(request.folder / CONFIGURATION_FILE)
    stated.require_known(("reads", "writes", "scales", "by_site", "activation", "k", "card"))
    reads, writes = (parse_site(stated.string(name) or "") for name in ("reads", "writes"))
    blocks = len(parts_of(reads)) if (by_site := stated.switch("by_site", False)) else 1
    stored = read_tensors(request.folder / WEIGHTS)
    width, _ = stored.matrix("encoder")
    biases = [f"bias.{number}" for number in range(len(parts_of(writes)))]
    widths = tuple(stored.shape(name)[0] for name in biases)
    weights = Weights(
        stored.take("encoder"),
        stored.take("encoder_bias", (width,)),
        stored.take("decoder_directions", (width, sum(widths))),
        torch.cat([stored.take(name) for name in biases]),
    )
    selection = _selection(stated, stored, width)
    stored.require_all_taken()
    if width % blocks:
        raise BadInput(
            f"{stated.file} states features by site, and {width} are not as many of each of"
            f" {blocks} sites; fetch the dictionary again"
        )
    found = JointCoder(
        reads,
        writes,
        weights,
        selection,
        widths,
        _scales(stated, len(widths)),
        by_site,
        read_card(stated.inner("card")),
    )
    return at_site(found, request.site, request.folder)


def at_site(dictionary: JointCoder, asked: Site | None, folder: Path) -> JointCoder:
    """All of it, or as far as it writes the site that was asked for.

    Raises Mismatch where it does not write that.
    """
    if asked is None or asked == dictionary.writes:
        return dictionary
    if asked not in parts_of(dictionary.writes):
        raise Mismatch(
            f"{folder} writes {dictionary.writes}, and {asked} was asked for; leave the site out,"
            " or name one of these"
        )
    return dictionary.at(asked)


def _scales(stated: StatedSettings, number: int) -> tuple[float, ...]:
    found = stated.values.get("scales")
    if not isinstance(found, list) or len(found) != number or not all(map(_is_scale, found)):
        raise BadInput(
            f"{stated.file} states scales = {str(found)[:60]}; wanted a number above 0 for each of"
            f" {number} sites"
        )
    return tuple(map(float, found))


def _is_scale(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e30


def _selection(stated: StatedSettings, stored: StoredTensors, width: int) -> Selection:
    match stated.string("activation"):
        case "topk":
            return LargestK(stated_k(stated, width))
        case "threshold":
            return AboveThreshold(stored.take(THRESHOLDS, (width,)))
        case "relu":
            return Positive()
        case other:
            raise BadInput(
                f"{stated.file} states the activation {other!r}; topk, threshold and relu can be"
                " read"
            )


def write_joint(dictionary: JointCoder, folder: Path, dtype: torch.dtype) -> None:
    """Write the dictionary's two files. Raises BadSettings for a selection of another kind."""
    w, selection = dictionary.weights, dictionary.selection
    tensors = {
        "encoder": w.encoder,
        "encoder_bias": w.encoder_bias,
        "decoder_directions": w.decoder_directions,
    }
    parts = w.bias.split(dictionary.widths)
    tensors |= {f"bias.{number}": part for number, part in enumerate(parts)}
    configuration: dict[str, Any] = {
        "reads": str(dictionary.reads),
        "writes": str(dictionary.writes),
        "scales": list(dictionary.scales),
        "by_site": dictionary.by_site,
    }
    match selection:
        case LargestK():
            configuration |= {"activation": "topk", "k": selection.k}
        case AboveThreshold():
            configuration["activation"] = "threshold"
            tensors[THRESHOLDS] = selection.thresholds
        case Positive():
            configuration["activation"] = "relu"
        case _:
            raise BadSettings(
                "joint holds TopK, thresholds and ReLU, not"
                f" {type(selection).__name__}; give one of these"
            )
    configuration["card"] = card_entries(dictionary.card)
    write_files(folder, WEIGHTS, cast_tensors(tensors, dtype), configuration)


FORMAT = DictionaryFormat(
    "gloss' dictionaries of several sites",
    f"{CONFIGURATION_FILE} with {WEIGHTS}",
    lambda place: holds_files(place, WEIGHTS),
    read_joint,
    write_joint,
    kinds=KINDS,
    written=KINDS,
    writes=(JointCoder,),
)
