"""Dictionaries that a run trains beside its own, in one pass: the tables of [decompose] also."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from gloss.errors import BadSettings
from gloss.installed import load_installed
from gloss.models.sites import OTHER
from gloss.run.methods import SettingsMapping, installed_methods

ALSO = "also"
OF_EACH = ("site", "seed", ALSO)  # settings of [decompose] that are none of the method's
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def trained_beside(decompose: SettingsMapping) -> dict[str, dict[str, Any]]:
    """The settings of each, by name: those of [decompose], with what its table in `also` says in
    their place. Without a `name`, it is called by what differs.

    Raises BadSettings for what is no table, and for two of one name.
    """
    own = {key: value for key, value in decompose.items() if key not in (ALSO, "name")}
    found: dict[str, dict[str, Any]] = {}
    given = decompose.get(ALSO, [])
    if not isinstance(given, list | tuple):
        raise BadSettings(
            f"[decompose].also is {given!r}; give a list of tables of what differs, as in also ="
            ' [{site = "resid_post.3"}, {seed = 1}]'
        )
    for table in given:
        if not isinstance(table, dict) or not table or ALSO in table:
            raise BadSettings(
                f"[decompose].also holds {table!r}; give tables of what differs, as in {{seed = 1}}"
            )
        table = with_joined_sites(table)
        differs = {key: value for key, value in table.items() if key != "name"}
        said = "_".join(f"{key}-{value}" for key, value in differs.items())
        name = table.get("name") or NOT_IN_NAMES.sub("-", said).strip("-.")
        if name in found:
            raise BadSettings(
                f"[decompose].also has two that are called {name!r}; give each a name of its own"
            )
        found[name] = kept_by_method(own, differs) | differs
    return found


def with_other_model(tables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tables of an experiment with `other` of [decompose] where it belongs: in [subject], and
    the same sites of both models in `sites`. Raises BadSettings for sites that are no names.
    """
    asked = tables.get("decompose")
    if not isinstance(asked, Mapping) or "other" not in asked:
        return tables
    given = tables.get("subject", {})
    if not isinstance(given, Mapping):
        return tables
    other = asked["other"]
    if not other or given.get("other", other) != other:
        raise BadSettings(
            f"[decompose].other is {other!r} and [subject].other {given.get('other')!r}; name one"
            " model, in either"
        )
    decompose = {key: value for key, value in asked.items() if key != "other"}
    if "method" in decompose:
        named = decompose.pop("sites", None) or [decompose.pop("site", "")]
        if not isinstance(named, list | tuple) or not all(isinstance(n, str) and n for n in named):
            raise BadSettings(
                '[decompose].other wants the names of sites, as in sites = ["resid_post.1"], which'
                f" are read of both models, and got {named!r}"
            )
        names = [part.strip() for name in named for part in name.split("+")]
        decompose["sites"] = [*names, *(f"{OTHER}{name}" for name in names)]
    subject = {**given, "other": other}
    return {**tables, "decompose": decompose, "subject": subject}


def with_joined_sites(decompose: SettingsMapping) -> dict[str, Any]:
    """The settings with `sites` as the one site that joins them. Raises BadSettings for what is no
    list of names, and beside a `site`.
    """
    if "sites" not in decompose:
        return dict(decompose)
    given: Any = decompose["sites"]
    named = isinstance(given, list | tuple) and all(isinstance(each, str) for each in given)
    if not named or not given or "site" in decompose:
        raise BadSettings(
            f"[decompose].sites is {given!r}; give a list of the names of several sites, as in"
            ' sites = ["resid_post.0", "resid_post.1"], and no site beside it'
        )
    return {"site" if key == "sites" else key: value for key, value in decompose.items()} | {
        "site": "+".join(given)
    }


def kept_by_method(own: SettingsMapping, differs: SettingsMapping) -> dict[str, Any]:
    """The settings of [decompose] that another method has, too, where another is named."""
    name = differs.get("method", own.get("method"))
    if name == own.get("method") or name not in (points := installed_methods("decompose")):
        return dict(own)
    known = {"site", "seed", *(each.name for each in fields(load_installed(points[name])))}
    return {key: value for key, value in own.items() if key in known}


def trainer_settings(decompose: SettingsMapping) -> dict[str, Any]:
    """The settings that belong to the method."""
    return {key: value for key, value in decompose.items() if key not in OF_EACH}
