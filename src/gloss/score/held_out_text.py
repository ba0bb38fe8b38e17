"""The held-out text of a corpus, as rules are run on it: token by token, or by whole words where a
label in words was read as a rule.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray

from gloss.records import Explanation, FeatureActivations, Split
from gloss.rules import Passage, Rule, execute, parse_rule
from gloss.rules.reading import Reading, is_told_at_word_end, read_label
from gloss.store.corpus import Corpus


@dataclass(frozen=True)
class HeldOutTokens:
    """The held-out tokens of a corpus, ready for rules.

    Rules see all of them; those that are left out do not count.
    """

    passage: Passage
    counted: Bool[ndarray, " held_out"]  # whether each token of the passage counts
    indices: Int64[ndarray, " token"]  # global index of each token that counts
    # the held-out document that each lies in, counted from 0; near copies count as one
    documents: Int64[ndarray, " token"]
    sizes: Float64[ndarray, " document"]  # tokens of each

    def predicted(self, rule: Rule) -> Float32[ndarray, " token"]:
        """How strongly the rule says that the feature fires at every token that counts."""
        return execute(rule, self.passage)[self.counted]

    def dense(self, activations: FeatureActivations) -> Float32[ndarray, " token"]:
        """The feature's activation at every token that counts."""
        places = np.searchsorted(self.indices, activations.positions)
        inside = places < len(self.indices)
        inside[inside] = self.indices[places[inside]] == activations.positions[inside]
        values = np.zeros(len(self.indices), np.float32)
        values[places[inside]] = activations.values[inside]
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
    documents = np.repeat(numbers.astype(np.int64), lengths)[counted]
    sizes = np.bincount(documents, minlength=int(numbers.max(initial=-1)) + 1)
    return HeldOutTokens(passage, counted, indices[counted], documents, sizes.astype(np.float64))


@dataclass(frozen=True)
class HeldOutWords:
    """The same by words: a label in plain words does not say which piece of a word it means."""

    tokens: HeldOutTokens
    starts: Int64[ndarray, " word"]  # of each word, its first token among those that count
    indices: Int64[ndarray, " word"]  # global index of its last token
    documents: Int64[ndarray, " word"]
    sizes: Float64[ndarray, " document"]  # words of each

    def predicted(self, rule: Rule) -> Float32[ndarray, " word"]:
        """How strongly the rule holds of each word: at its last piece, where that tells how it is
        spelled or formed; at any, where the rule names words or signs.
        """
        found = self.tokens.predicted(rule)
        if is_told_at_word_end(rule):
            return found[np.append(self.starts[1:], len(found)) - 1] if len(found) else found
        return self.strongest(found)

    def dense(self, activations: FeatureActivations) -> Float32[ndarray, " word"]:
        """The feature's strongest activation at a piece of each word."""
        return self.strongest(self.tokens.dense(activations))

    def strongest(self, values: Float32[ndarray, " token"]) -> Float32[ndarray, " word"]:
        """The largest value within each word."""
        return np.maximum.reduceat(values, self.starts) if len(values) else values


HeldOutText = HeldOutTokens | HeldOutWords


@lru_cache(maxsize=2)
def held_out_words(corpus: Corpus) -> HeldOutWords:
    """What is held out of the corpus, by words; worked out once for all features."""
    tokens = held_out_tokens(corpus)
    words = tokens.passage.word_starts[tokens.counted]
    starts = np.flatnonzero(np.diff(words, prepend=-1))
    ends = np.append(starts[1:], len(words)) - 1
    documents = tokens.documents[starts]
    sizes = np.bincount(documents, minlength=len(tokens.sizes)).astype(np.float64)
    return HeldOutWords(tokens, starts, tokens.indices[ends], documents, sizes)


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
