"""Windows as people read them: a character that a window's edge cuts is shown whole, since its
bytes are next door.
"""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.records import Contexts
from gloss.store.corpus import Corpus
from gloss.store.identity_cache import once_for_each
from gloss.store.vocabulary import Vocabulary

MOST = 3  # bytes of a character that can stand outside


def character_edges(
    corpus: Corpus, firsts: Int64[ndarray, " window"], ends: Int64[ndarray, " window"]
) -> ndarray:
    """The bytes before and behind each window, of its document, that complete its first and its
    last character; (window, 2).
    """
    edges = np.zeros((len(firsts), 2), f"S{MOST}")
    inside = np.flatnonzero(firsts < ends)
    front = corpus.vocabulary.begins_inside[corpus.tokens[firsts[inside]]]
    back = corpus.vocabulary.ends_inside[corpus.tokens[ends[inside] - 1]]
    for row in inside[front].tolist():
        edges[row, 0] = bytes_before(corpus, int(firsts[row]))
    for row in inside[back].tolist():
        edges[row, 1] = bytes_behind(corpus, int(firsts[row]), int(ends[row]), bytes(edges[row, 0]))
    return edges


def bytes_before(corpus: Corpus, first: int) -> bytes:
    """The beginning of the character that the token at `first` goes on with.

    Nothing where there is none in the document.
    """
    at, found = first - 1, b""
    while at >= 0 and len(found) < MOST and in_same_document(corpus, at, first):
        found = corpus.vocabulary.pieces[corpus.tokens[at]] + found
        at -= 1
    for length in range(1, min(MOST, len(found)) + 1):
        if found[-length] & 0xC0 == 0xC0:
            return found[-length:] if length < character_length(found[-length]) else b""
        if found[-length] < 0x80:
            break
    return b""


def bytes_behind(corpus: Corpus, first: int, end: int, front: bytes) -> bytes:
    """The rest of the character that the window ends in.

    Nothing where it is not in the document.
    """
    pieces = corpus.vocabulary.pieces
    own = front + b"".join(
        pieces[token] for token in corpus.tokens[max(first, end - MOST) : end].tolist()
    )
    begun = next((n for n in range(1, min(MOST, len(own)) + 1) if own[-n] & 0xC0 == 0xC0), 0)
    missing = character_length(own[-begun]) - begun if begun else 0
    found, at = b"", end
    while len(found) < missing and at < len(corpus) and in_same_document(corpus, at, end - 1):
        found += pieces[corpus.tokens[at]]
        at += 1
    found = found[: max(missing, 0)]
    return found if len(found) == missing and all(byte & 0xC0 == 0x80 for byte in found) else b""


def character_length(lead: int) -> int:
    """How many bytes the character has that begins with this one."""
    return 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2


def in_same_document(corpus: Corpus, one: int, other: int) -> bool:
    """Whether both tokens are of one document, with all of it between them."""
    low, high = np.sort(corpus.sequences_of(np.array([one, other])))
    apart = 0 if corpus.numbers is None else corpus.numbers[high] - corpus.numbers[low]
    return bool(corpus.documents[low] == corpus.documents[high]) and apart in (0, high - low)


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
