"""SAELens' format: cfg.json and sae_weights.safetensors; versions from 6 on, and the flat cfg.json of those before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import Normalisation, SparseCoder, Weights
from gloss.models.formats.checkpoint import (
    card_of,
    in_dtype,
    read_configuration,
    read_tensors,
    settled_site,
    stated_card,
    tensor,
    write_files,
)
from gloss.models.selection import AboveThreshold, LargestK, Positive, Selection
from gloss.models.sites import TRANSFORMER_LENS, Site

WEIGHTS = "sae_weights.safetensors"
LOWEST_VERSION = "6.0.0"  # that reads what is written here

SAES = ("standard", "topk", "jumprelu")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
RENAMED_IN_6 = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}


def read(folder: Path, site: Site | None) -> SparseCoder:
    """The dictionary in the folder. Raises BadInput for architectures other than TopK, JumpReLU and ReLU."""
    configuration = read_configuration(folder)
    if "metadata" not in configuration:
        configuration = _modernised(configuration)
    architecture, metadata = configuration.get("architecture"), configuration["metadata"]
    if architecture not in SAES + TRANSCODERS:
        raise BadInput(f"{folder} is a dictionary of SAELens' kind {architecture!r}; {', '.join(SAES + TRANSCODERS)} can be read")
    try:
        d_in, width = int(configuration["d_in"]), int(configuration["d_sae"])
    except KeyError as missing:
        raise BadInput(f"{folder}/cfg.json does not state {missing}; fetch the dictionary again") from missing
    d_out = int(configuration.get("d_out", d_in)) if architecture in TRANSCODERS else d_in
    tensors = _folded(read_tensors(folder / WEIGHTS), configuration, folder)
    weights = Weights(
        tensor(tensors, "W_enc", (d_in, width), folder).T.contiguous(),
        tensor(tensors, "b_enc", (width,), folder),
        tensor(tensors, "W_dec", (width, d_out), folder),
        tensor(tensors, "b_dec", (d_out,), folder),
        tensor(tensors, "W_skip", (d_out, d_in), folder) if "skip" in architecture else None,
    )
    reads = settled_site(metadata.get("hook_name"), site, folder)
    return SparseCoder(
        reads=reads,
        writes=settled_site(metadata.get("hook_name_out"), None, folder) if architecture in TRANSCODERS else reads,
        weights=weights,
        selection=_selection(configuration, tensors, width, folder),
        subtracts_bias=bool(configuration.get("apply_b_dec_to_input", True)) and architecture in SAES,
        normalisation=_normalisation(configuration, folder),
        card=card_of({"model": metadata.get("model_name"), **metadata.get("card", {})}),
    )


def write(dictionary: SparseCoder, folder: Path, dtype: torch.dtype) -> None:
    """Write the dictionary's two files. Raises BadSettings for what SAELens has no architecture for."""
    weights, selection = dictionary.weights, dictionary.selection
    architecture = _architecture(dictionary)
    tensors = {
        "W_enc": weights.encoder.T,
        "b_enc": weights.encoder_bias,
        "W_dec": weights.atoms,
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
    write_files(folder, WEIGHTS, in_dtype(tensors, dtype), configuration)


def _modernised(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration from before version 6 as if version 6 had written it."""
    renamed = {RENAMED_IN_6.get(name, name): value for name, value in flat.items()}
    modern: dict[str, Any] = {"architecture": "standard", "apply_b_dec_to_input": True} | renamed
    if modern.get("activation_fn") == "topk":
        modern |= {"architecture": "topk", "k": modern.get("activation_fn_kwargs", {}).get("k")}
    if isinstance(normalised := modern.get("normalize_activations"), bool):
        modern["normalize_activations"] = "expected_average_only_in" if normalised else "none"
    return modern | {"metadata": {name: renamed.get(name) for name in ("model_name", "hook_name", "norm_scaling_factor")}}


def _folded(tensors: dict[str, Tensor], configuration: Mapping[str, Any], folder: Path) -> dict[str, Tensor]:
    """The tensors with decoder norms and the input's scale worked in, as SAELens does when it exports a dictionary."""
    if bool((tensors.pop("scaling_factor", torch.ones(())) != 1).any()):
        raise BadInput(f"{folder} has a fine-tuned scaling_factor, which is no longer in use; fold it into W_dec first")
    if configuration.get("rescale_acts_by_decoder_norm"):
        norms = tensors["W_dec"].norm(dim=1)
        tensors |= {
            "W_enc": tensors["W_enc"] * norms,
            "b_enc": tensors["b_enc"] * norms,
            "W_dec": tensors["W_dec"] / norms[:, None],
        }
    if configuration.get("normalize_activations") == "expected_average_only_in":
        scale = configuration["metadata"].get("norm_scaling_factor") or configuration.get("norm_scaling_factor")
        if scale is None:
            raise BadInput(
                f"{folder} reads inputs scaled to a mean norm of sqrt(d_in), and its cfg.json does not say by what; add "
                "`norm_scaling_factor` (it is in SAELens' pretrained_saes.yaml), or set `normalize_activations` to none if folded"
            )
        tensors |= {"W_enc": tensors["W_enc"] * scale, "W_dec": tensors["W_dec"] / scale, "b_dec": tensors["b_dec"] / scale}
    return tensors


def _selection(configuration: Mapping[str, Any], tensors: Mapping[str, Tensor], width: int, folder: Path) -> Selection:
    if "jumprelu" in configuration["architecture"]:
        return AboveThreshold(tensor(tensors, "threshold", (width,), folder))
    if configuration["architecture"] != "topk":
        return Positive()
    if not isinstance(k := configuration.get("k"), int):
        raise BadInput(f"{folder}/cfg.json is of a TopK dictionary and states k={k}; fetch the dictionary again")
    return LargestK(k)


def _normalisation(configuration: Mapping[str, Any], folder: Path) -> Normalisation:
    stated = configuration.get("normalize_activations") or "none"
    if stated == "expected_average_only_in":  # folded by now
        return Normalisation.NONE
    if stated not in list(Normalisation):
        raise BadInput(
            f"{folder} normalises its input by {stated!r}; {', '.join(Normalisation)} can be read; fold it with SAELens first"
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
        for kind, architecture in ((LargestK, "topk"), (AboveThreshold, "jumprelu"), (Positive, "standard")):
            if isinstance(selection, kind):
                return architecture
    raise BadSettings(
        f"SAELens has no architecture for a dictionary from {dictionary.reads} to {dictionary.writes} with "
        f"{type(selection).__name__}{' and a skip path' if skip else ''}; save it in sparsify's format"
    )


def _metadata(dictionary: SparseCoder) -> dict[str, Any]:
    metadata: dict[str, Any] = {"sae_lens_version": LOWEST_VERSION, "hook_name": _hook_name(dictionary.reads)}
    if dictionary.writes != dictionary.reads:
        metadata["hook_name_out"] = _hook_name(dictionary.writes)
    if dictionary.card.model is not None:
        metadata["model_name"] = dictionary.card.model
    return metadata | {"card": stated_card(dictionary.card)}


def _hook_name(site: Site) -> str:
    """The site's first name in TransformerLens."""
    return f"blocks.{site.layer}.{next(hook for hook, kind in TRANSFORMER_LENS.items() if kind == site.kind)}"
