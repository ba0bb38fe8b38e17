"""Dictionaries that lie in a file of tensors by themselves, whose name says the rest: those of Qwen
Scope, of OpenAI, of Goodfire and of qresearch, and the attention dictionaries of Kissane et al.
"""

import re
from pathlib import Path

from gloss.errors import BadInput
from gloss.models.dictionary import Card, Normalisation, SparseCoder, Weights
from gloss.models.formats.dictionary_folder import StatedSettings, resolve_site
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.formats.tensor_files import (
    PICKLES,
    StoredTensors,
    files_of_tensors,
    read_tensors,
)
from gloss.models.sparse_codes import LargestK, Positive, Selection

MATRICES = {"W_enc", "W_dec", "b_enc", "b_dec"}
LAYERS = ("weight", "bias")

QWEN_FILE = re.compile(r"layer(\d+)\.sae\.pt")
QWEN_NAME = re.compile(r"SAE-Res-(?P<model>.+?)-W\d+K-L0_(?P<k>\d+)")

OPENAI_TENSORS = {"pre_bias", "latent_bias", "encoder.weight", "decoder.weight"}
OPENAI_STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
OPENAI_SITES = {
    "mlp_post_act": "mlp_act",
    "resid_delta_attn": "attn_out",
    "resid_delta_mlp": "mlp_out",
    "resid_post_attn": "resid_mid",
    "resid_post_mlp": "resid_post",
}


def read_qwen_scope(request: DictionaryRequest) -> SparseCoder:
    """A layer's TopK dictionary, whose k stands in the repository's name alone."""
    file, named = request.file, QWEN_NAME.search(str(request.file.absolute()))
    if named is None:
        raise BadInput(
            f"{file} is of Qwen Scope, whose k stands in its repository's name alone; keep the file"
            " in a folder of that name, as in SAE-Res-Qwen3-1.7B-Base-W32K-L0_50/layer0.sae.pt"
        )
    stored = read_tensors(file)
    width, d = stored.matrix("W_enc")
    weights = Weights(
        stored.take("W_enc"),
        stored.take("b_enc", (width,)),
        stored.take("W_dec", (d, width)).T.contiguous(),
        stored.take("b_dec", (d,)),
    )
    stored.require_all_taken()
    layer = QWEN_FILE.fullmatch(file.name)
    stated = f"resid_post.{layer[1]}" if layer else None
    site = resolve_site(stated, request.site, file)
    selection = LargestK(_within(int(named["k"]), width, file))
    card = Card(model=f"Qwen/{named['model']}")
    return SparseCoder(site, site, weights, selection, subtracts_bias=False, card=card)


def _within(k: int, width: int, file: Path) -> int:
    if not 1 <= k <= width:
        raise BadInput(f"{file} is of k = {k} of {width} features; the two cannot both be right")
    return k


def read_openai_file(request: DictionaryRequest) -> SparseCoder:
    """A dictionary of GPT-2 small: those of TopK normalise each input, those of ReLU do not.

    The name of its folder's folder says the place in the layer, and its own name the layer.
    """
    file = request.file
    stored = read_tensors(file)
    width, d = stored.matrix("encoder.weight")
    weights = Weights(
        stored.take("encoder.weight"),
        stored.take("latent_bias", (width,)),
        stored.take("decoder.weight", (d, width)).T.contiguous(),
        stored.take("pre_bias", (d,)),
    )
    stored.ignore(*OPENAI_STATISTICS)
    stored.require_all_taken()
    activation = stored.values.get("activation", "ReLU")
    selection, normalisation = _openai_activation(activation, stored, width)
    place = file.absolute().parent.parent.name
    kind = next((OPENAI_SITES[name] for name in OPENAI_SITES if place.startswith(name)), None)
    stated = f"{kind}.{file.stem}" if kind and file.stem.isdecimal() else None
    site = resolve_site(stated, request.site, file)
    return SparseCoder(
        site, site, weights, selection, normalisation=normalisation, card=Card(model="gpt2")
    )


def _openai_activation(
    activation: object, stored: StoredTensors, width: int
) -> tuple[Selection, Normalisation]:
    state = {
        name.removeprefix("activation_state_dict."): value
        for name, value in stored.values.items()
        if name.startswith("activation_state_dict.")
    }
    if activation == "ReLU" and not state:
        return Positive(), Normalisation.NONE
    k, after = state.get("k"), str(state.get("postact_fn", "ReLU")).rpartition(".")[2]
    if activation != "TopK" or after not in ("ReLU", "ReLU()") or not isinstance(k, int):
        raise BadInput(
            f"{stored.file} states the activation {activation} with {state}; ReLU, and TopK with a"
            " k and a ReLU behind it can be read"
        )
    return LargestK(_within(k, width, stored.file)), Normalisation.LAYER_NORM


def read_goodfire(request: DictionaryRequest) -> SparseCoder:
    """A ReLU dictionary of two linear layers; `l19` in the file's name is its layer."""
    file, stored = request.file, read_tensors(request.file)
    encoder, decoder = (
        ("encoder_linear", "decoder_linear")
        if "encoder_linear.weight" in stored
        else ("encoder", "decoder")
    )
    width, d = stored.matrix(f"{encoder}.weight")
    weights = Weights(
        stored.take(f"{encoder}.weight"),
        stored.take(f"{encoder}.bias", (width,)),
        stored.take(f"{decoder}.weight", (d, width)).T.contiguous(),
        stored.take(f"{decoder}.bias", (d,)),
    )
    stored.require_all_taken()
    layer = re.search(r"(?:^|[^a-zA-Z])[lL](\d+)(?:\D|$)", file.stem)
    site = resolve_site(f"resid_post.{layer[1]}" if layer else None, request.site, file)
    return SparseCoder(site, site, weights, Positive(), subtracts_bias=False)


def read_attention(request: DictionaryRequest) -> SparseCoder:
    """A ReLU dictionary of all heads' outputs, with X_cfg.json beside X.pt."""
    file = request.file
    settings = StatedSettings.read(_settings_beside(file))
    d, width = settings.whole_number("act_size"), settings.whole_number("dict_size")
    stored = read_tensors(file)
    weights = Weights(
        stored.take("W_enc", (d, width)).T.contiguous(),
        stored.take("b_enc", (width,)),
        stored.take("W_dec", (width, d)),
        stored.take("b_dec", (d,)),
    )
    stored.require_all_taken()
    site = resolve_site(settings.string("act_name"), request.site, file)
    return SparseCoder(site, site, weights, Positive())


def _settings_beside(file: Path) -> Path:
    return file.with_name(f"{file.stem}_cfg.json")


def _qwen_files(place: Path) -> list[str]:
    there = files_of_tensors(place, MATRICES, *PICKLES)
    return [file.name for file in there if QWEN_FILE.fullmatch(file.name)]


def _openai_files(place: Path) -> list[str]:
    return [file.name for file in files_of_tensors(place, OPENAI_TENSORS, *PICKLES)]


def _goodfire_files(place: Path) -> list[str]:
    """Unless there are settings beside them, as dictionary_learning's have."""
    folder = place if place.is_dir() else place.parent
    if (folder / "config.json").is_file():
        return []
    return [
        file.name
        for layers in (("encoder_linear", "decoder_linear"), ("encoder", "decoder"))
        for file in files_of_tensors(
            place, {f"{layer}.{what}" for layer in layers for what in LAYERS}, *PICKLES
        )
    ]


def _attention_files(place: Path) -> list[str]:
    there = files_of_tensors(place, MATRICES, *PICKLES)
    return [file.name for file in there if _settings_beside(file).is_file()]


QWEN_SCOPE = DictionaryFormat(
    "Qwen Scope",
    "layerN.sae.pt",
    lambda place: bool(_qwen_files(place)),
    read_qwen_scope,
    parts=_qwen_files,
    kinds=("TopK",),
)
OPENAI = DictionaryFormat(
    "OpenAI",
    "N.pt with pre_bias",
    lambda place: bool(_openai_files(place)),
    read_openai_file,
    parts=_openai_files,
    kinds=("ReLU", "TopK"),
)
GOODFIRE = DictionaryFormat(
    "Goodfire",
    "X.pth with encoder_linear",
    lambda place: bool(_goodfire_files(place)),
    read_goodfire,
    parts=_goodfire_files,
    kinds=("ReLU", "ReLU of qresearch"),
)
ATTENTION = DictionaryFormat(
    "Kissane's attention",
    "X.pt with X_cfg.json",
    lambda place: bool(_attention_files(place)),
    read_attention,
    parts=_attention_files,
    kinds=("ReLU",),
)
