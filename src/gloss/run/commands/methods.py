"""Behind `gloss methods`: everything that is installed under a name, gloss' own and strangers':
methods, stages, executors, formats and matchers, each with its settings and what it needs.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from rich.padding import Padding
from rich.text import Text

from gloss.errors import BadSettings
from gloss.installed import OWN, installed, is_own, load_installed, package_name
from gloss.records import Needs, needs_of
from gloss.run.dependencies import asked_prompt
from gloss.run.experiment import CollectSettings
from gloss.run.methods import load_stage, suggestion
from gloss.run.progress import out

# in the order of the data; groups that are not named here come after them
ORDER = ("decompose", "sample", "explain", "score", "attribute", "evaluate")
# what each thing that a method may need is called
NEEDED: Mapping[str, str] = {
    "effects": "interventions: a table [intervene]",
    "token_attributions": "token attributions, where there is a table [attribute]",
    "neighbours": "neighbours: the evidence of near features",
    "texts": "the subject, to read texts of its own",
    "corpus": "tokens of text",
    "labels": "texts with labels",
    "scores": "a run whose explanations are scored",
}


@dataclass(frozen=True)
class MethodSetting:
    """A setting of a method; what has no default must be given."""

    name: str
    type: str
    default: str | None


@dataclass(frozen=True)
class MethodDescription:
    """What there is to know of a method before it is chosen."""

    verb: str
    name: str
    package: str
    own: bool  # whether it comes with gloss
    description: str = ""
    settings: tuple[MethodSetting, ...] = ()
    needs: tuple[str, ...] = ()
    about: str = ""  # what its explanations speak of, or what it tests
    problem: str = ""  # why it cannot be used; then nothing else is known


def print_methods(verb: str = "", *, as_json: bool = False) -> None:
    """Print every method, or those of one verb. Raises BadSettings for a verb that has none."""
    verbs = method_verbs()
    if verb and verb not in verbs:
        raise BadSettings(f"{verb} has no methods{suggestion(verb, dict.fromkeys(verbs))}")
    found = [
        describe_method(each, name)
        for each in ([verb] if verb else verbs)
        for name in installed(f"{OWN}{each}")
    ]
    if as_json:
        out.print_json(json.dumps([asdict(each) for each in found]))
        return
    for each in verbs:
        if methods := [one for one in found if one.verb == each]:
            out.print(Text(f"\n{each}", "bold underline"))
            for one in methods:
                print_method(one)


def print_prompt(name: str) -> None:
    """Print the prompt file that a method asks with. Raises BadSettings for one that has none."""
    asking = {
        method: source
        for verb in method_verbs()
        for method in installed(f"{OWN}{verb}")
        if (source := asked_prompt(verb, {"method": method}))
    }
    if name not in asking:
        raise BadSettings(f"{name} has no prompt file{suggestion(name, asking)}")
    out.print(asking[name], markup=False, highlight=False, soft_wrap=True, end="")


def method_verbs() -> list[str]:
    """Every verb, or other group, that has methods."""
    groups = {group.removeprefix(OWN) for group in entry_points().groups if group.startswith(OWN)}
    return [*(verb for verb in ORDER if verb in groups), *sorted(groups - set(ORDER))]


def describe_method(verb: str, name: str) -> MethodDescription:
    """What a method says of itself; of one that cannot be imported or read, the reason."""
    point = installed(f"{OWN}{verb}")[name]
    package = point.dist.name if point.dist is not None else point.module
    try:
        described = describe_loaded(verb, point)
        return replace(described, name=name, package=package, own=is_own(point))
    except BadSettings as problem:
        return MethodDescription(verb, name, package, is_own(point), problem=str(problem))
    except Exception as problem:  # of a stranger's class, which may do anything when it is read
        said = f"{package_name(point)} cannot be read ({type(problem).__name__}: {problem})"
        return MethodDescription(verb, name, package, is_own(point), problem=said)


def describe_loaded(verb: str, point: EntryPoint) -> MethodDescription:
    """What the object that an entry point names says of itself. Raises BadSettings for one that the
    verb cannot use.
    """
    about = MethodDescription(verb, point.name, "", False)
    if verb == "format":
        from gloss.models.formats.dictionary_format import load_format

        found = load_format(point)
        what = "read and written" if found.write else "read"
        return replace(about, description=f"{found.title}, {what}: {found.files}")
    if verb == "labels":
        found = load_installed(point)
        what = "read and written" if found.write else "read"
        return replace(about, description=f"{found.title}, {what}: {found.files}")
    kind = load_stage(point) if verb == "stage" else load_installed(point)
    own_type = kind if isinstance(kind, type) else type(kind)
    said = first_sentence(inspect.getdoc(kind) or inspect.getdoc(own_type) or "")
    if verb == "stage":
        needs = (f"a table [{point.name}] in the experiment",) if kind.optional else ()
        table = CollectSettings if point.name == "collect" else kind.settings
        return replace(about, description=said, settings=method_settings(table), needs=needs)
    return replace(
        about,
        description=said,
        settings=method_settings(kind),
        needs=needed_words(needs_of(kind)),
        about=about_words(verb, needs_of(kind)),
    )


def about_words(verb: str, needs: Needs) -> str:
    """What explanations speak of, or what a score tests, in words."""
    sides = " and ".join(needs.about)
    if verb == "score" and not needs.explanation:
        return "scores the feature itself"
    said = {"explain": "explains", "score": "tests explanations of"}.get(verb)
    return f"{said} {sides}" if said else ""


def first_sentence(docstring: str) -> str:
    """The first paragraph of a docstring, in one line, up to where its sentence ends."""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    sentence, stop, _ = paragraph.partition(". ")
    return f"{sentence}{stop}".strip()


def method_settings(kind: object) -> tuple[MethodSetting, ...]:
    """The settings of a dataclass; nothing else has any."""
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return ()
    parts = needs_of(kind).parts
    return tuple(
        MethodSetting(
            field.name,
            f"a method of {parts[field.name]}, by its name or as a table"
            if field.name in parts
            else type_words(field.type),
            default_words(field),
        )
        for field in fields(kind)
        if field.init
    )


def type_words(annotation: Any) -> str:
    """A type as it is written."""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def default_words(field: Any) -> str | None:
    """A default as it is written in an experiment, or None."""
    default = field.default if field.default_factory is MISSING else field.default_factory()
    if default is MISSING:
        return None
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return json.dumps(default, default=str)
    return json.dumps(default) if isinstance(default, str | int | float) else str(default)


def needed_words(needs: Needs) -> tuple[str, ...]:
    """What a method needs, each in some words."""
    asks = ", ".join(str(ability).replace("_", " ") for ability in needs.asks)
    return (
        *([f"a language model: {asks}"] if asks else []),
        *(words for name, words in NEEDED.items() if getattr(needs, name)),
        *(f"a method of {verb}, as {part}" for part, verb in needs.parts.items()),
        *(f"a file, as {each}" for each in needs.files),
    )


def print_method(found: MethodDescription) -> None:
    """The name and what it does, then what it needs, then its settings."""
    stranger = "" if found.own else f" ({found.package})"
    if found.problem:
        out.print(Text.assemble((found.name, "bold red"), stranger, f"  {found.problem}"))
        return
    out.print(Text.assemble((found.name, "bold green"), stranger, f"  {found.description}"))
    if found.about:
        out.print(Padding(Text(found.about), (0, 0, 0, 4)))
    if found.needs:
        needs = Text.assemble(("needs ", "italic"), "; ".join(found.needs))
        out.print(Padding(needs, (0, 0, 0, 4)))
    for each in found.settings:
        value = "no default" if each.default is None else each.default
        line = Text.assemble((each.name, "cyan"), f" = {value}  ", (each.type, "dim"))
        out.print(Padding(line, (0, 0, 0, 4)))
