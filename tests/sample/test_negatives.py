"""Inactive windows are inactive, distinct, and where they should be."""

import numpy as np
import pytest

from gloss.records import FeatureActivations, Split
from gloss.sample.negatives import (
    RANDOM_LABEL,
    SAME_TOKEN_LABEL,
    MixedNegatives,
    RandomNegatives,
    SameTokenNegatives,
    SearchContext,
)
from gloss.sample.windows import Aligned, Centred
from gloss.store.contexts import cut_contexts
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary

every_method = pytest.mark.parametrize(
    "method", [RandomNegatives(), SameTokenNegatives(), MixedNegatives()], ids=repr
)
every_placement = pytest.mark.parametrize("placement", [Aligned(), Centred()], ids=repr)


def search_context(
    tokens: list[int],
    active: list[int],
    placement=Aligned(),  # noqa: B008
    width: int = 4,
) -> SearchContext:
    """Sequences of 20 tokens, each a document; the first half is the train split.

    A token 0 becomes one of its own.
    """
    tokens = [token or 20 + place for place, token in enumerate(tokens)]
    offsets = np.arange(0, len(tokens) + 1, 20)
    sequences = len(offsets) - 1
    hashes = np.where(np.arange(sequences) < sequences // 2, 1, 2**64 - 1).astype(np.uint64)
    names, vocabulary = (
        tuple(map(str, range(sequences))),
        Vocabulary(tuple(b"%d" % i for i in range(20 + len(tokens)))),
    )
    corpus = Corpus(
        np.array(tokens, np.int32), offsets, np.arange(sequences), hashes, names, vocabulary
    )
    activations = FeatureActivations(np.array(active, np.int64), np.ones(len(active), np.float32))
    return SearchContext(corpus, activations, placement, width)


@every_method
@every_placement
@pytest.mark.parametrize("split", list(Split))
def test_negatives_are_inactive_apart_and_of_their_split(planted, method, placement, split, rng):
    for activations in planted.activations:
        search = SearchContext(planted.corpus, activations, placement, 32)
        found = method.choose(search, split, 40, rng)
        contexts = cut_contexts(planted.corpus, activations, found.starts, 32, found.quantiles)
        assert (contexts.activations == 0).all()
        assert (
            planted.corpus.documents_in_train[contexts.documents] == (split is Split.TRAIN)
        ).all()
        assert (np.diff(np.sort(search.overlap_keys(found.starts))) >= 32).all()
        assert len(found.starts) == 40 or isinstance(method, SameTokenNegatives)


@every_placement
def test_near_misses_hold_a_token_at_which_the_feature_fires(planted, placement, rng):
    index = next(i for i, feature in enumerate(planted.features) if feature.kind == "unless")
    activations = planted.activations[index]
    found = SameTokenNegatives().choose(
        SearchContext(planted.corpus, activations, placement, 32), Split.HELD_OUT, 30, rng
    )
    contexts = cut_contexts(planted.corpus, activations, found.starts, 32, found.quantiles)
    top_tokens = np.unique(planted.corpus.tokens[activations.positions])
    assert 20 < len(found.starts) <= 30  # fewer where there are no more
    assert np.isin(contexts.tokens, top_tokens).any(axis=1).all()
    assert (found.quantiles == SAME_TOKEN_LABEL).all()
    if isinstance(placement, Centred):
        inside = contexts.sequence_positions > 0
        # the rest slid back from an edge
        assert np.isin(contexts.tokens[inside, 16], top_tokens).mean() > 0.8


def test_random_negatives_of_a_dense_feature_are_all_there_are(rng):
    # only the first of five windows of each sequence is inactive
    active = [i for i in range(400) if i % 20 >= 4]
    found = RandomNegatives().choose(search_context([0] * 400, active), Split.TRAIN, 50, rng)
    assert sorted(found.starts.tolist()) == list(range(0, 200, 20))


def test_every_inactive_window_is_as_likely(rng):
    search = search_context([0] * 400, [0, 1, 77, 150, 350])
    drawn = [RandomNegatives().choose(search, Split.TRAIN, 10, rng).starts // 4 for _ in range(500)]
    counts = np.bincount(np.concatenate(drawn), minlength=50)
    assert counts[[0, 19, 37]].tolist() == [0, 0, 0]
    inactive = np.delete(counts, [0, 19, 37])
    assert np.abs(inactive - 5000 / 47).max() < 45


def test_a_feature_that_fires_at_all_its_tokens_has_no_near_miss(rng):
    tokens = [1 if i % 20 == 3 else 0 for i in range(400)]
    search = search_context(tokens, [i for i, token in enumerate(tokens) if token])
    assert len(SameTokenNegatives().choose(search, Split.TRAIN, 10, rng).starts) == 0
    mixed = MixedNegatives().choose(search, Split.TRAIN, 10, rng)
    assert mixed.quantiles.tolist() == [RANDOM_LABEL] * 10


def test_the_one_inactive_occurrence_of_a_token_is_found_among_many(rng):
    tokens = [1 if i % 20 == 3 else 0 for i in range(4000)]
    active = [i for i, token in enumerate(tokens) if token and i != 1223]
    found = SameTokenNegatives().choose(search_context(tokens, active), Split.TRAIN, 10, rng)
    assert found.starts.tolist() == [1220]


def test_half_of_a_mix_are_near_misses(planted, rng):
    index = next(i for i, feature in enumerate(planted.features) if feature.kind == "preceded")
    search = SearchContext(planted.corpus, planted.activations[index], Aligned(), 32)
    assert (
        MixedNegatives().choose(search, Split.TRAIN, 40, rng).quantiles.tolist()
        == [SAME_TOKEN_LABEL] * 20 + [RANDOM_LABEL] * 20
    )


def test_top_tokens_are_found_in_the_train_split_alone(rng):
    """Token 2 makes it fire in the held-out half only, so its inactive windows there are no near
    misses.
    """
    tokens = [1 if i % 20 == 3 else 2 if i % 20 == 13 else 0 for i in range(400)]
    active = [i for i, t in enumerate(tokens) if (t == 1 and i % 40 < 20) or (t == 2 and i == 213)]
    found = SameTokenNegatives().choose(search_context(tokens, active), Split.HELD_OUT, 50, rng)
    assert {int(tokens[start + 3 - start % 4]) for start in found.starts} == {1}
