"""Stage `neighbours`: which features are near each one, where they are asked for by what they read
or by where they fire.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial

from gloss.errors import BadSettings
from gloss.records import Failure, FeatureId
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.experiment import COOCCURRENCE, ENCODER
from gloss.run.plan import Plan
from gloss.sample.cooccurrence import FeaturesByToken
from gloss.store.results import Row, failure_row, feature_columns

Found = Iterable[tuple[int, float]]  # feature and closeness, nearest first


class NeighbourFinder:
    """Finds the neighbours of a shard's features; what all shards need is made at the first."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self, shard: int) -> None:
        """Write one shard."""
        guard, near = FeatureGuard(self.plan, "neighbours", shard, after=()), self.near

        def row(feature: FeatureId) -> Row:
            found = [
                {"feature": other, "closeness": closeness}
                for other, closeness in near(feature.index)
            ]
            return feature_columns(feature) | {"neighbours": found}

        rows = [guard.attempt(feature, partial(row, feature)) for feature in self.plan.shard(shard)]
        failures = [failure_row(one) for one in rows if isinstance(one, Failure)]
        guard.write(
            {
                "neighbours": [one for one in rows if not isinstance(one, Failure)],
                "failures": failures,
            }
        )

    @cached_property
    def near(self) -> Callable[[int], Found]:
        """What gives the neighbours of a feature."""
        return NEIGHBOUR_SEARCHES[self.plan.experiment.neighbours.by](self.plan)


def search_by_encoder(plan: Plan) -> Callable[[int], Found]:
    """By the cosine of the directions that features read.

    Raises BadSettings where they read none.
    """
    from torch.nn.functional import normalize

    from gloss.decompose.direction_description import nearest_directions
    from gloss.models.dictionary import HasEncoder
    from gloss.run.stages.decompose import load_run_dictionary, load_run_subject

    dictionary = load_run_dictionary(plan, load_run_subject(plan))
    if not isinstance(dictionary, HasEncoder):
        raise BadSettings(
            '[neighbours] by = "encoder" wants features that read along directions, not'
            f' {type(dictionary).__name__}; take by = "decoder" or by = "cooccurrence"'
        )
    unit = normalize(dictionary.encoder.float(), dim=1)
    return lambda index: next(nearest_directions(unit, [index]))


def search_by_cooccurrence(plan: Plan) -> Callable[[int], Found]:
    """By the tokens of the train split at which both fire."""
    activations, most = plan.activations, plan.experiment.neighbours.most_activations
    counted = FeaturesByToken.of(
        activations.feature,
        activations.width,
        plan.corpus.in_train,
        most,
        plan.generator("neighbours"),
    )
    return lambda index: counted.nearest(activations.feature(index), index)


NEIGHBOUR_SEARCHES: Mapping[str, Callable[[Plan], Callable[[int], Found]]] = {
    ENCODER: search_by_encoder,
    COOCCURRENCE: search_by_cooccurrence,
}
