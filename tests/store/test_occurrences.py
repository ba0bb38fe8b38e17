"""The index of tokens against a search."""

import numpy as np

from gloss.store.corpus import Corpus, token_occurrences
from gloss.store.vocabulary import Vocabulary


def test_occurrences_are_where_a_search_finds_them(rng):
    tokens = rng.integers(0, 9, 200).astype(np.int32)
    hashes, vocabulary = (
        np.zeros(1, np.uint64),
        Vocabulary(tuple(bytes([65 + i]) for i in range(10))),
    )
    corpus = Corpus(tokens, np.array([0, 200]), np.array([0]), hashes, ("text",), vocabulary)
    found = token_occurrences(corpus)
    for token in range(10):
        assert found.of_token(token).tolist() == np.flatnonzero(tokens == token).tolist()
    assert (
        found.of_any(np.array([3, 5])).tolist()
        == np.flatnonzero((tokens == 3) | (tokens == 5)).tolist()
    )
    assert found.of_any(np.empty(0, np.int64)).tolist() == []
