"""Dictionaries by the names under which they are published: on the hub, and in SAELens' registry.

The registry is a table of names, paths and scales that comes with gloss, made from the list in a
wheel of SAELens by `compact_registry`; releases that it lacks are looked up in the SAELens that is
installed, where one is. Nothing of SAELens is imported.
"""

import json
import lzma
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from gloss.errors import BadInput, suggestion
from gloss.models.pretrained.hub_files import HubName, fetch_from_hub, is_hub_name

TABLE, LIST = "sae_lens_registry.json.xz", "pretrained_saes.yaml"
NOTICE = (
    "Names, paths, scales and measures of dictionaries out of pretrained_saes.yaml of SAELens"
    " {version}, Copyright (c) 2023 Joseph Bloom, under the MIT License"
)
# What decides codes, of what the list says of whole releases.
OVERRIDES = ("model_from_pretrained_kwargs", "normalize_activations", "hook_name", "model_name")
REFUSED = MappingProxyType(
    {
        "mntss_clt_layer_transcoder": "one layer of a cross-layer transcoder, which writes several",
        "temporal": "a temporal dictionary, whose codes depend on the tokens before",
    }
)
Release = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PublishedDictionary:
    """Where a published dictionary lies on this machine, and what its registry says besides."""

    place: Path
    part: str
    content: str  # which stands for its files: the repository's commit, and what is stated
    stated: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    l0: float | None = None
    fvu: float | None = None


def published_dictionary(name: str) -> PublishedDictionary | None:
    """The dictionary of that name, fetched where it is not here; None for what is no such name,
    such as a path.

    Raises BadInput where the hub, or the release, has none of that name.
    """
    if is_hub_name(name):
        return _on_hub(HubName.parse(name))
    release, _, identity = name.partition("/")
    here = os.path.exists(os.path.expanduser(name))  # noqa: PTH110, PTH111  Path raises for some
    if not release or here or (found := _release(release)) is None:
        return None
    listed: Mapping[str, list[Any]] = found["saes"]
    if identity not in listed:
        raise BadInput(
            f"{release} of SAELens' registry has {len(listed)} dictionaries, and none of the name"
            f" {identity!r}{suggestion(identity, listed)[:300]}"
        )
    if why := REFUSED.get(found["loader"]):
        raise BadInput(f"{name} is {why}; it cannot be read")
    path, scale, l0, explained = listed[identity]
    stated = dict(found["overrides"]) | ({"norm_scaling_factor": scale} if scale else {})
    there = _on_hub(HubName(found["repository"], path))
    return PublishedDictionary(
        there.place,
        there.part,
        f"{there.content} {json.dumps(stated, sort_keys=True)}",
        MappingProxyType(stated),
        l0 or None,
        1 - explained if explained else None,
    )


@lru_cache
def _on_hub(name: HubName) -> PublishedDictionary:
    place, commit = fetch_from_hub(name)
    content = f"hf://{name.repository}/{name.path}@{commit}#{name.part}"
    return PublishedDictionary(place, name.part, content)


def _release(name: str) -> Release | None:
    own = _own_registry()["releases"]
    return own.get(name) or _installed_registry().get(name)


@cache
def _own_registry() -> Mapping[str, Any]:
    packed = files("gloss.models.pretrained").joinpath(TABLE).read_bytes()
    return json.loads(lzma.decompress(packed))


@cache
def _installed_registry() -> Mapping[str, Release]:
    """The releases of the SAELens that is installed, which is not imported for it."""
    found = find_spec("sae_lens")
    for folder in (found.submodule_search_locations or []) if found else []:
        if (file := Path(folder) / LIST).is_file():
            return compact_registry(file.read_text("utf-8"), "")["releases"]
    return {}


def compact_registry(listed: str, version: str) -> dict[str, Any]:
    """What is needed of SAELens' list of dictionaries, and whose it is."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    releases: dict[str, Any] = yaml.load(listed, loader)
    return {
        "notice": NOTICE.format(version=version),
        "releases": {
            name: {
                "repository": release["repo_id"],
                "loader": release.get("conversion_func"),
                "overrides": {
                    key: value
                    for key, value in (release.get("config_overrides") or {}).items()
                    if key in OVERRIDES
                },
                "saes": {
                    each["id"]: [
                        str(each["path"]),
                        each.get("norm_scaling_factor"),
                        each.get("l0"),
                        each.get("variance_explained"),
                    ]
                    for each in release["saes"]
                },
            }
            for name, release in releases.items()
        },
    }


def write_registry(listed: Path, version: str, file: Path) -> None:
    """Make the table that comes with gloss anew, from the list in a wheel of SAELens."""
    compact = compact_registry(listed.read_text("utf-8"), version)
    packed = json.dumps(compact, sort_keys=True, separators=(",", ":")).encode()
    file.write_bytes(lzma.compress(packed, preset=9))
