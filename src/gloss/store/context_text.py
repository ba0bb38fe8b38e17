"""Windows as people read them: a character that a window's edge cuts is shown whole, since its
bytes are next door.
"""

import numpy as np
from jaxtyping import Int32, Int64, UInt8
from numpy import ndarray

from gloss.records import Contexts
from gloss.store.corpus import Corpus
from gloss.store.identity_cache import once_for_each
from gloss.store.vocabulary import Vocabulary

MOST = 3  # bytes of a character that can stand outside


def character_edges(
    corpus: Corpus,
    firsts: Int64[ndarray, " window"],
    ends: Int64[ndarray, " window"],
    tokens: Int32[ndarray, " position"],
    shifts: Int64[ndarray, " window"],
) -> ndarray:
    """The bytes before and behind each window, of its document, that complete its first and its
    last character; (window, 2). The windows' tokens stand in `tokens`, so far from where they stand
    in the corpus.
    """
    edges = np.zeros((len(firsts), 2, MOST), np.uint8)
    inside = np.flatnonzero(firsts < ends)
    own = shifts.take(inside)
    front = corpus.vocabulary.begins_inside.take(tokens.take(firsts.take(inside) + own))
    back = corpus.vocabulary.ends_inside.take(tokens.take(ends.take(inside) - 1 + own))
    if front.any():
        rows = inside[front]
        edges[rows, 0] = bytes_before(corpus, firsts[rows])
    if back.any():
        rows = inside[back]
        edges[rows, 1] = bytes_behind(corpus, firsts[rows], ends[rows], edges[rows, 0])
    return edges.reshape(len(firsts), 2 * MOST).view(f"S{MOST}")


Bytes = UInt8[ndarray, "window 3"]  # of each window, from the left, 0 where there is none


def bytes_before(corpus: Corpus, firsts: Int64[ndarray, " window"]) -> Bytes:
    """The beginning of the character that the token at each of `firsts` goes on with.

    Nothing where there is none in the document.
    """
    bounds = corpus.document_bounds[corpus.sequences_of(firsts), 0]
    found, number = bytes_up_to(corpus, firsts, bounds, len(corpus))
    begun = begun_bytes(found, number, stops=True)
    leads = found[np.arange(len(found)), MOST - np.maximum(begun, 1)]
    return aligned_left(found, np.where(begun < character_lengths(leads), begun, 0))


def bytes_behind(
    corpus: Corpus,
    firsts: Int64[ndarray, " window"],
    ends: Int64[ndarray, " window"],
    fronts: Bytes,
) -> Bytes:
    """The rest of the character that each window ends in, given what completes its front.

    Nothing where it is not in the document.
    """
    own, number = bytes_up_to(corpus, ends, firsts, MOST)
    before = np.count_nonzero(fronts, axis=1)
    for place in range(MOST):  # what stands in front of the window's own bytes, from the right
        more = (place < before) & (number < MOST)
        rows = np.flatnonzero(more)
        own[rows, MOST - 1 - number[rows]] = fronts[rows, before[rows] - 1 - place]
        number = number + more
    begun = begun_bytes(own, number, stops=False)
    leads = own[np.arange(len(own)), MOST - np.maximum(begun, 1)]
    missing = np.where(begun > 0, character_lengths(leads) - begun, 0)
    bounds = corpus.document_bounds[corpus.sequences_of(ends - 1), 1]
    found, held = bytes_from(corpus, ends, bounds, missing)
    within = np.arange(MOST) < missing[:, None]
    whole = (held >= missing) & ((found & 0xC0 == 0x80) | ~within).all(axis=1)
    return np.where(within & whole[:, None], found, np.uint8(0))


def bytes_up_to(
    corpus: Corpus,
    ends: Int64[ndarray, " window"],
    bounds: Int64[ndarray, " window"],
    tokens: int,
) -> tuple[Bytes, Int64[ndarray, " window"]]:
    """The last 3 bytes before each end, at the right, and how many there are: of so many tokens at
    most, none of them before the bound.
    """
    lasts, lengths = corpus.vocabulary.tails
    found, number = np.zeros((len(ends), MOST), np.uint8), np.zeros(len(ends), np.int64)
    at = ends - 1
    for _ in range(tokens):
        rows = np.flatnonzero((number < MOST) & (at >= bounds))
        if not len(rows):
            break
        token = corpus.tokens[at[rows]]
        for place in range(MOST):
            fits = (place < lengths[token]) & (number[rows] + place < MOST)
            into = rows[fits]
            found[into, MOST - 1 - number[into] - place] = lasts[token[fits], MOST - 1 - place]
        number[rows] = np.minimum(number[rows] + lengths[token], MOST)
        at[rows] -= 1
    return found, number


def bytes_from(
    corpus: Corpus,
    starts: Int64[ndarray, " window"],
    bounds: Int64[ndarray, " window"],
    wanted: Int64[ndarray, " window"],
) -> tuple[Bytes, Int64[ndarray, " window"]]:
    """The bytes from each start on, up to 3, and how many there are, at least as many as are
    wanted unless the bound comes first.
    """
    heads, lengths = corpus.vocabulary.heads
    found, number = np.zeros((len(starts), MOST), np.uint8), np.zeros(len(starts), np.int64)
    at = starts.copy()
    while len(rows := np.flatnonzero((number < wanted) & (at < bounds))):
        token = corpus.tokens[at[rows]]
        for place in range(MOST):
            fits = (place < lengths[token]) & (number[rows] + place < MOST)
            into = rows[fits]
            found[into, number[into] + place] = heads[token[fits], place]
        number[rows] = np.minimum(number[rows] + lengths[token], MOST)
        at[rows] += 1
    return found, number


def begun_bytes(
    found: Bytes, number: Int64[ndarray, " window"], *, stops: bool
) -> Int64[ndarray, " window"]:
    """How many bytes from the right the last character takes that begins among them; 0 where none
    does, or where `stops` and one of a byte stands behind its beginning.
    """
    begun, open_ = np.zeros(len(found), np.int64), np.ones(len(found), bool)
    for length in range(1, MOST + 1):
        byte = found[:, MOST - length]
        there = open_ & (length <= number)
        leads = there & (byte & 0xC0 == 0xC0)
        begun[leads] = length
        open_ = there & ~leads & ~(stops & (byte < 0x80))
    return begun


def aligned_left(found: Bytes, number: Int64[ndarray, " window"]) -> Bytes:
    """The last so many bytes of each, at the left."""
    places = np.minimum(MOST - number[:, None] + np.arange(MOST), MOST - 1)
    shifted = np.take_along_axis(found, places, axis=1)
    return np.where(np.arange(MOST) < number[:, None], shifted, np.uint8(0))


def character_lengths(leads: UInt8[ndarray, " window"]) -> Int64[ndarray, " window"]:
    """How many bytes the character has that begins with each of these."""
    return np.where(leads >= 0xF0, 4, np.where(leads >= 0xE0, 3, 2))


def context_pieces(contexts: Contexts, row: int, vocabulary: Vocabulary) -> list[str]:
    """One string a position, which together are the context's text.

    A character that is cut belongs to its last token there.
    """
    edges = (
        None
        if contexts.edges is None
        else (bytes(contexts.edges[row, 0]), bytes(contexts.edges[row, 1]))
    )
    return vocabulary.texts(contexts.tokens[row].tolist(), edges)


@once_for_each(32)  # of a feature, for each of its explanations and controls
def context_texts(contexts: Contexts, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Each context's text."""
    return tuple("".join(context_pieces(contexts, row, vocabulary)) for row in range(len(contexts)))
