"""SAELens' format: cfg.json and sae_weights.safetensors.

Versions from 6 on, and the flat cfg.json of those before.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import Normalisation, SparseCoder, Weights
from gloss.models.formats.dictionary_folder import (
    CONFIGURATION_FILE,
    StatedSettings,
    card_entries,
    cast_tensors,
    holds_files,
    read_card,
    read_tensors,
    require_all_used,
    require_tensor,
    resolve_site,
    stated_k,
    write_files,
)
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.sites import TRANSFORMER_LENS, Site
from gloss.models.sparse_codes import AboveThreshold, LargestK, Positive, Selection

WEIGHTS = "sae_weights.safetensors"
LOWEST_VERSION = "6.0.0"  # that reads what is written here

SAES = ("standard", "topk", "jumprelu")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
SCALER = "activation_scaler.json"
METADATA = (
    "model_name",
    "hook_name",
    "hook_head_index",
    "norm_scaling_factor",
    "model_from_pretrained_kwargs",
)
RENAMED_IN_6 = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}


def read_sae_lens(request: DictionaryRequest) -> SparseCoder:
    """The dictionary in the folder.

    Raises BadInput for architectures other than TopK, JumpReLU and ReLU.
    """
    folder = request.folder
    configuration = _modernised(StatedSettings.read(folder / CONFIGURATION_FILE))
    architecture, metadata = configuration.string("architecture"), configuration.inner("metadata")
    if architecture not in SAES + TRANSCODERS:
        raise BadInput(
            f"{folder} is a dictionary of SAELens' kind {architecture!r};"
            f" {', '.join(SAES + TRANSCODERS)} can be read"
        )
    _require_plain(configuration, metadata)
    d_in, width = configuration.whole_number("d_in"), configuration.whole_number("d_sae")
    d_out = configuration.whole_number("d_out", d_in) if architecture in TRANSCODERS else d_in
    tensors = _folded(read_tensors(folder / WEIGHTS), configuration, folder)
    used = ["W_enc", "b_enc", "W_dec", "b_dec", *(["W_skip"] if "skip" in architecture else [])]
    require_all_used(
        tensors, [*used, *(["threshold"] if "jumprelu" in architecture else [])], folder
    )
    weights = Weights(
        require_tensor(tensors, "W_enc", (d_in, width), folder).T.contiguous(),
        require_tensor(tensors, "b_enc", (width,), folder),
        require_tensor(tensors, "W_dec", (width, d_out), folder),
        require_tensor(tensors, "b_dec", (d_out,), folder),
        (
            require_tensor(tensors, "W_skip", (d_out, d_in), folder)
            if "skip" in architecture
            else None
        ),
    )
    subtracts_bias = configuration.switch("apply_b_dec_to_input", True) and architecture in SAES
    if metadata.inner("model_from_pretrained_kwargs").switch("center_writing_weights", False):
        weights = _centred(weights, subtracts_bias)
    reads = resolve_site(metadata.string("hook_name"), request.site, folder)
    return SparseCoder(
        reads=reads,
        writes=(
            resolve_site(metadata.string("hook_name_out"), None, folder)
            if architecture in TRANSCODERS
            else reads
        ),
        weights=weights,
        selection=_selection(configuration, tensors, width, folder),
        subtracts_bias=subtracts_bias,
        normalisation=_normalisation(configuration, folder),
        card=read_card(metadata.inner("card"), metadata.string("model_name")),
    )


def write_sae_lens(dictionary: SparseCoder, folder: Path, dtype: torch.dtype) -> None:
    """Write the dictionary's two files.

    Raises BadSettings for what SAELens has no architecture for.
    """
    weights, selection = dictionary.weights, dictionary.selection
    architecture = _architecture(dictionary)
    tensors = {
        "W_enc": weights.encoder.T,
        "b_enc": weights.encoder_bias,
        "W_dec": weights.decoder_directions,
        "b_dec": weights.bias,
    }
    if weights.skip is not None:
        tensors["W_skip"] = weights.skip
    if isinstance(selection, AboveThreshold):
        tensors["threshold"] = selection.thresholds
    configuration: dict[str, Any] = {
        "architecture": architecture,
        "d_in": dictionary.d_in,
        "d_sae": dictionary.width,
        "dtype": "float32",  # in memory; the file's own type is in its header
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.subtracts_bias,
        "normalize_activations": str(dictionary.normalisation),
        "reshape_activations": "hook_z" if dictionary.reads.kind == "z" else "none",
        "metadata": _metadata(dictionary),
    }
    if isinstance(selection, LargestK):
        configuration |= {"k": selection.k, "rescale_acts_by_decoder_norm": False}
    if architecture in TRANSCODERS:
        configuration["d_out"] = dictionary.d_out
    write_files(folder, WEIGHTS, cast_tensors(tensors, dtype), configuration)


def _modernised(stated: StatedSettings) -> StatedSettings:
    """A configuration from before version 6 as if version 6 had written it."""
    if "metadata" in stated.values:
        return stated
    renamed = {RENAMED_IN_6.get(name, name): value for name, value in stated.values.items()}
    modern: dict[str, Any] = {"architecture": "standard", "apply_b_dec_to_input": True} | renamed
    if modern.get("activation_fn") == "topk":
        modern |= {
            "architecture": "topk",
            "k": stated.inner("activation_fn_kwargs").values.get("k"),
        }
    if isinstance(normalised := modern.get("normalize_activations"), bool):
        modern["normalize_activations"] = "expected_average_only_in" if normalised else "none"
    return StatedSettings(
        stated.file, modern | {"metadata": {name: renamed.get(name) for name in METADATA}}
    )


def _require_plain(configuration: StatedSettings, metadata: StatedSettings) -> None:
    """Raise BadInput for settings that change what is computed and that are not read here."""
    for stated in (configuration, metadata):
        activation = stated.values.get("activation_fn", stated.values.get("activation_fn_str"))
        if activation not in (None, "relu", "topk"):
            raise BadInput(
                f"{stated.file} states the activation {activation!r}; relu, topk and jumprelu can"
                " be read"
            )
        if stated.values.get("hook_head_index") is not None:
            raise BadInput(
                f"{stated.file} states hook_head_index = {stated.values['hook_head_index']}: it"
                " reads one head's columns of z, and dictionaries of all heads together can be"
                " read"
            )


def _folded(
    tensors: dict[str, Tensor], configuration: StatedSettings, folder: Path
) -> dict[str, Tensor]:
    """The tensors with decoder norms and the input's scale worked in, as SAELens does when it
    exports a dictionary.
    """
    if bool((tensors.pop("scaling_factor", torch.ones(())) != 1).any()):
        raise BadInput(
            f"{folder} has a fine-tuned scaling_factor, which is no longer in use; fold it into"
            " W_dec first"
        )
    if "log_threshold" in tensors and "threshold" not in tensors:  # of a checkpoint of training
        tensors["threshold"] = tensors.pop("log_threshold").exp()
    if configuration.switch("rescale_acts_by_decoder_norm", False) and "W_dec" in tensors:
        norms = tensors["W_dec"].norm(dim=1)
        if tuple(norms.shape) != tuple(tensors["b_enc"].shape) or not bool((norms > 0).all()):
            raise BadInput(
                f"{folder} scales codes by decoder norms, and these do not fit: fetch the"
                " dictionary again"
            )
        tensors |= {
            "W_enc": tensors["W_enc"] * norms,
            "b_enc": tensors["b_enc"] * norms,
            "W_dec": tensors["W_dec"] / norms[:, None],
        }
    if configuration.string("normalize_activations") == "expected_average_only_in":
        scale = _input_scale(configuration, folder)
        tensors |= {
            "W_enc": tensors["W_enc"] * scale,
            "W_dec": tensors["W_dec"] / scale,
            "b_dec": tensors["b_dec"] / scale,
        }
    return tensors


def _input_scale(configuration: StatedSettings, folder: Path) -> float:
    """By what inputs are multiplied to a mean norm of sqrt(d_in): from cfg.json, or from the file
    beside it.
    """
    scale = configuration.inner("metadata").positive_number(
        "norm_scaling_factor"
    ) or configuration.positive_number("norm_scaling_factor")
    if scale is None and (folder / SCALER).is_file():
        scale = StatedSettings.read(folder / SCALER).positive_number("scaling_factor")
    if scale is None:
        raise BadInput(
            f"{folder} reads inputs scaled to a mean norm of sqrt(d_in), and neither cfg.json"
            f" (norm_scaling_factor) nor {SCALER} says by what; add the factor, or set"
            " normalize_activations to none if it is folded into the weights"
        )
    return scale


def _centred(weights: Weights, subtracts_bias: bool) -> Weights:
    """The same dictionary for a residual stream whose mean over dimensions has not been taken out.

    TransformerLens centres what is written to the stream (`center_writing_weights`), which takes
    the mean out of every vector and changes nothing else that the model computes. Here the encoder
    takes the mean out, and it goes round the features by the skip path.
    """
    d_in, d_out = weights.encoder.shape[1], weights.decoder_directions.shape[1]
    encoder = weights.encoder - weights.encoder.mean(dim=1, keepdim=True)
    shift = (weights.encoder - encoder) @ weights.bias if subtracts_bias else 0.0
    around = torch.full((d_out, d_in), 1 / d_in) + (0.0 if weights.skip is None else weights.skip)
    return replace(weights, encoder=encoder, encoder_bias=weights.encoder_bias - shift, skip=around)


def _selection(
    configuration: StatedSettings, tensors: Mapping[str, Tensor], width: int, folder: Path
) -> Selection:
    architecture = configuration.string("architecture") or ""
    if "jumprelu" in architecture:
        return AboveThreshold(require_tensor(tensors, "threshold", (width,), folder))
    if architecture != "topk":
        return Positive()
    return LargestK(stated_k(configuration, width))


def _normalisation(configuration: StatedSettings, folder: Path) -> Normalisation:
    stated = configuration.string("normalize_activations") or "none"
    if stated == "expected_average_only_in":  # folded by now
        return Normalisation.NONE
    if stated not in list(Normalisation):
        raise BadInput(
            f"{folder} normalises its input by {stated!r}; {', '.join(Normalisation)} can be read;"
            " fold it with SAELens first"
        )
    return Normalisation(stated)


def _architecture(dictionary: SparseCoder) -> str:
    selection, skip = dictionary.selection, "skip_" if dictionary.weights.skip is not None else ""
    if dictionary.reads != dictionary.writes and not dictionary.subtracts_bias:
        if isinstance(selection, AboveThreshold):
            return f"jumprelu_{skip}transcoder"
        if isinstance(selection, Positive):
            return f"{skip}transcoder"
    if dictionary.reads == dictionary.writes and not skip:
        for kind, architecture in (
            (LargestK, "topk"),
            (AboveThreshold, "jumprelu"),
            (Positive, "standard"),
        ):
            if isinstance(selection, kind):
                return architecture
    raise BadSettings(
        f"SAELens has no architecture for a dictionary from {dictionary.reads} to"
        f" {dictionary.writes} with {type(selection).__name__}{' and a skip path' if skip else ''};"
        " save it in sparsify's format"
    )


def _metadata(dictionary: SparseCoder) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "sae_lens_version": LOWEST_VERSION,
        "hook_name": _hook_name(dictionary.reads),
    }
    if dictionary.writes != dictionary.reads:
        metadata["hook_name_out"] = _hook_name(dictionary.writes)
    if dictionary.card.model is not None:
        metadata["model_name"] = dictionary.card.model
    return metadata | {"card": card_entries(dictionary.card)}


def _hook_name(site: Site) -> str:
    """The site's first name in TransformerLens."""
    name = next(hook for hook, kind in TRANSFORMER_LENS.items() if kind == site.kind)
    return f"blocks.{site.layer}.{name}"


FORMAT = DictionaryFormat(
    "SAELens",
    f"{CONFIGURATION_FILE} with {WEIGHTS}",
    lambda folder: holds_files(folder, WEIGHTS),
    read_sae_lens,
    write_sae_lens,
)
