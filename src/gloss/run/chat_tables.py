"""The language models of an experiment: the one that [chat] is, and those that are named in it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from gloss.errors import BadSettings
from gloss.run.methods import SettingsMapping, build_dataclass, require_kind, suggestion

if TYPE_CHECKING:
    from gloss.models.chat_models.client import Chat
    from gloss.models.chat_models.prices import Prices
    from gloss.models.local_chat import LocalChat

TABLE_SETTINGS = ("prices", "extra")  # settings of [chat] that are tables, and so no names


@dataclass(frozen=True)
class ChatTable:
    """The settings of one language model, with what it inherits of [chat].

    >>> from gloss.run.chat_tables import chat_tables
    >>> found = chat_tables({"model": "m", "small": {"model": "s"}})
    >>> [(each.name, each.settings["model"]) for each in found.values()]
    [('', 'm'), ('small', 's')]
    """

    name: str  # empty for the one that [chat] is itself
    settings: SettingsMapping

    @property
    def where(self) -> str:
        """As in `[chat.small]`."""
        return f"[chat.{self.name}]" if self.name else "[chat]"

    def build(self, room: SettingsMapping | None = None) -> "Chat | LocalChat":
        """The language model, with the `room` that a method gives its answers.

        Raises BadSettings.
        """
        return chat_settings(dict(self.settings) | dict(room or {}), self.where)


def chat_tables(chat: SettingsMapping) -> dict[str, ChatTable]:
    """Every language model of [chat] by its name; `""` is the one without a name, where [chat] has
    a model of its own or names none.

    A named one inherits what stands in [chat] itself. Raises BadSettings.
    """
    named = {
        name: table
        for name, table in chat.items()
        if isinstance(table, Mapping) and name not in TABLE_SETTINGS
    }
    base = {name: value for name, value in chat.items() if name not in named}
    found: dict[str, SettingsMapping] = (
        {"": base} if base and (not named or "model" in base) else {}
    )
    for name, table in named.items():
        require_chat_name(name)
        backend = table.get("backend", base.get("backend", "endpoint"))
        known = backend_settings(backend)
        found[name] = {key: value for key, value in base.items() if key in known} | dict(table)
    servers: dict[str, set[str]] = {}
    for each in found.values():
        servers.setdefault(str(each.get("model")), set()).add(str(each.get("base_url", "")))
    return {
        name: ChatTable(name, with_ledger_name(table, servers[str(table.get("model"))]))
        for name, table in found.items()
    }


def with_ledger_name(table: SettingsMapping, servers: set[str]) -> SettingsMapping:
    """The same, told apart in the ledger where another server has a model of that name."""
    if len(servers) < 2 or table.get("backend", "endpoint") != "endpoint":
        return table
    return {"ledger_name": str(table.get("base_url", ""))} | dict(table)


def require_chat_name(name: str) -> None:
    """Refuse to call a language model what a setting of [chat] is called, or nearly."""
    known = backend_settings("endpoint") | backend_settings("transformers")
    if name in known:
        raise BadSettings(
            f"[chat.{name}] is a table, and {name} is a setting of [chat]; give the setting a"
            " value, or the language model another name"
        )
    if near := difflib.get_close_matches(name, TABLE_SETTINGS, n=1, cutoff=0.8):
        raise BadSettings(
            f"[chat.{name}] would name a language model; write [chat.{near[0]}] for the setting, or"
            " give the language model another name"
        )


def backend_settings(backend: object) -> set[str]:
    """What may stand in the table of a language model of this kind."""
    from gloss.models.chat_models.client import Chat
    from gloss.models.local_chat import LocalChat

    kind = LocalChat if backend == "transformers" else Chat
    more = ("backend",) if backend == "transformers" else ("backend", "weights")
    return {*(each.name for each in fields(kind)), *more}


def choose_chat(
    tables: Mapping[str, ChatTable], settings: SettingsMapping, where: str
) -> ChatTable | None:
    """The language model that these settings of a method name, or else the only one; None where
    there is none at all.

    Raises BadSettings where it is not known which, or there is none of that name.
    """
    name = settings.get("chat", "")
    names = [each for each in tables if each]
    if name:
        if name not in names:
            raise BadSettings(
                f"{where} asks chat {name!r}, and no table [chat.{name}] is there"
                f"{suggestion(str(name), names)}"
            )
        return tables[name]
    if "" in tables or len(names) < 2:
        return next(iter(tables.values()), None)
    raise BadSettings(
        f"{where} does not say which language model it asks; add chat ="
        f" {' or '.join(map(repr, names))}"
    )


def check_chats(chat: SettingsMapping) -> None:
    """Build every language model once. Raises BadSettings for a setting that cannot be."""
    tables = chat_tables(chat)
    shared = {
        key: value
        for key, value in chat.items()
        if key in TABLE_SETTINGS or not isinstance(value, Mapping)
    }
    if shared and "" not in tables:  # what all inherit is known to one kind or the other
        chat_settings({"model": "inherited"} | shared)
    for each in tables.values():
        each.build()


def chat_settings(chat: SettingsMapping, where: str = "[chat]") -> "Chat | LocalChat":
    """The language model of one table; `prices` is a table of its own. Raises BadSettings."""
    from gloss.models.chat_models.client import Chat
    from gloss.models.chat_models.prices import Prices
    from gloss.models.local_chat import LocalChat

    backends: dict[str, type] = {"endpoint": Chat, "transformers": LocalChat}
    given: dict[str, Any] = dict(chat)
    backend = given.pop("backend", "endpoint")
    if not isinstance(backend, str) or backend not in backends:
        raise BadSettings(f"{where} has no backend {backend!r}{suggestion(str(backend), backends)}")
    if "weights" in given and backend == "endpoint":
        require_kind(given.pop("weights"), "", f"{where}.weights")
    if "prices" in given:
        prices = f"{where[:-1]}.prices]"
        require_kind(given["prices"], {}, prices)
        for name, price in given["prices"].items():
            require_kind(price, 0.0, f"{prices}.{name}")
        given["prices"] = build_dataclass(Prices, given["prices"], prices)
    return build_dataclass(backends[backend], given, where)


def prices_of(model: "Chat | LocalChat") -> "Prices":
    """What tokens cost as a language model is asked: in batches or one by one."""
    from gloss.models.chat_models.client import Chat

    return model.paid if isinstance(model, Chat) else model.prices
