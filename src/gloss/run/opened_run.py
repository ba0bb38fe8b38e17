"""A run whose results are read: what its stages left, as records again."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from gloss.errors import BadInput, BadSettings
from gloss.records import Effect, Examples, Explanation, FeatureId, FeatureIds, Neighbour
from gloss.run.experiment import Experiment
from gloss.run.plan import Plan
from gloss.store.activations import Activations
from gloss.store.corpus import Corpus
from gloss.store.embeddings import Embeddings
from gloss.store.evidence import NewTextReader
from gloss.store.feature_facts import FeatureFacts
from gloss.store.feature_rows import FeatureRows, NearFeatures
from gloss.store.record_rows import effect_from_row, explanation_from_row, feature_from_row
from gloss.store.results import Part, Row, done_shards, read_rows
from gloss.store.stored_examples import (
    READ,
    ContextReferences,
    references_by_feature,
    restore_examples,
)
from gloss.store.token_attributions import TokenAttribution, token_attributions_by_feature


@dataclass(frozen=True)
class OpenedRun(Plan):
    """A run, and everything that its finished stages made, each opened when it is first asked for.

    Cheap to make and to send to another process.
    """

    def __reduce__(self) -> tuple[Callable[[str, str], "OpenedRun"], tuple[str, str]]:
        """Travels to another process as its settings and keys.

        There, all shards share one run and what it has opened.
        """
        tables = self.experiment.tables()
        tables["run"]["folder"] = str(self.folder)  # of a URL, the mirror that is here
        return shared_run, (json.dumps(tables), json.dumps(self.keys))

    @cached_property
    def corpus(self) -> Corpus:
        """The text that the subject read; of a corpus that was mined, the part that is kept."""
        folder = self.place("collect") / ("kept" if self.activations.is_mined else "corpus")
        return replace(Corpus.open(folder), left_out=self.activations.left_out)

    @cached_property
    def activations(self) -> Activations:
        return Activations.open(self.place("collect") / "activations")

    @cached_property
    def reader(self) -> NewTextReader:
        """Reads new texts with the run's subject and dictionary, which are loaded here."""
        from gloss.run.run_dictionary import open_text_reader

        return open_text_reader(self)

    @cached_property
    def described(self) -> Mapping[int, Row]:
        """What the directions of the run's features say, by feature: the tokens that each raises
        and lowers, and its neighbours.
        """
        return FeatureRows.read(self.place("directions"), "features")

    @cached_property
    def live(self) -> np.ndarray:
        """The features that are active often enough to speak of, by index."""
        return np.flatnonzero(self.activations.counts >= self.experiment.run.minimum_activations)

    @cached_property
    def features(self) -> FeatureIds:
        """The features that this run treats: drawn at random from the live ones, or those that are
        listed and live; in the order of their indices.

        Raises BadSettings for an index that the dictionary does not have.
        """
        wanted = self.experiment.run.features
        live = self.live
        if isinstance(wanted, tuple):
            if max(wanted) >= self.activations.width:
                raise BadSettings(
                    f"[run].features lists {max(wanted)}, and the dictionary has features 0 to"
                    f" {self.activations.width - 1}"
                )
            live = np.intersect1d(live, wanted)
        elif 0 < wanted < len(live):
            live = np.sort(self.generator("features").choice(live, wanted, replace=False))
        return FeatureIds(self.dictionary_name, live)

    @cached_property
    def near(self) -> Mapping[int, list[tuple[int, float]]]:
        """The features that are near each one, by what [neighbours] says, and how near they are,
        nearest first.
        """
        if "neighbours" in self.keys:
            found = FeatureRows.read(self.place("neighbours"), "neighbours")
            return NearFeatures(found, "closeness")
        return NearFeatures(self.described, "cosine")

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

    def rows(self, verb: str, table: str, shard: int | None = None) -> list[Row]:
        """The rows of a table that the steps of a stage made, in all shards or in one."""
        steps = self.stages(verb)
        if shard is None:
            return read_rows(map(self.place, steps), table)
        return [row for step in steps for row in self.part(step, shard).rows(table)]

    def is_finished(self, step: str) -> bool:
        """Whether a step is done, in every shard of the run's features."""
        return done_shards(self.place(step)).issuperset(range(self.shards))

    def notes(self, step: str) -> list[dict[str, Any]]:
        """What the markers of a step's finished shards say, in their order."""
        done = done_shards(self.place(step))
        return [self.part(step, shard).note() for shard in range(self.shards) if shard in done]

    @property
    def shards(self) -> int:
        return -(-len(self.features) // self.experiment.run.features_per_shard)

    @property
    def shard_sizes(self) -> list[int]:
        """How many features each shard has."""
        size, number = self.experiment.run.features_per_shard, len(self.features)
        return [min(size, number - first) for first in range(0, number, size)]

    def shard(self, number: int) -> list[FeatureId]:
        """The features of one shard."""
        size = self.experiment.run.features_per_shard
        return self.features[number * size : (number + 1) * size]


@lru_cache(maxsize=1)
def shared_run(tables: str, keys: str) -> OpenedRun:
    """The run of these settings, one for a whole process."""
    return OpenedRun(
        Experiment.of(json.loads(tables), checked=True), tuple(json.loads(keys).items())
    )


def shard_rows(folder: Path, table: str, shard: int) -> list[Row]:
    """The rows that one shard left; none where it made none."""
    return Part(folder, shard).rows(table)


def shard_examples(run: OpenedRun, shard: int) -> Iterator[Examples]:
    """The examples of every feature of a shard that has them, with the train contexts of the first
    sample.
    """
    return (restore() for restore in stored_examples(run, shard).values())


def stored_examples(
    run: OpenedRun, shard: int, sample: str = ""
) -> dict[FeatureId, Callable[[], Examples]]:
    """For every feature of a shard that has examples, what gives them: with the train contexts of
    the sample of this name, by default the first.
    """
    common, shown = (
        references_by_feature(run.part(step, shard).read("examples", READ))
        for step in run.experiment.sample_steps(sample)
    )
    facts = {
        feature_from_row(row): FeatureFacts.of_row(row)
        for row in run.part("sample", shard).rows("feature_facts")
    }
    return {
        feature: partial(
            restore_feature_examples,
            run,
            feature,
            ContextReferences.joined([references, common[feature]]),
            facts.get(feature),
        )
        for feature, references in shown.items()
        if feature in common
    }


def restore_feature_examples(
    run: OpenedRun,
    feature: FeatureId,
    references: ContextReferences,
    facts: FeatureFacts | None,
) -> Examples:
    """The examples that are referred to, with the tokens that the feature raises."""
    described = run.described[feature.index]
    raised = tuple(
        entry["token"]
        for entry in described["promoted_tokens"]
        if entry["value"] > described["chance_logit"]
    )
    activations = run.activations.feature(feature.index)
    return restore_examples(feature, references, run.corpus, activations, raised, facts)


def shard_effects(run: OpenedRun, shard: int) -> dict[int, tuple[Effect, ...]]:
    """The effects of a shard's features, by index, controls among them.

    None where nothing was changed.
    """
    by_feature: dict[int, list[Effect]] = {}
    for row in run.rows("intervene", "effects", shard):
        by_feature.setdefault(row["feature"], []).append(effect_from_row(row))
    return {index: tuple(effects) for index, effects in by_feature.items()}


def shard_token_attributions(run: OpenedRun, shard: int) -> dict[int, tuple[TokenAttribution, ...]]:
    """Why a shard's features fire where they do, by index; none where nobody asked."""
    return token_attributions_by_feature(run.rows("attribute", "token_attributions", shard))


def run_explanations(run: OpenedRun) -> dict[str, list[Explanation]]:
    """Every explanation of the run, by the name of its method's stage."""
    return {
        stage: [explanation_from_row(row) for row in read_rows([run.place(stage)], "explanations")]
        for stage in run.stages("explain")
    }
