"""sparsify's format: cfg.json and sae.safetensors, in a folder that is named after the module."""

from pathlib import Path
from typing import Any

import torch

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
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.formats.tensor_files import read_tensors
from gloss.models.sites import INPUTS, Site
from gloss.models.sparse_codes import LargestK, LargestOfGroups, Selection

WEIGHTS = "sae.safetensors"
DEFAULT_K, DEFAULT_EXPANSION = 32, 32

KNOWN = (
    *("activation", "expansion_factor", "normalize_decoder", "num_latents", "k", "multi_topk"),
    *("skip_connection", "transcode", "d_in", "signed", "gloss"),
)
OWN_ENTRY = "gloss"  # in cfg.json; sparsify drops entries that it does not know


def read_sparsify(request: DictionaryRequest) -> SparseCoder:
    """The dictionary in the folder.

    The site that is asked for is the module's output, also for a transcoder.
    """
    folder = request.folder
    configuration = StatedSettings.read(folder / CONFIGURATION_FILE)
    d = configuration.whole_number("d_in")
    if configuration.switch("signed", False):
        raise BadInput(
            f"{folder} is a signed dictionary of an early version of sparsify, which cannot be"
            " read; train it again"
        )
    # 0 or none of a dictionary whose width follows from its expansion
    named = configuration.values.get("num_latents")
    width = (
        configuration.whole_number("num_latents")
        if named
        else d * configuration.whole_number("expansion_factor", DEFAULT_EXPANSION)
    )
    configuration.require_known(KNOWN)
    stored = read_tensors(folder / WEIGHTS)
    skips = configuration.switch("skip_connection", False)
    weights = Weights(
        stored.take("encoder.weight", (width, d)),
        stored.take("encoder.bias", (width,)),
        stored.take("W_dec", (width, d)),
        stored.take("b_dec", (d,)),
        stored.take("W_skip", (d, d)) if skips else None,
    )
    stored.require_all_taken()
    own = configuration.inner(OWN_ENTRY)
    writes = _written_site(own.string("writes"), request.site, folder)
    transcodes = configuration.switch("transcode", False)
    return SparseCoder(
        reads=_read_site(writes, folder) if transcodes else writes,
        writes=writes,
        weights=weights,
        selection=_selection(configuration, width, folder),
        subtracts_bias=not transcodes,
        card=read_card(own.inner("card")),
    )


def write_sparsify(dictionary: SparseCoder, folder: Path, dtype: torch.dtype) -> None:
    """Write the dictionary's two files. Raises BadSettings for what sparsify cannot hold."""
    _require_writable(dictionary)
    weights, selection = dictionary.weights, dictionary.selection
    transcodes = dictionary.reads != dictionary.writes
    encoder_bias = weights.encoder_bias
    # sparsify subtracts the bias from an autoencoder's input and from no other
    if dictionary.subtracts_bias == transcodes:
        shift = weights.encoder @ weights.bias
        encoder_bias = encoder_bias - shift if transcodes else encoder_bias + shift
    tensors = {
        "encoder.weight": weights.encoder,
        "encoder.bias": encoder_bias,
        "W_dec": weights.decoder_directions,
        "b_dec": weights.bias,
    }
    if weights.skip is not None:
        tensors["W_skip"] = weights.skip
    unit = bool(torch.allclose(weights.decoder_directions.norm(dim=1), torch.ones(()), atol=1e-3))
    configuration: dict[str, Any] = {
        "activation": "topk" if isinstance(selection, LargestK) else "groupmax",
        "expansion_factor": dictionary.width // dictionary.d_in,
        "normalize_decoder": unit and not transcodes,
        "num_latents": dictionary.width,
        "k": selection.k if isinstance(selection, LargestK | LargestOfGroups) else 0,
        "multi_topk": False,
        "skip_connection": weights.skip is not None,
        "transcode": transcodes,
        "d_in": dictionary.d_in,
        OWN_ENTRY: {"writes": str(dictionary.writes), "card": card_entries(dictionary.card)},
    }
    write_files(folder, WEIGHTS, cast_tensors(tensors, dtype), configuration)


def _written_site(own: str | None, given: Site | None, folder: Path) -> Site:
    """From our own entry, or from the folder's name where it is a module's."""
    if own is not None:
        return resolve_site(own, given, folder)
    try:
        return resolve_site(folder.resolve().name, given, folder)
    except BadInput as error:
        raise BadInput(
            f"the folder {folder.resolve().name!r} is not named after a module, as sparsify's are"
            " (layers.5, layers.5.mlp); rename it or give the site, for example resid_post.5"
        ) from error


def _read_site(writes: Site, folder: Path) -> Site:
    if writes.kind not in INPUTS:
        raise BadInput(
            f"{folder} is a transcoder of {writes}, whose input is no known site; those of layers"
            " and MLPs can be read"
        )
    return Site(INPUTS[writes.kind], writes.layer)


def _selection(configuration: StatedSettings, width: int, folder: Path) -> Selection:
    activation, k = (
        configuration.string("activation") or "topk",
        stated_k(configuration, width, default=DEFAULT_K),
    )
    if activation == "topk":
        return LargestK(k)
    if activation == "groupmax":
        return LargestOfGroups(k)
    raise BadInput(f"{folder} has the activation {activation!r}; topk and groupmax can be read")


def _require_writable(dictionary: SparseCoder) -> None:
    if not isinstance(dictionary.selection, LargestK | LargestOfGroups):
        raise BadSettings(
            f"sparsify holds TopK and GroupMax, not {type(dictionary.selection).__name__}; save it"
            " in SAELens' format"
        )
    if dictionary.normalisation is not Normalisation.NONE:
        raise BadSettings(
            "sparsify does not normalise inputs, and this dictionary does by"
            f" {dictionary.normalisation}; save as sae_lens"
        )
    if dictionary.d_in != dictionary.d_out:
        raise BadSettings(
            f"sparsify's inputs and outputs are equally long, not {dictionary.d_in} and"
            f" {dictionary.d_out}; save as sae_lens"
        )
    if (
        dictionary.reads != dictionary.writes
        and INPUTS.get(dictionary.writes.kind) != dictionary.reads.kind
    ):
        raise BadSettings(
            f"sparsify's transcoders read their module's input, not {dictionary.reads} for"
            f" {dictionary.writes}; save as sae_lens"
        )


FORMAT = DictionaryFormat(
    "sparsify",
    f"{CONFIGURATION_FILE} with {WEIGHTS}",
    lambda folder: holds_files(folder, WEIGHTS),
    read_sparsify,
    write_sparsify,
    kinds=("TopK", "GroupMax", "transcoder", "transcoder, skip"),
    written=("TopK", "GroupMax", "transcoder", "transcoder, skip"),
)
