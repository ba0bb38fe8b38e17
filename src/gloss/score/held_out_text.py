"""The held-out text of a corpus, as rules are run on it: token by token, or by whole words where a
label in words was read as a rule.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray

from gloss.records import Explanation, FeatureActivations, Split
from gloss.rules import Passage, Rule, parse_rule
from gloss.rules.reading import Reading, is_told_at_word_end, read_label
from gloss.rules.sparse_execution import execute_sparsely
from gloss.statistics.document_draws import DocumentSizes
from gloss.store.corpus import Corpus


@dataclass(frozen=True, eq=False)
class HeldOutTokens:
    """The held-out tokens of a corpus, ready for rules.

    Rules see all of them; those that are left out do not count. Where a rule holds and where a
    feature fires are said by the numbers of the tokens that count: nothing that is said of one rule
    or feature is as long as the text.
    """

    passage: Passage
    counted: Bool[ndarray, " held_out"]  # whether each token of the passage counts
    indices: Int64[ndarray, " token"]  # global index of each token that counts
    # the held-out document that each lies in, counted from 0; near copies count as one
    documents: Int32[ndarray, " token"]
    sizes: DocumentSizes  # tokens of each document

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def numbers(self) -> Int32[ndarray, " held_out"]:
        """The number of each token of the passage among those that count."""
        return (np.cumsum(self.counted) - 1).astype(np.int32)

    def predicted(self, rule: Rule) -> FeatureActivations:
        """The tokens that count at which the rule says that the feature fires, and how strongly."""
        found = execute_sparsely(rule, self.passage)
        if len(self) == len(self.passage):
            return found
        counts = self.counted[found.positions]
        numbers = self.numbers[found.positions[counts]].astype(np.int64)
        return FeatureActivations(numbers, found.values[counts])

    def fires(self, activations: FeatureActivations) -> FeatureActivations:
        """The tokens that count at which the feature fires."""
        places = np.searchsorted(self.indices, activations.positions)
        inside = places < len(self)
        inside[inside] = self.indices[places[inside]] == activations.positions[inside]
        return FeatureActivations(places[inside], activations.values[inside])

    def dense(self, activations: FeatureActivations) -> Float32[ndarray, " token"]:
        """The feature's activation at every token that counts."""
        return spread(self.fires(activations), len(self))


def spread(found: FeatureActivations, number: int) -> Float32[ndarray, " token"]:
    """The value at each of so many tokens, 0 where there is none."""
    values = np.zeros(number, np.float32)
    values[found.positions] = found.values
    return values


@lru_cache(maxsize=2)
def held_out_tokens(corpus: Corpus) -> HeldOutTokens:
    """What is held out of the corpus; worked out once for all features."""
    sequences = ~corpus.documents_in_train[corpus.documents]
    lengths = np.diff(corpus.offsets)[sequences]
    indices = np.flatnonzero(corpus.in_split(Split.HELD_OUT))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    _, numbers = np.unique(corpus.groups[corpus.documents[sequences]], return_inverse=True)
    passage, counted = (
        Passage(corpus.tokens[indices], offsets, corpus.vocabulary.strings),
        corpus.counted[indices],
    )
    documents = np.repeat(numbers.astype(np.int32), lengths)[counted]
    sizes = np.bincount(documents, minlength=int(numbers.max(initial=-1)) + 1).astype(np.float64)
    return HeldOutTokens(passage, counted, indices[counted], documents, DocumentSizes(sizes))


@dataclass(frozen=True, eq=False)
class HeldOutWords:
    """The same by words: a label in plain words does not say which piece of a word it means."""

    tokens: HeldOutTokens
    starts: Int64[ndarray, " word"]  # of each word, its first token among those that count
    indices: Int64[ndarray, " word"]  # global index of its last token
    documents: Int32[ndarray, " word"]
    sizes: DocumentSizes  # words of each document

    def __len__(self) -> int:
        return len(self.starts)

    def predicted(self, rule: Rule) -> FeatureActivations:
        """The words of which the rule holds, and how strongly: at their last piece, where that
        tells how they are spelled or formed; at any, where the rule names words or signs.
        """
        found = self.tokens.predicted(rule)
        if is_told_at_word_end(rule):
            last = self.ends[self.words_of(found.positions)] == found.positions
            found = FeatureActivations(found.positions[last], found.values[last])
        return self.strongest(found)

    def fires(self, activations: FeatureActivations) -> FeatureActivations:
        """The words at a piece of which the feature fires, and how strongly at the strongest."""
        return self.strongest(self.tokens.fires(activations))

    @cached_property
    def ends(self) -> Int64[ndarray, " word"]:
        """Of each word, its last token among those that count."""
        return np.append(self.starts[1:], len(self.tokens))[: len(self)] - 1

    def words_of(self, tokens: Int64[ndarray, " token"]) -> Int64[ndarray, " token"]:
        """The number of the word that each token belongs to."""
        return np.searchsorted(self.starts, tokens, side="right") - 1

    def strongest(self, found: FeatureActivations) -> FeatureActivations:
        """The largest value within each word, which is 0 at the pieces that are not among the
        found.
        """
        if len(found) == 0:
            return found
        held = self.words_of(found.positions)
        first = np.flatnonzero(np.diff(held, prepend=-1))
        words, values = held[first], np.maximum.reduceat(found.values, first)
        pieces = self.ends[words] - self.starts[words] + 1
        whole = np.diff(np.append(first, len(held))) == pieces
        values = np.where(whole, values, np.maximum(values, np.float32(0)))
        return FeatureActivations(words[values != 0], values[values != 0])


HeldOutText = HeldOutTokens | HeldOutWords


@lru_cache(maxsize=2)
def held_out_words(corpus: Corpus) -> HeldOutWords:
    """What is held out of the corpus, by words; worked out once for all features."""
    tokens = held_out_tokens(corpus)
    words = tokens.passage.word_starts[tokens.counted]
    starts = np.flatnonzero(np.diff(words, prepend=-1))
    ends = np.append(starts[1:], len(words))[: len(starts)] - 1
    documents = tokens.documents[starts]
    sizes = np.bincount(documents, minlength=len(tokens.sizes)).astype(np.float64)
    return HeldOutWords(tokens, starts, tokens.indices[ends], documents, DocumentSizes(sizes))


@dataclass(frozen=True)
class RunnableLabel:
    """The rule of an explanation, and the text that it is run on."""

    rule: Rule
    text: HeldOutText
    reading: Reading | None = None  # how its words were read, where it has no rule of its own


def runnable_label(
    explanation: Explanation, corpus: Corpus, read_text: bool = True
) -> RunnableLabel | None:
    """The explanation's rule on held-out tokens, or its words as a rule on held-out words; None
    for what cannot be run.

    Raises BadInput for a rule that cannot be read.
    """
    if explanation.rule is not None:
        return RunnableLabel(parse_rule(explanation.rule), held_out_tokens(corpus))
    reading = read_label(explanation.text) if read_text else None
    return RunnableLabel(reading.rule, held_out_words(corpus), reading) if reading else None
