"""What a run's language model can do: tried out once, kept beside the results, and asked before
anything is spent.
"""

import os
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from gloss.errors import BadSettings, Damaged, Mismatch
from gloss.models.chat_models.capabilities import Agreement, Capabilities, OwnText
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.completions import OwnTextForm
from gloss.models.chat_models.connection import key_use_sentence
from gloss.models.chat_models.manner import Manner
from gloss.models.local_chat import LocalChat
from gloss.records import Ability, needs_of
from gloss.run.dependencies import embedded_folder
from gloss.run.experiment import EMBEDDED, Experiment, SettingsTable, chat_settings, stage_name
from gloss.run.keys import weights_hash
from gloss.run.methods import build_method
from gloss.run.opened_run import OpenedRun
from gloss.run.progress import print_notes
from gloss.store.atomic import write_bytes
from gloss.store.sealed_json import read_sealed_json, seal_json

CAPABILITIES_FILE, LEDGER = "capabilities.json", "answers.sqlite"
CONTROL = "control.json"  # in the folder of a run that is a control of another
# of [chat]: what the findings are about
IDENTIFYING_SETTINGS = ("backend", "model", "revision", "base_url", "extra", "weights")


def require_capabilities(run: OpenedRun, steps: Container[str]) -> None:
    """Refuse what the language model cannot do for these steps, by what is known or by trying.

    Raises BadSettings, Mismatch.
    """
    stages = [
        (stage, needs)
        for stage, needs in abilities_by_stage(run.experiment)
        if stage in steps and not is_method_finished(run, stage)
    ]
    if not run.experiment.chat or not stages:
        return
    found = known_capabilities(run)
    if (
        found is None
        or (found.weights and not found.weights.agrees)
        or missing_abilities(found, stages)
    ):
        found = try_out_model(run)  # servers are mended
    if lacks := missing_abilities(found, stages):
        stage, what = lacks[0]
        raise BadSettings(
            f"{stage} cannot be had of {chat_label(run.experiment.chat)}, which {what}"
        )


def is_method_finished(run: OpenedRun, stage: str) -> bool:
    """Whether a method has nothing left to ask."""
    return run.part("collect", 0).is_done and all(
        run.part(stage, shard).is_done for shard in range(run.shards)
    )


def abilities_by_stage(experiment: Experiment) -> list[tuple[str, tuple[Ability, ...]]]:
    """The methods that ask, each with what it needs."""
    found = (
        (stage_name(verb, settings), needs_of(build_method(verb, settings)).asks)
        for verb in ("explain", "score")
        for settings in experiment.methods(verb)
    )
    return [(stage, asks) for stage, asks in found if asks]


def missing_abilities(
    found: Capabilities, stages: Iterable[tuple[str, tuple[Ability, ...]]]
) -> list[tuple[str, str]]:
    """The methods that cannot be had, each with the reason."""
    return [
        (stage, lacks)
        for stage, needs in stages
        for need in needs
        if (lacks := found.lacking(need))
    ]


def known_capabilities(run: OpenedRun) -> Capabilities | None:
    """What was found of the run's language model; None where it was not tried out, or the settings
    are others.
    """
    try:
        kept = read_sealed_json(run.folder / CAPABILITIES_FILE)
    except Damaged:  # or not there
        return None
    return (
        capabilities_from_json(kept["found"])
        if kept.get("of") == chat_identity(run.experiment.chat)
        else None
    )


def try_out_model(run: OpenedRun) -> Capabilities:
    """What the language model is seen to do, kept beside the results.

    Raises Mismatch where it has not the weights it should.
    """
    chat = run.experiment.chat
    model = chat_model(chat)
    if isinstance(model, LocalChat):
        found = model.capabilities()
    else:
        print_key_use(model.base_url, model.api_key_env)
        forward = (
            chat_model({"backend": "transformers", "model": chat["weights"]})
            if chat.get("weights")
            else None
        )
        compared = forward.own_text if isinstance(forward, LocalChat) else None
        found = model.capabilities(run.generator("probe"), compared, ledger_path(run.folder))
    save_capabilities(run, found)
    if found.weights is not None and not found.weights.agrees:
        raise Mismatch(
            f"{chat_label(chat)} gives other log-probabilities than the weights in"
            f" {chat['weights']}, {found.weights.median:.2g} nats a token apart; name the weights"
            " that it serves, or leave weights out"
        )
    return found


def save_capabilities(run: OpenedRun, found: Capabilities) -> None:
    """Remember what was found beside the results."""
    kept = {"of": chat_identity(run.experiment.chat), "found": asdict(found)}
    write_bytes(run.folder / CAPABILITIES_FILE, seal_json(kept))


def ledger_path(folder: Path) -> Path:
    """Where a run's answers rest; a control shares its run's ledger, so that caps count both."""
    run = folder.parent.parent if (folder / CONTROL).exists() else folder
    return run / LEDGER


@cache
def print_key_use(base_url: str, variable: str) -> None:
    """Say once which key goes where, before it goes."""
    print_notes(f"  {key_use_sentence(base_url, variable)}")


def capabilities_from_json(kept: Mapping[str, Any]) -> Capabilities:
    """Capabilities out of JSON."""
    form, weights = kept["own_text"]["form"], kept["weights"]
    own_text = OwnText(form and OwnTextForm(form), kept["own_text"]["aligned"])
    agreement = weights and Agreement(**weights)
    manner = kept.get("manner", {})
    asked = Manner(**manner | {"left_out": tuple(manner.get("left_out", ()))})
    return Capabilities(
        kept["chat"], kept["logprobs"], own_text, kept["json_schema"], agreement, asked
    )


def chat_identity(chat: SettingsTable) -> SettingsTable:
    """Which language model it is; weights that are files count by content."""
    files = ("model", "weights") if chat.get("backend") == "transformers" else ("weights",)
    here = [
        name
        for name in files
        if chat.get(name) and os.path.exists(os.path.expanduser(chat[name]))  # noqa: PTH110, PTH111
    ]
    return {
        name: weights_hash(chat[name]) if name in here else chat[name]
        for name in IDENTIFYING_SETTINGS
        if name in chat
    }


def chat_label(chat: SettingsTable) -> str:
    """The language model in words."""
    model = chat_settings(chat)
    return f"{model.model!r} " + (
        f"at {model.base_url}" if isinstance(model, Chat) else "in this process"
    )


def chat_model(chat: SettingsTable) -> Chat | LocalChat:
    """What answers, with the folder of its weights where they are the embedded ones."""
    found = chat_settings(chat)
    if isinstance(found, LocalChat) and found.model == EMBEDDED:
        return replace(found, model=str(embedded_folder("subject")))
    return found
