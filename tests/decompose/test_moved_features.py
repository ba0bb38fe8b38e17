"""Features that moved between two subjects: those that were made to are found, and halves of one
run, in which none can have, show none beyond chance.
"""

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from gloss.decompose.moved_features import (
    ByDocument,
    discoveries,
    moved_by_chance,
    moved_on_other_text,
    moved_on_the_same_text,
)

DOCUMENTS, LENGTH, FEATURES, MOVED = 200, 50, 80, 10


def text(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Documents of several lengths, and how much each feature is in each of them."""
    lengths = rng.integers(LENGTH // 2, 2 * LENGTH, DOCUMENTS)
    return np.repeat(np.arange(DOCUMENTS), lengths), rng.gamma(1.0, 1.0, (DOCUMENTS, FEATURES))


def firing(
    rng: np.random.Generator, documents: np.ndarray, topics: np.ndarray, factor: float = 1.0
) -> csc_matrix:
    """Features that fire more in some documents; the first few of them so many times as often."""
    rates = 0.03 * topics[documents]
    rates[:, :MOVED] *= factor
    return csc_matrix((rng.random(rates.shape) < rates).astype(np.float32))


def test_features_that_fire_more_often_are_found_and_few_others(rng):
    documents, topics = text(rng)
    before = ByDocument.of(firing(rng, documents, topics), documents)
    after = ByDocument.of(firing(rng, documents, topics, 1.6), documents)
    found = moved_on_the_same_text(before, after)
    assert len(found) == FEATURES
    assert found.moved[:MOVED].all()
    assert found.moved[MOVED:].sum() <= 3
    assert (found.difference[:MOVED] > 0).all()
    assert moved_by_chance(before, after, rng).mean() < 2
    swapped = moved_on_the_same_text(after, before)
    assert np.allclose(swapped.difference, -found.difference)
    assert (swapped.moved == found.moved).all()
    thrice = ByDocument.of(firing(rng, documents, topics, 3.0), documents)
    assert moved_on_the_same_text(before, thrice).twofold[:MOVED].all()
    assert not moved_on_the_same_text(before, thrice).twofold[MOVED:].any()


def test_halves_of_one_run_show_none_beyond_chance(rng):
    """Documents differ much in what they are about, which is what the error is of."""
    documents, topics = text(rng)
    one = ByDocument.of(firing(rng, documents, topics), documents)
    found = []
    for _ in range(20):
        half = rng.permutation(DOCUMENTS) < DOCUMENTS // 2
        found.append(moved_on_other_text(one.of_some(half), one.of_some(~half)).moved.sum())
    assert np.mean(found) < 0.5
    twice = ByDocument.of(firing(rng, documents, topics), documents)
    assert moved_on_the_same_text(one, twice).moved.sum() <= 2
    assert not moved_on_the_same_text(one, one).moved.any()


def test_the_error_is_of_documents_and_not_of_tokens(rng):
    """Of two draws of documents the rates differ as the errors say, whatever tokens would say."""
    documents, topics = text(rng)
    statistics = []
    for _ in range(30):
        other, its_topics = text(rng)
        sides = (
            ByDocument.of(firing(rng, *each), each[0])
            for each in ((documents, topics), (other, its_topics))
        )
        documents, topics = other, its_topics
        statistics.append(moved_on_other_text(*sides).statistic)
    assert np.std(np.concatenate(statistics)) == pytest.approx(1, abs=0.12)


def test_rare_features_are_not_tested_and_a_single_document_says_nothing(rng):
    documents, topics = text(rng)
    side = firing(rng, documents, topics)
    rare = csc_matrix((np.ones(9), (np.arange(9) * 40, np.zeros(9, int))), (len(documents), 1))
    once = ByDocument.of(csc_matrix(rare, dtype=np.float32), documents)
    assert len(moved_on_the_same_text(once, once)) == 0
    one = ByDocument.of(side, np.zeros(len(documents), np.int64))
    assert len(moved_on_the_same_text(one, one)) == 0


def test_discoveries_keep_false_ones_to_their_share(rng):
    false = []
    for _ in range(200):
        chances = np.concatenate([rng.random(90), np.full(10, 1e-6)])
        found = discoveries(chances)
        assert found[90:].all()
        false.append(found[:90].sum() / found.sum())
    assert np.mean(false) < 0.05
    assert not discoveries(np.empty(0)).any()
