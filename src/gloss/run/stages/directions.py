"""Stage `directions`: which tokens each of the run's features raises and lowers, and which features
of the dictionary write nearly the same.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from gloss.records import FeatureId
from gloss.run.dependencies import chosen_features
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun
from gloss.run.stage import Job, Stage, Step, Where
from gloss.run.stages.neighbours import EXACT, NeighbourSettings, direction_search, require_search
from gloss.store.record_rows import feature_columns
from gloss.store.results import Row
from gloss.store.schemas import named_tables

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject

AT_ONCE = 1024  # features, for which the whole dictionary is read once


class DirectionsStage(Stage):
    """What the directions of the run's features say; neighbours are any of the dictionary's."""

    name, after = "directions", ("collect",)
    tables = named_tables("features")
    where = Where.DEVICE
    spreads = False  # several processes would each describe the same features

    def content(self, asked: Experiment, step: Step) -> Any:
        near = asked.settings(NeighbourSettings)
        return chosen_features(asked), near.search, near.recall if near.search != EXACT else None

    def check(self, run: OpenedRun, step: Step) -> None:
        require_search(run, step)

    def worker(self, job: Job) -> Callable[[int], None]:
        return DirectionWriter(job)


class DirectionWriter:
    """Describes the directions of a shard's features, and with them those of the shards beside it,
    which are kept until they are asked for: comparing many with a wide dictionary takes hardly
    longer than comparing few.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.run = job, job.run
        self.waiting: dict[int, list[Row]] = {}

    def __call__(self, shard: int) -> None:
        """Write one shard."""
        if shard not in self.waiting:
            self.waiting = self.described(self.shards_with(shard))
        _, note = self.reader
        self.job.guard(shard).write({"features": self.waiting.pop(shard)}, note=note)

    def shards_with(self, shard: int) -> range:
        """The shards that are described together, about AT_ONCE features in all.

        They are the same whichever of them are left to do, so that a run which goes on rounds as
        one that was never killed.
        """
        most = max(1, AT_ONCE // self.run.experiment.run.features_per_shard)
        first = shard // most * most
        return range(first, min(first + most, self.run.shards))

    def described(self, shards: Sequence[int]) -> dict[int, list[Row]]:
        """The rows of these shards."""
        features = [feature for shard in shards for feature in self.run.shard(shard)]
        describe, _ = self.reader
        rows = describe(features)
        return {shard: [next(rows) for _ in self.run.shard(shard)] for shard in shards}

    @cached_property
    def reader(self) -> tuple[Callable[[Sequence[FeatureId]], Iterator[Row]], dict[str, Any]]:
        """What gives the rows of features and holds the weights; and what is noted of it."""
        from gloss.run.run_dictionary import load_subject_and_dictionary

        return direction_reader(self.run, *load_subject_and_dictionary(self.run))


def direction_reader(
    run: OpenedRun, subject: "Subject", dictionary: "Dictionary"
) -> tuple[Callable[[Sequence[FeatureId]], Iterator[Row]], dict[str, Any]]:
    """What says of each feature what its direction does through the final norm, where the
    unembedding reads it, and what random ones would do; and how its neighbours were searched.
    """
    from gloss.decompose.direction_description import describe_directions
    from gloss.intervene.vocabulary_projection import (
        INTO_THE_STREAM,
        chance_logit,
        direction_logits,
    )

    projects = (
        subject.site(dictionary.writes).kind.startswith(INTO_THE_STREAM)
        and subject.anatomy.layout.unembeds
    )
    directions, strings = dictionary.decoder_directions, subject.vocabulary().strings
    rng = run.generator("chance logit")
    chance = chance_logit(subject, directions.shape[1], rng) if projects else None
    lens = partial(direction_logits, subject) if projects else None
    search, note = direction_search(run, directions)

    def weighted(tokens: Sequence[tuple[int, float]]) -> list[Row]:
        return [{"token": strings[token], "value": value} for token, value in tokens]

    def describe(features: Sequence[FeatureId]) -> Iterator[Row]:
        chosen = [feature.index for feature in features]
        told = describe_directions(directions, lens, chosen=chosen, search=search)
        for feature, found in zip(features, told, strict=True):
            yield feature_columns(feature) | {
                "promoted_tokens": weighted(found.promoted_tokens),
                "suppressed_tokens": weighted(found.suppressed_tokens),
                "chance_logit": chance,
                "neighbours": [
                    {"feature": other, "cosine": cosine} for other, cosine in found.neighbours
                ],
            }

    return describe, note
