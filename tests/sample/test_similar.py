"""Negatives of similar text: inactive, of their split, like what fires, and none where nothing is
alike.
"""

import numpy as np
import pytest

from gloss.errors import BadInput
from gloss.records import Contexts, Examples, FeatureActivations, FeatureId, Negative, Split
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.negatives import NegativeSources, RandomNegatives, SearchContext, SimilarNegatives
from gloss.sample.samplers import Quantiles
from gloss.sample.windows import Aligned
from gloss.store.contexts import corpus_windows, cut_contexts
from gloss.store.corpus import Corpus
from gloss.store.embeddings import Embeddings
from gloss.store.stored_examples import restore_examples
from gloss.store.vocabulary import Vocabulary
from store.references import kept

WIDTH, LENGTH, DOCUMENTS, TOPICS, D = 8, 64, 200, 20, 128


def corpus(rng: np.random.Generator) -> Corpus:
    """Every window is about one topic: its tokens are the topic's number, but for the last, which
    is its own.
    """
    topics = rng.integers(0, TOPICS, DOCUMENTS * LENGTH // WIDTH)
    hashes = np.where(np.arange(DOCUMENTS) % 2, np.uint64(2**63), np.uint64(0))
    names, vocabulary = (
        tuple(map(str, range(DOCUMENTS))),
        Vocabulary(tuple(b" t%d" % n for n in range(TOPICS + len(topics)))),
    )
    offsets = np.arange(0, DOCUMENTS * LENGTH + 1, LENGTH)
    tokens = np.repeat(topics, WIDTH).astype(np.int32)
    tokens[WIDTH - 1 :: WIDTH] = TOPICS + np.arange(len(topics))
    return Corpus(tokens, offsets, np.arange(DOCUMENTS), hashes, names, vocabulary)


def fires(text: Corpus, topics: tuple[int, ...], rng: np.random.Generator) -> FeatureActivations:
    """A feature that fires once in a random half of the windows about these topics."""
    starts = corpus_windows(text, WIDTH).starts
    chosen = starts[np.isin(text.tokens[starts], topics) & (rng.random(len(starts)) < 0.5)] + 3
    return FeatureActivations(chosen, np.ones(len(chosen), np.float32))


def index(text: Corpus, likeness: float, rng: np.random.Generator) -> Embeddings:
    """Each window as a direction of its topic, of that weight, and noise; kept in two parts."""
    starts = corpus_windows(text, WIDTH).starts
    noise, topics = rng.normal(size=(len(starts), D)), rng.normal(size=(TOPICS, D))
    vectors = likeness * topics[text.tokens[starts]] + noise
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    return Embeddings(starts, (vectors[:700], vectors[700:]))


def search_context(
    likeness: float, rng: np.random.Generator, topics: tuple[int, ...] = (0,)
) -> SearchContext:
    text = corpus(rng)
    return SearchContext(
        text,
        fires(text, topics, rng),
        Aligned(),
        WIDTH,
        NegativeSources(embeddings=index(text, likeness, rng)),
    )


@pytest.mark.parametrize("split", list(Split))
def test_similar_windows_are_inactive_distinct_of_their_split_and_about_what_the_feature_fires_in(
    split, rng
):
    search = search_context(2.0, rng)
    found = SimilarNegatives().choose(search, split, 10, rng)
    contexts = cut_contexts(search.corpus, search.activations, found.starts, WIDTH, found.quantiles)
    assert len(contexts) == 10 == len(set(found.starts.tolist()))
    assert set(found.quantiles.tolist()) == {int(Negative.SIMILAR)}
    assert (contexts.activations == 0).all()
    assert (search.corpus.documents_in_train[contexts.documents] == (split is Split.TRAIN)).all()
    assert (contexts.tokens[:, :-1] == 0).all()
    at_random = RandomNegatives().choose(search, split, 10, rng).starts
    assert (search.corpus.tokens[at_random] == 0).mean() < 0.3


def test_where_no_text_is_alike_next_to_none_is_found(rng):
    """One firing window in twenty may find one by chance."""
    found = [
        len(SimilarNegatives().choose(search_context(0.0, rng), Split.HELD_OUT, 50, rng).starts)
        for _ in range(10)
    ]
    compared = [len(corpus_windows(corpus(rng), WIDTH).by_split[Split.HELD_OUT]) / TOPICS / 2] * 10
    assert sum(found) <= 0.1 * sum(compared)


def test_fewer_are_found_where_fewer_are_alike(rng):
    search = search_context(2.0, rng)
    found = SimilarNegatives().choose(search, Split.HELD_OUT, 400, rng).starts
    inactive = search.windows.starts[
        search.is_inactive(search.windows.starts) & ~search.windows.in_train
    ]
    assert set(found.tolist()) == set(inactive[search.corpus.tokens[inactive] == 0].tolist())


def test_each_firing_window_has_its_turn(rng):
    """One topic in which the feature fires must not crowd out the other."""
    search = search_context(2.0, rng, topics=(0, 1))
    topics = search.corpus.tokens[SimilarNegatives().choose(search, Split.HELD_OUT, 20, rng).starts]
    assert set(topics.tolist()) == {0, 1}
    assert 4 <= (topics == 0).sum() <= 16


def test_nothing_is_found_where_the_feature_fires_in_no_embedded_window(rng):
    search = search_context(2.0, rng)
    nowhere = FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32))
    assert (
        len(
            SimilarNegatives()
            .choose(
                SearchContext(search.corpus, nowhere, Aligned(), WIDTH, search.sources),
                Split.TRAIN,
                5,
                rng,
            )
            .starts
        )
        == 0
    )
    everywhere = np.arange(len(search.corpus))
    always = FeatureActivations(everywhere, np.ones(len(everywhere), np.float32))
    assert (
        len(
            SimilarNegatives()
            .choose(
                SearchContext(search.corpus, always, Aligned(), WIDTH, search.sources),
                Split.TRAIN,
                5,
                rng,
            )
            .starts
        )
        == 0
    )
    assert len(SimilarNegatives().choose(search, Split.TRAIN, 0, rng).starts) == 0


def test_an_index_is_wanted(rng):
    search = search_context(2.0, rng)
    with pytest.raises(BadInput, match="got none; give NegativeSources one"):
        SimilarNegatives().choose(
            SearchContext(search.corpus, search.activations, Aligned(), WIDTH), Split.TRAIN, 5, rng
        )


def test_examples_hold_them_and_are_restored(rng):
    search, feature = search_context(2.0, rng), FeatureId("planted", 0)
    sampling = SamplingSettings(
        context_length=WIDTH, minimum=3, inactive_held_out=10, negatives="similar"
    )
    found = gather_examples(
        feature, search.activations, search.corpus, Quantiles(), sampling, rng, search.sources
    )
    assert isinstance(found, Examples)
    assert about(found.inactive_held_out) == {0}
    again = restore_examples(
        feature,
        kept(found),
        search.corpus,
        search.activations,
    )
    assert again.inactive_held_out.quantiles.tolist() == [int(Negative.SIMILAR)] * 10


def about(contexts: Contexts) -> set[int]:
    return set(contexts.tokens[:, 0].tolist())
