"""SAELens' format: cfg.json and sae_weights.safetensors.

Versions from 6 on, and the flat cfg.json of those before.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
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
    resolve_site,
    stated_k,
    write_files,
)
from gloss.models.formats.dictionary_format import (
    DictionaryFormat,
    DictionaryRequest,
    StoredDictionary,
)
from gloss.models.formats.tensor_files import StoredTensors, read_tensors
from gloss.models.formats.weight_folding import (
    centred,
    padded_to_head,
    scaled_by_decoder_norms,
    scaled_input,
    two_tails,
    whitened,
)
from gloss.models.matching_pursuit import MatchingPursuit
from gloss.models.sites import TRANSFORMER_LENS, Site
from gloss.models.sparse_codes import (
    AboveThreshold,
    Gated,
    LargestK,
    Positive,
    PositiveTanh,
    Selection,
)

WEIGHTS = "sae_weights.safetensors"
LOWEST_VERSION = "6.0.0"  # that reads what is written here

# Each kind with the settings that it alone has.
OF_TOPK, OF_TRANSCODERS = ("k", "rescale_acts_by_decoder_norm"), ("d_out",)
SAES = MappingProxyType(
    {
        "standard": (),
        "topk": OF_TOPK,
        "jumprelu": (),
        "gated": (),
        "abstopk": OF_TOPK,
        "batchtopk": OF_TOPK,
        "matryoshka_batchtopk": (*OF_TOPK, "matryoshka_widths", "use_matryoshka_aux_loss"),
        "matching_pursuit": ("residual_threshold", "max_iterations", "stop_on_duplicate_support"),
    }
)
TRANSCODERS = MappingProxyType(
    dict.fromkeys(
        (
            *("transcoder", "skip_transcoder"),
            *("jumprelu_transcoder", "jumprelu_skip_transcoder"),
        ),
        OF_TRANSCODERS,
    )
)
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType({**SAES, **TRANSCODERS})
REFUSED: Mapping[str, str] = MappingProxyType(
    {"temporal": "its codes depend on the tokens before, and gloss encodes each token by itself"}
)
WRITTEN = (*("standard", "topk", "jumprelu", "gated", "matching_pursuit"), *TRANSCODERS)
# Settings of training that version 6 leaves in a checkpoint, and what says nothing of the codes.
IDLE = (
    *("dtype", "device", "aux_loss_coefficient", "decoder_init_norm", "jumprelu_bandwidth"),
    *("jumprelu_init_threshold", "jumprelu_sparsity_loss_mode", "jumprelu_ste_to_input"),
    *("jumprelu_tanh_scale", "l0_coefficient", "l0_warm_up_steps", "l1_coefficient"),
    *("l1_warm_up_steps", "lp_norm", "pre_act_loss_coefficient", "target_l0"),
    *("topk_threshold_lr", "use_sparse_activations"),
)
READ = (
    *("architecture", "d_in", "d_sae", "apply_b_dec_to_input", "normalize_activations"),
    *("reshape_activations", "metadata", "norm_scaling_factor"),
    *("activation_fn", "activation_fn_str", "hook_head_index"),
)
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
SQUASHED = "tanh-relu"
WHITENING, WHITENING_FILE = "covariance_whitening", "activation_whitening.safetensors"
# What the model writes to the residual stream, and the stream, which TransformerLens centres.
OF_STREAM = (
    *("resid_pre", "resid_mid", "resid_post", "mlp_out", "mlp_raw", "attn_out", "attn_raw"),
)


def read_sae_lens(request: DictionaryRequest) -> StoredDictionary:
    """The dictionary in the folder.

    Raises BadInput for architectures that cannot be read, for settings and tensors that nothing
    uses, and where the two contradict each other.
    """
    folder = request.folder
    stated = StatedSettings.read(folder / CONFIGURATION_FILE)
    configuration = _modernised(_with_registry(stated, request.stated))
    architecture = configuration.string("architecture") or ""
    metadata = configuration.inner("metadata")
    _require_known_kind(architecture, configuration, folder)
    if "metadata" in stated:  # as from version 6 on, where no settings of training stand around
        configuration.require_known((*READ, *IDLE, *request.stated, *KINDS[architecture]))
    stored = read_tensors(folder / WEIGHTS)
    reads, writes = _sites(metadata, architecture in TRANSCODERS, request)
    card = read_card(metadata.inner("card"), metadata.string("model_name"))
    if architecture == "matching_pursuit":
        kwargs = metadata.inner("model_from_pretrained_kwargs")
        centres = kwargs.switch("center_writing_weights", False) and reads.kind in OF_STREAM
        if centres or _head_index(configuration, metadata) is not None:
            raise BadInput(
                f"{folder} is a matching pursuit of centred residuals, or of one head's output,"
                " which cannot be read; give one of the residual stream as it is"
            )
        return replace(_matching_pursuit(configuration, stored, reads), card=card)
    weights = _weights(configuration, stored, architecture)
    selection = _selection(configuration, stored, architecture, len(weights.encoder))
    stored.require_all_taken()
    subtracts_bias = architecture in SAES and configuration.switch("apply_b_dec_to_input", True)
    if configuration.switch("rescale_acts_by_decoder_norm", False):
        weights = scaled_by_decoder_norms(weights, folder)
    if configuration.string("normalize_activations") == "expected_average_only_in":
        weights = scaled_input(weights, _input_scale(configuration, folder))
    if configuration.string("normalize_activations") == WHITENING:
        weights = _whitened(weights, architecture, subtracts_bias, folder)
    if architecture == "abstopk":
        weights = two_tails(weights)
    centres = metadata.inner("model_from_pretrained_kwargs").switch("center_writing_weights", False)
    normalisation = _normalisation(configuration, folder)
    if centres and reads.kind in OF_STREAM:
        if normalisation is not Normalisation.NONE:
            raise BadInput(
                f"{folder} normalises centred residuals ({normalisation}), which cannot be read;"
                " fold the normalisation with SAELens first"
            )
        weights = centred(weights, subtracts_bias, goes_round=architecture in SAES)
    if (head := _head_index(configuration, metadata)) is not None:
        plain = architecture in SAES and normalisation is Normalisation.NONE
        weights = _of_one_head(weights, head, reads, plain, request)
    return SparseCoder(
        reads=reads,
        writes=writes,
        weights=weights,
        selection=selection,
        subtracts_bias=subtracts_bias,
        normalisation=normalisation,
        card=card,
    )


def write_sae_lens(
    dictionary: SparseCoder | MatchingPursuit, folder: Path, dtype: torch.dtype
) -> None:
    """Write the dictionary's two files.

    Raises BadSettings for what SAELens has no architecture for.
    """
    if isinstance(dictionary, MatchingPursuit):
        _write_matching_pursuit(dictionary, folder, dtype)
        return
    weights, selection = dictionary.weights, dictionary.selection
    architecture = _architecture(dictionary)
    tensors = {
        "W_enc": weights.encoder.T,
        "b_gate" if isinstance(selection, Gated) else "b_enc": weights.encoder_bias,
        "W_dec": weights.decoder_directions,
        "b_dec": weights.bias,
    }
    if weights.skip is not None:
        tensors["W_skip"] = weights.skip
    if isinstance(selection, AboveThreshold):
        tensors["threshold"] = selection.thresholds
    if isinstance(selection, Gated):
        tensors["r_mag"] = selection.scale.log()
        tensors["b_mag"] = selection.offset + selection.scale * weights.encoder_bias
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


def _write_matching_pursuit(pursuit: MatchingPursuit, folder: Path, dtype: torch.dtype) -> None:
    """Write a dictionary that is pursued, in its two files."""
    configuration: dict[str, Any] = {
        "architecture": "matching_pursuit",
        "d_in": pursuit.d_in,
        "d_sae": pursuit.width,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": str(Normalisation.NONE),
        "reshape_activations": "hook_z" if pursuit.reads.kind == "z" else "none",
        "residual_threshold": pursuit.enough,
        "max_iterations": pursuit.most,
        "stop_on_duplicate_support": pursuit.stops_at_repeat,
        "metadata": _metadata(pursuit),
    }
    tensors = {"W_dec": pursuit.decoder_directions, "b_dec": pursuit.bias}
    write_files(folder, WEIGHTS, cast_tensors(tensors, dtype), configuration)


def _sites(
    metadata: StatedSettings, transcodes: bool, request: DictionaryRequest
) -> tuple[Site, Site]:
    """Where it reads and writes; of a transcoder either may be asked for."""
    asked, folder = request.site, request.folder
    if not transcodes:
        reads = resolve_site(metadata.string("hook_name"), asked, folder)
        return reads, reads
    writes = resolve_site(metadata.string("hook_name_out"), None, folder)
    asked = None if asked == writes else asked
    return resolve_site(metadata.string("hook_name"), asked, folder), writes


def _with_registry(stated: StatedSettings, registry: Mapping[str, Any]) -> StatedSettings:
    """The settings with what a registry of dictionaries says besides."""
    values = {**stated.values, **registry}
    if isinstance(metadata := values.get("metadata"), dict):
        known = {name: registry[name] for name in METADATA if name in registry}
        values["metadata"] = {**metadata, **known}
    return StatedSettings(stated.file, values)


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


def _require_known_kind(architecture: str, configuration: StatedSettings, folder: Path) -> None:
    """Raise BadInput for architectures and activations that cannot be read."""
    if architecture in REFUSED:
        raise BadInput(
            f"{folder} is a dictionary of SAELens' kind {architecture!r}, which cannot be read:"
            f" {REFUSED[architecture]}"
        )
    if architecture not in KINDS:
        raise BadInput(
            f"{folder} is a dictionary of SAELens' kind {architecture!r}; {', '.join(KINDS)} can be"
            " read"
        )
    if architecture in TRANSCODERS and configuration.values.get("apply_b_dec_to_input") is True:
        raise BadInput(
            f"{configuration.file} states apply_b_dec_to_input = True of a transcoder, whose bias"
            " belongs to another site than its input; the two cannot both be right"
        )
    metadata = configuration.inner("metadata")
    for stated in (configuration, metadata):
        activation = _activation(stated)
        known = (None, "relu", *(["topk"] if architecture == "topk" else []))
        if activation in known or (activation == SQUASHED and architecture == "standard"):
            continue
        raise BadInput(
            f"{stated.file} states the activation {activation!r} of a dictionary of the kind"
            f" {architecture!r}, which cannot be read; relu, {SQUASHED} and topk can be, of the"
            " kinds standard and topk"
        )


def _activation(stated: StatedSettings) -> object:
    """The name of the activation, where one is stated."""
    return stated.values.get("activation_fn", stated.values.get("activation_fn_str"))


def _weights(configuration: StatedSettings, stored: StoredTensors, architecture: str) -> Weights:
    d_in, width = configuration.whole_number("d_in"), configuration.whole_number("d_sae")
    d_out = configuration.whole_number("d_out", d_in) if architecture in TRANSCODERS else d_in
    directions = stored.take("W_dec", (width, d_out))
    return Weights(
        stored.take("W_enc", (d_in, width)).T.contiguous(),
        stored.take("b_gate" if architecture == "gated" else "b_enc", (width,)),
        directions * _fine_tuned_scale(configuration, stored, width),
        stored.take("b_dec", (d_out,)),
        stored.take("W_skip", (d_out, d_in)) if "skip" in architecture else None,
    )


def _fine_tuned_scale(
    configuration: StatedSettings, stored: StoredTensors, width: int
) -> Tensor | float:
    """By what versions before 6 multiplied each feature's activation on the way out."""
    for name in ("scaling_factor", "finetuning_scaling_factor"):
        if name not in stored:
            continue
        scale = stored.take(name, (width,))
        if bool((scale == 1).all()):
            return 1.0
        if configuration.values.get("finetuning_scaling_factor") is not True:
            raise BadInput(
                f"{stored.file} has a {name} that is not 1, and {configuration.file} does not state"
                " finetuning_scaling_factor = true; the two files do not belong together"
            )
        return scale[:, None]
    return 1.0


def _selection(
    configuration: StatedSettings, stored: StoredTensors, architecture: str, width: int
) -> Selection:
    match architecture:
        case "gated":
            scale = stored.take("r_mag", (width,)).exp()
            shift = scale * stored.take("b_gate", (width,))
            return Gated(scale, stored.take("b_mag", (width,)) - shift)
        case "topk" | "abstopk":
            return LargestK(stated_k(configuration, width))
        case "batchtopk" | "matryoshka_batchtopk":
            return AboveThreshold(torch.full((width,), stored.scalar("topk_threshold")))
        case "standard" if _activation(configuration) == SQUASHED:
            return PositiveTanh()
        case _ if "jumprelu" in architecture:
            # checkpoints of training hold logarithms
            if "log_threshold" in stored and "threshold" not in stored:
                return AboveThreshold(stored.take("log_threshold", (width,)).exp())
            return AboveThreshold(stored.take("threshold", (width,)))
        case _:
            return Positive()


def _matching_pursuit(
    configuration: StatedSettings, stored: StoredTensors, site: Site
) -> MatchingPursuit:
    folder = configuration.file.parent
    d, width = configuration.whole_number("d_in"), configuration.whole_number("d_sae")
    directions, bias = stored.take("W_dec", (width, d)), stored.take("b_dec", (d,))
    stored.require_all_taken()
    plain = _normalisation(configuration, folder) is Normalisation.NONE
    if not plain or configuration.string("normalize_activations") == WHITENING:
        raise BadInput(
            f"{folder} normalises the input of a matching pursuit by"
            f" {configuration.string('normalize_activations')!r}; none and expected_average_only_in"
            " can be read"
        )
    enough = configuration.values.get("residual_threshold", 1e-2)
    if not isinstance(enough, int | float) or isinstance(enough, bool) or not 0 <= enough < 1e30:
        raise configuration.wrong_kind("residual_threshold", "a number from 0")
    if configuration.string("normalize_activations") == "expected_average_only_in":
        scale = _input_scale(configuration, folder)
        bias, enough = bias / scale, enough / scale
    return MatchingPursuit(
        site,
        directions,
        bias if configuration.switch("apply_b_dec_to_input", True) else torch.zeros_like(bias),
        configuration.whole_number("max_iterations") if "max_iterations" in configuration else d,
        float(enough),
        configuration.switch("stop_on_duplicate_support", True),
    )


def _head_index(configuration: StatedSettings, metadata: StatedSettings) -> int | None:
    for stated in (metadata, configuration):
        value = stated.values.get("hook_head_index")
        if value is not None:
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise stated.wrong_kind("hook_head_index", "a whole number from 0")
            return value
    return None


def _of_one_head(
    weights: Weights, head: int, reads: Site, plain: bool, request: DictionaryRequest
) -> Weights:
    """The same dictionary of all heads' outputs side by side, of which it reads one's."""
    named = f"{request.folder} states hook_head_index = {head}"
    if reads.kind != "z" or not plain:
        raise BadInput(
            f"{named} at {reads}; autoencoders of one head's output z that normalise no input can"
            " be read"
        )
    if request.subject is None:
        raise BadInput(
            f"{named}: it reads one head's columns of {reads}, and how many heads there are only"
            " the model says; open it beside its model, as gloss check and gloss run do"
        )
    return padded_to_head(weights, head, request.subject.width_at(reads), named)


def _whitened(weights: Weights, architecture: str, subtracts_bias: bool, folder: Path) -> Weights:
    if architecture in TRANSCODERS or not (folder / WHITENING_FILE).is_file():
        raise BadInput(
            f"{folder} whitens its inputs ({WHITENING}), which can be read of autoencoders with"
            f" {WHITENING_FILE} beside them; fold it with SAELens first"
        )
    return whitened(weights, read_tensors(folder / WHITENING_FILE), subtracts_bias)


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


def _normalisation(configuration: StatedSettings, folder: Path) -> Normalisation:
    stated = configuration.string("normalize_activations") or "none"
    if stated in ("expected_average_only_in", WHITENING):  # folded by now
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
            (Gated, "gated"),
            (Positive, "standard"),
        ):
            if isinstance(selection, kind):
                return architecture
    raise BadSettings(
        f"SAELens has no architecture for a dictionary from {dictionary.reads} to"
        f" {dictionary.writes} with {type(selection).__name__}{' and a skip path' if skip else ''};"
        " save it in sparsify's format"
    )


def _metadata(dictionary: SparseCoder | MatchingPursuit) -> dict[str, Any]:
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
    kinds=(*KINDS,),
    written=WRITTEN,
    refused=(*REFUSED,),
    writes=(SparseCoder, MatchingPursuit),
)
