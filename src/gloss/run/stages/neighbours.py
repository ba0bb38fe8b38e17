"""Stage `neighbours`: which features are near each one, where they are asked for by what they read
or by where they fire.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from gloss.errors import BadSettings
from gloss.records import Failure, FeatureId
from gloss.run.dependencies import chosen_features
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun
from gloss.run.stage import Job, Stage, Step
from gloss.sample.cooccurrence import FeaturesByToken
from gloss.store.record_rows import failure_row, feature_columns
from gloss.store.results import Row
from gloss.store.schemas import named_tables

if TYPE_CHECKING:
    from torch import Tensor

    from gloss.decompose.direction_description import NeighbourSearch

DECODER, ENCODER, COOCCURRENCE = "decoder", "encoder", "cooccurrence"  # by what features are near

EXACT, APPROXIMATE = "exact", "approximate"  # how cosines are searched

Found = Iterable[tuple[int, float]]  # feature and closeness, nearest first
NUMBER = 10  # neighbours by cosine
RECALL_NOTE = "recall"  # in the marker of a shard whose neighbours were searched approximately


@dataclass(frozen=True)
class Search:
    """Gives of some features what then gives the neighbours of each, and what is noted of it."""

    of: Callable[[Sequence[int]], Callable[[int], Found]]
    note: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class NeighbourSettings:
    """Which features count as near: for negatives, for scorers that show near features, for
    collisions.
    """

    # the cosine of what features write; or encoder, of what they read; or cooccurrence, of where
    # they fire
    by: str = DECODER
    # of the train split that co-occurrence is counted on; of more, tokens are drawn at random
    most_activations: int = 2**25
    # of cosines: exact, or approximate, by faiss, which finds at least the share `recall` of the
    # ten nearest; for millions of features
    search: str = EXACT
    recall: float = 0.95

    def __post_init__(self) -> None:
        if self.search not in (EXACT, APPROXIMATE):
            raise ValueError(f"search must be {EXACT} or {APPROXIMATE}, got {self.search!r}")
        if not 0 < self.recall <= 1:
            raise ValueError(f"recall must be above 0 and at most 1, got {self.recall}")
        if self.by not in (DECODER, ENCODER, COOCCURRENCE):
            raise ValueError(f"by must be {DECODER}, {ENCODER} or {COOCCURRENCE}, got {self.by!r}")
        if self.most_activations < 1:
            raise ValueError(f"most_activations must be 1 or more, got {self.most_activations}")


class NeighboursStage(Stage):
    """The features that are near each one, unless by what they write, which `directions` finds.

    Done in one process: what it makes at the first shard, weights or a table of all activations by
    token, takes longer to make and more memory than the shards, and each process would make it.
    """

    name, after, settings = "neighbours", ("collect",), NeighbourSettings
    tables = named_tables("neighbours", "failures")

    def steps(self, asked: Experiment) -> Iterator[Step]:
        if asked.settings(NeighbourSettings).by != DECODER:
            yield from super().steps(asked)

    def content(self, asked: Experiment, step: Step) -> Any:
        return step.settings, chosen_features(asked)

    def check(self, run: OpenedRun, step: Step) -> None:
        require_search(run, step)

    def worker(self, job: Job) -> Callable[[int], None]:
        return NeighbourFinder(job)


def require_search(run: OpenedRun, step: Step) -> None:
    """Raise BadSettings where a search is still to be done that wants what is not installed."""
    approximate = run.experiment.settings(NeighbourSettings).search == APPROXIMATE
    if not approximate or find_spec("faiss") is not None:
        return
    if not (run.part("collect", 0).is_done and run.is_finished(step.name)):
        raise BadSettings(
            '[neighbours] search = "approximate" wants faiss, which is not installed; pip install'
            " 'gloss-lm[wide]', or take search = \"exact\""
        )


def direction_search(
    run: OpenedRun, directions: "Tensor"
) -> tuple["NeighbourSearch", dict[str, Any]]:
    """What looks for neighbours by cosine as [neighbours] says, and what is noted of how many it
    finds.
    """
    from gloss.decompose.approximate_neighbours import ApproximateSearch
    from gloss.decompose.direction_description import nearest_directions

    asked = run.experiment.settings(NeighbourSettings)
    if asked.search == EXACT:
        return partial(nearest_directions, directions), {}
    search = ApproximateSearch(directions, asked.recall, run.generator("neighbours"))
    looked, clusters = search.clusters
    return search, {
        RECALL_NOTE: asdict(search.recall) | {"n": search.n, "looked": looked, "clusters": clusters}
    }


class NeighbourFinder:
    """Finds the neighbours of a shard's features; what all shards need is made at the first."""

    def __init__(self, job: Job) -> None:
        self.job, self.run = job, job.run

    def __call__(self, shard: int) -> None:
        """Write one shard."""
        guard, features = self.job.guard(shard), self.run.shard(shard)
        near = self.search.of([feature.index for feature in features])

        def row(feature: FeatureId) -> Row:
            found = [
                {"feature": other, "closeness": closeness}
                for other, closeness in near(feature.index)
            ]
            return feature_columns(feature) | {"neighbours": found}

        rows = [guard.attempt(feature, partial(row, feature)) for feature in features]
        failures = [failure_row(one) for one in rows if isinstance(one, Failure)]
        guard.write(
            {
                "neighbours": [one for one in rows if not isinstance(one, Failure)],
                "failures": failures,
            },
            note=self.search.note,
        )

    @cached_property
    def search(self) -> Search:
        """What looks for the neighbours of a shard's features."""
        return NEIGHBOUR_SEARCHES[self.run.experiment.settings(NeighbourSettings).by](self.run)


def search_by_encoder(run: OpenedRun) -> Search:
    """By the cosine of the directions that features read.

    Raises BadSettings where they read none.
    """
    from gloss.models.dictionary import encoder_of
    from gloss.run.run_dictionary import load_run_dictionary, load_run_subject

    dictionary = load_run_dictionary(run, load_run_subject(run))
    if (encoder := encoder_of(dictionary)) is None:
        raise BadSettings(
            '[neighbours] by = "encoder" wants features that read along directions, not'
            f' {type(dictionary).__name__}; take by = "decoder" or by = "cooccurrence"'
        )
    nearest, note = direction_search(run, encoder)

    def search(features: Sequence[int]) -> Callable[[int], Found]:
        return dict(zip(features, nearest(features, NUMBER), strict=True)).__getitem__

    return Search(search, note)


def search_by_cooccurrence(run: OpenedRun) -> Search:
    """By the tokens of the train split at which both fire; of a corpus that was mined, by those of
    the background.
    """
    activations, most = run.activations, run.experiment.settings(NeighbourSettings).most_activations
    known = np.arange(len(run.corpus)) < run.corpus.background_tokens
    counted = FeaturesByToken.of(
        activations.feature,
        activations.width,
        run.corpus.in_train & known,
        most,
        run.generator("neighbours"),
    )
    return Search(lambda _: lambda index: counted.nearest(activations.feature(index), index))


NEIGHBOUR_SEARCHES: Mapping[str, Callable[[OpenedRun], Search]] = {
    ENCODER: search_by_encoder,
    COOCCURRENCE: search_by_cooccurrence,
}
