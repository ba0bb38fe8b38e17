"""dictionary_learning's format: config.json with the trainer's settings, and ae.pt."""

import re
from pathlib import Path

import torch
from torch import Tensor

from gloss.errors import BadInput
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.formats.dictionary_folder import (
    StatedSettings,
    json_object,
    read_card,
    resolve_site,
)
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.formats.tensor_files import StoredTensors, files_of_tensors, read_tensors
from gloss.models.sites import Site
from gloss.models.sparse_codes import AboveThreshold, Gated, LargestK, Positive, Selection

SETTINGS, WEIGHTS = "config.json", "ae.pt"
# Each class by what its tensors are called: encoder, its bias, decoder, the other bias. Names with
# a dot are of layers, whose weights lie the other way round.
LAYERS = ("encoder.weight", "encoder.bias", "decoder.weight")
MATRICES = ("W_enc", "b_enc", "W_dec", "b_dec")
CLASSES = {
    "AutoEncoder": (*LAYERS, "bias"),
    "AutoEncoderNew": (*LAYERS, "decoder.bias"),
    "GatedAutoEncoder": ("encoder.weight", "gate_bias", "decoder.weight", "decoder_bias"),
    "JumpReluAutoEncoder": MATRICES,
    "AutoEncoderTopK": (*LAYERS, "b_dec"),
    "BatchTopKSAE": (*LAYERS, "b_dec"),
    "MatryoshkaBatchTopKSAE": MATRICES,
}
WITHOUT_BIAS = ("AutoEncoderNew", "JumpReluAutoEncoder")  # subtracted from their inputs
# What submodules are called in its scripts, which read their outputs.
SUBMODULES = {
    "resid_post": "resid_post",
    "resid_out": "resid_post",
    "resid": "resid_post",
    "mlp_out": "mlp_raw",
    "mlp": "mlp_raw",
    "attn_out": "attn_raw",
    "attention_out": "attn_raw",
    "attn": "attn_raw",
}


def read_dictionary_learning(request: DictionaryRequest) -> SparseCoder:
    """The dictionary in the folder. Raises BadInput for classes that are not known."""
    file = request.file if request.part else request.folder / WEIGHTS
    settings = _trainer(file)
    name = settings.string("dict_class") or ""
    if name not in CLASSES:
        raise BadInput(
            f"{settings.file} states the class {name!r}, and {', '.join(CLASSES)} can be read"
        )
    stored = read_tensors(file)
    encoder, encoder_bias, decoder, bias = CLASSES[name]
    directions = _features_first(stored, decoder, "decoder.weight")
    width, d = directions.shape
    for stated, found in (("activation_dim", d), ("dict_size", width)):
        if stated in settings and settings.whole_number(stated) != found:
            raise BadInput(
                f"{settings.file} states {stated} = {settings.values[stated]}, and {file.name}"
                f" holds {found}; the two files do not belong together"
            )
    weights = Weights(
        _features_first(stored, encoder, "W_enc", (width, d)),
        stored.take(encoder_bias, (width,)),
        directions,
        stored.take(bias, (d,)),
    )
    selection = _selection(name, settings, stored, width)
    stored.require_all_taken()
    site = _site(settings, request, file)
    card = read_card(StatedSettings(settings.file, {}), settings.string("lm_name"))
    return SparseCoder(
        site, site, weights, selection, subtracts_bias=name not in WITHOUT_BIAS, card=card
    )


def _trainer(file: Path) -> StatedSettings:
    """The trainer's settings, which lie beside the weights, or beside the folder of checkpoints."""
    beside = file.parent / SETTINGS
    there = beside if beside.is_file() else file.parent.parent / SETTINGS
    return StatedSettings.read(there).inner("trainer")


def _features_first(
    stored: StoredTensors, name: str, turned: str, shape: tuple[int, int] | None = None
) -> Tensor:
    stored.matrix(name)
    found = stored.take(name)
    found = found.T.contiguous() if name == turned else found
    if shape is not None and tuple(found.shape) != shape:
        raise BadInput(
            f"{stored.file}: {name} is of {found.shape[0]} features of {found.shape[1]} numbers,"
            f" and the decoder of {shape[0]} of {shape[1]}; fetch the dictionary again"
        )
    return found


def _selection(name: str, settings: StatedSettings, stored: StoredTensors, width: int) -> Selection:
    if name == "GatedAutoEncoder":
        scale = stored.take("r_mag", (width,)).exp()
        shift = scale * stored.take("gate_bias", (width,))
        return Gated(scale, stored.take("mag_bias", (width,)) - shift)
    if name == "JumpReluAutoEncoder":
        return AboveThreshold(stored.take("threshold", (width,)))
    if name not in ("AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        return Positive()
    k = _k(settings, stored, width)
    if name == "AutoEncoderTopK":
        stored.ignore("threshold")  # which its library, too, leaves alone unless it is asked to
        return LargestK(k)
    if name == "MatryoshkaBatchTopKSAE" and int(stored.take("group_sizes").sum()) != width:
        raise BadInput(
            f"{stored.file}: group_sizes add up to {int(stored.take('group_sizes').sum())} of"
            f" {width} features; fetch the dictionary again"
        )
    threshold = stored.scalar("threshold")
    if threshold < 0:
        raise BadInput(
            f"{stored.file} has the threshold {threshold:g}, which stands for none: training ended"
            " before it was measured, so that only whole batches could be encoded; train it longer"
        )
    return AboveThreshold(torch.full((width,), threshold))


def _k(settings: StatedSettings, stored: StoredTensors, width: int) -> int:
    k = settings.whole_number("k") if "k" in settings else None
    if "k" in stored:
        held = stored.scalar("k")
        if k is not None and k != held:
            raise BadInput(
                f"{settings.file} states k = {k}, and {stored.file.name} holds {held:g}; the two"
                " files do not belong together"
            )
        k = int(held)
    if k is None or not 1 <= k <= width:
        raise BadInput(
            f"{stored.file} is of k = {k} of {width} features; the two cannot both be right"
        )
    return k


def _site(settings: StatedSettings, request: DictionaryRequest, file: Path) -> Site:
    """From the submodule's name, or else the layer's output, as its scripts have it."""
    name, layer = settings.string("submodule_name"), settings.values.get("layer")
    if name is not None and (found := re.fullmatch(r"(\w+?)_layer_?(\d+)", name)):
        if found[1] in SUBMODULES:
            return resolve_site(f"{SUBMODULES[found[1]]}.{found[2]}", request.site, file)
        return resolve_site(None, request.site, file)
    if name is None and isinstance(layer, int) and not isinstance(layer, bool):
        return resolve_site(f"resid_post.{layer}", request.site, file)
    return resolve_site(name, request.site, file)


def _recognises(place: Path) -> bool:
    folder = place if place.is_dir() else place.parent
    settings = json_object(folder / SETTINGS) or json_object(folder.parent / SETTINGS)
    trainer = settings.get("trainer")
    if not isinstance(trainer, dict) or "dict_class" not in trainer:
        return False
    return bool(files_of_tensors(place, (), ".pt"))


def _parts(folder: Path) -> list[str]:
    found = [file.name for file in files_of_tensors(folder, (), ".pt")]
    return [WEIGHTS] if WEIGHTS in found else found


FORMAT = DictionaryFormat(
    "dictionary_learning",
    f"{SETTINGS} with {WEIGHTS}",
    _recognises,
    read_dictionary_learning,
    parts=_parts,
    kinds=tuple(CLASSES),
    refused=("CrossCoder",),
)
