"""gloss' own format of hyperdimensional probes: cfg.json and probe.safetensors."""

from pathlib import Path

import torch

from gloss.errors import BadInput
from gloss.models.formats.dictionary_folder import (
    CONFIGURATION_FILE,
    StatedSettings,
    card_entries,
    cast_tensors,
    holds_files,
    read_card,
    resolve_site,
    write_files,
)
from gloss.models.formats.dictionary_format import DictionaryFormat, DictionaryRequest
from gloss.models.formats.tensor_files import read_tensors
from gloss.models.hyperdimensional_probe import (
    Codebook,
    HyperdimensionalProbe,
    HypervectorEncoder,
)

WEIGHTS = "probe.safetensors"
NETWORK = ("first", "first_bias", "second", "second_bias")
KIND = "MLP, roles and fillers"


def recognises(place: Path) -> bool:
    """Whether both files are there."""
    return holds_files(place, WEIGHTS)


def read_probe(request: DictionaryRequest) -> HyperdimensionalProbe:
    """The probe in the folder."""
    stated = StatedSettings.read(request.folder / CONFIGURATION_FILE)
    stated.require_known(("site", "roles", "fillers", "card"))
    roles, fillers = (_names(stated, name) for name in ("roles", "fillers"))
    stored = read_tensors(request.folder / WEIGHTS)
    hidden, d = stored.shape("first")
    dimension = stored.shape("roles")[1]
    shapes = ((hidden, d), (hidden,), (dimension, hidden), (dimension,))
    network = HypervectorEncoder(
        stored.take("centre", (d,)),
        stored.take("scale", ()),
        *(stored.take(name, shape) for name, shape in zip(NETWORK, shapes, strict=True)),
    )
    codebook = Codebook(
        roles,
        fillers,
        stored.take("roles", (len(roles), dimension)),
        stored.take("fillers", (len(fillers), dimension)),
    )
    directions = stored.take("decoder_directions", (len(roles) * len(fillers), d))
    bias = stored.take("bias", (d,))
    stored.require_all_taken()
    site = resolve_site(stated.string("site"), request.site, request.folder)
    card = read_card(stated.inner("card"))
    return HyperdimensionalProbe(site, network, codebook, directions, bias, card)


def _names(stated: StatedSettings, entry: str) -> tuple[str, ...]:
    found = stated.values.get(entry)
    if not isinstance(found, list) or not found or not all(isinstance(each, str) for each in found):
        raise BadInput(f"{stated.file} states {entry} = {str(found)[:60]}; wanted a list of names")
    return tuple(found)


def write_probe(probe: HyperdimensionalProbe, folder: Path, dtype: torch.dtype) -> None:
    """Write the probe's two files."""
    network, codebook = probe.encoder_network, probe.codebook
    tensors = {name: getattr(network, name) for name in ("centre", "scale", *NETWORK)}
    tensors |= {"roles": codebook.roles, "fillers": codebook.fillers}
    tensors |= {"decoder_directions": probe.decoder_directions, "bias": probe.bias}
    configuration = {
        "site": str(probe.site),
        "roles": list(codebook.role_names),
        "fillers": list(codebook.filler_names),
        "card": card_entries(probe.card),
    }
    write_files(folder, WEIGHTS, cast_tensors(tensors, dtype), configuration)


FORMAT = DictionaryFormat(
    "gloss' hyperdimensional probes",
    f"{CONFIGURATION_FILE} with {WEIGHTS}",
    recognises,
    read_probe,
    write_probe,
    kinds=(KIND,),
    written=(KIND,),
    writes=(HyperdimensionalProbe,),
)
