"""Prompts cut into players, and what is left of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from gloss.attribute.players.prompt_parts import (
    STAYS,
    PromptUnit,
    TokenGroups,
    constant_filler,
    random_word_filler,
)
from gloss.errors import BadInput
from gloss.models.pretrained.tokenizer import PlainTokenizer

LEARNED = [
    "When Mary and John went to the store, John's\tgift was déjà vu.\n  Why? 日本 🎉 end"
] * 5
WORDS = PromptUnit.WORDS


def byte_level(**settings: bool) -> Tokenizer:
    """As of GPT-2, whose tokens begin with a space."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(**settings)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        LEARNED, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    )
    return made


def sentencepiece() -> Tokenizer:
    """As of Llama 2, with bytes for what it never saw."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"andthewJohnMy", "▁a"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(
        models.BPE(vocabulary, [("▁", "a")], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    return made


def across_words() -> Tokenizer:
    """Whose tokens hold several words, and the space behind them."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=["<unk>"], show_progress=False)
    made.train_from_iterator(LEARNED, trainer)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " ")])
    return made


def wordpiece() -> Tokenizer:
    """As of BERT: small letters, no accents, no spaces."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=120, special_tokens=["[UNK]"], show_progress=False
    )
    made.train_from_iterator(LEARNED, trainer)
    return made


def metaspace() -> Tokenizer:
    """A unigram model behind the marks of spaces."""
    pieces = [("<unk>", 0.0), ("▁the", -1.0), ("▁", -3.0), ("t", -3.0), ("J", -3.0)]
    made = Tokenizer(models.Unigram(pieces, unk_id=0))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return made


TOKENIZERS = {
    name: PlainTokenizer(made)
    for name, made in {
        "byte level": byte_level(add_prefix_space=False),
        "byte level, a space in front": byte_level(add_prefix_space=True),
        "across words": across_words(),
        "sentencepiece": sentencepiece(),
        "wordpiece": wordpiece(),
        "metaspace": metaspace(),
    }.items()
}
STRINGS = {name: made.vocabulary(0).strings for name, made in TOKENIZERS.items()}
TEXTS = st.one_of(
    st.lists(st.sampled_from(LEARNED[0].split()), min_size=1, max_size=8).map(" ".join),
    st.text(alphabet=" \n\tMaryJohn.?é日🎉'", min_size=1, max_size=30),
    st.text(min_size=1, max_size=12),
).filter(str.strip)


def cut(name: str, text: str, unit: PromptUnit = WORDS) -> TokenGroups:
    return TokenGroups.of_text(text, unit, TOKENIZERS[name].encode_with_spans(text), STRINGS[name])


def is_subsequence(some: list[int], whole: list[int]) -> bool:
    left = iter(whole)
    return all(token in left for token in some)


@pytest.mark.parametrize("unit", [PromptUnit.WORDS, PromptUnit.SENTENCES, PromptUnit.LINES])
@pytest.mark.parametrize("name", TOKENIZERS)
@settings(deadline=None, max_examples=40)
@given(text=TEXTS, seed=st.integers(0, 2**16))
def test_what_is_kept_keeps_its_own_tokens_whatever_the_tokenizer(name, unit, text, seed):
    groups, whole = cut(name, text, unit), TOKENIZERS[name].encode(text)
    n = len(groups.players)
    kept = np.random.default_rng(seed).random(n) < 0.5
    left = groups.remaining(kept)
    assert groups.remaining(np.ones(n, np.bool_)) == whole
    assert is_subsequence(left, whole)
    # all tokens are the player's that is kept, or stay; none of it is lost
    assert sorted(left) == sorted(
        token
        for token, owner in zip(whole, groups.owners, strict=True)
        if owner == STAYS or kept[owner]
    )
    # each player is one word or more, as they stood, and its tokens stand together
    assert "".join(" ".join(groups.players).split()) == "".join(text.split())
    owned = [owner for owner in groups.owners if owner != STAYS]
    assert owned == sorted(owned)


@pytest.mark.parametrize("name", sorted(set(TOKENIZERS) - {"across words"}))
def test_words_are_players_of_their_own_where_no_token_holds_two(name):
    text = "When Mary and  John's\n gift"
    assert cut(name, text).players == tuple(text.split())


def test_words_that_share_a_token_are_one_player():
    text = "My and to"
    encoded = [(0, (0, 1)), (1, (1, 7)), (3, (7, 9))]
    groups = TokenGroups.of_text(text, WORDS, encoded, ["M", "y and ", " ", "to"])
    assert groups.players == ("My and", "to")
    assert groups.remaining(np.array([False, True])) == [3]
    assert groups.remaining(np.array([True, False])) == [0, 1]


def test_space_that_a_tokenizer_puts_in_front_stays_in_front():
    groups = cut("metaspace", "xthe the")
    assert groups.owners[0] == STAYS
    said = [STRINGS["metaspace"][token] for token in groups.remaining(np.array([False, True]))]
    assert said == [" ", " the"]


def letters(text: str, unit: PromptUnit, within: tuple[int, int] | None = None) -> TokenGroups:
    """Every letter is a token."""
    encoded = [(ord(letter), (place, place + 1)) for place, letter in enumerate(text)]
    return TokenGroups.of_text(text, unit, encoded, [chr(n) for n in range(128)], within)


def remaining(pieces: TokenGroups, kept: list[bool]) -> str:
    return "".join(map(chr, pieces.remaining(np.array(kept))))


def test_words_take_the_space_before_them_along():
    pieces = letters("the cat  sat\ndown", WORDS)
    assert pieces.players == ("the", "cat", "sat", "down")
    assert remaining(pieces, [True] * 4) == "the cat  sat\ndown"
    assert remaining(pieces, [True, False, True, False]) == "the  sat"
    assert remaining(pieces, [False] * 4) == ""


def test_sentences_and_lines():
    text = "It rained. Nobody came!\nWhy? Who knows"
    assert letters(text, PromptUnit.SENTENCES).players == (
        "It rained.",
        "Nobody came!",
        "Why?",
        "Who knows",
    )
    assert letters(text, PromptUnit.LINES).players == (
        "It rained. Nobody came!",
        "Why? Who knows",
    )


def test_what_lies_outside_the_cut_always_stays():
    pieces = letters("Text: a b. Question: c", WORDS, within=(5, 10))
    assert pieces.players == ("a", "b.")
    assert remaining(pieces, [False, False]) == "Text: Question: c"


def test_something_else_stands_in():
    pieces = replace(letters("a bb c", WORDS), instead=((), (32, 95), (32,)))
    assert remaining(pieces, [True, False, True]) == "a _ c"
    assert remaining(pieces, [False, True, True]) == " bb c"


def test_the_same_place_of_another_prompt_stands_in():
    pieces = letters("the cat sat", WORDS).filled_from(letters("a dog", WORDS))
    assert remaining(pieces, [True, False, True]) == "the dog sat"
    assert remaining(pieces, [False, True, False]) == "a cat"
    assert remaining(pieces, [False] * 3) == "a dog"


def test_fillers_keep_the_space_before_what_they_replace(rng):
    assert constant_filler("_")("  bb") == "  _"
    assert random_word_filler(["zz"], rng)("\nbb c") == "\nzz zz"


def test_tokens_may_be_players():
    row = TokenGroups.of_tokens((0, 1, 2), ("a", " b", "c"))
    assert row.players == ("a", " b", "c")
    assert row.remaining(np.array([True, False, True])) == [0, 2]
    other = replace(row, instead=((2,), (2,), (0,)))
    assert other.remaining(np.array([True, False, False])) == [0, 2, 0]


def test_it_refuses_what_cannot_be_cut(rng):
    with pytest.raises(BadInput, match="no words"):
        letters("  ", WORDS)
    with pytest.raises(BadInput, match="only to a model"):
        letters("a", PromptUnit.TOKENS)
    with pytest.raises(BadInput, match="no tokens"):
        TokenGroups.of_tokens((), ())
    with pytest.raises(BadInput, match="no words to draw"):
        random_word_filler([], rng)
