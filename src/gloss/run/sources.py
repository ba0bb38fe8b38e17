"""Models, dictionaries and features by the names that every verb takes. The folder of a run stands
for the run's own: its subject with all its settings, and its dictionary, given or trained there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gloss.errors import BadInput, BadSettings, GlossError
from gloss.models.bundled import EMBEDDED
from gloss.models.pretrained.hub_files import is_hub_name
from gloss.run.dependencies import (
    dictionary_hash,
    named_dictionary_folder,
    subject_content,
)
from gloss.run.experiment import (
    AUTO,
    NEURONS,
    RANDOM,
    SubjectSettings,
    subject_settings,
)
from gloss.run.keys import result_key
from gloss.run.methods import SettingsMapping
from gloss.run.opened_run import OpenedRun
from gloss.run.plan import RESOLVED, recorded_dtype
from gloss.run.planning import read_run
from gloss.store.remote import local_folder, shown_name, url_of

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject

FEATURE_NAME = re.compile(r"(?P<source>.+)@(?P<index>[0-9]{1,18})", re.DOTALL)
NEURONS_NAME = re.compile(rf"{NEURONS}(?:#(?P<keep>[1-9][0-9]{{0,8}}))?")
INDEX = re.compile(r"[0-9]{1,18}")
# files of formats that hold nothing else
OF_SEVERAL_SITES = ("joint.safetensors", "W_enc_1.safetensors")
STEER_USAGE = (
    "give RUN@FEATURE PROMPT, as in runs/demo@999 'def main(', or MODEL DICTIONARY FEATURE PROMPT"
)


@dataclass(frozen=True)
class NamedModel:
    """A model that is not loaded yet, and the run that it is the subject of, where it is one's."""

    settings: SubjectSettings
    run: OpenedRun | None = None

    @classmethod
    def of(
        cls, name: str, device: str = AUTO, dtype: str = AUTO, adapter: str = ""
    ) -> "NamedModel":
        """The model of this name, or the subject of the run in this folder.

        What is given besides takes the place of what the run's settings say. Raises BadInput and
        BadSettings.
        """
        plain = subject_settings(name, device, dtype, adapter)
        if (run := run_in(name)) is None:
            return cls(plain)
        own = run.experiment.subject
        if own.dtype == AUTO:
            own = replace(own, dtype=recorded_dtype(run.place("decompose")) or AUTO)
        given = {"device": device, "dtype": dtype, "adapter": adapter}
        return cls(
            replace(
                own, **{flag: value for flag, value in given.items() if value not in (AUTO, "")}
            ),
            run,
        )

    @property
    def content(self) -> list[object]:
        """What decides its numbers: its weights, by their hash, and how they are loaded."""
        drawn = self.run.experiment.run.seed if self.run else 0
        return [
            subject_content(self.settings),
            drawn if self.settings.weights == RANDOM else "",
        ]

    def load(self) -> "Subject":
        """The model with its weights; as the run drew them, where it drew some."""
        from gloss.models.subject import untrained_subject
        from gloss.run.subject_loading import load_named_subject

        subject = load_named_subject(self.settings)
        if self.run is None or self.settings.weights != RANDOM:
            return subject
        return untrained_subject(subject, self.run.generator("random subject"))


@dataclass(frozen=True)
class NamedDictionary:
    """A dictionary that is not loaded yet, and the run that it is of, where it is one's."""

    name: str
    site: str = ""
    run: OpenedRun | None = None

    @classmethod
    def of(cls, name: str, site: str = "") -> "NamedDictionary":
        """The dictionary of this name, or that of the run in this folder, or the one that a run
        trained in RUN/decompose/KEY. Raises BadInput.
        """
        run = run_in(name)
        if run is None and is_training_of_run(trained := Path(name).expanduser()):
            return cls(str(trained / "dictionary"), site)
        own = run.experiment.decompose.get("site", "") if run else ""
        return cls(name, site or own, run)

    @property
    def keeps_neurons(self) -> int | None:
        """How many neurons of each token count where the name is `neurons` or `neurons#32`, 0 for
        all; None where it is of another dictionary.
        """
        named = NEURONS_NAME.fullmatch(self.name)
        return int(named["keep"] or 0) if named and self.run is None else None

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return dictionary_folder(self.run) if self.run else named_dictionary_folder(self.name)

    @property
    def content(self) -> str:
        """The hash of its files, or the key of a run that trains it; of neurons, what they are.
        Beside it the site, where it is not the run's own.
        """
        if self.run and (reads_neurons(self.run) or trains_dictionary(self.run)):
            key, own = self.run.keys["decompose"], self.run.experiment.decompose.get("site", "")
            return key if self.site in ("", own) else result_key(key, self.site)
        if self.keeps_neurons is not None:
            return result_key(self.name, self.site)
        return result_key(dictionary_hash(self.folder), self.site)

    def load(self, subject: "Subject | None" = None) -> "Dictionary":
        """The dictionary, beside the subject where one is given.

        Raises BadInput for a folder without one, and where the run has not trained its own yet.
        """
        from gloss.models.formats import load_dictionary
        from gloss.models.neurons import neurons_at
        from gloss.models.sites import parse_site
        from gloss.run.run_dictionary import load_run_dictionary, require_as_trained

        if self.keeps_neurons is not None:
            if subject is None or not self.site:
                raise BadSettings(
                    f"{self.name} are neurons of a model at a site; give MODEL {self.name} --site"
                    " mlp_act.1"
                )
            return neurons_at(subject, subject.site(self.site), self.keeps_neurons)
        if self.run and reads_neurons(self.run):
            return load_run_dictionary(self.run, subject or NamedModel.of(self.name).load())
        if self.run and trains_dictionary(self.run):
            if not self.folder.is_dir():
                raise BadInput(
                    f"the run in {self.name} has not trained its dictionary yet; run its experiment"
                    " first"
                )
            require_as_trained(self.run)
        site = parse_site(self.site) if self.site else None
        dictionary = load_dictionary(self.folder, site, subject)
        return dictionary if subject is None else dictionary.to(subject.device)


def run_in(name: str) -> OpenedRun | None:
    """The run in the folder of this name; None where it holds none, and for a published
    dictionary's. Raises BadInput for a damaged or an old one.
    """
    if is_hub_name(name):
        return None
    folder = local_folder(name).expanduser()
    return read_run(folder) if url_of(folder) or (folder / RESOLVED).is_file() else None


def is_training_of_run(folder: Path) -> bool:
    """Whether a run trained a dictionary in this folder, now or with other settings before."""
    return (folder / "dictionary").is_dir() and (folder.parent.parent / RESOLVED).is_file()


def trains_dictionary(run: OpenedRun) -> bool:
    """Whether the run trains its dictionary, rather than taking one that is there."""
    return "dictionary" not in run.experiment.decompose


def writes_several_sites(decompose: SettingsMapping) -> bool:
    """Whether a run of these settings of [decompose] has a dictionary that writes several sites:
    one that it trains so, or one in a folder here.
    """
    if "method" in decompose or decompose.get("site"):
        return "+" in decompose.get("site", "")
    try:
        folder = named_dictionary_folder(decompose["dictionary"])
    except GlossError:
        return False
    return any((folder / name).is_file() for name in OF_SEVERAL_SITES)


def reads_neurons(run: OpenedRun) -> bool:
    """Whether the run's dictionary is neurons of its subject, which have no files."""
    return run.experiment.decompose.get("dictionary") == NEURONS


def dictionary_folder(run: OpenedRun) -> Path:
    """Where the run's dictionary lies: the one that was asked for, or the one that it trains."""
    if trains_dictionary(run):
        return run.place("decompose") / "dictionary"
    return named_dictionary_folder(run.experiment.decompose["dictionary"])


def dictionary_line(run: OpenedRun) -> str:
    """Where the run's dictionary lies, in words."""
    if reads_neurons(run):
        asked = run.experiment.decompose
        kept = f", the {asked['keep']:,} strongest of each token" if asked.get("keep") else ""
        return f"the dictionary is the neurons of {asked.get('site')}{kept}"
    given = run.experiment.decompose.get("dictionary", "")
    if is_hub_name(given):
        return f"the dictionary is {given}"
    return f"the dictionary lies in {shown_name(dictionary_folder(run))}"


def model_and_dictionary(
    model: str, dictionary: str = "", site: str = "", *flags: str
) -> tuple[NamedModel, NamedDictionary]:
    """The two that a command line names; the `flags` are device, dtype and adapter.

    Raises BadSettings where a dictionary is left out beside a model that is no run.
    """
    found = NamedModel.of(model, *flags)
    if not dictionary and found.run is None:
        raise BadSettings(
            f"{model} is no run, so a dictionary is needed beside it; give MODEL DICTIONARY, or the"
            " folder of a run"
        )
    return found, NamedDictionary.of(dictionary or model, site)


def split_feature(name: str) -> tuple[str, int] | None:
    """A run or dictionary and the feature in it, of SOURCE@INDEX; None for any other word."""
    found = FEATURE_NAME.fullmatch(name)
    return (found["source"], int(found["index"])) if found else None


def run_of_feature(name: str) -> str:
    """The run's folder in RUN@3 or RUN@3,17; nothing for a feature of a dictionary by itself."""
    source, _, _ = name.rpartition("@")
    return source if source and run_in(source) else ""


def model_of_features(model: str, *features: str) -> str:
    """The model by this name; without one the run that the first feature of a run is of, or else
    the embedded model.
    """
    return model or next(filter(None, map(run_of_feature, features)), EMBEDDED)


@dataclass(frozen=True)
class NamedFeature:
    """A feature of a dictionary in a model, of which nothing is loaded yet."""

    model: NamedModel
    dictionary: NamedDictionary
    index: int


def feature_and_prompts(
    words: Sequence[str], site: str = "", *flags: str
) -> tuple[NamedFeature, list[str]]:
    """What the words of `gloss steer` name: `RUN@FEATURE PROMPT...`, `RUN FEATURE PROMPT...`, or
    `MODEL DICTIONARY FEATURE PROMPT...`, where either may be a run and `DICTIONARY@FEATURE` is one
    word. The `flags` are device, dtype and adapter.

    Raises BadSettings for words that name no feature.
    """
    first, second, third, *_ = [*words, "", "", ""]
    named, of_dictionary = split_feature(first), split_feature(second)
    if named and run_in(named[0]):
        (model, index), dictionary, used = named, named[0], 1
    elif INDEX.fullmatch(second) and run_in(first):
        model, dictionary, index, used = first, first, int(second), 2
    elif of_dictionary:
        model, (dictionary, index), used = first, of_dictionary, 2
    elif INDEX.fullmatch(third):
        model, dictionary, index, used = first, second, int(third), 3
    elif named:
        raise BadInput(f"{named[0]} holds no run; {STEER_USAGE}")
    else:
        raise BadSettings(f"there is no feature to change; {STEER_USAGE}")
    source = NamedFeature(NamedModel.of(model, *flags), NamedDictionary.of(dictionary, site), index)
    return source, list(words[used:])
