"""Crosscoders as dictionary_learning's fork for model diffing publishes them: config.json and
model.safetensors.
"""

from dataclasses import replace
from pathlib import Path

from gloss.errors import BadInput
from gloss.models.dictionary import Weights
from gloss.models.formats.dictionary_folder import StatedSettings, json_object
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.formats.tensor_files import read_tensors
from gloss.models.joint_coder import JointCoder
from gloss.models.sites import parts_of
from gloss.models.sparse_codes import Positive

SETTINGS, WEIGHTS = "config.json", "model.safetensors"
LAYERS = ("num_layers", "num_encoder_layers")
# settings of how weights were drawn and how codes are shown, which change none
UNUSED = (
    *("same_init_for_all_layers", "norm_init_scale", "init_with_transpose", "decoder_type"),
    *("code_normalization", "code_normalization_alpha_sae", "code_normalization_alpha_cc"),
)


def recognises_crosscoder(place: Path) -> bool:
    """Whether both files are there, and the settings count layers."""
    folder = place if place.is_dir() or place.name != WEIGHTS else place.parent
    stated = json_object(folder / SETTINGS)
    return (folder / WEIGHTS).is_file() and any(name in stated for name in LAYERS)


def read_crosscoder(request: DictionaryRequest) -> JointCoder:
    """The crosscoder of the sites that are given, in the order of its layers.

    Raises BadInput without them, for another number of them, and for settings and tensors that
    change what is computed in other ways.
    """
    settings = StatedSettings.read(request.folder / SETTINGS)
    settings.require_known(("activation_dim", "dict_size", *LAYERS, *UNUSED))
    stored = read_tensors(request.folder / WEIGHTS)
    # as torch.compile names them
    plain = {name.removeprefix("_orig_mod."): each for name, each in stored.tensors.items()}
    stored = replace(stored, tensors=plain)
    shape = stored.shape("encoder.weight")
    layers, d, width = shape if len(shape) == 3 else (0, 0, 0)
    stated = next(settings.whole_number(name) for name in LAYERS if name in settings)
    if stated != layers or settings.whole_number("dict_size", width) != width:
        raise BadInput(
            f"{stored.file} holds encoders of the shape {shape}, and {settings.file.name} states"
            f" {stated} layers of {settings.values.get('dict_size')} features; the two do not"
            " belong together"
        )
    site = request.site
    if site is None or len(parts_of(site)) != layers:
        named = "no site" if site is None else str(site)
        raise BadInput(
            f"{request.folder} is a crosscoder of {layers} sites, does not say which, and was given"
            f" {named}; give all of them, as in resid_post.0+resid_post.1, or of two models"
            " resid_post.0+other:resid_post.0"
        )
    encoder = stored.take("encoder.weight")
    weights = Weights(
        encoder.permute(2, 0, 1).flatten(1).contiguous(),
        stored.take("encoder.bias", (width,)),
        stored.take("decoder.weight", (layers, width, d)).transpose(0, 1).flatten(1).contiguous(),
        stored.take("decoder.bias", (layers, d)).flatten(),
    )
    stored.ignore("code_normalization_id")  # of how codes are shown
    stored.require_all_taken()
    return JointCoder(site, site, weights, Positive(), (d,) * layers, (1.0,) * layers)


FORMAT = DictionaryFormat(
    "dictionary_learning's crosscoders",
    f"{SETTINGS} with num_layers, and {WEIGHTS}",
    recognises_crosscoder,
    read_crosscoder,
    kinds=("CrossCoder",),
    refused=("BatchTopKCrossCoder",),
)
