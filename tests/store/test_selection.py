"""The train split as a corpus of its own: every context keeps its text and its activations, and
nothing held out is in it.
"""

import numpy as np
import pytest

from gloss.models.planted import plant
from gloss.records import Examples, Split
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.store.contexts import cut_contexts
from gloss.store.evidence import Evidence, exchange_splits, train_corpus, validation_evidence

ROLES = ("train", "held_out", "inactive_train", "inactive_held_out")


@pytest.fixture(scope="module", params=["aligned", "centred"])
def whole(request) -> Evidence:
    planted = plant(np.random.default_rng(3), tokens=60_000, features=20)
    sampling = SamplingSettings(train=60, inactive_train=100, minimum=4, placement=request.param)
    for feature, activations in zip(planted.features, planted.activations, strict=True):
        found = gather_examples(
            feature.feature,
            activations,
            planted.corpus,
            Quantiles(),
            sampling,
            np.random.default_rng(1),
        )
        if isinstance(found, Examples) and len(found.train) > 20:
            return Evidence(found, planted.corpus, activations)
    raise AssertionError("no feature fires often enough")


def test_contexts_are_the_train_ones_each_where_it_is_now(whole):
    chosen = validation_evidence(whole)
    examples, corpus = chosen.examples, chosen.corpus
    for role in ROLES:
        contexts = getattr(examples, role)
        assert len(contexts) > 0
        assert (
            corpus.documents_in_train[contexts.documents] == (role in ("train", "inactive_train"))
        ).all()
        inside = contexts.starts - np.minimum(contexts.sequence_positions, 0)
        again = cut_contexts(
            corpus, chosen.activations, contexts.starts, 32, contexts.quantiles, inside
        )
        np.testing.assert_array_equal(again.tokens, contexts.tokens)
        np.testing.assert_array_equal(again.activations, contexts.activations)
        np.testing.assert_array_equal(again.documents, contexts.documents)
    rows = [row.tobytes() for role in ROLES[:2] for row in getattr(examples, role).tokens]
    assert sorted(rows) == sorted(row.tobytes() for row in whole.examples.train.tokens)


def test_the_corpus_holds_the_train_documents_alone(whole):
    within = train_corpus(whole.corpus)
    np.testing.assert_array_equal(
        within.corpus.tokens, whole.corpus.tokens[whole.corpus.in_split(Split.TRAIN)]
    )
    assert train_corpus(whole.corpus) is within
    assert len(within.corpus.hashes) == whole.corpus.documents_in_train.sum()
    assert 0.3 < within.corpus.documents_in_train.mean() < 0.7
    assert validation_evidence(whole).examples.strongest <= whole.examples.strongest


def test_exchanging_twice_changes_nothing(whole):
    chosen = validation_evidence(whole)
    turned = exchange_splits(chosen)
    assert turned.examples.held_out is chosen.examples.train
    assert turned.examples.share_held_out == chosen.examples.share_train
    assert exchange_splits(turned).examples.train is chosen.examples.train
