"""Silent windows are silent, distinct, and where they should be."""

import numpy as np
import pytest

from gloss.records import FeatureActivations, Split
from gloss.sample.negatives import NEAR_MISS, SILENT, Ground, HalfSameToken, RandomSilent, SameToken
from gloss.sample.windows import Aligned, Centred
from gloss.store.contexts import cut
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary

every_method = pytest.mark.parametrize("method", [RandomSilent(), SameToken(), HalfSameToken()], ids=repr)
every_placement = pytest.mark.parametrize("placement", [Aligned(), Centred()], ids=repr)


def ground_of(tokens: list[int], active: list[int], placement=Aligned(), width: int = 4) -> Ground:  # noqa: B008
    """Sequences of 20 tokens, each a document; the first half is shown. A token 0 becomes one of its own."""
    tokens = [token or 20 + place for place, token in enumerate(tokens)]
    offsets = np.arange(0, len(tokens) + 1, 20)
    sequences = len(offsets) - 1
    hashes = np.where(np.arange(sequences) < sequences // 2, 1, 2**64 - 1).astype(np.uint64)
    names, vocabulary = tuple(map(str, range(sequences))), Vocabulary(tuple(b"%d" % i for i in range(20 + len(tokens))))
    corpus = Corpus(np.array(tokens, np.int32), offsets, np.arange(sequences), hashes, names, vocabulary)
    activations = FeatureActivations(np.array(active, np.int64), np.ones(len(active), np.float32))
    return Ground(corpus, activations, placement, width)


@every_method
@every_placement
@pytest.mark.parametrize("split", list(Split))
def test_negatives_are_silent_apart_and_of_their_split(planted, method, placement, split, rng):
    for activations in planted.activations:
        ground = Ground(planted.corpus, activations, placement, 32)
        found = method.choose(ground, split, 40, rng)
        contexts = cut(planted.corpus, activations, found.starts, 32, found.labels)
        assert (contexts.activations == 0).all()
        assert (planted.corpus.document_splits[contexts.documents] == (split is Split.SHOWN)).all()
        assert (np.diff(np.sort(ground.spaced(found.starts))) >= 32).all()
        assert len(found.starts) == 40 or isinstance(method, SameToken)


@every_placement
def test_near_misses_hold_a_token_at_which_the_feature_fires(planted, placement, rng):
    index = next(i for i, feature in enumerate(planted.features) if feature.kind == "unless")
    activations = planted.activations[index]
    found = SameToken().choose(Ground(planted.corpus, activations, placement, 32), Split.HELD_OUT, 30, rng)
    contexts = cut(planted.corpus, activations, found.starts, 32, found.labels)
    favourites = np.unique(planted.corpus.tokens[activations.positions])
    assert 20 < len(found.starts) <= 30  # fewer where there are no more
    assert np.isin(contexts.tokens, favourites).any(axis=1).all()
    assert (found.labels == NEAR_MISS).all()
    if isinstance(placement, Centred):
        inside = contexts.places > 0
        assert np.isin(contexts.tokens[inside, 16], favourites).mean() > 0.8  # the rest slid back from an edge


def test_random_negatives_of_a_dense_feature_are_all_there_are(rng):
    active = [i for i in range(400) if i % 20 >= 4]  # only the first of five tiles of each sequence is silent
    found = RandomSilent().choose(ground_of([0] * 400, active), Split.SHOWN, 50, rng)
    assert sorted(found.starts.tolist()) == list(range(0, 200, 20))


def test_every_silent_tile_is_as_likely(rng):
    ground = ground_of([0] * 400, [0, 1, 77, 150, 350])
    drawn = [RandomSilent().choose(ground, Split.SHOWN, 10, rng).starts // 4 for _ in range(500)]
    counts = np.bincount(np.concatenate(drawn), minlength=50)
    assert counts[[0, 19, 37]].tolist() == [0, 0, 0]
    silent = np.delete(counts, [0, 19, 37])
    assert np.abs(silent - 5000 / 47).max() < 45


def test_a_feature_that_fires_at_all_its_tokens_has_no_near_miss(rng):
    tokens = [1 if i % 20 == 3 else 0 for i in range(400)]
    ground = ground_of(tokens, [i for i, token in enumerate(tokens) if token])
    assert len(SameToken().choose(ground, Split.SHOWN, 10, rng).starts) == 0
    mixed = HalfSameToken().choose(ground, Split.SHOWN, 10, rng)
    assert mixed.labels.tolist() == [SILENT] * 10


def test_the_one_silent_occurrence_of_a_token_is_found_among_many(rng):
    tokens = [1 if i % 20 == 3 else 0 for i in range(4000)]
    active = [i for i, token in enumerate(tokens) if token and i != 1223]
    found = SameToken().choose(ground_of(tokens, active), Split.SHOWN, 10, rng)
    assert found.starts.tolist() == [1220]


def test_half_of_a_mix_are_near_misses(planted, rng):
    index = next(i for i, feature in enumerate(planted.features) if feature.kind == "preceded")
    ground = Ground(planted.corpus, planted.activations[index], Aligned(), 32)
    assert HalfSameToken().choose(ground, Split.SHOWN, 40, rng).labels.tolist() == [NEAR_MISS] * 20 + [SILENT] * 20


def test_favourites_are_learned_from_the_shown_split_alone(rng):
    """Token 2 makes it fire in the held-out half only, so its silent places there are no near misses."""
    tokens = [1 if i % 20 == 3 else 2 if i % 20 == 13 else 0 for i in range(400)]
    active = [i for i, t in enumerate(tokens) if (t == 1 and i % 40 < 20) or (t == 2 and i == 213)]
    found = SameToken().choose(ground_of(tokens, active), Split.HELD_OUT, 50, rng)
    assert {int(tokens[start + 3 - start % 4]) for start in found.starts} == {1}
