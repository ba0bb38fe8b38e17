"""Llama Scope's formats: hyperparams.json with checkpoints/final.safetensors of the first, and
config.json with sae_weights.safetensors of R1.
"""

from dataclasses import replace
from pathlib import Path

import torch

from gloss.errors import BadInput
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.formats.dictionary_folder import StatedSettings, resolve_site
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.formats.tensor_files import StoredTensors, read_tensors, tensor_names
from gloss.models.formats.weight_folding import scaled_by_decoder_norms, scaled_input
from gloss.models.sparse_codes import AboveThreshold, LargestK, Positive, Selection

FIRST, FIRST_WEIGHTS = "hyperparams.json", Path("checkpoints") / "final.safetensors"
R1, R1_WEIGHTS = "config.json", "sae_weights.safetensors"
THRESHOLD = "log_jumprelu_threshold"
# Switches of training code that would change what is computed.
UNKNOWN = ("use_glu_encoder", "use_ghost_grads_at_inference")


def read_llama_scope(request: DictionaryRequest) -> SparseCoder:
    """A dictionary or a transcoder of the first Llama Scope, with codes in the scale of the raw
    activations, as its own library has them: the norms over a data set that it trained with are
    worked into biases and decoder.
    """
    settings = StatedSettings.read(request.folder / FIRST)
    stored = read_tensors(request.folder / FIRST_WEIGHTS)
    weights = _weights(settings, stored)
    stored.require_all_taken()
    d, norms = weights.encoder.shape[1], settings.inner("dataset_average_activation_norm")
    normalised = settings.string("norm_activation") or "none"
    if normalised == "dataset-wise":
        scale_in, scale_out = (
            (width**0.5) / (norms.positive_number(end) or _lacks(settings, end))
            for end, width in (("in", d), ("out", weights.decoder_directions.shape[1]))
        )
        weights = Weights(
            weights.encoder,
            weights.encoder_bias / scale_in,
            weights.decoder_directions * (scale_in / scale_out),
            weights.bias / scale_out,
        )
    elif normalised not in ("none", "inference"):
        raise BadInput(
            f"{settings.file} states norm_activation = {normalised}; dataset-wise, inference and"
            " none can be read"
        )
    if settings.switch("sparsity_include_decoder_norm", False):
        weights = scaled_by_decoder_norms(weights, request.folder)
    return _coder(request, settings, weights, _selection(settings, len(weights.encoder)))


def read_llama_scope_r1(request: DictionaryRequest) -> SparseCoder:
    """A dictionary of Llama Scope R1, with codes in the scale of its normalised inputs, for which
    its thresholds are.

    Raises BadInput where the norm of its inputs is stated nowhere.
    """
    settings = StatedSettings.read(request.folder / R1)
    stored = read_tensors(request.folder / R1_WEIGHTS)
    weights = _weights(settings, stored)
    thresholds = stored.take(THRESHOLD, (len(weights.encoder),)).exp()
    stored.require_all_taken()
    if settings.switch("sparsity_include_decoder_norm", False):
        weights = scaled_by_decoder_norms(weights, request.folder)
    normalised = settings.string("norm_activation") or "dataset-wise"
    if normalised == "dataset-wise":
        norms, d = settings.inner("dataset_average_activation_norm"), weights.encoder.shape[1]
        registry = StatedSettings(settings.file, request.stated)
        scale = registry.positive_number("norm_scaling_factor")
        scale = scale or d**0.5 / (norms.positive_number("in") or _lacks(settings, "in"))
        weights = scaled_input(weights, scale)
    elif normalised not in ("none", "inference"):
        raise BadInput(
            f"{settings.file} states norm_activation = {normalised}; dataset-wise, inference and"
            " none can be read"
        )
    return _coder(request, settings, weights, AboveThreshold(thresholds))


def _lacks(settings: StatedSettings, end: str) -> float:
    raise BadInput(
        f"{settings.file} states inputs scaled by their norm over a data set, and no"
        f" dataset_average_activation_norm.{end}; add it, or open the dictionary by its name in"
        " SAELens' registry, which knows the factor"
    )


def _weights(settings: StatedSettings, stored: StoredTensors) -> Weights:
    for name in UNKNOWN:
        if settings.switch(name, False):
            raise BadInput(f"{settings.file} states {name} = true; this kind cannot be read")
    d = settings.whole_number("d_model")
    width = (
        settings.whole_number("d_sae")
        if "d_sae" in settings
        else d * settings.whole_number("expansion_factor")
    )
    return Weights(
        stored.take("encoder.weight", (width, d)),
        stored.take("encoder.bias", (width,)),
        stored.take("decoder.weight", (d, width)).T.contiguous(),
        stored.take("decoder.bias", (d,)),
    )


def _selection(settings: StatedSettings, width: int) -> Selection:
    """Trained as TopK and used with one threshold for all, where there is one."""
    activation = settings.string("act_fn") or "jumprelu"
    threshold = settings.positive_number("jump_relu_threshold")
    if activation in ("topk", "jumprelu") and threshold is not None:
        return AboveThreshold(torch.full((width,), threshold))
    if activation == "topk":
        k = settings.whole_number("top_k")
        if k > width:
            raise BadInput(
                f"{settings.file} states top_k = {k} of {width} features; the two cannot both be"
                " right"
            )
        return LargestK(k)
    if activation == "relu":
        return Positive()
    raise BadInput(
        f"{settings.file} states act_fn = {activation} and jump_relu_threshold ="
        f" {settings.values.get('jump_relu_threshold')}; relu, topk, and jumprelu with its"
        " threshold can be read"
    )


def _coder(
    request: DictionaryRequest, settings: StatedSettings, weights: Weights, selection: Selection
) -> SparseCoder:
    read = settings.string("hook_point_in")
    written = settings.string("hook_point_out") or read
    writes = resolve_site(written, request.site, request.folder)
    reads = writes if read in (None, written) else resolve_site(read, None, request.folder)
    subtracts = settings.switch("apply_decoder_bias_to_pre_encoder", False)
    if subtracts and reads != writes:
        raise BadInput(
            f"{settings.file} states apply_decoder_bias_to_pre_encoder = true of a transcoder,"
            " whose bias belongs to another site than its input; the two cannot both be right"
        )
    coder = SparseCoder(reads, writes, weights, selection, subtracts_bias=subtracts)
    model = settings.string("model_name")
    return replace(coder, card=replace(coder.card, model=model))


LLAMA_SCOPE = DictionaryFormat(
    "Llama Scope",
    f"{FIRST} with {FIRST_WEIGHTS}",
    lambda place: (place / FIRST).is_file() and (place / FIRST_WEIGHTS).is_file(),
    read_llama_scope,
    kinds=("JumpReLU", "TopK", "transcoder"),
)
LLAMA_SCOPE_R1 = DictionaryFormat(
    "Llama Scope R1",
    f"{R1} with {R1_WEIGHTS}",
    lambda place: (
        (place / R1).is_file() and tensor_names(place / R1_WEIGHTS) >= {"encoder.weight", THRESHOLD}
    ),
    read_llama_scope_r1,
    kinds=("JumpReLU",),
)
