"""An experiment: a TOML file with one table a verb, checked whole before anything runs.

And the one of `gloss demo`.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from gloss.errors import BadInput, BadSettings, require_at_least
from gloss.installed import load_installed
from gloss.models.bundled import EMBEDDED, SMOLLM2
from gloss.models.model_settings import (
    AUTO,
    ENCODER_DTYPES,
    MASSIVE_MULTIPLE,
    SPECIAL,
    LeaveOut,
    check_device_and_dtype,
    check_device_map,
    require_leave_out,
    require_massive_multiple,
)
from gloss.models.sites import parse_site
from gloss.records import Aspect, needs_of
from gloss.run.chat_tables import ChatTable, chat_tables, check_chats, choose_chat
from gloss.run.methods import (
    Checks,
    SettingsMapping,
    build_dataclass,
    build_method,
    installed_methods,
    load_stage,
    method_asks,
    method_needs,
    require_kind,
    require_usable_numbers,
    suggestion,
)
from gloss.run.trained_beside import (
    ALSO,
    trained_beside,
    trainer_settings,
    with_joined_sites,
    with_other_model,
)
from gloss.store.remote import is_url, local_folder

if TYPE_CHECKING:
    from gloss.sample.examples import SamplingSettings

TRAINED, RANDOM = "trained", "random"  # weights of a subject
NO_TOKEN = "none"  # no token starts a sequence
VARY = "vary"  # the table that makes several experiments of a file
NEURONS = "neurons"  # in place of a dictionary's folder
T = TypeVar("T")

LARGEST_FILE = 2**20  # bytes of an experiment file
# of a method or a dictionary: it becomes the name of a folder and of rows
NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")


def require_sites_of_method(method: Any, site: str, where: str) -> None:
    """Raise BadSettings where one site is given to a method that wants several, or several to
    another.
    """
    found = parse_site(site) if "+" in site or getattr(method, "joins", False) else None
    if found and getattr(method, "joins", False):
        method.sites(found)
    elif found:
        raise BadSettings(
            f"{where} is trained on the vectors of one site, and {site} are several; name one, or"
            ' take method = "crosscoder"'
        )


def require_executor(given: object) -> None:
    """Raise BadSettings where no executor of this name, with these settings, is installed."""
    if not isinstance(given, str | Mapping):
        raise BadSettings(f"executor must be a name or a table, got {given!r}")
    executor_method({"method": given} if isinstance(given, str) else given, 1)


def executor_method(settings: SettingsMapping, processes: int) -> Any:
    """The executor that settings name; one that has `processes` gets as many as [run] says."""
    found = installed_methods("executor").get(str(settings.get("method")))
    known = {each.name for each in fields(load_installed(found))} if found else set[str]()
    given = {"processes": processes} if "processes" in known else {}
    return build_method("executor", {"method": ""} | given | dict(settings))


def require_features(given: object) -> None:
    """Raise BadSettings for what is neither a number of features nor a list of their indices."""
    if given == ():
        raise BadSettings("[run].features lists no feature; leave it out for random ones")
    for each in given if isinstance(given, tuple) else (given,):
        require_kind(each, 0, "[run].features")
        require_usable_numbers(each, 0, "[run].features")


@dataclass(frozen=True)
class RunSettings:
    """How much is done, and where."""

    folder: str = "runs/experiment"
    seed: int = 0
    # drawn at random from the live ones; 0 takes every live feature; a list takes these
    features: int | tuple[int, ...] = 400
    # a feature that is active in fewer places counts as dead in this corpus
    minimum_activations: int = 20
    features_per_shard: int = 32
    processes: int = 2
    # what runs the shards that only compute, by its name, or as a table with its settings
    executor: str | SettingsMapping = "processes"

    checks: ClassVar[Checks] = {"executor": require_executor, "features": require_features}

    def __post_init__(self) -> None:
        require_at_least(1, self, "features_per_shard", "processes")
        require_at_least(0, self, "seed", "minimum_activations")
        require_features(self.features)
        if is_url(self.folder):
            local_folder(self.folder)
            return
        whole = "" if "\0" in self.folder else os.path.realpath(self.folder.strip() or "/")
        home = os.path.expanduser("~")  # noqa: PTH111  Path raises where no home is known
        if whole in ("", "/", os.path.realpath(home)):
            raise ValueError(
                f"folder is {self.folder!r}; give a folder for this run alone, for example"
                " runs/mine"
            )


def require_start_token(token: object) -> None:
    """Raise BadSettings where the start of a text is neither a word that is known here nor the
    number of a token.
    """
    number = type(token) is int and token >= 0
    if not number and token not in (AUTO, NO_TOKEN):
        raise BadSettings(
            f"start_token must be {AUTO!r}, {NO_TOKEN!r} or the number of a token, got {token!r}"
        )


@dataclass(frozen=True)
class SubjectSettings:
    """The language model that is read: a folder, a GGUF file, a name on the hub, or the embedded
    one.
    """

    model: str = EMBEDDED
    revision: str = ""
    device: str = AUTO  # a card where there is one
    dtype: str = AUTO  # on a card as stored, on a CPU float32
    # of a model that is larger than a card: "auto" spreads it over cards, memory and disk, in the
    # place of `device`; or a table, as of transformers, that says where each part lies
    device_map: str | SettingsMapping = ""
    adapter: str = ""  # the folder of a PEFT adapter, which is added to the weights
    start_token: str | int = AUTO  # the tokenizer's own; "none", or a token's number
    weights: str = TRAINED  # or "random": drawn anew, by the run's seed, as before any training
    # another model of the same architecture and tokenizer, whose sites are `other:resid_post.2`
    other: str = ""

    checks: ClassVar[Checks] = {
        "start_token": require_start_token,
        "device_map": check_device_map,
    }

    def __hash__(self) -> int:
        return hash(json.dumps(asdict(self), sort_keys=True))

    def __post_init__(self) -> None:
        if self.device_map and self.device != AUTO:
            raise ValueError(
                f"device is {self.device!r} and device_map says where the parts lie; leave one out"
            )
        if not self.model:
            raise ValueError(
                'model is empty; give a folder, a GGUF file, a name on the hub, or "embedded"'
            )
        check_device_and_dtype(self.device, self.dtype)
        require_start_token(self.start_token)
        if self.weights not in (TRAINED, RANDOM):
            raise ValueError(f"weights must be {TRAINED!r} or {RANDOM!r}, got {self.weights!r}")


def subject_settings(
    model: str, device: str = AUTO, dtype: str = AUTO, adapter: str = ""
) -> SubjectSettings:
    """The settings that a command line's flags stand for. Raises BadSettings."""
    return build_dataclass(
        SubjectSettings,
        {"model": model, "device": device, "dtype": dtype, "adapter": adapter},
        "the model",
    )


FULL, MINED = "full", "mined"  # ways to store activations


@dataclass(frozen=True)
class CollectSettings:
    """The text that the subject reads, and how it is cut."""

    texts: tuple[str, ...] = ("stdlib",)
    column: str = "text"
    # what separates documents inside a text: end-of-text tokens, or this string; "" nothing
    split: str = "auto"
    context_length: int = 256
    max_tokens: int = 400_000  # 0 takes all
    leave_out: LeaveOut = SPECIAL  # tokens whose activations count nowhere; or "none", or a list
    # a token whose vector is so many times longer than the median counts nowhere; 0 finds none
    massive: float = MASSIVE_MULTIPLE
    batch_tokens: int = 2**13  # positions in one forward pass
    shard_tokens: int = 2**16  # tokens in memory at a time, and lost at most twice if killed
    # "full" keeps every activation; "mined" keeps of each feature a sample of the sequences in
    # which it fires, and exact counts: disk and memory do not grow with the text
    store: str = FULL
    # of a mined corpus: sequences of each half octave of strength and each split, drawn at random
    kept: int = 64
    strongest: int = 20  # of a mined corpus: sequences of each split, the strongest
    # of a mined corpus: sequences, drawn before anything is read, of which all features are kept
    background: int = 2048
    # folders of finished runs: what they have collected is put together, and nothing is read again;
    # `texts` says what they have read
    merge: tuple[str, ...] = ()

    checks: ClassVar[Checks] = {"leave_out": require_leave_out}

    def __post_init__(self) -> None:
        require_leave_out(self.leave_out)
        require_massive_multiple(self.massive)
        require_at_least(2, self, "context_length", "kept", "background")
        require_at_least(1, self, "batch_tokens", "shard_tokens", "strongest")
        require_at_least(0, self, "max_tokens")
        if len(self.merge) == 1:
            raise ValueError("merge names one run; give two or more")
        if self.store not in (FULL, MINED):
            raise ValueError(f"store must be {FULL!r} or {MINED!r}, got {self.store!r}")

    @property
    def mining(self) -> Mapping[str, int]:
        """How much a mined corpus keeps; nothing where every activation is kept."""
        own = {"kept": self.kept, "strongest": self.strongest, "background": self.background}
        return own if self.store == MINED else {}

    @property
    def reading(self) -> Mapping[str, Any]:
        """What is read, and how it is cut, whatever is kept of it."""
        own = {"store", "kept", "strongest", "background", "merge"}
        return {name: value for name, value in asdict(self).items() if name not in own}


@dataclass(frozen=True)
class BrowseSettings:
    """What the pages show beyond the records."""

    wrong: int = 6  # held-out contexts of each kind that a rule got wrong
    packed_above: int = 500  # features; beyond, their pages lie packed in few files

    def __post_init__(self) -> None:
        require_at_least(0, self, "wrong", "packed_above")


@dataclass(frozen=True)
class ControlSettings:
    """Whole runs beside the run, of what has not been trained."""

    random_dictionary: bool = False  # random directions that fire as often as the run's features
    random_subject: bool = False  # the same architecture with random weights
    features: int = 50  # of each; 0 takes every live feature
    # for the random subject's dictionary, where the run's own was given
    training_tokens: int = 1_000_000

    def __post_init__(self) -> None:
        require_at_least(0, self, "features")
        require_at_least(1, self, "training_tokens")


SettingsTable = dict[str, Any]

# settings that have got another name, by table
RENAMED_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "contexts": {
        "shown": "train",
        "silent_shown": "inactive_train",
        "silent_held_out": "inactive_held_out",
    },
    "intervene": {"shown_kl": "train_kl", "shown_prompts": "train_prompts"},
    "attribute": {"stand_ins": "replacement_tokens"},
    "judge": {"anchors": "calibration_items"},
}


@dataclass(frozen=True)
class Experiment:
    """Every setting of a run, resolved; `docs/experiments.md` lists them.

    Tables of methods are kept as tables, so that keys and files show what was asked.

        >>> experiment = gloss.Experiment.of({"run": {"folder": "runs/small", "features": 8}})
        >>> experiment.run.features, experiment.subject.model
        (8, 'embedded')
    """

    run: RunSettings
    subject: SubjectSettings
    collect: CollectSettings
    decompose: SettingsTable = field(default_factory=lambda: {"dictionary": EMBEDDED})
    contexts: SettingsTable = field(default_factory=dict)
    sample: tuple[SettingsTable, ...] = ({"method": "quantiles"},)
    explain: tuple[SettingsTable, ...] = ({"method": "rule"},)
    score: tuple[SettingsTable, ...] = ({"method": "execution"},)
    chat: SettingsTable = field(default_factory=dict)
    browse: BrowseSettings = field(default_factory=BrowseSettings)
    controls: ControlSettings = field(default_factory=ControlSettings)
    # the settings of stages that have a table of their own, by the stage's name
    stages: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def read(cls, path: Path) -> "Experiment":
        """Read an experiment file.

        Raises BadInput for a file that is not TOML, and BadSettings for a table, a key or a value
        that an experiment cannot have.

            >>> gloss.Experiment.read(Path("experiment.toml")).run.features
            12
        """
        return cls.of(read_tables(path))

    @classmethod
    def of(cls, tables: Mapping[str, Any], *, checked: bool = False) -> "Experiment":
        """Make an experiment from the tables of such a file, as dictionaries.

        Methods that were `checked` before, as those of a run that is read, are not built again:
        a trainer imports torch. Raises BadSettings, with a suggestion, for a table or a key that
        does not exist.

            >>> gloss.Experiment.of({"score": {"method": "execution"}}).score
            ({'method': 'execution'},)
        """
        tables = with_other_model(tables)
        own = {each.name: each for each in fields(cls) if each.name != "stages"}
        stages = stages_with_settings()
        if VARY in tables:
            raise BadSettings(
                f"[{VARY}] makes several experiments of one file, which gloss run and gloss cost"
                f" take; leave [{VARY}] out, or give the file to one of these"
            )
        for name, content in tables.items():
            if name not in {*own, *stages}:
                known = dict.fromkeys([*own, *stages])
                raise BadSettings(f"an experiment has no table [{name}]{suggestion(name, known)}")
            if not isinstance(content, dict) and not (
                name in method_tables() and isinstance(content, list | tuple)
            ):
                raise BadSettings(
                    f"{name} must be a table: write [{name}] on a line of its own, got {content!r}"
                )
            if isinstance(content, dict):
                require_new_names(name, content)
        chosen: dict[str, Any] = {}
        for name, each in own.items():
            if isinstance(each.type, type) and is_dataclass(each.type):
                chosen[name] = build_dataclass(each.type, tables.get(name, {}), f"[{name}]")
            elif name in method_tables() and name in tables:
                chosen[name] = listed_methods(name, tables[name])
            elif name in tables:
                chosen[name] = tables[name]
        if "decompose" in chosen:
            chosen["decompose"] = with_joined_sites(chosen["decompose"])
        chosen["stages"] = {
            name: build_dataclass(stage.settings, tables.get(name, {}), f"[{name}]")
            for name, stage in stages.items()
            if name in tables or not stage.optional
        }
        experiment = cls(**chosen)
        if not checked:
            experiment.check()
        return experiment

    def check(self) -> None:
        """Build every method once, so that a wrong setting stops the run before it has cost
        anything.
        """
        for verb, (default, *_) in method_tables().items():
            if not self.methods(verb):
                raise BadSettings(
                    f"[{verb}] names no method; leave {verb} out for the default one,"
                    f" {default['method']}"
                )
            for settings in self.methods(verb):
                if "method" not in settings:
                    raise BadSettings(
                        f"[{verb}] names no method; add one, for example method ="
                        f" {default['method']!r}"
                    )
                effects = needs_of(build_method(verb, settings)).effects
                if effects and "intervene" not in self.stages:
                    raise BadSettings(
                        f"[{verb}] {settings['method']} reads effects of interventions, and there"
                        " are none; add a table [intervene], empty for the defaults"
                    )
                require_folder_name(settings.get("name", settings["method"]), f"[{verb}].name")
            names = [method_label(settings) for settings in self.methods(verb)]
            if twice := {name for name in names if names.count(name) > 1}:
                raise BadSettings(
                    f"[[{verb}]] has {min(twice)!r} twice; give each a name, as in name ="
                    f" {min(twice) + '-again'!r}"
                )
        self.sampling  # noqa: B018 refuses what it cannot be
        check_chats(self.chat)
        for name in self.chats:
            if name:
                require_folder_name(name, f"[chat.{name}]")
        for verb in ("explain", "score"):
            for settings in self.methods(verb):
                if method_asks(verb, settings):
                    self.chat_of(settings, f"[{verb}] {method_label(settings)}")
        build_method("sample", self.held_out_sampler)
        for settings in self.explain:
            self.sample_steps(settings.get("sample", ""))
        for settings in self.score:
            self.require_scored(settings)
        self.require_dictionary()

    def require_scored(self, settings: SettingsTable) -> None:
        """Refuse a score of explainers that are not there, and what a score has no use for."""
        where, known = f"[score] {method_label(settings)}", list(map(method_label, self.explain))
        for name in settings.get("of", ()):
            if name not in known:
                raise BadSettings(
                    f"{where} is of {name!r}, and no [[explain]] is called so"
                    f"{suggestion(name, known)}"
                )
        needs = method_needs("score", settings)
        if not needs.explanation and "of" in settings:
            raise BadSettings(
                f"{where} scores the feature itself, whatever is said of it; leave of out"
            )
        if not (needs.explanation and needs.controls) and "controls" in settings:
            raise BadSettings(f"{where} has no controls; leave controls out")

    def require_dictionary(self) -> None:
        """Either a dictionary that exists, or a method and a site to train one."""
        given = self.decompose
        if "name" in given:
            require_folder_name(given["name"], "[decompose].name")
        if "method" in given:
            if not isinstance(given.get("site"), str):
                raise BadSettings(
                    "[decompose] trains a dictionary, so it needs a site, for example site ="
                    ' "resid_post.2"'
                )
            self.require_trained(given, "[decompose]")
            for name, settings in trained_beside(given).items():
                require_folder_name(name, "[decompose].also: name")
                self.require_trained(settings, f"[decompose].also: {name}")
            return
        if "dictionary" not in given:
            raise BadSettings(
                '[decompose] needs dictionary = "PATH" for one that exists, or method = "topk" to'
                " train one"
            )
        known: SettingsTable = {"dictionary": "", "site": "", "name": ""}
        known |= {"keep": 0} if given["dictionary"] == NEURONS else {"dtype": ""}
        for key, value in given.items():
            if key not in known:
                raise BadSettings(
                    f"[decompose] with a dictionary has no setting {key!r}"
                    f"{suggestion(key, [*known, 'method'])}"
                )
            require_kind(value, known[key], f"[decompose].{key}")
            require_usable_numbers(value, known[key], f"[decompose].{key}")
        if (dtype := given.get("dtype", ENCODER_DTYPES[0])) not in ENCODER_DTYPES:
            raise BadSettings(
                f"[decompose].dtype must be {', '.join(ENCODER_DTYPES[:-1])} or"
                f" {ENCODER_DTYPES[-1]}, in which the encoder's products are taken, got {dtype!r}"
            )

    def require_trained(self, settings: SettingsTable, where: str) -> None:
        """Refuse a trainer that cannot be made, and what cannot be trained beside others."""
        method = build_method("decompose", trainer_settings(settings))
        if not isinstance(settings.get("site"), str):
            raise BadSettings(f"{where} has the site {settings.get('site')!r}; give its name")
        require_sites_of_method(method, settings["site"], where)
        if ALSO in self.decompose and not getattr(method, "resumes", False):
            raise BadSettings(
                f"{where} is {settings['method']}, which is not trained step by step, and so not"
                " beside others; run it by itself"
            )
        require_kind(settings.get("seed", 0), 0, f"{where}.seed")
        if "seed" in self.decompose:
            raise BadSettings(
                "[decompose].seed is a setting of tables in also; the run's own dictionary goes by"
                " [run] seed"
            )

    @cached_property
    def explained(self) -> tuple[frozenset[Aspect], ...]:
        """What the explanations of each explainer speak of."""
        built = [build_method("explain", each) for each in self.explain]
        return tuple(frozenset(needs_of(each).about) for each in built)

    def methods(self, verb: str) -> tuple[SettingsTable, ...]:
        """The settings of each method of a verb that takes several."""
        return getattr(self, verb)

    def settings(self, kind: type[T]) -> T:
        """The settings of the stage whose settings are of this class; the defaults where the
        experiment says nothing of it.
        """
        return next((one for one in self.stages.values() if isinstance(one, kind)), None) or kind()

    @property
    def chats(self) -> dict[str, ChatTable]:
        """The language models, by name. Raises BadSettings."""
        return chat_tables(self.chat)

    def chat_of(self, settings: SettingsMapping, where: str = "a method") -> ChatTable | None:
        """The language model that a method with these settings asks; None where there is none.

        Raises BadSettings where they do not say which of several.
        """
        return choose_chat(self.chats, settings, where)

    @property
    def devices(self) -> set[str]:
        """Where the subject, and language models of this process, are to run."""
        here = (chat.settings for chat in self.chats.values())
        local = (each for each in here if each.get("backend") == "transformers")
        return {self.subject.device, *(str(each.get("device", AUTO)) for each in local)}

    @property
    def sampling(self) -> "SamplingSettings":
        """How many contexts of each kind a feature gets, and which. Raises BadSettings."""
        from gloss.sample.examples import SamplingSettings

        return build_dataclass(SamplingSettings, self.contexts, "[contexts]")

    @property
    def held_out_sampler(self) -> SettingsTable:
        """The settings of what chooses the contexts that all explanations are tested on."""
        given = self.sampling.held_out_sample
        return {"method": given} if isinstance(given, str) else dict(given)

    def sample_steps(self, sample: str = "") -> list[str]:
        """The steps that choose a feature's contexts: what is the same for all samples, and what
        explainers are shown of this one, by default of the first.

        Raises BadSettings where there is no such sample.
        """
        known = [method_label(settings) for settings in self.sample]
        if sample and sample not in known:
            raise BadSettings(
                f"[explain] wants the sample {sample!r}, and no [[sample]] is called so"
                f"{suggestion(sample, known)}"
            )
        return ["sample", f"sample.{sample or known[0]}"]

    @property
    def trainer(self) -> SettingsTable:
        """The settings of [decompose] that belong to its method."""
        return trainer_settings(self.decompose)

    @property
    def folder(self) -> Path:
        """Where results lie on this machine; of a URL, in the folder that mirrors it."""
        return local_folder(self.run.folder)

    def tables(self) -> SettingsTable:
        """Every setting, defaults included."""
        own = asdict(self)
        return own | own.pop("stages")


def read_tables(path: Path) -> SettingsTable:
    """The tables of an experiment file, unchecked. Raises BadInput for a file that is not TOML."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise BadInput(
                f"{path} holds more than {LARGEST_FILE:,} bytes; give an experiment file"
                " (TOML), which is small"
            )
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        return tomllib.loads(text)
    except OSError as problem:
        raise BadInput(
            f"{path} cannot be read: {problem.strerror}; give the path of an experiment file (TOML)"
        ) from problem
    except RecursionError as problem:
        raise BadInput(
            f"{path} is nested too deeply; an experiment has tables of settings and lists,"
            " nothing deeper"
        ) from problem
    except ValueError as problem:  # of TOML, of UTF-8, and of numbers with thousands of digits
        first_line, _, _ = str(problem).partition("\n")
        raise BadInput(f"{path} is not TOML: {first_line}") from problem


def method_tables() -> dict[str, tuple[SettingsTable, ...]]:
    """The tables that hold one method or several, each with what it holds where it is left out."""
    return {
        each.name: each.default for each in fields(Experiment) if isinstance(each.default, tuple)
    }


def listed_methods(name: str, given: Any) -> tuple[SettingsTable, ...]:
    """The settings of each method of a table. Raises BadSettings."""
    found = (given,) if isinstance(given, dict) else tuple(given)
    if others := [entry for entry in found if not isinstance(entry, dict)]:
        raise BadSettings(f"[[{name}]] must be a table for each method, got {others[0]!r}")
    return found


def stages_with_settings() -> dict[str, Any]:
    """The stages that have a table of their own, by name."""
    points = installed_methods("stage")
    found = {name: load_stage(points[name]) for name in sorted(points)}
    return {name: stage for name, stage in found.items() if stage.settings is not None}


def require_new_names(table: str, settings: Mapping[str, Any]) -> None:
    """Refuse a setting by the name that it had, and say its name."""
    for old, new in RENAMED_SETTINGS.get(table, {}).items():
        if old in settings:
            raise BadSettings(f"[{table}].{old} is called {new} now; rename it")


def require_folder_name(name: object, where: str) -> None:
    """Refuse what cannot be the name of a folder inside the run's."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        shown = name if not isinstance(name, str) or len(name) <= 80 else name[:77] + "..."
        raise BadSettings(
            f"{where} is {shown!r}; give 1 to 64 letters, digits, dots, hyphens or underscores"
        )


def stage_name(verb: str, settings: SettingsMapping) -> str:
    """How a method is called among a run's steps."""
    return f"{verb}.{method_label(settings)}"


def method_label(settings: SettingsMapping) -> str:
    """What a run calls a method: its own name, or one that tells it from another use of the same
    method.
    """
    return str(settings.get("name", settings["method"]))


def with_executor(asked: Experiment, name: str) -> Experiment:
    """The same with this executor and its defaults, unless the file names it with its settings.

    Raises BadSettings for one that is not installed.
    """
    given = asked.run.executor
    if not isinstance(given, str) and given.get("method") == name:
        return asked
    require_executor(name)
    return replace(asked, run=replace(asked.run, executor=name))


def with_precision(asked: Experiment, precision: float) -> Experiment:
    """The same with this `precision` in every score that can stop early.

    Raises BadSettings where none can.
    """
    can = [
        "precision" in build_method("score", settings).__dataclass_fields__
        for settings in asked.score
    ]
    if not any(can):
        raise BadSettings(
            "no score of this experiment asks a judge until a precision is reached; detection and"
            " fuzzing can"
        )
    scores = [
        settings | {"precision": precision} if one else settings
        for one, settings in zip(can, asked.score, strict=True)
    ]
    return Experiment.of(asked.tables() | {"score": scores})


def demo_experiment(folder: Path, features: int, *, real: bool = False) -> Experiment:
    """All that a run needs without a network and without asking a language model: the embedded
    subject on Python's own library, or SmolLM2 on English prose that its dictionary never saw.
    """
    name, texts, tokens = (
        (SMOLLM2, "sae-probes:held_out", 500_000) if real else (EMBEDDED, "stdlib", 400_000)
    )
    return Experiment.of(
        {
            "run": {"folder": str(folder), "features": features},
            "subject": {"model": name},
            "collect": {"texts": [texts], "max_tokens": tokens},
            "decompose": {"dictionary": name, "name": "smollm2" if real else "demo"},
            "sample": {"method": "quantiles"},
            "contexts": {"train": 200, "inactive_train": 2000},
            "explain": {"method": "rule"},
            "score": {"method": "execution"},
        }
    )
