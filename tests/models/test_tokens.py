"""Tokens say their bytes, whatever the tokenizer's kind, and nothing is added, cut or padded."""

import json
from pathlib import Path

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
from transformers import PreTrainedTokenizerFast

from gloss.errors import BadInput
from gloss.models.pretrained.tokenizer import PlainTokenizer, load_tokenizer

TEXTS = [
    "for name in names:\n    print(name, 'Ünïcödé')",
    "def read(file):\n\treturn file.read()  # 語 🙂",
]
START = "<|start|>"


def byte_level_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=[START], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 5, trainer)
    return tokenizer


def sentencepiece_like_tokenizer() -> Tokenizer:
    pieces = ["<unk>", "<s>", "▁", "a", "b", "▁a", "▁ab"] + [
        f"<0x{byte:02X}>" for byte in range(256)
    ]
    merges = [("▁", "a"), ("▁a", "b")]
    tokenizer = Tokenizer(
        models.BPE(
            {p: n for n, p in enumerate(pieces)}, merges, unk_token="<unk>", byte_fallback=True
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>"])
    return tokenizer


def metaspace_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(
        models.Unigram(
            [("<unk>", 0.0), ("▁the", -1.0), ("▁", -3.0), ("t", -3.0), ("x", -3.0)], unk_id=0
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


BYTE_LEVEL = PlainTokenizer(byte_level_tokenizer())
BYTE_VOCABULARY = BYTE_LEVEL.vocabulary(0)


@settings(deadline=None)
@given(st.text())
def test_any_text_comes_back_exactly_from_byte_level_tokens(text: str):
    ids = BYTE_LEVEL.encode(text)
    assert BYTE_VOCABULARY.text(ids) == text
    assert "".join(BYTE_VOCABULARY.texts(ids)) == text


def test_every_byte_is_some_byte_level_token():
    assert {bytes([byte]) for byte in range(256)} <= set(BYTE_VOCABULARY.pieces)


def test_sentencepiece_like_tokens_say_spaces_and_bytes():
    tokens = PlainTokenizer(sentencepiece_like_tokenizer())
    vocabulary = tokens.vocabulary(0)
    assert vocabulary.pieces[2:7] == (b" ", b"a", b"b", b" a", b" ab")
    assert vocabulary.pieces[7 + 0xE4] == b"\xe4"
    assert vocabulary.text(tokens.encode("ab ab 語")) == " ab ab 語"


def test_metaspace_tokens_say_spaces():
    tokens = PlainTokenizer(metaspace_tokenizer())
    assert tokens.vocabulary(0).text(tokens.encode("the tx the")) == " the tx the"


def test_pieces_of_words_are_told_from_their_beginnings():
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "read": 1, "##ing": 2}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    assert PlainTokenizer(tokenizer).vocabulary(0).pieces[1:] == (b" read", b"ing")


def test_ends_of_words_are_spaces():
    tokenizer = Tokenizer(models.BPE({"re": 0, "ad</w>": 1}, [], end_of_word_suffix="</w>"))
    tokenizer.decoder = decoders.BPEDecoder()
    assert PlainTokenizer(tokenizer).vocabulary(0).pieces == (b"re", b"ad ")


def test_a_special_token_has_its_name_and_an_added_one_its_text():
    tokenizer = byte_level_tokenizer()
    tokenizer.add_tokens(["  é"])
    vocabulary = PlainTokenizer(tokenizer).vocabulary(0)
    assert vocabulary.pieces[0] == START.encode()
    assert vocabulary.pieces[-1] == "  é".encode()


def test_numbers_without_a_token_are_called_unused():
    vocabulary = PlainTokenizer(byte_level_tokenizer()).vocabulary(310)
    assert len(vocabulary) == 310
    assert vocabulary.pieces[309] == b"<unused_309>"


def test_a_vocabulary_is_never_shorter_than_the_tokenizer():
    assert len(BYTE_LEVEL.vocabulary(5)) == BYTE_LEVEL.tokenizer.get_vocab_size()


def test_text_is_neither_cut_nor_padded_nor_begun_with_a_token():
    tokenizer = byte_level_tokenizer()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=50)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, 0)]
    )
    tokens = PlainTokenizer(tokenizer)
    assert tokens.encode(TEXTS[0]) == BYTE_LEVEL.encode(TEXTS[0])
    assert tokenizer.truncation is not None  # the tokenizer that was handed in is left as it is


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    byte_level_tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def write_config(folder: Path, name: str, **settings: object) -> None:
    (folder / name).write_text(json.dumps(settings))


def test_a_bare_tokenizer_starts_with_the_model_s_start_token_if_that_is_special(folder: Path):
    assert load_tokenizer(folder, 0).start_token == 0
    assert load_tokenizer(folder, 5).start_token is None
    assert load_tokenizer(folder, None).start_token is None


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("start", [START, {"content": START}])
def test_the_start_token_is_the_one_that_the_files_name(folder: Path, name: str, start: object):
    write_config(folder, name, bos_token=start)
    assert load_tokenizer(folder, None).start_token == 0


def test_a_tokenizer_that_names_no_start_token_has_none(folder: Path):
    write_config(folder, "tokenizer_config.json", bos_token=None)
    assert load_tokenizer(folder, 0).start_token is None


def test_a_folder_written_by_transformers_is_read(tmp_path: Path):
    PreTrainedTokenizerFast(
        tokenizer_object=byte_level_tokenizer(), bos_token=START
    ).save_pretrained(tmp_path)
    tokens = load_tokenizer(tmp_path, None)
    assert tokens.start_token == 0
    assert tokens.encode(TEXTS[1]) == BYTE_LEVEL.encode(TEXTS[1])


def test_a_folder_of_older_files_is_read_by_transformers(tmp_path: Path):
    tokenizer = byte_level_tokenizer()
    tokenizer.model.save(str(tmp_path))  # vocab.json and merges.txt
    write_config(
        tmp_path, "tokenizer_config.json", tokenizer_class="GPT2Tokenizer", bos_token=START
    )
    tokens = load_tokenizer(tmp_path, None)
    assert tokens.start_token == 0
    assert tokens.vocabulary(0).text(tokens.encode(TEXTS[1])) == TEXTS[1]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match=r"holds no tokenizer: wanted a file tokenizer\.json"):
        load_tokenizer(tmp_path, None)


@pytest.mark.parametrize(
    "content, reason",
    [("{", "cannot be read as JSON"), ("[]", "wanted a JSON object"), ("{}", "is no tokenizer")],
)
def test_a_broken_tokenizer_is_refused(tmp_path: Path, content: str, reason: str):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(BadInput, match=reason):
        load_tokenizer(tmp_path, None)
