"""circuit-tracer's cross-layer transcoders: W_enc_N.safetensors and W_dec_N.safetensors of every
layer, and config.yaml.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from jaxtyping import Float32
from torch import Tensor

from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import Card, Weights
from gloss.models.formats.circuit_tracer import SETTINGS
from gloss.models.formats.dictionary_folder import StatedSettings, cast_tensors, save_tensors
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.formats.joint import at_site
from gloss.models.formats.tensor_files import read_tensors
from gloss.models.joint_coder import JointCoder
from gloss.models.sites import TRANSFORMER_LENS, JointSite, Site, parse_site, parts_of
from gloss.models.sparse_codes import AboveThreshold, Positive
from gloss.store.atomic import write_atomically, write_bytes

ENCODER = re.compile(r"W_enc_(\d+)\.safetensors")
KIND = "cross_layer_transcoder"
HOOKS = ("feature_input_hook", "feature_output_hook")
KINDS = ("ReLU", "JumpReLU")


@dataclass(frozen=True, slots=True)
class LayerTensors:
    """What the two files of a layer hold, with what its features write at all layers."""

    encoder: Float32[Tensor, "feature d_in"]
    encoder_bias: Float32[Tensor, " feature"]
    decoder_directions: Float32[Tensor, "feature d_all"]
    bias: Float32[Tensor, " d_out"]
    thresholds: Float32[Tensor, " feature"] | None

    @staticmethod
    def read(folder: Path, layer: int, layers: int) -> "LayerTensors":
        """Those of one of so many layers. Raises BadInput for other shapes and other tensors."""
        stored = read_tensors(folder / f"W_enc_{layer}.safetensors")
        written = read_tensors(folder / f"W_dec_{layer}.safetensors")
        width, _ = stored.matrix(f"W_enc_{layer}")
        (d_out,) = stored.shape(f"b_dec_{layer}")
        threshold = f"threshold_{layer}"
        thresholds = stored.take(threshold, (width,)) if threshold in stored else None
        if thresholds is not None and bool((thresholds < 0).any()):
            raise BadInput(
                f"{stored.file} has a threshold of {float(thresholds.min()):g}; those from 0 can be"
                " read"
            )
        later = written.take(f"W_dec_{layer}", (width, layers - layer, d_out))
        found = LayerTensors(
            stored.take(f"W_enc_{layer}"),
            stored.take(f"b_enc_{layer}", (width,)),
            torch.cat([later.new_zeros(width, layer * d_out), later.flatten(1)], dim=1),
            stored.take(f"b_dec_{layer}"),
            thresholds,
        )
        stored.require_all_taken()
        written.require_all_taken()
        return found


def read_layers(request: DictionaryRequest) -> JointCoder:
    """All layers together; as far as they write one, where its site is asked for.

    Raises BadInput where files of a layer are missing, and where layers are unlike.
    """
    folder, settings = request.folder, StatedSettings.read(request.folder / SETTINGS)
    layers = layers_in(folder)
    if (kind := settings.string("model_kind")) != KIND or layers != list(range(len(layers))):
        raise BadInput(
            f"{folder} holds the layers {', '.join(map(str, layers))} of a model_kind = {kind};"
            f" wanted {KIND}, and every layer from 0 on"
        )
    hooks = [settings.string(name) for name in HOOKS]
    if None in hooks:
        raise BadInput(
            f"{settings.file} does not state {' and '.join(HOOKS)}; state where features read and"
            " write, as in hook_resid_mid and hook_mlp_out"
        )
    reads, writes = (
        JointSite.of([parse_site(f"blocks.{layer}.{hook}") for layer in layers]) for hook in hooks
    )
    found = [LayerTensors.read(folder, layer, len(layers)) for layer in layers]
    if len({(each.encoder.shape, each.bias.shape, each.thresholds is None) for each in found}) > 1:
        raise BadInput(f"{folder} has layers that are unlike; fetch the dictionary again")
    weights = Weights(
        torch.cat([each.encoder for each in found]),
        torch.cat([each.encoder_bias for each in found]),
        torch.cat([each.decoder_directions for each in found]),
        torch.cat([each.bias for each in found]),
    )
    thresholds = [each.thresholds for each in found if each.thresholds is not None]
    whole = JointCoder(
        reads,
        writes,
        weights,
        AboveThreshold(torch.cat(thresholds)) if thresholds else Positive(),
        tuple(len(each.bias) for each in found),
        (1.0,) * len(found),
        by_site=True,
        card=Card(model=settings.string("model_name")),
    )
    return at_site(whole, request.site, folder)


def layers_in(folder: Path) -> list[int]:
    """The layers whose encoders lie in the folder."""
    found = (ENCODER.fullmatch(each.name) for each in folder.iterdir())
    return sorted(int(each[1]) for each in found if each)


def write_layers(dictionary: JointCoder, folder: Path, dtype: torch.dtype) -> None:
    """Write two files a layer, and config.yaml last.

    Raises BadSettings for what is no cross-layer transcoder of all layers from the first on.
    """
    w, selection = dictionary.weights, dictionary.selection
    sites = parts_of(dictionary.writes)
    reads, writes = (hook_of(parts_of(site)) for site in (dictionary.reads, dictionary.writes))
    if not dictionary.by_site or not reads or not writes:
        raise BadSettings(
            "circuit-tracer holds cross-layer transcoders of every layer from 0 on, not"
            f" {dictionary.reads} to {dictionary.writes}; save as joint"
        )
    if not isinstance(selection, Positive | AboveThreshold):
        raise BadSettings(
            "circuit-tracer's cross-layer transcoders are ReLU or JumpReLU, not"
            f" {type(selection).__name__}; save as joint, or train with selection_of ="
            ' "batch_topk"'
        )
    size = dictionary.width // len(sites)
    for layer, bias in enumerate(w.bias.split(dictionary.widths)):
        own = slice(layer * size, (layer + 1) * size)
        earlier = sum(dictionary.widths[:layer])
        if bool(w.decoder_directions[own, :earlier].any()):
            raise BadSettings(
                f"features of layer {layer} write earlier layers, which circuit-tracer cannot hold;"
                " save as joint"
            )
        encoder: dict[str, Tensor] = {
            f"W_enc_{layer}": w.encoder[own],
            f"b_enc_{layer}": w.encoder_bias[own],
            f"b_dec_{layer}": bias,
        }
        if isinstance(selection, AboveThreshold):
            encoder[f"threshold_{layer}"] = selection.thresholds[own]
        later = w.decoder_directions[own, earlier:].unflatten(1, (len(sites) - layer, -1))
        for name, tensors in (("enc", encoder), ("dec", {f"W_dec_{layer}": later})):
            plain = {key: value.cpu().contiguous() for key, value in tensors.items()}
            cast = cast_tensors(plain, dtype)
            write_atomically(
                folder / f"W_{name}_{layer}.safetensors",
                lambda path, cast=cast: save_tensors(cast, path),
            )
    settings: dict[str, Any] = {"model_name": dictionary.card.model or "unknown"}
    settings |= {"model_kind": KIND, HOOKS[0]: reads, HOOKS[1]: writes, "scan": folder.name}
    write_bytes(folder / SETTINGS, yaml.safe_dump(settings, sort_keys=False).encode())


def hook_of(sites: tuple[Site, ...]) -> str:
    """The hook of sites of one kind at every layer from 0 on; "" for others."""
    if len(sites) < 2 or list(sites) != [Site(sites[0].kind, n) for n in range(len(sites))]:
        return ""
    return next(hook for hook, kind in TRANSFORMER_LENS.items() if kind == sites[0].kind)


FORMAT = DictionaryFormat(
    "circuit-tracer, cross-layer",
    f"{SETTINGS} with W_enc_N.safetensors and W_dec_N.safetensors",
    lambda place: place.is_dir() and bool(layers_in(place)),
    read_layers,
    write_layers,
    kinds=KINDS,
    written=KINDS,
    writes=(JointCoder,),
)
