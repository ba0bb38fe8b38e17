"""Hard negatives are silent, and what makes them hard is there."""

import numpy as np
import pytest

from gloss.records import Examples, Failure, FeatureActivations, FeatureId, Negative, Neighbour, Split
from gloss.sample.examples import Sampling, gather
from gloss.sample.negatives import Ground, Near
from gloss.sample.neighbours import NEGATIVES, WANT_NEIGHBOURS, Hard, Neighbours, Siblings
from gloss.sample.quantiles import Quantiles
from gloss.sample.windows import Aligned, Centred
from gloss.store.contexts import cut
from gloss.store.examples import reference_rows, restored
from sample.test_negatives import ground_of

every_method = pytest.mark.parametrize("method", [Neighbours(), Siblings(), Hard()], ids=repr)
every_placement = pytest.mark.parametrize("placement", [Aligned(), Centred()], ids=repr)


def fired(positions: list[int]) -> FeatureActivations:
    return FeatureActivations(np.array(positions, np.int64), np.ones(len(positions), np.float32))


def beside(ground: Ground, *places: list[int]) -> Ground:
    """The ground with neighbours that fire at these places."""
    near = tuple(Neighbour(FeatureId("d", i), 0.9, fired(each)) for i, each in enumerate(places))
    return Ground(ground.corpus, ground.activations, ground.placement, ground.width, Near(near))


@every_method
@every_placement
@pytest.mark.parametrize("split", list(Split))
def test_hard_negatives_are_silent_apart_and_of_their_split(planted, near, method, placement, split, rng):
    for index in range(0, len(planted.features), 5):
        ground = Ground(planted.corpus, planted.activations[index], placement, 32, Near(near[index]))
        found = method.choose(ground, split, 40, rng)
        contexts = cut(planted.corpus, ground.activations, found.starts, 32, found.labels)
        assert (contexts.activations == 0).all()
        assert (planted.corpus.document_splits[contexts.documents] == (split is Split.SHOWN)).all()
        assert (np.diff(np.sort(ground.spaced(found.starts))) >= 32).all()
        assert len(found.starts) <= 40


@pytest.mark.parametrize("method", [Neighbours(), Siblings()], ids=repr)
@every_placement
def test_a_near_feature_fires_in_every_window(planted, near, method, placement, rng):
    for index in range(0, len(planted.features), 5):
        ground = Ground(planted.corpus, planted.activations[index], placement, 32, Near(near[index]))
        starts = method.choose(ground, Split.HELD_OUT, 40, rng).starts
        none = np.zeros(len(starts), np.int64)
        firing = [cut(planted.corpus, each.activations, starts, 32, none).maxima > 0 for each in near[index]]
        assert np.any(firing, axis=0).all()


def test_planted_siblings_are_found_and_their_contexts_come(planted, near, rng):
    """Of all planted siblings that ever fire where a feature is silent, nearly all are behind its hard negatives."""
    wanted = met = 0
    for index, feature in enumerate(planted.features):
        ground = Ground(planted.corpus, planted.activations[index], Aligned(), 32, Near(near[index]))
        starts = Neighbours().choose(ground, Split.HELD_OUT, 100, rng).starts
        for other, candidate in enumerate(planted.features):
            if other == index or candidate.family != feature.family:
                continue
            tiles = ground.tiles.starts[ground.tiles.firing(planted.activations[other])]
            if not (ground.is_silent(tiles) & ~planted.corpus.shown[tiles]).any():
                continue
            wanted += 1
            sibling = cut(planted.corpus, planted.activations[other], starts, 32, np.zeros(len(starts), np.int64))
            met += bool((sibling.maxima > 0).any())
    assert wanted > 40
    assert met / wanted >= 0.95


def test_siblings_share_tokens_and_strangers_do_not(planted, near, rng):
    """Where the nearest directions belong to other families, `siblings` finds nothing there, and `neighbours` does."""
    index = next(i for i, feature in enumerate(planted.features) if feature.kind == "token_set")
    strangers = tuple(
        Neighbour(FeatureId("planted", i), 0.5, planted.activations[i])
        for i, feature in enumerate(planted.features)
        if feature.kind in {"unless", "conjunction"}
    )
    ground = Ground(planted.corpus, planted.activations[index], Aligned(), 32, Near(strangers))
    assert len(Siblings().choose(ground, Split.HELD_OUT, 20, rng).starts) == 0
    assert len(Neighbours().choose(ground, Split.HELD_OUT, 20, rng).starts) == 20


def test_a_sibling_fires_at_a_token_of_the_feature(rng):
    tokens = [1 if i % 20 in (3, 13) else 2 if i % 20 == 8 else 0 for i in range(400)]
    own = [i for i in range(400) if i % 20 == 3]
    other = [i for i in range(400) if i % 20 in (8, 13)]  # at token 2, and at token 1 where the feature is silent
    found = Siblings().choose(beside(ground_of(tokens, own), other), Split.SHOWN, 50, rng)
    assert sorted(found.starts.tolist()) == list(range(12, 200, 20))
    assert (found.labels == Negative.SIBLINGS).all()


def test_neighbours_take_turns(rng):
    tokens, first = [0] * 800, [i for i in range(400) if i % 4 == 0]
    found = Neighbours().choose(beside(ground_of(tokens, [5]), first, [42, 81, 122], [200, 241]), Split.SHOWN, 9, rng)
    starts = set(found.starts.tolist())
    assert {40, 80, 120, 200, 240} <= starts
    assert len(starts) == 9


def test_a_neighbour_that_fires_only_with_the_feature_gives_none(rng):
    ground = beside(ground_of([0] * 400, [5, 50, 250]), [4, 6, 50, 251])
    for split in Split:
        assert len(Neighbours().choose(ground, split, 10, rng).starts) == 0


def test_without_neighbours_none_is_found(rng):
    for method in (Neighbours(), Siblings()):
        assert len(method.choose(ground_of([0] * 400, [5]), Split.SHOWN, 10, rng).starts) == 0


def test_hard_holds_every_kind_and_is_filled_up_at_random(planted, near, rng):
    index = next(i for i, feature in enumerate(planted.features) if feature.kind == "unless")
    ground = Ground(planted.corpus, planted.activations[index], Aligned(), 32, Near(near[index]))
    labels = Hard().choose(ground, Split.HELD_OUT, 48, rng).labels
    assert len(labels) == 48
    counts = {kind: int((labels == kind).sum()) for kind in Negative}
    assert counts[Negative.SIBLINGS] >= 4
    assert counts[Negative.NEIGHBOURS] == 8
    assert counts[Negative.RANDOM] >= 24


@pytest.mark.parametrize("name", sorted(WANT_NEIGHBOURS))
def test_examples_say_how_each_silent_context_was_found_and_are_restored(planted, near, name, rng):
    index = next(i for i, feature in enumerate(planted.features) if feature.kind == "preceded")
    feature, activations = planted.features[index].feature, planted.activations[index]
    sampling = Sampling(negatives=name)
    found = gather(feature, activations, planted.corpus, Quantiles(), sampling, rng, Near(near[index]))
    assert isinstance(found, Examples), isinstance(found, Failure) and found.detail
    assert set(found.silent_held_out.quantiles.tolist()) <= {int(kind) for kind in Negative}
    again = restored(feature, reference_rows(found), planted.corpus, activations)
    assert again.silent_held_out.quantiles.tolist() == found.silent_held_out.quantiles.tolist()
    assert name in NEGATIVES
