"""Where each token of the vocabulary stands in the corpus: an index that is worked out once."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.store.corpus import Corpus


@dataclass(frozen=True, eq=False)
class Occurrences:
    """Where each token of the vocabulary stands in the corpus."""

    order: Int64[ndarray, " token"]  # global token indices, by token and then ascending
    offsets: Int64[ndarray, " id_and_end"]

    def of(self, token: int) -> Int64[ndarray, " position"]:
        """The global token indices at which this token stands, ascending."""
        return self.order[self.offsets[token] : self.offsets[token + 1]]

    def of_any(self, tokens: Int64[ndarray, " id"]) -> Int64[ndarray, " position"]:
        """The global token indices at which one of these tokens stands, ascending."""
        return np.sort(np.concatenate([np.empty(0, np.int64), *map(self.of, tokens.tolist())]))


@lru_cache(maxsize=2)
def occurrences_of(corpus: Corpus) -> Occurrences:
    """The index of a corpus; worked out once for all features."""
    counts = np.bincount(corpus.tokens, minlength=len(corpus.vocabulary))
    return Occurrences(np.argsort(corpus.tokens, kind="stable"), np.concatenate([[0], np.cumsum(counts)]))
