"""Near copies make one group, whatever was done to them.

Documents that merely share a licence or an opening do not.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_subject
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

from gloss.collect.near_copies import near_copy_groups, word_runs
from gloss.collect.texts import NamedTexts
from gloss.collect.tokens import read_texts
from gloss.models.pretrained.tokenizer import PlainTokenizer
from gloss.models.subject import Subject
from gloss.store.corpus import Corpus

SUBJECT = tiny_subject()
WORDS = np.array([a + b + c for a in "bdgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "")])
LICENCE = "\n".join(
    f"# {line}"
    for line in (
        "Licensed under some licence; you may not use this file except in compliance with it.",
        "You may obtain a copy of it at the usual place, where it has been for many years.",
        (
            "Unless required by law or agreed to in writing, what is distributed is distributed as"
            " it is,"
        ),
        "without warranties or conditions of any kind, either express or implied; see the licence",
        "for the language that governs permissions and limitations, of which there are several.",
    )
)


def story(rng: np.random.Generator, sentences: int = 8) -> list[str]:
    return [
        " ".join(rng.choice(WORDS, rng.integers(6, 12))).capitalize() + "."
        for _ in range(sentences)
    ]


def text(sentences: list[str]) -> str:
    half = len(sentences) // 2
    return " ".join(sentences[:half]) + "\n\n" + " ".join(sentences[half:])


def groups(texts: list[str], folder: Path) -> list[int]:
    read_texts(
        SUBJECT,
        NamedTexts(tuple((str(n), each) for n, each in enumerate(texts))),
        folder / "corpus",
        64,
    )
    corpus = Corpus.open(folder / "corpus")
    assert (corpus.documents_in_train == corpus.documents_in_train[corpus.groups]).all()
    return corpus.groups.tolist()


COPIES: dict[str, Callable[[list[str], int], str]] = {
    "white space": lambda s, n: text(s).replace(" ", "  " if n % 2 else " ") + "\n" * n,
    "line ends": lambda s, n: text(s).replace(". ", (". ", ".\r\n", ".\n", ".\r\n\r\n")[n]),
    "a header line": lambda s, n: f"Story number {n}, as told in {n + 1990}\n\n{text(s)}",
    "case of a header line": (
        lambda s, n: ("THE STORY", "The Story", "the story", "The story")[n] + "\n" + text(s)
    ),
    "a licence": lambda s, n: f"{LICENCE}\n{text(s)}\n" + "\n" * n,
    "one sentence more": lambda s, n: text(
        [*s[:n], *story(np.random.default_rng(n), 1), *s[n:]] if n else s
    ),
    "order of paragraphs": lambda s, n: text(s[4:] + s[:4] if n % 2 else s),
    "a word": lambda s, n: text(s).replace(" ", " indeed ", n),
}


@pytest.mark.parametrize("change", COPIES)
def test_copies_that_differ_a_little_are_one_group(
    change: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    stories = [story(rng) for _ in range(12)]
    found = groups([COPIES[change](each, n) for each in stories for n in range(4)], tmp_path)
    assert found == [4 * (n // 4) for n in range(48)]


@pytest.mark.parametrize("stories", [6, 60])
def test_a_licence_or_an_opening_alone_joins_nothing(
    stories: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    opening = "Once upon a time there was a little girl who lived in the woods. "
    texts = [
        f"{LICENCE}\n{opening}{text(story(rng, 8 if stories == 6 else 4))}\nThe end.\n"
        for _ in range(stories)
    ]
    assert groups(texts, tmp_path) == list(range(stories))


def test_copies_are_copies_although_all_their_lines_are_common(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    stories = [text(story(rng)) for _ in range(2)]
    assert groups([stories[n % 2] + "\n" * (n // 2) for n in range(40)], tmp_path) == [
        n % 2 for n in range(40)
    ]


def test_scripts_without_spaces_are_compared_by_character(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    alphabet = np.array([chr(0x4E00 + n) for n in range(300)])
    texts = ["".join(rng.choice(alphabet, 60)) for _ in range(5)]
    assert groups([each + end for each in texts for end in ("", "了")], tmp_path) == [
        2 * (n // 2) for n in range(10)
    ]


def test_what_a_tokenizer_does_not_know_is_no_word(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    stories = [text(story(rng)) for _ in range(12)]
    words = sorted({word for each in stories for word in each.split()})
    tokenizer = Tokenizer(
        WordLevel({word: n for n, word in enumerate(["<unk>", *words])}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = Split(Regex(r"\s"), "isolated")  # knows words, and no kind of blank
    tokenizer.add_special_tokens([AddedToken("<unk>", special=True)])
    model = tiny_subject().model
    model.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=False)
    texts = NamedTexts(
        tuple(
            (each[:5], each.replace(" ", blank))
            for each in stories
            for blank in (" ", "\u00a0", " \u2003")
        )
    )
    read_texts(Subject(model, PlainTokenizer(tokenizer)), texts, tmp_path / "corpus", 64)
    assert Corpus.open(tmp_path / "corpus").groups.tolist() == [3 * (n // 3) for n in range(36)]


def test_groups_are_the_same_again(tmp_path: Path, rng: np.random.Generator) -> None:
    stories = [text(story(rng)) for _ in range(5)]
    groups([*stories, *(f"A line\n{each}" for each in stories)], tmp_path)
    assert (
        near_copy_groups(tmp_path / "corpus").tolist()
        == Corpus.open(tmp_path / "corpus").groups.tolist()
        == [0, 1, 2, 3, 4] * 2
    )


def test_runs_are_of_three_words_across_lines():
    assert word_runs([["a", "b"], ["c", "d"]]) == ["a b c", "b c d"]
    assert word_runs([["a", "b", "c"]]) == ["a b c"]
    assert word_runs([["a"], ["b"]]) == ["a b"]
    assert word_runs([]) == word_runs([[]]) == []
