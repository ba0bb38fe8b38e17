"""What a run's language model can do: tried out once, kept beside the results, and asked before
anything is spent.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table as Printed
from rich.text import Text

from gloss.errors import BadSettings, Damaged, Mismatch
from gloss.models.chat_models.capabilities import Agreement, Capabilities, OwnText
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.completions import OwnTextForm
from gloss.models.chat_models.connection import key_use_sentence
from gloss.models.chat_models.manner import Manner
from gloss.models.local_chat import LocalChat
from gloss.records import Ability, needs_of
from gloss.run.experiment import EMBEDDED, Experiment, SettingsTable, chat_settings
from gloss.run.keys import weights_hash
from gloss.run.methods import build_method
from gloss.run.plan import Plan, embedded_folder, stage_name
from gloss.run.progress import out, print_notes
from gloss.store.atomic import write_bytes
from gloss.store.sealed_json import read_sealed_json, seal_json

CAPABILITIES_FILE, LEDGER = "capabilities.json", "answers.sqlite"
CONTROL = "control.json"  # in the folder of a run that is a control of another
# of [chat]: what the findings are about
IDENTIFYING_SETTINGS = ("backend", "model", "revision", "base_url", "extra", "weights")
NEED_WORDS: Mapping[Ability, str] = {
    Ability.CHAT: "answers chats",
    Ability.LOGPROBS: "log-probabilities of what it generates",
    Ability.OWN_TEXT: "log-probabilities of a prompt's own text",
}


def print_capabilities(experiment: Experiment) -> None:
    """Try the language model out anew, keep what was found, and print it beside the methods that
    need it.
    """
    if not experiment.chat:
        raise BadSettings(
            'the experiment names no language model; add [chat] with base_url and model = "..."'
        )
    plan = Plan(experiment)
    found = try_out_model(plan)
    table = Printed(
        "capability", "found", "needed by", title=Text(str(experiment.chat.get("model")))
    )
    for need, words in NEED_WORDS.items():
        users = ", ".join(
            stage
            for stage, needs in abilities_by_stage(experiment, ("explain", "score"))
            if need in needs
        )
        how = (
            f"yes, by {found.own_text.form}"
            if need is Ability.OWN_TEXT and found.own_text.form
            else "yes"
        )
        lacks = found.missing(need)
        table.add_row(
            words, how if lacks is None else f"no: {lacks.partition(';')[0]}", users or "-"
        )
    table.add_row("keeps to a JSON schema", "yes" if found.json_schema else "no", "")
    table.add_row("thinks before it answers", "yes" if found.manner.thinks else "no", "")
    table.add_row("is asked otherwise than others", manner_differences(found.manner), "")
    table.add_row(
        "agrees with the weights that are here", agreement_words(experiment.chat, found.weights), ""
    )
    out.print(table)


def manner_differences(manner: Manner) -> str:
    """What is peculiar to the requests that an endpoint gets, in words."""
    told = {
        f"the limit is called {manner.limit}" if manner.limit else "without a limit": (
            manner.limit != Manner().limit
        ),
        f"without {', '.join(manner.left_out)}": bool(manner.left_out),
        "system turns go into the user's first one": not manner.system,
        f"at a temperature of {manner.coldest:g} at least": manner.coldest > 0,
        f"{manner.most_tokens:,} answer tokens at most": manner.most_tokens > 0,
        f"{manner.least_tokens:,} answer tokens at least": manner.least_tokens > 1,
        f"{manner.most_alternatives} alternatives at most": manner.most_alternatives > 0,
    }
    return "; ".join(words for words, holds in told.items() if holds) or "no"


def agreement_words(chat: SettingsTable, found: Agreement | None) -> str:
    """The comparison with weights in words."""
    if "weights" not in chat:
        return escape("not asked: name them in [chat] weights")
    if found is None:
        return "not known: it says nothing of what it generates in plain text"
    told = (
        f"median {found.median:.1g} nats apart, {found.largest:.1g} at most, over {found.tokens}"
        " tokens"
    )
    return f"{'yes' if found.holds else 'no'}: {told}"


def require_capabilities(plan: Plan, verbs: Iterable[str]) -> None:
    """Refuse what the language model cannot do, by what is known of it or by trying it out.

    Raises BadSettings, Mismatch.
    """
    stages = [
        (stage, needs)
        for stage, needs in abilities_by_stage(plan.experiment, verbs)
        if not is_method_finished(plan, stage)
    ]
    if not plan.experiment.chat or not stages:
        return
    found = known_capabilities(plan)
    if (
        found is None
        or (found.weights and not found.weights.holds)
        or missing_abilities(found, stages)
    ):
        found = try_out_model(plan)  # servers are mended
    if lacks := missing_abilities(found, stages):
        stage, what = lacks[0]
        raise BadSettings(
            f"{stage} cannot be had of {chat_label(plan.experiment.chat)}, which {what}"
        )


def is_method_finished(plan: Plan, stage: str) -> bool:
    """Whether a method has nothing left to ask."""
    return plan.part("collect", 0).is_done and all(
        plan.part(stage, shard).is_done for shard in range(plan.shards)
    )


def abilities_by_stage(
    experiment: Experiment, verbs: Iterable[str]
) -> list[tuple[str, tuple[Ability, ...]]]:
    """The methods that ask, each with what it needs."""
    found = (
        (stage_name(verb, settings), needs_of(build_method(verb, settings)).asks)
        for verb in verbs
        for settings in getattr(experiment, verb)
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
        if (lacks := found.missing(need))
    ]


def known_capabilities(plan: Plan) -> Capabilities | None:
    """What was found of the run's language model; None where it was not tried out, or the settings
    are others.
    """
    try:
        kept = read_sealed_json(plan.folder / CAPABILITIES_FILE)
    except Damaged:  # or not there
        return None
    return (
        capabilities_from_json(kept["found"])
        if kept.get("of") == chat_identity(plan.experiment.chat)
        else None
    )


def try_out_model(plan: Plan) -> Capabilities:
    """What the language model is seen to do, kept beside the results.

    Raises Mismatch where it has not the weights it should.
    """
    chat = plan.experiment.chat
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
        found = model.capabilities(plan.generator("probe"), compared, ledger_path(plan.folder))
    save_capabilities(plan, found)
    if found.weights is not None and not found.weights.holds:
        raise Mismatch(
            f"{chat_label(chat)} gives other log-probabilities than the weights in"
            f" {chat['weights']}, {found.weights.median:.2g} nats a token apart; name the weights"
            " that it serves, or leave weights out"
        )
    return found


def save_capabilities(plan: Plan, found: Capabilities) -> None:
    """Remember what was found beside the results."""
    kept = {"of": chat_identity(plan.experiment.chat), "found": asdict(found)}
    write_bytes(plan.folder / CAPABILITIES_FILE, seal_json(kept))


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
