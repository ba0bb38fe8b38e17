"""circuit-tracer's format: a transcoder a layer in layer_N.safetensors, and config.yaml."""

import re
from pathlib import Path
from typing import Any

import torch
import yaml

from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import Card, Normalisation, SparseCoder, Weights
from gloss.models.formats.dictionary_folder import (
    StatedSettings,
    cast_tensors,
    resolve_site,
    save_tensors,
)
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.formats.tensor_files import StoredTensors, files_of_tensors, read_tensors
from gloss.models.sites import TRANSFORMER_LENS, Site
from gloss.models.sparse_codes import AboveThreshold, LargestK, Positive, Selection
from gloss.store.atomic import write_atomically, write_bytes

SETTINGS, WEIGHTS = "config.yaml", re.compile(r"layer_\d+\.safetensors")
TENSORS = {"W_enc", "W_dec", "b_enc", "b_dec"}
THRESHOLD = "activation_function.threshold"
# What its transcoders read and write where no config.yaml says so.
READS, WRITES = "mlp.hook_in", "hook_mlp_out"


def read_circuit_tracer(request: DictionaryRequest) -> SparseCoder:
    """One layer's transcoder.

    The site that is asked for is the one that it writes. Raises BadInput for what reads and writes
    no module's input and output.
    """
    file = request.file
    there = request.folder / SETTINGS
    settings = StatedSettings.read(there) if there.is_file() else StatedSettings(there, {})
    if (kind := settings.string("model_kind")) not in (None, "transcoder_set"):
        raise BadInput(f"{there} states model_kind = {kind}; transcoder_set can be read")
    stored, layer = read_tensors(file), _layer(file.name)
    width, d_in = stored.matrix("W_enc")
    d_out = stored.matrix("W_dec")[1]
    weights = Weights(
        stored.take("W_enc"),
        stored.take("b_enc", (width,)),
        stored.take("W_dec", (width, d_out)),
        stored.take("b_dec", (d_out,)),
        stored.take("W_skip", (d_out, d_in)) if "W_skip" in stored else None,
    )
    selection = _selection(settings, stored, width)
    stored.require_all_taken()
    hooks = (
        settings.string("feature_input_hook") or READS,
        settings.string("feature_output_hook") or WRITES,
    )
    reads, writes = (f"blocks.{layer}.{hook}" for hook in hooks)
    return SparseCoder(
        resolve_site(reads, None, there),
        resolve_site(writes, request.site, there),
        weights,
        selection,
        subtracts_bias=False,
        card=Card(model=settings.string("model_name")),
    )


def _selection(settings: StatedSettings, stored: StoredTensors, width: int) -> Selection:
    """By config.yaml, or else by the tensors that the file holds."""
    activation = settings.string("activation")
    if activation not in (None, "relu", "jump_relu", "jumprelu", "topk"):
        raise BadInput(
            f"{settings.file} states the activation {activation!r}; relu, jump_relu and topk can be"
            " read"
        )
    if activation == "topk" or (activation is None and "k" in stored):
        ks = [float(settings.whole_number("k"))] if "k" in settings else []
        ks += [stored.scalar("k")] if "k" in stored else []
        if not ks or min(ks) != max(ks) or not ks[0].is_integer() or not 1 <= ks[0] <= width:
            raise BadInput(
                f"{stored.file} is TopK of k = {' and '.join(f'{k:g}' for k in ks) or 'none'} of"
                f" {width} features; k stands in {settings.file} or beside the weights"
            )
        return LargestK(int(ks[0]))
    if activation == "relu" or (activation is None and THRESHOLD not in stored):
        return Positive()
    thresholds = stored.take(THRESHOLD)
    thresholds = thresholds.expand(width) if thresholds.numel() == 1 else thresholds
    if tuple(thresholds.shape) != (width,) or bool((thresholds < 0).any()):
        raise BadInput(
            f"{stored.file} has thresholds of the shape {tuple(thresholds.shape)}, the lowest"
            f" {float(thresholds.min()):g}; one a feature, from 0, can be read"
        )
    return AboveThreshold(thresholds.clone())


def write_circuit_tracer(dictionary: SparseCoder, folder: Path, dtype: torch.dtype) -> None:
    """Write the layer's transcoder, beside those of other layers, and config.yaml.

    Raises BadSettings for what is no transcoder of one layer, and where the folder is of other
    sites.
    """
    selection, weights, layer = dictionary.selection, dictionary.weights, dictionary.reads.layer
    _require_transcoder(dictionary)
    tensors = {
        "W_enc": weights.encoder,
        "b_enc": weights.encoder_bias,
        "W_dec": weights.decoder_directions,
        "b_dec": weights.bias,
    }
    if weights.skip is not None:
        tensors["W_skip"] = weights.skip
    if isinstance(selection, AboveThreshold):
        tensors[THRESHOLD] = selection.thresholds
    settings: dict[str, Any] = {
        "model_name": dictionary.card.model or "unknown",
        "model_kind": "transcoder_set",
        "feature_input_hook": _hook(dictionary.reads),
        "feature_output_hook": _hook(dictionary.writes),
        "scan": folder.name,
    }
    if isinstance(selection, LargestK):
        settings |= {"activation": "topk", "k": selection.k}
    elif isinstance(selection, Positive):
        settings["activation"] = "relu"
    if (there := folder / SETTINGS).is_file():
        held = StatedSettings.read(there).values
        for name in ("feature_input_hook", "feature_output_hook", "activation", "k"):
            if held.get(name) != settings.get(name):
                raise BadSettings(
                    f"{there} states {name} = {held.get(name)}, and this transcoder"
                    f" {settings.get(name)}; write it into another folder"
                )
    plain = {
        name: value.detach().cpu().contiguous()
        for name, value in cast_tensors(tensors, dtype).items()
    }
    write_atomically(folder / f"layer_{layer}.safetensors", lambda path: save_tensors(plain, path))
    write_bytes(there, yaml.safe_dump(settings, sort_keys=False).encode())


def _require_transcoder(dictionary: SparseCoder) -> None:
    if dictionary.reads == dictionary.writes or dictionary.reads.layer != dictionary.writes.layer:
        raise BadSettings(
            f"circuit-tracer holds transcoders from one site of a layer to another, not of"
            f" {dictionary.reads} to {dictionary.writes}; save as sae_lens or sparsify"
        )
    if not isinstance(dictionary.selection, Positive | AboveThreshold | LargestK):
        raise BadSettings(
            "circuit-tracer holds ReLU, JumpReLU and TopK, not"
            f" {type(dictionary.selection).__name__}; save as sae_lens or sparsify"
        )
    if dictionary.normalisation is not Normalisation.NONE or dictionary.subtracts_bias:
        raise BadSettings(
            "circuit-tracer normalises no input and subtracts no bias from it, and this dictionary"
            " does; save as sae_lens"
        )
    if dictionary.d_in != dictionary.d_out:
        raise BadSettings(
            f"circuit-tracer's inputs and outputs are equally long, not {dictionary.d_in} and"
            f" {dictionary.d_out}; save as sae_lens"
        )


def _hook(site: Site) -> str:
    return next(hook for hook, kind in TRANSFORMER_LENS.items() if kind == site.kind)


def _layer(name: str) -> int:
    return int(name.removeprefix("layer_").partition(".")[0])


def _layers(place: Path) -> list[str]:
    found = [
        file.name
        for file in files_of_tensors(place, TENSORS, ".safetensors")
        if WEIGHTS.fullmatch(file.name)
    ]
    return sorted(found, key=_layer)


FORMAT = DictionaryFormat(
    "circuit-tracer",
    f"{SETTINGS} with layer_N.safetensors",
    lambda place: bool(_layers(place)),
    read_circuit_tracer,
    write_circuit_tracer,
    parts=_layers,
    kinds=("transcoder, ReLU", "transcoder, JumpReLU", "transcoder, TopK", "transcoder, skip"),
    written=("transcoder, ReLU", "transcoder, JumpReLU", "transcoder, TopK", "transcoder, skip"),
)
