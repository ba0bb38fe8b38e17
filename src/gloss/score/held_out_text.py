"""The held-out text of a corpus, as rules are run on it: token by token, or by whole words where a
label in words was read as a rule.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray

from gloss.records import Explanation, FeatureActivations
from gloss.rules import Passage, Rule, parse_rule
from gloss.rules.long_passage import LongPassage
from gloss.rules.occurrences import span_indices
from gloss.rules.reading import Reading, is_told_at_word_end, read_label
from gloss.rules.resting_arrays import (
    by_reach,
    look_up,
    place_blocks,
    resting_array,
    sequence_blocks,
    smallest_type,
)
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
    # the feature that was last asked for, as for each of its explanations, and where it fires
    recent: list[tuple[FeatureActivations, FeatureActivations]] = field(
        default_factory=list, repr=False
    )

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def numbers(self) -> Int32[ndarray, " held_out"]:
        """The number of each token of the passage among those that count."""
        found, done = resting_array(len(self.counted), np.int32), -1
        for block in place_blocks(len(found)):
            found[block] = done + np.cumsum(self.counted[block])
            done = int(found[block.stop - 1])
        return found

    def predicted(self, rule: Rule) -> FeatureActivations:
        """The tokens that count at which the rule says that the feature fires, and how strongly."""
        found = execute_sparsely(rule, self.passage)
        if len(self) == len(self.passage):
            return found
        counts = look_up(self.counted, found.positions)
        numbers = look_up(self.numbers, found.positions[counts]).astype(np.int64)
        return FeatureActivations(numbers, found.values[counts])

    def fires(self, activations: FeatureActivations) -> FeatureActivations:
        """The tokens that count at which the feature fires."""
        for feature, found in self.recent[:1]:
            if feature is activations:
                return found
        positions = activations.positions
        looked = by_reach(positions, int(positions.max(initial=0)) + 1)
        places = np.concatenate([np.searchsorted(self.indices, positions[own]) for own in looked])
        inside = places < len(self)
        inside[inside] = look_up(self.indices, places[inside]) == positions[inside]
        found = FeatureActivations(places[inside], activations.values[inside])
        self.recent[:] = [(activations, found)]
        return found

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
    """What is held out of the corpus; worked out once for all features, some sequences at a time.

    Of a long text it rests in files.
    """
    sequences = ~corpus.documents_in_train[corpus.documents]
    starts, lengths = corpus.offsets[:-1][sequences], np.diff(corpus.offsets)[sequences]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    groups, numbers = np.unique(corpus.groups[corpus.documents[sequences]], return_inverse=True)
    left_out = np.unique(corpus.left_out)
    left_out = left_out[sequences[corpus.sequences_of(left_out)]]
    number = int(offsets[-1])
    tokens = resting_array(number, smallest_type(len(corpus.vocabulary)))
    counted = resting_array(number, np.bool_)
    indices, documents = (
        resting_array(number - len(left_out), dtype) for dtype in (np.int64, np.int32)
    )
    sizes, done = np.zeros(len(groups)), 0
    for block in sequence_blocks(offsets):
        places = span_indices(starts[block], lengths[block])
        own = slice(int(offsets[block.start]), int(offsets[block.stop]))
        tokens[own] = corpus.tokens[places]
        counts = is_outside(places, left_out)
        counted[own] = counts
        of_tokens = np.repeat(numbers[block].astype(np.int32), lengths[block])[counts]
        further = slice(done, done + len(of_tokens))
        indices[further], documents[further] = places[counts], of_tokens
        sizes += np.bincount(of_tokens, minlength=len(sizes))
        done = further.stop
    passage = LongPassage(tokens, offsets, corpus.vocabulary.strings)
    return HeldOutTokens(passage, counted, indices, documents, DocumentSizes(sizes))


def is_outside(
    places: Int64[ndarray, " place"], left_out: Int64[ndarray, " left_out"]
) -> Bool[ndarray, " place"]:
    """Whether each of these ascending places is none of those that are left out."""
    if not len(places):
        return np.ones(0, bool)
    first, end = np.searchsorted(left_out, [places[0], places[-1] + 1])
    there = np.searchsorted(places, left_out[first:end])
    outside = np.ones(len(places), bool)
    outside[there[places[there] == left_out[first:end]]] = False
    return outside


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
