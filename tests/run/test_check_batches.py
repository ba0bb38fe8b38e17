"""Sequences that are checked together: each once, and of like length, so that padding is little."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gloss.records import PADDING
from gloss.run.commands.check import ROWS, sequence_batches
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80).filter(lambda found: sum(found) > 1))
def test_every_sequence_is_there_once_behind_its_start_beside_others_of_its_length(lengths):
    tokens = np.arange(1, 1 + sum(lengths), dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    corpus = Corpus(
        tokens,
        offsets,
        np.arange(len(lengths)),
        np.zeros(len(lengths), np.uint64),
        tuple(map(str, range(len(lengths)))),
        Vocabulary(tuple(b"%d" % number for number in range(len(tokens) + 1))),
    )
    batches = sequence_batches(corpus, 0)
    rows = [
        [token for token in row.tolist() if token != PADDING] for part in batches for row in part
    ]
    wanted = [[0, *tokens[begin:end].tolist()] for begin, end in pairwise(offsets)]
    assert sorted(rows) == sorted(wanted)
    assert all(len(part) <= ROWS for part in batches)
    assert [part.shape[1] for part in batches] == sorted(
        (part.shape[1] for part in batches), reverse=True
    )
    # no more padding than if each batch were as long as the one before it is short
    filled = sum(part.numel() for part in batches)
    assert filled <= sum(map(len, rows)) + ROWS * max(lengths)
