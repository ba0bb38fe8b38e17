"""A window that an edge cuts inside a character shows the whole character, and a broken sign only
where the text holds one.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.models.chat_models.token_marks import spell_contexts
from gloss.pages.heatmap import Palette, paint_context
from gloss.records import Contexts, FeatureActivations
from gloss.store.context_text import context_texts
from gloss.store.contexts import cut_contexts
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary

BYTES = Vocabulary(tuple(bytes([i]) for i in range(256)))
SCRIPTS = "aé שלום مرحبا 你好世界 ไทย e\u0301n\u0303 👩‍👩‍👧‍👦🇩🇪😀 \ufffd"
TEXTS = st.lists(st.text(SCRIPTS, min_size=1, max_size=20), min_size=1, max_size=3)
NOWHERE = FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32))


def corpus_of(texts: list[str], length: int) -> Corpus:
    """A document a text, a token a byte, in sequences of this length that end wherever they do."""
    encoded = [text.encode() for text in texts]
    cuts = [
        (n, min(length, len(each) - first))
        for n, each in enumerate(encoded)
        for first in range(0, len(each), length)
    ]
    offsets = np.cumsum([0, *(size for _, size in cuts)]).astype(np.int64)
    names, hashes = tuple(map(str, range(len(texts)))), np.arange(len(texts)).astype(np.uint64)
    tokens = np.frombuffer(b"".join(encoded), np.uint8).astype(np.int32)
    return Corpus(tokens, offsets, np.array([n for n, _ in cuts]), hashes, names, BYTES)


def whole(text: str, begin: int, end: int) -> str:
    """The characters of a text of which a byte lies between these two."""
    ends = np.cumsum([len(character.encode()) for character in text])
    starts = ends - [len(character.encode()) for character in text]
    return "".join(
        character
        for character, a, b in zip(text, starts, ends, strict=True)
        if a < end and b > begin
    )


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(1, 30), st.integers(1, 12), st.data())
def test_windows_show_whole_characters(
    texts: list[str], length: int, width: int, data: st.DataObject
) -> None:
    corpus = corpus_of(texts, length)
    starts = np.array(
        data.draw(st.lists(st.integers(0, len(corpus) - 1), min_size=1, max_size=8)), np.int64
    )
    contexts = cut_contexts(corpus, NOWHERE, starts, width, np.zeros(len(starts), np.int64))
    begins = np.cumsum([0, *(len(text.encode()) for text in texts)])
    for row, start in enumerate(starts.tolist()):
        document = int(contexts.documents[row])
        end = min(start + width, int(corpus.offsets[corpus.sequences_of(np.array([start]))[0] + 1]))
        expected = whole(texts[document], start - begins[document], end - begins[document])
        assert context_texts(contexts, BYTES)[row] == expected
        assert spell_contexts(contexts, BYTES)[row].text == expected
        assert context_texts(contexts[np.array([row])], BYTES) == (expected,)


@pytest.mark.parametrize("text", ["你好世界 😀😀 שלום", "e\u0301 🇩🇪"])
def test_a_text_that_ends_inside_a_character_shows_nothing_of_it(text: str) -> None:
    corpus = corpus_of([text], 100)
    short = Corpus(
        corpus.tokens[1:-1],
        np.array([0, len(corpus) - 2]),
        np.array([0]),
        corpus.hashes,
        ("a",),
        BYTES,
    )
    contexts = cut_contexts(short, NOWHERE, np.array([0]), len(corpus), np.array([0]))
    [shown] = context_texts(contexts, BYTES)
    assert "\ufffd" not in shown
    assert shown in text


def test_a_page_marks_the_whole_character() -> None:
    corpus = corpus_of(["你好"], 100)
    fires = FeatureActivations(np.array([1]), np.array([2.0], np.float32))
    contexts: Contexts = cut_contexts(corpus, fires, np.array([1]), 4, np.array([0]))
    [spelled] = spell_contexts(contexts, BYTES)
    assert spelled.pieces == ("", "你", "", "好")
    assert spelled.activations.tolist() == [0, 2, 0, 0]
    row = paint_context(contexts, 0, Palette(BYTES, 2.0, ("a",)), False)
    assert "你" in row.before + row.after
    assert "\ufffd" not in row.before + row.after


def test_a_character_is_not_put_together_from_sequences_that_do_not_follow_each_other() -> None:
    # of a corpus that was mined some sequences are missing
    text = corpus_of(["aé"], 2)
    for numbers, shown in (([4, 5], ["aé", "é"]), ([4, 6], ["a", ""])):
        part = replace(text, numbers=np.array(numbers))
        starts = part.offsets[:-1]
        contexts = cut_contexts(part, NOWHERE, starts, 2, np.zeros(2, np.int64))
        assert list(context_texts(contexts, BYTES)) == shown
