"""Methods by name: found through entry points, ours and strangers' alike, and built from a table of
settings.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from gloss.errors import BadSettings, suggestion
from gloss.installed import installed, load_installed
from gloss.records import Needs, needs_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

SettingsMapping = Mapping[str, Any]
# of settings that may be of several kinds: each raises BadSettings
Checks = Mapping[str, Callable[[object], None]]
# settings of every method that asks: how long its answers may be
ROOM = ("answer_tokens", "thinking_tokens")
OF_ASKING = (*ROOM, "chat")  # and which language model it asks
# of a whole method: what it is given, or it is given to
OF_RUN: Mapping[str, tuple[str, ...]] = {"explain": ("sample",), "score": ("of", "controls")}

LARGEST = 2**53  # from here on floats skip whole numbers; nothing that is counted comes near


def build_method(verb: str, settings: Mapping[str, Any]) -> Any:
    """The method that `settings["method"]` names, made with the other settings.

    Raises BadSettings with a suggestion.
    """
    chosen = dict(settings)
    chosen.pop("name", None)  # what the run calls it; no setting of the method
    asking = {setting: chosen.pop(setting) for setting in OF_ASKING if setting in chosen}
    for setting in OF_RUN.get(verb, ()):
        require_run_setting(setting, chosen.pop(setting, None), f"[{verb}].{setting}")
    name = chosen.pop("method")
    found = installed_methods(verb)
    if not isinstance(name, str) or name not in found:
        raise BadSettings(f"[{verb}] has no method {name!r}{suggestion(str(name), found)}")
    kind, where = load_installed(found[name]), f"[{verb}] {name}"
    made = {
        part: build_method(of, table)
        for part, of, table in wrapped_methods(kind, chosen)
        if not any(setting in table for setting in (*OF_ASKING, *OF_RUN.get(of, ())))
    }
    if missing := next(
        (part for part, _, _ in wrapped_methods(kind, chosen) if part not in made), None
    ):
        raise BadSettings(
            f"{where}.{missing} has {', '.join(ROOM)}, chat, sample, of or controls; set it for the"
            f" whole method, beside {missing}"
        )
    built = build_dataclass(kind, chosen | made, where)
    try:
        needs = needs_of(built)
    except TypeError as problem:
        raise BadSettings(f"{where}: {problem}") from problem
    if missing := next((each for each in needs.files if not getattr(built, each)), None):
        given = f'{missing} = "FILE"' if verb != "evaluate" else f"--set {name}.{missing}=FILE"
        raise BadSettings(f"{where} reads a file; name it, as in {given}")
    if asking and not needs.asks:
        raise BadSettings(f"{where} asks no language model; leave {min(asking)} out")
    require_kind(asking.pop("chat", ""), "", f"{where}.chat")
    for setting, tokens in asking.items():
        require_kind(tokens, 0, f"{where}.{setting}")
        if tokens < 0:
            raise BadSettings(f"{where}.{setting} is {tokens}, wants 0 or more")
    return built


def require_run_setting(setting: str, given: object, where: str) -> None:
    """Refuse what cannot be: `sample` is a name, `of` is names, `controls` a number of features."""
    if given is None:
        return
    if setting == "of" and isinstance(given, list | tuple) and not given:
        raise BadSettings(f"{where} is empty; name explainers, or leave it out")
    require_kind(given, {"sample": "", "of": ("",), "controls": 0}[setting], where)
    if isinstance(given, int) and given < 0:
        raise BadSettings(f"{where} is {given}, wants 0 or more features")


def wrapped_methods(
    kind: type, settings: Mapping[str, Any]
) -> list[tuple[str, str, SettingsMapping]]:
    """The methods that a method is made of: the setting that names each, its verb, and its own
    table.

    `needs.parts` says which settings those are; a name alone stands for a table with nothing else
    in it.
    """
    defaults = {field.name: field.default for field in fields(kind)} if is_dataclass(kind) else {}
    found: list[tuple[str, str, SettingsMapping]] = []
    for part, verb in needs_of(kind).parts.items():
        given = settings.get(part, defaults[part])
        if given == defaults[part] == "":
            continue  # it is made without this part
        if not isinstance(given, str) and not (isinstance(given, Mapping) and "method" in given):
            raise BadSettings(
                f"{part} must be the name of a method, or a table with one, as in {{method ="
                f' "..."}}; got {given!r}'
            )
        found.append((part, verb, {"method": given} if isinstance(given, str) else given))
    return found


def method_needs(verb: str, settings: SettingsMapping) -> Needs:
    """What the method that these settings name needs of itself, whatever it is made of."""
    return needs_of(load_installed(installed_methods(verb)[settings["method"]]))


def method_asks(verb: str, settings: SettingsMapping) -> bool:
    """Whether the method with these settings asks a language model, itself or by a part of it."""
    return bool(needs_of(build_method(verb, settings)).asks)


def method_packs(verb: str, settings: SettingsMapping) -> bool:
    """Whether the method asks about several contexts in one request, in a form that is open."""
    return verb == "score" and method_needs(verb, settings).packs


def is_packing_open(settings: SettingsMapping) -> bool:
    """Whether settings leave it to the run how many contexts a request holds, and in which form.

    A prompt of one's own is not tried out.
    """
    asked = (settings.get(name) for name in ("contexts_per_question", "prompt"))
    return not any(asked) and settings.get("form", "auto") == "auto"


def open_packings(verb: str, settings: SettingsMapping) -> list[str]:
    """The methods whose packing is left to the run: this one, and those that it is made of."""
    own = [settings["method"]] if method_packs(verb, settings) and is_packing_open(settings) else []
    kind = load_installed(installed_methods(verb)[settings["method"]])
    return sorted(
        {
            *own,
            *(
                name
                for _, of, table in wrapped_methods(kind, settings)
                for name in open_packings(of, table)
            ),
        }
    )


def installed_methods(verb: str) -> Mapping[str, "EntryPoint"]:
    """Every method of a verb, by name."""
    return installed(f"gloss.{verb}")


def load_stage(point: "EntryPoint") -> Any:
    """The class of a stage, as far as an experiment must know it.

    Raises BadSettings for what is none.
    """
    kind = load_installed(point)
    if not isinstance(kind, type) or getattr(kind, "name", None) != point.name:
        raise BadSettings(
            f"the stage {point.name!r} of {point.value} must be a subclass of"
            f" gloss.run.stage.Stage whose name is {point.name!r}"
        )
    if getattr(kind, "optional", False) and getattr(kind, "settings", None) is None:
        raise BadSettings(
            f"the stage {point.name!r} of {point.value} is optional, so it needs `settings`, a"
            " dataclass that may be empty: an experiment asks for it by its table"
        )
    return kind


def build_dataclass(kind: type, settings: Mapping[str, Any], where: str) -> Any:
    """An instance of the dataclass `kind`.

    Every key must be one of its fields and every value of the field's type.
    """
    if not is_dataclass(kind):
        raise BadSettings(
            f"{where}: {kind.__name__} is no dataclass, so it takes no settings; a method must"
            " be one"
        )
    known = {field.name: field for field in fields(kind) if field.init}
    checks: Checks = getattr(kind, "checks", {})
    given: dict[str, Any] = {}
    parts = needs_of(kind).parts
    for key, value in settings.items():
        if key not in known:
            raise BadSettings(f"{where} has no setting {key!r}{suggestion(key, known)}")
        given[key] = value
        factory = known[key].default_factory
        if key not in parts:
            default = known[key].default if factory is MISSING else factory()
            given[key] = convert_kind(value, default)
            if key in checks:
                call_naming_table(where, checks[key], given[key])
            else:
                require_kind(value, default, f"{where}.{key}")
                require_usable_numbers(value, default, f"{where}.{key}")
    for name, field in known.items():
        if field.default is MISSING and field.default_factory is MISSING and name not in settings:
            raise BadSettings(f"{where} needs the setting {name!r}, which has no default")
    return call_naming_table(where, partial(kind, **given))


def call_naming_table(where: str, call: Callable[..., Any], *given: Any) -> Any:
    """What a call returns; what it finds wrong is said of the table that the values stand in."""
    try:
        return call(*given)
    except (ValueError, BadSettings) as problem:
        said = str(problem)
        raise BadSettings(said if said.startswith(where) else f"{where}: {said}") from problem


def require_kind(value: Any, default: Any, where: str) -> None:
    """Refuse a value of another kind than the default's: a number for a number, text for text, a
    list of the same for one.
    """
    if isinstance(default, tuple):
        kind, wanted, mend = (str, "texts", "brackets and quotes")
        if default and isinstance(default[0], int | float):
            whole = isinstance(default[0], int)
            kind, wanted = (int, "whole numbers") if whole else ((int, float), "numbers")
            mend = "brackets"
        if not isinstance(value, tuple | list) or not all(
            isinstance(item, kind) and not isinstance(item, bool) for item in value
        ):
            raise BadSettings(
                f"{where} must be a list of {wanted}, got {value!r}; put them in {mend}"
            )
    for kind, name in (
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "text"),
        (Mapping, "a table"),
    ):
        if isinstance(default, kind):
            if not isinstance(value, kind) or isinstance(value, bool) != isinstance(default, bool):
                raise BadSettings(f"{where} must be {name}, got {value!r}")
            if isinstance(default, int) and isinstance(value, float):
                raise BadSettings(f"{where} must be a whole number, got {value!r}")
            return


def convert_kind(value: Any, default: Any) -> Any:
    """The value as its default is: a whole number as a float where the default is one, a list as a
    tuple.
    """
    if isinstance(value, list | tuple):
        first = default[0] if isinstance(default, tuple) and default else None
        return tuple(convert_kind(item, first) for item in value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and isinstance(default, float) else value


def require_usable_numbers(value: Any, default: Any, where: str) -> None:
    """Refuse numbers that no setting can mean: not finite, beyond LARGEST, or below 0 where the
    default is not.
    """
    for number in value if isinstance(value, list | tuple) else [value]:
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        if not abs(number) <= LARGEST:
            shown = number if isinstance(number, float) else "beyond any count"
            raise BadSettings(f"{where} is {shown}; give a finite number below {LARGEST:,}")
        if number < 0 and not (isinstance(default, int | float) and default < 0):
            raise BadSettings(f"{where} is {number}; give 0 or more")
