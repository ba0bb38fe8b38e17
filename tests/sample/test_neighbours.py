"""Hard negatives are inactive, and what makes them hard is there."""

import numpy as np
import pytest

from gloss.records import (
    Examples,
    Failure,
    FeatureActivations,
    FeatureId,
    Negative,
    Neighbour,
    Split,
)
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.negatives import (
    NEGATIVES,
    WANT_NEIGHBOURS,
    HardNegatives,
    NegativeSources,
    NeighbourNegatives,
    SearchContext,
    SiblingNegatives,
)
from gloss.sample.samplers import Quantiles
from gloss.sample.windows import Aligned, Centred
from gloss.store.contexts import cut_contexts
from gloss.store.stored_examples import restore_examples
from sample.test_negatives import search_context
from store.references import kept

every_method = pytest.mark.parametrize(
    "method", [NeighbourNegatives(), SiblingNegatives(), HardNegatives()], ids=repr
)
every_placement = pytest.mark.parametrize("placement", [Aligned(), Centred()], ids=repr)


def fired(positions: list[int]) -> FeatureActivations:
    return FeatureActivations(np.array(positions, np.int64), np.ones(len(positions), np.float32))


def beside(search: SearchContext, *places: list[int]) -> SearchContext:
    """The search context with neighbours that fire at these tokens."""
    near = tuple(Neighbour(FeatureId("d", i), 0.9, fired(each)) for i, each in enumerate(places))
    return SearchContext(
        search.corpus, search.activations, search.placement, search.width, NegativeSources(near)
    )


@every_method
@every_placement
@pytest.mark.parametrize("split", list(Split))
def test_hard_negatives_are_inactive_apart_and_of_their_split(
    planted, near, method, placement, split, rng
):
    for index in range(0, len(planted.features), 5):
        search = SearchContext(
            planted.corpus, planted.activations[index], placement, 32, NegativeSources(near[index])
        )
        found = method.choose(search, split, 40, rng)
        contexts = cut_contexts(
            planted.corpus, search.activations, found.starts, 32, found.quantiles
        )
        assert (contexts.activations == 0).all()
        assert (
            planted.corpus.documents_in_train[contexts.documents] == (split is Split.TRAIN)
        ).all()
        assert (np.diff(np.sort(search.overlap_keys(found.starts))) >= 32).all()
        assert len(found.starts) <= 40


@pytest.mark.parametrize("method", [NeighbourNegatives(), SiblingNegatives()], ids=repr)
@every_placement
def test_a_near_feature_fires_in_every_window(planted, near, method, placement, rng):
    for index in range(0, len(planted.features), 5):
        search = SearchContext(
            planted.corpus, planted.activations[index], placement, 32, NegativeSources(near[index])
        )
        starts = method.choose(search, Split.HELD_OUT, 40, rng).starts
        none = np.zeros(len(starts), np.int64)
        firing = [
            cut_contexts(planted.corpus, each.activations, starts, 32, none).maxima > 0
            for each in near[index]
        ]
        assert np.any(firing, axis=0).all()


def test_planted_siblings_are_found_and_their_contexts_come(planted, near, rng):
    """Of all planted siblings that ever fire where a feature is inactive, nearly all are behind its
    hard negatives.
    """
    wanted = met = 0
    for index, feature in enumerate(planted.features):
        search = SearchContext(
            planted.corpus, planted.activations[index], Aligned(), 32, NegativeSources(near[index])
        )
        starts = NeighbourNegatives().choose(search, Split.HELD_OUT, 100, rng).starts
        for other, candidate in enumerate(planted.features):
            if other == index or candidate.family != feature.family:
                continue
            windows = search.windows.starts[search.windows.firing(planted.activations[other])]
            if not (search.is_inactive(windows) & ~planted.corpus.in_train[windows]).any():
                continue
            wanted += 1
            sibling = cut_contexts(
                planted.corpus,
                planted.activations[other],
                starts,
                32,
                np.zeros(len(starts), np.int64),
            )
            met += bool((sibling.maxima > 0).any())
    assert wanted > 40
    assert met / wanted >= 0.95


def test_siblings_share_tokens_and_strangers_do_not(planted, near, rng):
    """Where the nearest directions belong to other families, `siblings` finds nothing there, and
    `neighbours` does.
    """
    index = next(i for i, feature in enumerate(planted.features) if feature.kind == "token_set")
    strangers = tuple(
        Neighbour(FeatureId("planted", i), 0.5, planted.activations[i])
        for i, feature in enumerate(planted.features)
        if feature.kind in {"unless", "conjunction"}
    )
    search = SearchContext(
        planted.corpus, planted.activations[index], Aligned(), 32, NegativeSources(strangers)
    )
    assert len(SiblingNegatives().choose(search, Split.HELD_OUT, 20, rng).starts) == 0
    assert len(NeighbourNegatives().choose(search, Split.HELD_OUT, 20, rng).starts) == 20


def test_a_sibling_fires_at_a_token_of_the_feature(rng):
    tokens = [1 if i % 20 in (3, 13) else 2 if i % 20 == 8 else 0 for i in range(400)]
    own = [i for i in range(400) if i % 20 == 3]
    # at token 2, and at token 1 where the feature is inactive
    other = [i for i in range(400) if i % 20 in (8, 13)]
    found = SiblingNegatives().choose(
        beside(search_context(tokens, own), other), Split.TRAIN, 50, rng
    )
    assert sorted(found.starts.tolist()) == list(range(12, 200, 20))
    assert (found.quantiles == Negative.SIBLINGS).all()


def test_neighbours_take_turns(rng):
    tokens, first = [0] * 800, [i for i in range(400) if i % 4 == 0]
    found = NeighbourNegatives().choose(
        beside(search_context(tokens, [5]), first, [42, 81, 122], [200, 241]), Split.TRAIN, 9, rng
    )
    starts = set(found.starts.tolist())
    assert {40, 80, 120, 200, 240} <= starts
    assert len(starts) == 9


def test_a_neighbour_that_fires_only_with_the_feature_gives_none(rng):
    search = beside(search_context([0] * 400, [5, 50, 250]), [4, 6, 50, 251])
    for split in Split:
        assert len(NeighbourNegatives().choose(search, split, 10, rng).starts) == 0


def test_without_neighbours_none_is_found(rng):
    for method in (NeighbourNegatives(), SiblingNegatives()):
        assert len(method.choose(search_context([0] * 400, [5]), Split.TRAIN, 10, rng).starts) == 0


def test_hard_holds_every_kind_and_is_filled_up_at_random(planted, near, rng):
    index = next(i for i, feature in enumerate(planted.features) if feature.kind == "unless")
    search = SearchContext(
        planted.corpus, planted.activations[index], Aligned(), 32, NegativeSources(near[index])
    )
    labels = HardNegatives().choose(search, Split.HELD_OUT, 48, rng).quantiles
    assert len(labels) == 48
    counts = {kind: int((labels == kind).sum()) for kind in Negative}
    assert counts[Negative.SIBLINGS] >= 4
    assert counts[Negative.NEIGHBOURS] == 8
    assert counts[Negative.RANDOM] >= 24


@pytest.mark.parametrize("name", sorted(WANT_NEIGHBOURS))
def test_examples_say_how_each_inactive_context_was_found_and_are_restored(
    planted, near, name, rng
):
    index = next(i for i, feature in enumerate(planted.features) if feature.kind == "preceded")
    feature, activations = planted.features[index].feature, planted.activations[index]
    sampling = SamplingSettings(negatives=name)
    found = gather_examples(
        feature,
        activations,
        planted.corpus,
        Quantiles(),
        sampling,
        rng,
        NegativeSources(near[index]),
    )
    assert isinstance(found, Examples), isinstance(found, Failure) and found.detail
    assert set(found.inactive_held_out.quantiles.tolist()) <= {int(kind) for kind in Negative}
    again = restore_examples(feature, kept(found), planted.corpus, activations)
    assert again.inactive_held_out.quantiles.tolist() == found.inactive_held_out.quantiles.tolist()
    assert name in NEGATIVES
