"""The shown split as a corpus of its own: every context keeps its text and its activations, and nothing held out is in it."""

import numpy as np
import pytest

from gloss.models.planted import plant
from gloss.records import Examples, Split
from gloss.sample.examples import Sampling, gather
from gloss.sample.quantiles import Quantiles
from gloss.store.contexts import cut
from gloss.store.evidence import Evidence
from gloss.store.selection import exchanged, selection_of, within_shown

ROLES = ("shown", "held_out", "silent_shown", "silent_held_out")


@pytest.fixture(scope="module", params=["aligned", "centred"])
def whole(request) -> Evidence:
    planted = plant(np.random.default_rng(3), tokens=60_000, features=20)
    sampling = Sampling(shown=60, silent_shown=100, minimum=4, placement=request.param)
    for feature, activations in zip(planted.features, planted.activations, strict=True):
        found = gather(feature.feature, activations, planted.corpus, Quantiles(), sampling, np.random.default_rng(1))
        if isinstance(found, Examples) and len(found.shown) > 20:
            return Evidence(found, planted.corpus, activations)
    raise AssertionError("no feature fires often enough")


def test_contexts_are_the_shown_ones_each_where_it_is_now(whole):
    chosen = selection_of(whole)
    examples, corpus = chosen.examples, chosen.corpus
    for role in ROLES:
        contexts = getattr(examples, role)
        assert len(contexts) > 0
        assert (corpus.document_splits[contexts.documents] == (role in ("shown", "silent_shown"))).all()
        anchors = contexts.starts - np.minimum(contexts.places, 0)
        again = cut(corpus, chosen.activations, contexts.starts, 32, contexts.quantiles, anchors)
        np.testing.assert_array_equal(again.tokens, contexts.tokens)
        np.testing.assert_array_equal(again.activations, contexts.activations)
        np.testing.assert_array_equal(again.documents, contexts.documents)
    rows = [row.tobytes() for role in ROLES[:2] for row in getattr(examples, role).tokens]
    assert sorted(rows) == sorted(row.tobytes() for row in whole.examples.shown.tokens)


def test_the_corpus_holds_the_shown_documents_alone(whole):
    within = within_shown(whole.corpus)
    np.testing.assert_array_equal(within.corpus.tokens, whole.corpus.tokens[whole.corpus.in_split(Split.SHOWN)])
    assert within_shown(whole.corpus) is within
    assert len(within.corpus.hashes) == whole.corpus.document_splits.sum()
    assert 0.3 < within.corpus.document_splits.mean() < 0.7
    assert selection_of(whole).examples.strongest <= whole.examples.strongest


def test_exchanging_twice_changes_nothing(whole):
    chosen = selection_of(whole)
    turned = exchanged(chosen)
    assert turned.examples.held_out is chosen.examples.shown
    assert turned.examples.share_held_out == chosen.examples.share_shown
    assert exchanged(turned).examples.shown is chosen.examples.shown
