"""Gemma Scope's formats: params.npz of the first, params.safetensors of the second, in folders
whose names say the site.
"""

import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from gloss.errors import BadInput
from gloss.models.dictionary import Card, SparseCoder, Weights
from gloss.models.formats.dictionary_folder import StatedSettings, resolve_site
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.formats.tensor_files import StoredTensors, files_of_tensors, read_tensors
from gloss.models.sites import Site
from gloss.models.sparse_codes import AboveThreshold

FIRST, SECOND, SETTINGS = "params.npz", "params.safetensors", "config.json"
REPOSITORY = re.compile(r"gemma-scope-(?P<model>\w+?)-(?P<tuning>pt|it)-(?P<what>\w+)")
SITES = {"res": "resid_post", "mlp": "mlp_out", "att": "z"}
# Of the second: what the model's modules are called there, and what folders are.
HOOKS = {
    "output": "resid_post",
    "self_attn.o_proj.input": "z",
    "pre_feedforward_layernorm.output": "mlp_in",
    "post_feedforward_layernorm.output": "mlp_out",
}
FOLDERS = {
    "resid_post": ("resid_post", "resid_post"),
    "attn_out": ("z", "z"),
    "mlp_out": ("mlp_out", "mlp_out"),
    "transcoder": ("mlp_in", "mlp_out"),
}
TENSORS = {"w_enc", "w_dec", "b_enc", "b_dec", "threshold"}


def read_gemma_scope(request: DictionaryRequest) -> SparseCoder:
    """A dictionary of the first Gemma Scope.

    Its files do not say where it belongs: the names of its folders do, or the site that is given.
    Raises BadInput for transcoders, whose input is no module's.
    """
    file = request.folder / FIRST
    stored = read_tensors(file)
    lower = {name.lower(): tensor for name, tensor in stored.tensors.items()}
    stored = StoredTensors(file, lower)
    if "scaling_factor" in stored and bool((stored.take("scaling_factor") == 1).all()):
        stored.ignore("scaling_factor")
    weights, thresholds = _weights(stored)
    path = str(file.absolute())
    named = REPOSITORY.search(path)
    if named and named["what"].startswith("transcoder"):
        raise BadInput(
            f"{file} is a transcoder that reads the normed residual before the norm's gain"
            " (ln2.hook_normalized), which no module of the model holds; those of Gemma Scope 2"
            " read it after the gain and can be read"
        )
    stated = None
    if "/embedding/" in path:  # which Gemma multiplies by the root of their length
        stated, root = "resid_pre.0", weights.encoder.shape[1] ** 0.5
        weights = replace(
            weights,
            encoder=weights.encoder / root,
            decoder_directions=weights.decoder_directions * root,
        )
    elif named and named["what"] in SITES and (layer := _layer_in(path)) is not None:
        stated = f"{SITES[named['what']]}.{layer}"
    site = resolve_site(stated, request.site, file)
    model = f"google/gemma-2-{named['model']}" if named else None
    if named and named["tuning"] == "it":
        model = f"{model}-it"
    return SparseCoder(
        site, site, weights, AboveThreshold(thresholds), False, card=Card(model=model)
    )


def read_gemma_scope_2(request: DictionaryRequest) -> SparseCoder:
    """A dictionary or a transcoder of the second Gemma Scope.

    Its config.json says where it belongs, or the names of its folders, or the site that is given,
    which is the one that a transcoder writes. Raises BadInput for decoders of several layers.
    """
    file = request.file if request.part else request.folder / SECOND
    stored, settings = read_tensors(file), _settings(file)
    architecture = settings.string("architecture")
    if architecture not in (None, "jump_relu"):
        raise BadInput(
            f"{settings.file} states the architecture {architecture!r}; jump_relu can be read"
        )
    if len(stored.shape("w_dec")) != 2:
        raise BadInput(
            f"{file} writes to several layers (w_dec has the shape {stored.shape('w_dec')});"
            " cross-layer transcoders and crosscoders cannot be read, since the files do not say"
            " which layers these are"
        )
    reads, writes = _sites_of_second(file, settings, request)
    skip = None
    if settings.switch("affine_connection", "affine_skip_connection" in stored):
        skip = stored.take("affine_skip_connection").T.contiguous()
    weights, thresholds = _weights(stored, skip)
    return SparseCoder(
        reads,
        writes,
        weights,
        AboveThreshold(thresholds),
        False,
        card=Card(model=settings.string("model_name")),
    )


def _weights(stored: StoredTensors, skip: Tensor | None = None) -> tuple[Weights, Tensor]:
    d_in, width = stored.matrix("w_enc")
    d_out = stored.matrix("w_dec")[1]
    if skip is not None and tuple(skip.shape) != (d_out, d_in):
        raise BadInput(
            f"{stored.file}: affine_skip_connection leads from {skip.shape[1]} numbers to"
            f" {skip.shape[0]}, and the dictionary from {d_in} to {d_out}; fetch it again"
        )
    weights = Weights(
        stored.take("w_enc").T.contiguous(),
        stored.take("b_enc", (width,)),
        stored.take("w_dec", (width, d_out)),
        stored.take("b_dec", (d_out,)),
        skip,
    )
    thresholds = stored.take("threshold", (width,))
    stored.require_all_taken()
    return weights, thresholds


def _settings(file: Path) -> StatedSettings:
    there = file.parent / SETTINGS
    return StatedSettings.read(there) if there.is_file() else StatedSettings(there, {})


def _sites_of_second(
    file: Path, settings: StatedSettings, request: DictionaryRequest
) -> tuple[Site, Site]:
    hook = settings.string("hf_hook_point_in")
    if hook is not None:
        read = _site_of_hook(hook, settings)
        written = settings.string("hf_hook_point_out")
        writes = _site_of_hook(written, settings) if written else read
        return _site_of(read, file), resolve_site(writes, request.site, file)
    layer = _layer_in(str(file))
    for folder in file.absolute().parts[::-1]:
        kinds = FOLDERS.get(folder.removesuffix("_all"))
        if kinds is not None and layer is not None:
            read, writes = (f"{kind}.{layer}" for kind in kinds)
            return _site_of(read, file), resolve_site(writes, request.site, file)
    site = resolve_site(None, request.site, file)
    return site, site


def _site_of(name: str, file: Path) -> Site:
    return resolve_site(name, None, file)


def _site_of_hook(hook: str, settings: StatedSettings) -> str:
    found = re.fullmatch(r"(?:\w+\.)*layers\.(\d+)\.([\w.]+)", hook)
    if found is None or found[2] not in HOOKS:
        raise BadInput(
            f"{settings.file} states the hook {hook!r}, which is none of"
            f" {', '.join(f'model.layers.N.{name}' for name in HOOKS)}"
        )
    return f"{HOOKS[found[2]]}.{found[1]}"


def _layer_in(path: str) -> int | None:
    found = re.findall(r"layer_(\d+)", path)
    return int(found[-1]) if found else None


def _is_first(place: Path) -> bool:
    file = place if place.is_file() else place / FIRST
    return file.name == FIRST and file.is_file()


def _is_second(place: Path) -> bool:
    return bool(files_of_tensors(place, TENSORS, ".safetensors"))


GEMMA_SCOPE = DictionaryFormat(
    "Gemma Scope",
    FIRST,
    _is_first,
    read_gemma_scope,
    kinds=("resid_post", "mlp_out", "z", "embedding"),
    refused=("transcoder",),
)
GEMMA_SCOPE_2 = DictionaryFormat(
    "Gemma Scope 2",
    SECOND,
    _is_second,
    read_gemma_scope_2,
    parts=lambda folder: [file.name for file in files_of_tensors(folder, TENSORS, ".safetensors")],
    kinds=("resid_post", "mlp_out", "z", "transcoder", "transcoder, affine"),
    refused=("clt", "crosscoder"),
)
