"""Evidence about a feature that fires on one word: the right answer is known, and the words are
nobody's.
"""

import numpy as np

from gloss.records import PADDING, Contexts, Examples, Explanation, FeatureActivations, FeatureId
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

WORDS = 120
VOCABULARY = Vocabulary(
    tuple([b" w%d" % i for i in range(WORDS)] + [b",", b"\n", b" (", b")"] * 10)
)
FEATURE = FeatureId("planted", 7)


def explained(word: int) -> Explanation:
    return Explanation(FEATURE, f"the word `w{word}`", "test")


def contexts(
    rng: np.random.Generator, number: int, word: int, *, firing: bool, first: int, width: int = 32
) -> Contexts:
    """Windows of random tokens.

    A firing one holds the word from one to four times, some are cut short by a document's edge.
    """
    tokens = rng.integers(0, len(VOCABULARY), size=(number, width)).astype(np.int32)
    tokens[tokens == word] = word + 1
    activations = np.zeros((number, width), np.float32)
    for row in range(number if firing else 0):
        places = rng.choice(np.arange(8, 24), size=rng.integers(1, 5), replace=False)
        tokens[row, places] = word
        activations[row, places] = rng.uniform(2, 4, size=len(places))
    for row in np.flatnonzero(rng.random(number) < 0.2):
        tokens[row, rng.integers(24, width) :] = PADDING
    starts = first + np.arange(number) * width
    quantiles = (
        np.zeros(number, np.int64) if firing else np.where(np.arange(number) % 4 == 3, -2, -1)
    )
    return Contexts(starts, first + np.arange(number), quantiles, tokens, activations)


def evidence(
    rng: np.random.Generator,
    *,
    word: int = 5,
    firing: int = 50,
    inactive: int = 50,
    share_held_out: float = 0.01,
) -> Evidence:
    """One feature's evidence, with an empty train split."""
    held_out = contexts(rng, firing, word, firing=True, first=0)
    inactive_held_out = contexts(rng, inactive, word, firing=False, first=1_000_000)
    none = Contexts.empty(32)
    examples = Examples(FEATURE, none, held_out, none, inactive_held_out, 4.0, 0.01, share_held_out)
    tokens = np.maximum(held_out.tokens.reshape(-1), 0)
    corpus = Corpus(
        tokens=tokens,
        offsets=np.array([0, len(tokens)]),
        documents=np.array([0]),
        hashes=np.array([2**64 - 1], dtype=np.uint64),
        names=("one",),
        vocabulary=VOCABULARY,
    )
    where = np.flatnonzero(held_out.activations.reshape(-1))
    return Evidence(
        examples, corpus, FeatureActivations(where, held_out.activations.reshape(-1)[where])
    )
