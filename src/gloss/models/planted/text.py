"""The planted text: sentences and lines of code out of templates, with the families' phrases strewn
among them.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from jaxtyping import Int32, Int64
from numpy import ndarray

from gloss.models.planted.families import FILLER, PhraseSlot, PlantedPhrase
from gloss.models.planted.words import (
    ADJECTIVES,
    CODE_NAMES,
    COMMON_NOUNS,
    DETERMINERS,
    NAMES,
    NUMBERS,
    PREPOSITIONS,
    VERBS,
)
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary

CLASSES = {
    "DETERMINER": DETERMINERS,
    "ADJECTIVE": ADJECTIVES,
    "NOUN": COMMON_NOUNS,
    "VERB": VERBS,
    "PREPOSITION": PREPOSITIONS,
    "NAME": NAMES,
    "CODE": CODE_NAMES,
    "NUMBER": NUMBERS,
}
TEMPLATES = {  # with the share of the sentences that follow each
    "The ADJECTIVE NOUN VERB DETERMINER NOUN PREPOSITION DETERMINER ADJECTIVE NOUN .": 0.22,
    "NAME VERB DETERMINER NOUN , and VERB DETERMINER ADJECTIVE NOUN .": 0.2,
    "In NUMBER , NAME VERB DETERMINER NOUN PREPOSITION DETERMINER NOUN .": 0.1,
    "Then DETERMINER NOUN of DETERMINER NOUN VERB PREPOSITION NAME .": 0.14,
    "There were NUMBER ADJECTIVE NOUN PREPOSITION DETERMINER NOUN .": 0.1,
    "def CODE ( CODE , CODE ) : \n": 0.08,
    "return CODE [ NUMBER ] \n": 0.08,
    "if CODE == NUMBER : \n": 0.08,
}
UNSPACED = frozenset(".,:()[]\n")
SEQUENCE_LENGTH = 256
DOCUMENT_LENGTHS = (200, 1400)  # tokens, drawn uniformly between


def write_planted_text(
    phrases: Sequence[PlantedPhrase], tokens: int, rng: np.random.Generator
) -> Corpus:
    """A corpus of so many tokens that holds the phrases at their rates.

    Raises ValueError where they leave no room for text.
    """
    templates = [tuple(map(template_slot, template.split(" "))) for template in TEMPLATES]
    strings = sorted(
        {
            string
            for slots in [*templates, (FILLER,), *(p.slots for p in phrases)]
            for s in slots
            for string in s
        }
    )
    ids = {string: number for number, string in enumerate(strings)}
    planted = sum(len(phrase.slots) * phrase.rate for phrase in phrases)
    if planted > 0.8:
        raise ValueError(f"the phrases would fill {planted:.0%} of the text; plant fewer features")
    shares = np.array(list(TEMPLATES.values()))
    sentences = (1.02 - planted) * tokens / (shares @ [len(slots) for slots in templates]) + 10
    counts = [
        (slots, round(share * sentences)) for slots, share in zip(templates, shares, strict=True)
    ]
    counts += [(phrase.slots, max(1, round(phrase.rate * tokens))) for phrase in phrases]
    stream = shuffle_phrases(
        [fill_phrases(slots, count, ids, rng) for slots, count in counts], rng
    )[:tokens]
    return cut_into_corpus(stream, Vocabulary(tuple(string.encode() for string in strings)), rng)


def template_slot(piece: str) -> PhraseSlot:
    """The strings of which one stands at this place of a template."""
    if piece in UNSPACED:
        return (piece,)
    return tuple(f" {word}" for word in CLASSES.get(piece, [piece]))


def fill_phrases(
    slots: tuple[PhraseSlot, ...], count: int, ids: dict[str, int], rng: np.random.Generator
) -> Int32[ndarray, "phrase position"]:
    """The token ids of `count` phrases.

    The strings of a slot come equally often, as far as that divides.
    """
    columns: list[ndarray] = []
    for strings in slots:
        choices = np.array([ids[string] for string in strings], np.int32)
        columns.append(choices[rng.permutation(count) % len(choices)])
    return np.stack(columns, axis=1)


def shuffle_phrases(
    units: Sequence[Int32[ndarray, "_ _"]], rng: np.random.Generator
) -> Int32[ndarray, " token"]:
    """All phrases in random order, end to end."""
    width = max(unit.shape[1] for unit in units)
    rows = np.concatenate(
        [np.pad(unit, ((0, 0), (0, width - unit.shape[1])), constant_values=-1) for unit in units]
    )
    flat = rng.permutation(rows).reshape(-1)
    return flat[flat >= 0]


def cut_into_corpus(
    stream: Int32[ndarray, " token"], vocabulary: Vocabulary, rng: np.random.Generator
) -> Corpus:
    """The stream, cut into documents of random length, and these into sequences."""
    lengths = rng.integers(*DOCUMENT_LENGTHS, len(stream) // DOCUMENT_LENGTHS[0] + 1)
    ends = np.cumsum(lengths)
    ends = np.append(ends[ends < len(stream)], len(stream))
    starts = np.append(0, ends[:-1])
    counts = -(-(ends - starts) // SEQUENCE_LENGTH)
    within: Int64[ndarray, " sequence"] = np.arange(counts.sum()) - np.repeat(
        np.cumsum(counts) - counts, counts
    )
    offsets = np.append(np.repeat(starts, counts) + within * SEQUENCE_LENGTH, len(stream))
    digests = [
        blake2b(stream[start:end].tobytes(), digest_size=8).digest()
        for start, end in zip(starts, ends, strict=True)
    ]
    hashes = np.frombuffer(b"".join(digests), np.uint64)
    names = tuple(f"planted text {number}" for number in range(len(ends)))
    return Corpus(
        stream, offsets, np.repeat(np.arange(len(ends)), counts), hashes, names, vocabulary
    )
