"""What a run's language model can do: tried out once, kept beside the results, and asked before
anything is spent.
"""

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from gloss.errors import BadSettings, Damaged, Mismatch
from gloss.models.bundled import model_place
from gloss.models.chat_models.batch_session import PLAIN_TEXT
from gloss.models.chat_models.capabilities import Agreement, Capabilities, OwnText
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.completions import OwnTextForm
from gloss.models.chat_models.connection import key_use_sentence
from gloss.models.chat_models.endpoint import FILES
from gloss.models.chat_models.manner import Manner
from gloss.models.local_chat import LocalChat
from gloss.records import Ability, needs_of
from gloss.run.chat_tables import ChatTable
from gloss.run.dependencies import served_content
from gloss.run.experiment import Experiment, stage_name
from gloss.run.keys import weights_hash
from gloss.run.methods import SettingsMapping, build_method
from gloss.run.opened_run import OpenedRun
from gloss.run.progress import print_notes
from gloss.store.atomic import write_bytes
from gloss.store.sealed_json import read_sealed_json, seal_json

CAPABILITIES, LEDGER = "capabilities", "answers.sqlite"
NeededAbilities = tuple[str, tuple[Ability, ...]]  # a step, and what it needs
CONTROL = "control.json"  # in the folder of a run that is a control of another
# of a model that nobody can try out: what offline engines do, as far as they do not refuse
OF_FILES = Capabilities(True, True, OwnText(None, None), json_schema=True)
# of [chat]: what the findings are about
IDENTIFYING_SETTINGS = ("backend", "model", "revision", "base_url", "extra", "weights")


def require_capabilities(run: OpenedRun, steps: Container[str]) -> None:
    """Refuse what the language model cannot do for these steps, by what is known or by trying.

    Raises BadSettings, Mismatch.
    """
    for chat, stages in abilities_by_chat(run.experiment):
        wanted = [
            (stage, needs)
            for stage, needs in stages
            if stage in steps and not is_method_finished(run, stage)
        ]
        if wanted:
            require_abilities(run, chat, wanted)


def require_abilities(run: OpenedRun, chat: ChatTable, stages: Sequence[NeededAbilities]) -> None:
    """Refuse what one language model cannot do for these steps. Raises BadSettings, Mismatch."""
    found = known_capabilities(run, chat)
    if chat.settings.get("batch") == FILES:
        require_chats_alone(chat, stages)
    if (
        found is None
        or (found.weights and not found.weights.agrees)
        or missing_abilities(found, stages)
    ):
        found = try_out_model(run, chat)  # servers are mended
    if lacks := missing_abilities(found, stages):
        stage, what = lacks[0]
        raise BadSettings(f"{stage} cannot be had of {chat_label(chat)}, which {what}")


def require_chats_alone(chat: ChatTable, stages: Iterable[NeededAbilities]) -> None:
    """Refuse what files of chats cannot ask, or be held against. Raises BadSettings."""
    for stage, needs in stages:
        if Ability.OWN_TEXT in needs:
            raise BadSettings(f"{stage} {PLAIN_TEXT}")
    if chat.settings.get("weights"):
        raise BadSettings(
            f"{chat.where} has weights to be held against and is asked by files, where nothing can"
            " be tried out; leave one of them out"
        )


def is_method_finished(run: OpenedRun, stage: str) -> bool:
    """Whether a method has nothing left to ask."""
    return run.part("collect", 0).is_done and run.is_finished(stage)


def abilities_by_chat(experiment: Experiment) -> list[tuple[ChatTable, list[NeededAbilities]]]:
    """Every language model with the methods that ask it, each with what it needs."""
    found: dict[str, list[NeededAbilities]] = {name: [] for name in experiment.chats}
    for verb in ("explain", "score"):
        for settings in experiment.methods(verb):
            asks = needs_of(build_method(verb, settings)).asks
            if asks and (chat := experiment.chat_of(settings)):
                found[chat.name].append((stage_name(verb, settings), asks))
    return [(experiment.chats[name], stages) for name, stages in found.items()]


def missing_abilities(
    found: Capabilities, stages: Iterable[NeededAbilities]
) -> list[tuple[str, str]]:
    """The methods that cannot be had, each with the reason."""
    return [
        (stage, lacks)
        for stage, needs in stages
        for need in needs
        if (lacks := found.lacking(need))
    ]


def capabilities_path(run: OpenedRun, chat: ChatTable) -> Path:
    """Where it rests what a language model of a run can do."""
    return run.folder / f"{'-'.join(filter(None, (CAPABILITIES, chat.name)))}.json"


def known_capabilities(run: OpenedRun, chat: ChatTable) -> Capabilities | None:
    """What was found of a language model of the run; None where it was not tried out, or the
    settings are others.
    """
    try:
        kept = read_sealed_json(capabilities_path(run, chat))
    except Damaged:  # or not there
        return None
    return (
        capabilities_from_json(kept["found"])
        if kept.get("of") == chat_identity(chat.settings)
        else None
    )


def try_out_model(run: OpenedRun, chat: ChatTable) -> Capabilities:
    """What the language model is seen to do, kept beside the results.

    Raises Mismatch where it has not the weights it should.
    """
    model = chat_model(chat)
    if isinstance(model, LocalChat):
        found = model.capabilities()
    elif model.batch == FILES:
        found = OF_FILES
        print_notes(
            f"  {model.model} is not tried out: it is taken to give log-probabilities and to keep"
            " to schemas of answers; what it refuses is asked otherwise in the next round"
        )
    else:
        announce_endpoint(model)
        weights = chat.settings.get("weights")
        forward = weights and chat_model(
            ChatTable(chat.name, {"backend": "transformers", "model": weights})
        )
        compared = forward.own_text if isinstance(forward, LocalChat) else None
        found = model.capabilities(run.generator("probe"), compared, ledger_path(run.folder))
    save_capabilities(run, chat, found)
    if found.weights is not None and not found.weights.agrees:
        raise Mismatch(
            f"{chat_label(chat)} gives other log-probabilities than the weights in"
            f" {chat.settings['weights']}, {found.weights.median:.2g} nats a token apart;"
            " name the weights that it serves, or leave weights out"
        )
    return found


def save_capabilities(run: OpenedRun, chat: ChatTable, found: Capabilities) -> None:
    """Remember what was found beside the results."""
    kept = {"of": chat_identity(chat.settings), "found": asdict(found)}
    write_bytes(capabilities_path(run, chat), seal_json(kept))


def ledger_path(folder: Path) -> Path:
    """Where a run's answers rest; a control shares its run's ledger, so that caps count both."""
    run = folder.parent.parent if (folder / CONTROL).exists() else folder
    return run / LEDGER


def announce_endpoint(chat: Chat) -> None:
    """Say once what is asked, and with which key, or what is started to be asked."""
    if chat.serve:
        print_server_start(chat.serve)
    else:
        print_key_use(chat.base_url, chat.api_key_env)


@cache
def print_server_start(command: str) -> None:
    """Say once that a server is started."""
    print_notes(f"  starts {command}, and ends it in the end")


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


def chat_identity(chat: SettingsMapping) -> dict[str, Any]:
    """Which language model it is; weights that are files count by content."""
    files = ("model", "weights") if chat.get("backend") == "transformers" else ("weights",)
    here = [
        name
        for name in files
        if chat.get(name) and os.path.exists(os.path.expanduser(chat[name]))  # noqa: PTH110, PTH111
    ]
    served = {"serve": served_content(chat["serve"])} if chat.get("serve") else {}
    return {
        name: weights_hash(chat[name]) if name in here else chat[name]
        for name in IDENTIFYING_SETTINGS
        if name in chat
    } | served


def chat_label(chat: ChatTable) -> str:
    """The language model in words."""
    model = chat.build()
    return f"{model.model!r} " + (
        f"at {model.where}" if isinstance(model, Chat) else "in this process"
    )


def chat_model(chat: ChatTable, room: SettingsMapping | None = None) -> Chat | LocalChat:
    """What answers, with the place of its weights where they have a name of their own, and with the
    `room` that a method gives its answers.
    """
    found = chat.build(room)
    if isinstance(found, LocalChat):
        return replace(found, model=model_place(found.model))
    if found.serve and not found.ledger_name:
        return replace(found, ledger_name=served_content(found.serve))
    return found
