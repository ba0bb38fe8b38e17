"""What a run will do and where each result goes: one folder a stage, named by the key of all that
it depends on.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from gloss.errors import BadInput, Damaged
from gloss.installed import load_installed
from gloss.records import FeatureId, Neighbour
from gloss.run.experiment import (
    DECODER,
    EMBEDDED,
    JUDGE,
    NO_COLLISIONS,
    Experiment,
    SettingsTable,
    method_label,
)
from gloss.run.keys import model_hash, result_key, source_hash, weights_hash
from gloss.run.methods import (
    SettingsMapping,
    installed_methods,
    method_asks,
    method_needs,
    open_packings,
    wrapped_methods,
)
from gloss.sample.negatives import WANT_EMBEDDINGS
from gloss.store import schemas
from gloss.store.activations import Activations
from gloss.store.corpus import Corpus
from gloss.store.embeddings import Embeddings
from gloss.store.evidence import NewTextReader
from gloss.store.results import Part, Row, read_rows
from gloss.store.sealed_json import read_sealed_json

RESOLVED = "experiment.json"  # every setting, seed, version and key of a run
SUBJECT_RECORD = "subject.json"  # in which type of number, and where, a run's subject is computed
STAGES = (
    "decompose",
    "collect",
    "neighbours",
    "embeddings",
    "sample",
    "intervene",
    "attribute",
    "packing",
    "explain",
    "judge",
    "score",
    "collisions",
    "browse",
)


@dataclass(frozen=True)
class Plan:
    """An experiment and the folders of its results.

    Cheap to make and to send to another process.
    """

    experiment: Experiment
    # the keys of a run that exists; worked out where they are left out
    known: tuple[tuple[str, str], ...] = ()

    def __reduce__(self) -> tuple[Callable[[str, str], "Plan"], tuple[str, str]]:
        """Travels to another process as its settings and keys.

        There, all shards share one plan and what it has opened.
        """
        return shared_plan, (json.dumps(self.experiment.tables()), json.dumps(self.keys))

    @property
    def folder(self) -> Path:
        return self.experiment.folder

    @cached_property
    def keys(self) -> dict[str, str]:
        """The key of each stage, and of each method of a stage that has several, by its name as in
        `explain.rule`.
        """
        return dict(self.known) or stage_keys(self.experiment)

    def place(self, stage: str) -> Path:
        """The folder of a stage's results, or of one of its methods' as in `explain.rule`."""
        verb, _, name = stage.partition(".")
        return self.folder / verb / "-".join(filter(None, (name, self.keys[stage])))

    def places(self, verb: str) -> list[Path]:
        """The folders of all methods of a verb."""
        return [self.place(stage) for stage in self.stages(verb)]

    def stages(self, verb: str) -> list[str]:
        return [stage for stage in self.keys if stage.split(".")[0] == verb]

    def part(self, stage: str, shard: int) -> Part:
        return Part(self.place(stage), shard)

    @cached_property
    def corpus(self) -> Corpus:
        return replace(
            Corpus.open(self.place("collect") / "corpus"), left_out=self.activations.left_out
        )

    @cached_property
    def activations(self) -> Activations:
        return Activations.open(self.place("collect") / "activations")

    @cached_property
    def reader(self) -> NewTextReader:
        """Reads new texts with the run's subject and dictionary, which are loaded here and nowhere
        else after `collect`.
        """
        from gloss.run.stages.collect import open_text_reader

        return open_text_reader(self)

    @cached_property
    def described(self) -> dict[int, Row]:
        """What the dictionary's directions say, by feature: the tokens that each raises and lowers,
        and its neighbours.
        """
        return {row["feature"]: row for row in read_rows([self.place("decompose")], "features")}

    @cached_property
    def live(self) -> np.ndarray:
        """The features that are active often enough to speak of, by index."""
        return np.flatnonzero(self.activations.counts >= self.experiment.run.minimum_activations)

    @cached_property
    def features(self) -> list[FeatureId]:
        """The features that this run treats: drawn at random from the live ones, then in the order
        of their indices.
        """
        wanted = self.experiment.run.features
        live = self.live
        if 0 < wanted < len(live):
            live = np.sort(self.generator("features").choice(live, wanted, replace=False))
        return [FeatureId(self.dictionary_name, int(index)) for index in live]

    @cached_property
    def near(self) -> dict[int, list[tuple[int, float]]]:
        """The features that are near each one, by what [neighbours] says, and how near they are,
        nearest first.
        """
        if "neighbours" in self.keys:
            rows = read_rows([self.place("neighbours")], "neighbours")
            return {
                row["feature"]: [(near["feature"], near["closeness"]) for near in row["neighbours"]]
                for row in rows
            }
        return {
            i: [(near["feature"], near["cosine"]) for near in row["neighbours"]]
            for i, row in self.described.items()
        }

    @cached_property
    def embeddings(self) -> Embeddings:
        """What windows of the held-out split say."""
        return Embeddings.open(self.place("embeddings"))

    @cached_property
    def collision_groups(self) -> dict[str, dict[FeatureId, tuple[FeatureId, ...]]]:
        """For each explainer, the group of each feature that shares its explanation with others."""
        rows = (
            read_rows([self.place("collisions")], "collision_groups")
            if "collisions" in self.keys
            else []
        )
        members: dict[tuple[str, int], list[FeatureId]] = {}
        for row in rows:
            members.setdefault((row["explained_by"], row["group"]), []).append(
                FeatureId(row["dictionary"], row["feature"])
            )
        found: dict[str, dict[FeatureId, tuple[FeatureId, ...]]] = {}
        for (explainer, _), group in members.items():
            found.setdefault(explainer, {}).update(dict.fromkeys(group, tuple(group)))
        return found

    def neighbours(self, index: int) -> tuple[Neighbour, ...]:
        """The features that are near this one, nearest first, and where they fire.

        Raises BadInput where they could not be found.
        """
        if index not in self.near:
            raise BadInput(f"the neighbours of feature {index} could not be found")
        return tuple(
            Neighbour(
                FeatureId(self.dictionary_name, other), closeness, self.activations.feature(other)
            )
            for other, closeness in self.near[index]
        )

    @property
    def dictionary_name(self) -> str:
        """How features of this run's dictionary are called, by people and in tables."""
        return self.experiment.decompose.get("name") or self.keys["decompose"]

    @property
    def shards(self) -> int:
        return -(-len(self.features) // self.experiment.run.features_per_shard)

    def shard(self, number: int) -> list[FeatureId]:
        """The features of one shard."""
        size = self.experiment.run.features_per_shard
        return self.features[number * size : (number + 1) * size]

    def generator(self, *purpose: str | int) -> np.random.Generator:
        """A stream of random numbers for one purpose, the same in every process and attempt."""
        return np.random.default_rng([self.experiment.run.seed, *result_key(*purpose).encode()])


def load_plan(folder: Path) -> Plan:
    """The plan of a run that exists, with its keys, wherever it and its texts are now.

    Raises BadInput where there is none, and Damaged.
    """
    path = folder / RESOLVED
    if not path.exists():
        raise BadInput(
            f"{folder} holds no run ({RESOLVED} is missing); give the folder that `gloss run`"
            " wrote to"
        )
    written = read_sealed_json(path)
    if "keys" in written and written.get("tables") != schemas.TABLES_FORMAT:
        raise BadInput(
            f"{folder} was written by another version of gloss, whose tables have other columns;"
            " run its experiment again, or read it with that version"
        )
    try:
        written["experiment"]["run"]["folder"] = str(folder)
        return Plan(Experiment.of(written["experiment"]), tuple(written["keys"].items()))
    except (LookupError, TypeError, AttributeError) as problem:
        raise BadInput(
            f"{path} is not of a run; give the folder that `gloss run` wrote to"
        ) from problem


@lru_cache(maxsize=1)
def shared_plan(tables: str, keys: str) -> Plan:
    """The plan of these settings, one for a whole process."""
    return Plan(Experiment.of(json.loads(tables)), tuple(json.loads(keys).items()))


def stage_keys(asked: Experiment) -> dict[str, str]:
    """The keys of an experiment on the texts and weights that are there now."""
    keys = sample_keys(asked)
    if asked.intervene is not None:
        keys["intervene"] = result_key(keys["sample"], asked.intervene)
    if asked.attribute is not None:
        keys["attribute"] = result_key(keys["sample"], asked.attribute)
    if asked.judge.packing:
        for name in experiment_packings(asked):
            measured = (asked.judge.packing, asked.sampling.context_length, asked.run.seed)
            keys[f"packing.{name}"] = result_key(
                keys["collect"], *measured, answer_dependencies(asked, "score", {"method": name})
            )
    for settings in asked.explain:
        reads = [
            keys["sample"],
            *cause_keys("explain", settings, keys),
            *packing_keys("explain", settings, keys),
        ]
        keys[stage_name("explain", settings)] = result_key(
            *reads,
            settings,
            answer_dependencies(asked, "explain", settings),
            *embedder_weights("explain", settings),
        )
    explained = [keys[stage_name("explain", settings)] for settings in asked.explain]
    for settings in asked.score:
        keys |= score_keys(asked, settings, explained, keys)
    if asked.collisions.by != NO_COLLISIONS:
        who = (
            answer_dependencies(asked, "score", {"method": "discrimination"})
            if asked.collisions.by == JUDGE
            else []
        )
        keys["collisions"] = result_key(explained, asdict(asked.collisions), who)
    return keys


def sample_keys(asked: Experiment) -> dict[str, str]:
    """The keys of the stages up to `sample`, on which all others rest."""
    adapter = weights_hash(asked.subject.adapter) if asked.subject.adapter else ""
    subject = result_key(
        asdict(asked.subject), model_content(asked.subject.model, asked.subject.revision), adapter
    )
    text = result_key(
        asdict(asked.collect),
        [source_hash(source) for source in asked.collect.texts],
        sys.version_info[:3],
    )
    given = asked.decompose.get("dictionary")
    existing = (
        text
        if given is None
        else source_hash(str(embedded_folder("dictionary")) if given == EMBEDDED else given)
    )
    # Every later key follows from this one, so that tables with other columns are made anew.
    keys = {
        "decompose": result_key(
            subject, asked.decompose, existing, asked.run.seed, schemas.TABLES_FORMAT
        )
    }
    keys["collect"] = result_key(text, keys["decompose"])
    chosen = (
        asked.run.seed,
        asked.run.features,
        asked.run.minimum_activations,
        asked.run.features_per_shard,
    )
    if asked.neighbours.by != DECODER:
        keys["neighbours"] = result_key(keys["collect"], asdict(asked.neighbours), chosen)
    if asked.sampling.negatives in WANT_EMBEDDINGS:
        weights = source_hash(asked.embeddings.model) if asked.embeddings.model else ""
        keys["embeddings"] = result_key(
            text,
            subject,
            asdict(asked.embeddings),
            weights,
            asked.sampling.context_length,
            asked.run.seed,
        )
    keys["sample"] = result_key(
        keys["collect"],
        keys.get("neighbours"),
        keys.get("embeddings"),
        asked.sample,
        asked.contexts,
        chosen,
    )
    return keys


def score_keys(
    asked: Experiment, settings: SettingsTable, explained: list[str], keys: dict[str, str]
) -> dict[str, str]:
    """The key of a score, and before it that of its judge's errors, where these are measured."""
    found: dict[str, str] = {}
    reads = [
        explained,
        *cause_keys("score", settings, keys),
        *packing_keys("score", settings, keys),
    ]
    if asked.judge.calibration_items and method_needs("score", settings).correctable:
        measured = (
            asdict(asked.judge),
            asked.sampling.context_length,
            asked.run.seed,
            *packing_keys("score", settings, keys),
        )
        found[stage_name("judge", settings)] = result_key(
            keys["collect"], measured, settings, answer_dependencies(asked, "score", settings)
        )
        reads.append(found[stage_name("judge", settings)])
    found[stage_name("score", settings)] = result_key(
        *reads,
        settings,
        answer_dependencies(asked, "score", settings),
        *embedder_weights("score", settings),
    )
    return found


def embedder_weights(verb: str, settings: SettingsMapping) -> list[str]:
    """The hashes of the models that a method and its parts embed with, by their setting `model`."""
    own = [source_hash(settings["model"])] if settings.get("model") else []
    parts = wrapped_methods(load_installed(installed_methods(verb)[settings["method"]]), settings)
    return [*own, *(each for _, of, table in parts for each in embedder_weights(of, table))]


def cause_keys(verb: str, settings: SettingsTable, keys: dict[str, str]) -> list[str]:
    """The keys of the effects and of the token attributions that a method reads.

    Nothing for one that reads none.
    """
    needs = method_needs(verb, settings)
    reads = [keys["intervene"]] if needs.effects else []
    return (
        [*reads, keys["attribute"]] if needs.token_attributions and "attribute" in keys else reads
    )


def experiment_packings(asked: Experiment) -> list[str]:
    """The methods of an experiment whose packing is left to the run."""
    tables = [
        (verb, settings) for verb in ("explain", "score") for settings in getattr(asked, verb)
    ]
    return sorted({name for verb, settings in tables for name in open_packings(verb, settings)})


def packing_keys(verb: str, settings: SettingsTable, keys: dict[str, str]) -> list[str]:
    """The keys of the measured packings that a method asks by."""
    stages = (f"packing.{name}" for name in open_packings(verb, settings))
    return [keys[stage] for stage in stages if stage in keys]


def answer_dependencies(asked: Experiment, verb: str, settings: SettingsTable) -> list[object]:
    """What the answers of a method that asks a language model depend on besides its settings: the
    model and the prompts.
    """
    name = settings["method"]
    if not method_asks(verb, settings):
        return []
    point = installed_methods(verb)[name]
    prompts = files(point.value.rpartition(":")[0].rpartition(".")[0]) / "prompts" / f"{name}.yaml"
    here = asked.chat.get("backend") == "transformers"
    weights = model_content(asked.chat["model"], asked.chat.get("revision", "")) if here else ""
    return [
        *(
            asked.chat.get(setting)
            for setting in ("model", "revision", "base_url", "extra", "dtype")
        ),
        *(
            {name: asked.chat[name]}
            for name in ("answer_tokens", "thinking_tokens")
            if name in asked.chat
        ),
        weights,
        prompts.read_text("utf-8") if prompts.is_file() else "",
        *(
            each
            for _, of, table in wrapped_methods(load_installed(point), settings)
            for each in answer_dependencies(asked, of, dict(table))
        ),
    ]


def stage_name(verb: str, settings: SettingsTable) -> str:
    """How a method is called among a run's stages."""
    return f"{verb}.{method_label(settings)}"


def recorded_dtype(folder: Path) -> str | None:
    """In which type of number a run computes its subject, by the record in the folder of its
    dictionary; None before it began.

    Raises BadInput for a record that is none.
    """
    record = folder / SUBJECT_RECORD
    if not record.exists():
        return None
    try:
        return str(read_sealed_json(record)["dtype"])
    except (Damaged, LookupError) as error:
        raise BadInput(
            f"{record} is damaged; remove it, and the run measures again which type is faster"
        ) from error


def embedded_folder(what: str) -> Path:
    """The folder of the subject or the dictionary that come with gloss."""
    return Path(str(files("gloss.models") / "embedded" / what))


def model_content(source: str, revision: str = "") -> str:
    """What stands behind a model's name in settings, where "embedded" is one."""
    return model_hash(str(embedded_folder("subject")) if source == EMBEDDED else source, revision)
