"""The bytes that complete cut characters, all windows at once, against looking one by one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.store.context_text import character_edges
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary


def parts(text: str) -> list[bytes]:
    """All pieces of the bytes of a text."""
    whole = text.encode()
    return [whole[i:j] for i in range(len(whole)) for j in range(i + 1, len(whole) + 1)]


STRANGE = [b"", b"\x80\x80\x80\x80", b"\xf0", "你好".encode(), b"\xc3\xc3"]
PIECES = (*(piece for text in ("a", "é", "你", "😀", "b ") for piece in parts(text)), *STRANGE)


def length_of(lead: int) -> int:
    return 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2


def before(pieces: list[bytes], first: int) -> bytes:
    """What stands in the document before a window, as far as its first character began there."""
    found = b"".join(pieces[:first])
    for number in range(1, min(3, len(found)) + 1):
        if found[-number] >= 0xC0:
            return found[-number:] if number < length_of(found[-number]) else b""
        if found[-number] < 0x80:
            break
    return b""


def behind(pieces: list[bytes], first: int, end: int, front: bytes) -> bytes:
    own = front + b"".join(pieces[max(first, end - 3) : end])
    begun = next((n for n in range(1, min(3, len(own)) + 1) if own[-n] >= 0xC0), 0)
    missing = max(length_of(own[-begun]) - begun, 0) if begun else 0
    found = b"".join(pieces[end:])[:missing]
    return found if len(found) == missing and all(0x80 <= b < 0xC0 for b in found) else b""


documents = st.lists(
    st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=14), min_size=1, max_size=4
)


@settings(max_examples=300, deadline=None)
@given(documents, st.integers(1, 5), st.integers(1, 9))
def test_all_windows_at_once_say_what_each_says_by_itself(texts, length, width):
    lengths, owners = [], []
    for number, text in enumerate(texts):
        cuts = [min(length, len(text) - first) for first in range(0, len(text), length)]
        lengths, owners = lengths + cuts, owners + [number] * len(cuts)
    tokens = np.array([each for text in texts for each in text], np.int32)
    corpus = Corpus(
        tokens,
        np.cumsum([0, *lengths]),
        np.array(owners),
        np.zeros(len(texts), np.uint64),
        tuple(map(str, range(len(texts)))),
        Vocabulary(PIECES),
    )
    firsts, ends, expected, begun = [], [], [], 0
    for text in texts:
        pieces = [PIECES[each] for each in text]
        for first in range(len(text)):
            for end in {first, min(first + width, len(text))}:
                firsts.append(begun + first)
                ends.append(begun + end)
                front = b""
                if end > first and pieces[first][:1] and 0x80 <= pieces[first][0] < 0xC0:
                    front = before(pieces, first)
                rest = b""
                if end > first and pieces[end - 1] and pieces[end - 1][-1] >= 0x80:
                    rest = behind(pieces, first, end, front)
                expected.append([front, rest])
        begun += len(text)
    here = np.zeros(len(firsts), np.int64)
    found = character_edges(corpus, np.array(firsts), np.array(ends), tokens, here)
    assert found.tolist() == expected
    assert found.dtype == np.dtype("S3")
