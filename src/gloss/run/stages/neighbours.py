"""Stage `neighbours`: which features are near each one, where they are asked for by what they read or by where they fire."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial

from gloss.errors import BadSettings
from gloss.records import Failure, FeatureId
from gloss.run.experiment import COOCCURRENCE, ENCODER
from gloss.run.mishaps import Watch
from gloss.run.plan import Plan
from gloss.sample.cooccurrence import ByToken
from gloss.store.results import Row, failure_row, identity

Found = Iterable[tuple[int, float]]  # feature and closeness, nearest first


class FindNeighbours:
    """Finds the neighbours of a shard's features; what all shards need is made at the first."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(self, shard: int) -> None:
        """Write one shard."""
        watch, near = Watch(self.plan, "neighbours", shard, after=()), self.near

        def row(feature: FeatureId) -> Row:
            found = [{"feature": other, "closeness": closeness} for other, closeness in near(feature.index)]
            return identity(feature) | {"neighbours": found}

        rows = [watch.treated(feature, partial(row, feature)) for feature in self.plan.shard(shard)]
        failures = [failure_row(one) for one in rows if isinstance(one, Failure)]
        watch.write({"neighbours": [one for one in rows if not isinstance(one, Failure)], "failures": failures})

    @cached_property
    def near(self) -> Callable[[int], Found]:
        """What gives the neighbours of a feature."""
        return WAYS[self.plan.experiment.neighbours.by](self.plan)


def by_encoder(plan: Plan) -> Callable[[int], Found]:
    """By the cosine of the directions that features read. Raises BadSettings where they read none."""
    from torch.nn.functional import normalize

    from gloss.decompose.directions import nearest
    from gloss.models.dictionary import HasEncoder
    from gloss.run.stages.decompose import load, load_subject

    dictionary = load(plan, load_subject(plan))
    if not isinstance(dictionary, HasEncoder):
        raise BadSettings(
            f'[neighbours] by = "encoder" wants features that read along directions, not {type(dictionary).__name__}; '
            'take by = "decoder" or by = "cooccurrence"'
        )
    unit = normalize(dictionary.encoder.float(), dim=1)
    return lambda index: next(nearest(unit, [index]))


def by_cooccurrence(plan: Plan) -> Callable[[int], Found]:
    """By the tokens of the shown split at which both fire."""
    activations, most = plan.activations, plan.experiment.neighbours.most_activations
    counted = ByToken.of(activations.feature, activations.width, plan.corpus.shown, most, plan.generator("neighbours"))
    return lambda index: counted.nearest(activations.feature(index), index)


WAYS: Mapping[str, Callable[[Plan], Callable[[int], Found]]] = {ENCODER: by_encoder, COOCCURRENCE: by_cooccurrence}
