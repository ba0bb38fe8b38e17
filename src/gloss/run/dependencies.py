"""What results depend on besides settings and other stages: texts, weights, prompts."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from gloss.errors import BadInput
from gloss.installed import listed, load_installed
from gloss.models.bundled import bundled_dictionary, model_place
from gloss.models.chat_models.prompts import own_prompt_source, prompt_file, prompt_source
from gloss.models.chat_models.served import xllamacpp_file
from gloss.models.pretrained.hub_files import SETTINGS, is_hub_name
from gloss.models.pretrained.published import published_dictionary
from gloss.records import needs_of
from gloss.run.experiment import NEURONS, Experiment, SubjectSettings, method_label
from gloss.run.keys import code_hash, model_hash, result_key, source_hash, weights_hash
from gloss.run.methods import (
    ROOM,
    SettingsMapping,
    build_method,
    installed_methods,
    method_asks,
    method_needs,
    open_packings,
    wrapped_methods,
)
from gloss.run.plan import RESOLVED
from gloss.run.trained_beside import ALSO, trained_beside, trainer_settings
from gloss.store.named_parts import split_part_name
from gloss.store.remote import local_folder
from gloss.store.sealed_json import read_sealed_json

AT_A_TIME = ("batch_tokens", "shard_tokens")  # settings of [collect] that leave the texts alone


def subject_content(asked: SubjectSettings) -> str:
    """A subject's settings and everything that its weights are read from."""
    adapter = weights_hash(asked.adapter) if asked.adapter else ""
    newer = ("device_map", "other")  # settings that keys of older runs do not hold
    own = {name: value for name, value in asdict(asked).items() if name not in newer or value}
    other = [model_content(asked.other, "")] if asked.other else []
    return result_key(own, model_content(asked.model, asked.revision), adapter, *other)


def text_content(asked: Experiment) -> str:
    """The texts, and how they are cut."""
    merged = asked.collect.merge
    sources = [*map(collected_content, merged)] or [*map(source_hash, asked.collect.texts)]
    cut = {name: value for name, value in asked.collect.reading.items() if name not in AT_A_TIME}
    return result_key(cut, sources, sys.version_info[:3])


def collected_content(folder: str) -> str:
    """The key of what a run has collected. Raises BadInput where there is no run."""
    path = Path(folder).expanduser() / RESOLVED
    if not path.is_file():
        raise BadInput(
            f"[collect] merge names {folder}, which holds no run; give the folder that `gloss run`"
            " wrote to"
        )
    return read_sealed_json(path)["keys"]["collect"]


def dictionary_content(asked: Experiment) -> str:
    """The dictionary that was given, or the texts that one is trained on."""
    given = asked.decompose.get("dictionary")
    if given is None:
        beside = map(trainer_settings, trained_beside(asked.decompose).values())
        trainer = [
            each
            for settings in (asked.trainer, *beside)
            for each in code_and_weights("decompose", settings)
        ]
        return result_key(text_content(asked), *trainer) if trainer else text_content(asked)
    return given if given == NEURONS else dictionary_hash(named_dictionary_folder(given))


def chosen_features(asked: Experiment) -> tuple[object, ...]:
    """What decides which features are treated, and in which shards."""
    run = asked.run
    return run.seed, run.features, run.minimum_activations, run.features_per_shard


def method_reads(
    asked: Experiment, verb: str, settings: SettingsMapping, before: Sequence[str]
) -> list[str]:
    """Those of the steps before that a method reads for what it needs: effects, token attributions,
    and the packings that its questions are asked by.
    """
    needs = needs_of(build_method(verb, settings))
    causes = {"intervene": needs.effects, "attribute": needs.token_attributions}
    packings = [packing_step(asked, name, settings) for name in open_packings(verb, settings)]
    wanted = [*(stage for stage, reads_it in causes.items() if reads_it), *packings]
    return [name for name in wanted if name in before]


def method_content(asked: Experiment, verb: str, settings: SettingsMapping) -> list[Any]:
    """What the results of a method depend on: its settings, who answers it, its content.

    What a language model is called in the experiment is no part of that.
    """
    own = {
        name: value
        for name, value in settings.items()
        if name not in ("chat", *({"explain": ("sample",), "score": ("of",)}[verb]))
    }
    return [own, answer_dependencies(asked, verb, settings), code_and_weights(verb, settings)]


def served_content(command: str) -> str:
    """What the answers of a server that gloss starts depend on: its command, or the content of the
    file that it serves.
    """
    file = xllamacpp_file(command)
    return command if file is None else f"{file.name} {weights_hash(str(file))[:16]}"


def answer_dependencies(asked: Experiment, verb: str, settings: SettingsMapping) -> list[object]:
    """What the answers of a method that asks a language model depend on besides its settings: the
    model and the prompts, its parts' included, which ask the same model.
    """
    name = settings["method"]
    if not method_asks(verb, settings):
        return []
    found = asked.chat_of(settings)
    chat = found.settings if found else {}
    point = installed_methods(verb)[name]
    here = chat.get("backend") == "transformers"
    weights = model_content(chat["model"], chat.get("revision", "")) if here else ""
    return [
        *(chat.get(setting) for setting in ("model", "revision", "base_url", "extra", "dtype")),
        *({name: chat[name]} for name in ROOM if name in chat),
        *([served_content(chat["serve"])] if chat.get("serve") else []),
        weights,
        code_hash(point),
        asked_prompt(verb, settings),
        *(
            each
            for _, of, table in wrapped_methods(load_installed(point), settings)
            for each in answer_dependencies(asked, of, asking_the_same(settings, table))
        ),
    ]


def asked_prompt(verb: str, settings: SettingsMapping) -> str:
    """The text of the prompt file that a method asks with: a user's own, or the one that lies
    beside the method; "" where there is none.

    Raises BadSettings for a user's file that the method cannot ask with.
    """
    name, own = settings["method"], settings.get("prompt", "")
    package = installed_methods(verb)[name].module.rpartition(".")[0] or "gloss"
    if not files(package).joinpath("prompts", f"{name}.yaml").is_file():
        return ""
    if not own:
        return prompt_source(package, name)
    prompt_file(package, name, own)
    return own_prompt_source(own)


def scored_explainers(asked: Experiment, settings: SettingsMapping) -> list[str]:
    """The explainers, by their names in a run, whose explanations a score is given: those that its
    settings name, or else those that speak of what it tests; none where it scores features.
    """
    needs = method_needs("score", settings)
    if not needs.explanation:
        return []
    if "of" in settings:
        return [label for label in map(method_label, asked.explain) if label in settings["of"]]
    return [
        method_label(each)
        for each, about in zip(asked.explain, asked.explained, strict=True)
        if about & {*needs.about}
    ]


def code_and_weights(verb: str, settings: SettingsMapping) -> list[str]:
    """The hashes of what stands behind a method and its parts besides their settings: the code of a
    stranger's package, the files that it reads, and the model that one embeds with, by its setting
    `model`.
    """
    point = installed_methods(verb)[settings["method"]]
    named = ("model", *needs_of(load_installed(point)).files)
    own = [code_hash(point), *(source_hash(settings[each]) for each in named if settings.get(each))]
    parts = wrapped_methods(load_installed(point), settings)
    return [
        *filter(None, own),
        *(each for _, of, table in parts for each in code_and_weights(of, table)),
    ]


def asking_the_same(settings: SettingsMapping, part: SettingsMapping) -> SettingsMapping:
    """The settings of a part of a method, with the language model that the whole of it asks."""
    return dict(part) | {name: settings[name] for name in ("chat",) if name in settings}


def experiment_packings(asked: Experiment) -> dict[str, SettingsMapping]:
    """What an experiment leaves it to the run to measure the packing of: a method and the language
    model that it asks, by the name of the step.
    """
    found: dict[str, SettingsMapping] = {}
    for verb in ("explain", "score"):
        for settings in asked.methods(verb):
            for name in open_packings(verb, settings):
                step = packing_step(asked, name, settings)
                found[step] = asking_the_same(settings, {"method": name})
    return dict(sorted(found.items()))


def packing_step(asked: Experiment, method: str, settings: SettingsMapping) -> str:
    """The step that measures how a method is asked about several contexts, for the language model
    of these settings: as in `packing.detection`, or `packing.detection.small` where several are
    there.
    """
    chat = asked.chat_of(settings)
    name = chat.name if chat and len(asked.chats) > 1 else ""
    return ".".join(filter(None, ("packing", method, name)))


def model_content(source: str, revision: str = "") -> str:
    """What stands behind a model's name in settings."""
    return model_hash(model_place(source), revision)


def named_dictionary_folder(name: str) -> Path:
    """The place of a dictionary by its name, where a run's folder stands for the dictionary that it
    trained or was given, `RUN#NAME` for one that it trained beside; a published name stays as it
    is.
    """
    if found := bundled_dictionary(name):
        return found
    if is_hub_name(name):
        return Path(name)
    folder = local_folder(name).expanduser()
    path, part = split_part_name(str(folder))
    if part and (Path(path) / RESOLVED).is_file():
        return beside_folder(Path(path), part)
    if not (folder / RESOLVED).is_file():
        return folder
    written = read_sealed_json(folder / RESOLVED)
    given = written["experiment"]["decompose"].get("dictionary")
    if given is None:
        return folder / "decompose" / written["keys"]["decompose"] / "dictionary"
    if given == NEURONS:
        raise BadInput(
            f"the run in {name} reads neurons, which have no files; give dictionary ="
            f' "{NEURONS}" and its site'
        )
    return named_dictionary_folder(given)


def beside_folder(run: Path, name: str) -> Path:
    """Where the run's dictionary of this name lies, trained beside its own. Raises BadInput."""
    written = read_sealed_json(run / RESOLVED)
    there = trained_beside(written["experiment"]["decompose"])
    if name not in there:
        raise BadInput(
            f"the run in {run} trains no dictionary {name!r} beside its own; it trains"
            f" {listed(there) if there else 'none'}"
        )
    return run / "decompose" / written["keys"]["decompose"] / ALSO / name


def dictionary_hash(place: Path) -> str:
    """What stands behind a dictionary: the hash of its folder, or of its file and the settings
    beside it; of a published one the commit, and what its registry states.
    """
    if found := published_dictionary(str(place)):
        return found.content
    if not place.is_file():
        return source_hash(str(place))
    settings = sorted(each for each in place.parent.iterdir() if each.suffix in SETTINGS)
    return result_key(*(source_hash(str(each)) for each in (place, *settings)))
