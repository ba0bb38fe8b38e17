"""Sums over held-out text of which a sample is known, with intervals: a corpus that was mined keeps
of each feature some of the sequences in which it fires, and of the others those of the background.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.records import FeatureActivations
from gloss.score.held_out_text import (
    HeldOutText,
    HeldOutWords,
    held_out_tokens,
    held_out_words,
)
from gloss.statistics.document_draws import drawn_counts
from gloss.store.corpus import Corpus


@dataclass(frozen=True, eq=False)
class TextSequences:
    """The sequences of a corpus, as held-out text has them."""

    of_tokens: Int64[ndarray, " token"]  # the sequence of each token of the text
    sizes: Int64[ndarray, " sequence"]  # tokens of each
    documents: Int64[ndarray, " sequence"]  # the document of each, -1 where it has no token


@lru_cache(maxsize=2)
def text_sequences(corpus: Corpus, by_words: bool) -> TextSequences:
    """The sequences of the held-out text; worked out once for all features."""
    text = held_out_words(corpus) if by_words else held_out_tokens(corpus)
    sequences, number = corpus.sequences_of(text.indices), len(corpus.documents)
    documents = np.full(number, -1)
    documents[sequences] = text.documents
    return TextSequences(sequences, np.bincount(sequences, minlength=number), documents)


@dataclass(frozen=True, eq=False)
class KnownText:
    """The held-out sequences in which it is known where a feature fires, and how many each stands
    for.

    A sum over all text is the sum over these, each as often as it stands for sequences (Horvitz &
    Thompson, 1952).
    """

    sequences: TextSequences
    weights: Float64[ndarray, " sequence"]  # 0 where the feature is not known
    silent: float  # how many a sequence of the background stands for, where the feature is silent

    @staticmethod
    def of(
        text: HeldOutText, corpus: Corpus, activations: FeatureActivations
    ) -> "KnownText | None":
        """What is known of a feature; None where that is all."""
        weights = corpus.weights(activations)
        if weights is None or activations.known is None:
            return None
        sequences = text_sequences(corpus, isinstance(text, HeldOutWords))
        return KnownText(sequences, weights, activations.known.silent_held_out)

    def known(self, found: FeatureActivations) -> FeatureActivations:
        """Without what lies in sequences in which the feature is not known."""
        inside = self.weights[self.sequences.of_tokens[found.positions]] > 0
        return FeatureActivations(found.positions[inside], found.values[inside])

    @property
    def tokens(self) -> int:
        """How many tokens are known."""
        return int(self.sequences.sizes[self.weights > 0].sum())

    @property
    def total(self) -> float:
        """How many tokens they stand for."""
        return float(self.sequences.sizes @ self.weights)

    def counted(self, tokens: Int64[ndarray, " token"]) -> float:
        """How many tokens these stand for."""
        return float(self.weights_of(tokens).sum())

    def weights_of(self, tokens: Int64[ndarray, " token"]) -> Float64[ndarray, " token"]:
        """What each of these tokens stands for."""
        return self.weights[self.sequences.of_tokens[tokens]]

    def units(
        self, tokens: Int64[ndarray, " token"], fires: FeatureActivations
    ) -> tuple["SampleUnits", Int64[ndarray, " token"]]:
        """What is drawn together, and the unit of each of these tokens."""
        within = self.sequences.of_tokens[tokens]
        own, place = np.unique(within, return_inverse=True)
        firing = np.isin(own, self.sequences.of_tokens[fires.positions])
        keys = np.stack([self.sequences.documents[own], self.weights[own], firing])
        units, unit, sizes = np.unique(keys, axis=1, return_inverse=True, return_counts=True)
        known = np.unique(self.sequences.documents[self.weights > 0])
        every = int(np.count_nonzero(known >= 0))
        return (
            SampleUnits(units[0].astype(np.int64), units[1], units[2] > 0, sizes, every),
            unit.reshape(-1)[place],
        )


@dataclass(frozen=True, eq=False)
class SampleUnits:
    """Sequences of one document, of one weight, in which a feature fires or in which it is silent:
    they are drawn together.
    """

    documents: Int64[ndarray, " unit"]
    weights: Float64[ndarray, " unit"]
    fires: Bool[ndarray, " unit"]
    sizes: Int64[ndarray, " unit"]  # sequences
    all_documents: int  # of the known text, with those that have no unit here

    def resampled(
        self, columns: Float64[ndarray, "unit column"], resamples: int, rng: np.random.Generator
    ) -> Float64[ndarray, "draw column"]:
        """What the columns add up to in each draw of as many documents, with replacement.

        How many sequences of a stratum there are is counted, and not sampled. So where n of N are
        kept, the number that is drawn is brought nearer to n, by the root of n / N: a sum then
        spreads as one over N sequences of texts like these does, of which n are looked at. With all
        kept this is the bootstrap over documents.
        """
        documents, place = np.unique(self.documents, return_inverse=True)
        share = len(documents) / max(self.all_documents, 1)
        among = rng.binomial(self.all_documents, share, resamples)
        strata, stratum = np.unique(self.weights, return_inverse=True)
        members = np.zeros((len(self.weights), len(strata)))
        members[np.arange(len(self.weights)), stratum] = np.where(self.fires, self.sizes, 0)
        kept = members.sum(0)
        sums: list[ndarray] = []
        for counts in drawn_counts(among, len(documents), rng):
            drawn = counts[:, place]
            there = drawn @ members
            wanted = np.maximum(kept + (there - kept) / np.sqrt(strata), 0)
            factors = np.where(there > 0, wanted / np.maximum(there, 1), 1.0)[:, stratum]
            sums.append((drawn * self.weights * np.where(self.fires, factors, 1.0)) @ columns)
        return np.concatenate(sums)


def unseen_sequences(
    silent: float, resamples: int, rng: np.random.Generator
) -> Float64[ndarray, " draw"]:
    """In how many silent sequences more a rule may be wrong than those of the background show: none
    where each stands for itself, and otherwise half a sequence of the background, as by Jeffreys'
    prior of a rate.
    """
    return (
        silent * rng.gamma(0.5 * (1 - 1 / silent), size=resamples)
        if silent > 1
        else (np.zeros(resamples))
    )
