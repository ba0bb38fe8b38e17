"""Functions on words whose steps are known, some with an exception, and what claimed steps are
worth beside them: the string part of FIND (Schwettmann et al., 2023, arXiv 2309.03886).

A function is a feature whose inputs are words; steps that are claimed are its explanation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from types import MappingProxyType

import numpy as np

from gloss.errors import BadInput
from gloss.models.planted.words import COMMON_NOUNS, NOUNS, VERBS, split_words
from gloss.records import Evaluation, EvaluationRow
from gloss.statistics.intervals import wilson_interval

RIGHT = 0.9  # the share of words from which on steps count as right
VOWELS = "aeiou"
WORDS = (*NOUNS, *COMMON_NOUNS, *VERBS)  # on which functions are compared
OPPOSITES = MappingProxyType(
    {
        word: other
        for pair in split_words("""
        hot/cold day/night man/woman summer/winter question/answer left/right big/small open/closed
        old/young hard/soft lost/found bought/sold child/adult light/dark morning/evening early/late
        full/empty quick/slow rise/fall love/hate
        """)
        for word, other in (pair.split("/"), pair.split("/")[::-1])
    }
)


def shifted(word: str) -> str:
    """Every letter the next one of the alphabet, and a after z."""
    return "".join(chr((ord(c) - 96) % 26 + 97) if "a" <= c <= "z" else c for c in word)


STEPS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "first": lambda word: word[:1],
        "last": lambda word: word[-1:],
        "without first": lambda word: word[1:],
        "without last": lambda word: word[:-1],
        "reversed": lambda word: word[::-1],
        "twice": lambda word: word * 2,
        "sorted": lambda word: "".join(sorted(word)),
        "upper": str.upper,
        "vowels": lambda word: "".join(c for c in word if c in VOWELS),
        "without vowels": lambda word: "".join(c for c in word if c not in VOWELS),
        "shifted": shifted,
        "plural": lambda word: f"{word}s",
        "length": lambda word: str(len(word)),
        "opposite": lambda word: OPPOSITES.get(word, word),
    }
)


@dataclass(frozen=True)
class Steps:
    """What is done to a word, one after another, by the names of STEPS; nothing else is run.

    >>> Steps("reversed, upper")("cat"), Steps("")("cat")
    ('TAC', 'cat')
    """

    text: str

    def __post_init__(self) -> None:
        if unknown := [each for each in self.names if each not in STEPS]:
            raise BadInput(f"{unknown[0]!r} is no step; write {', '.join(STEPS)}, with commas")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of each step, in order."""
        return tuple(filter(None, (each.strip() for each in self.text.split(","))))

    def __call__(self, word: str) -> str:
        return reduce(lambda done, name: STEPS[name](done), self.names, word)


@dataclass(frozen=True)
class StringFunction:
    """Steps, and others in their place for words that begin with some letters."""

    steps: Steps
    exception: Steps | None = None
    letters: str = ""

    def excepted(self, word: str) -> bool:
        """Whether the other steps hold."""
        return self.exception is not None and word[:1] in self.letters

    def __call__(self, word: str) -> str:
        return (self.exception if self.exception and self.excepted(word) else self.steps)(word)


def draw_string_function(
    rng: np.random.Generator, *, corrupted: bool = False, words: Sequence[str] = WORDS
) -> StringFunction:
    """One to three steps that change most words, and for `corrupted` others for words with one of
    three first letters.

        >>> draw_string_function(np.random.default_rng(0), corrupted=True).exception is None
        False
    """

    def drawn(others: Callable[[str], str]) -> Steps:
        while True:
            names = rng.choice(np.array(list(STEPS)), int(rng.integers(1, 4)), replace=False)
            steps = Steps(", ".join(names.tolist()))
            if np.mean([steps(word) != others(word) for word in words]) > RIGHT:
                return steps

    steps = drawn(str)
    if not corrupted:
        return StringFunction(steps)
    letters = rng.choice(np.array(sorted({word[0] for word in words})), 3, replace=False)
    return StringFunction(steps, drawn(steps), "".join(letters.tolist()))


def judge_steps(
    claimed: Steps, function: StringFunction, words: Sequence[str] = WORDS
) -> Evaluation:
    """On how many words claimed steps do what a function does, on all and on those of its exception
    alone, beside a claim that nothing is done.

        >>> function = StringFunction(Steps("reversed"), Steps("upper"), "c")
        >>> told = judge_steps(Steps("reversed"), function)
        >>> told.value("right"), told.value("right_where_corrupted")
        (1.0, 0.0)
    """
    rows = list[EvaluationRow]()
    parts = {"": list(words), "_where_corrupted": [w for w in words if function.excepted(w)]}
    for name, chosen in parts.items():
        if not chosen:
            continue
        for kind, said in (("", claimed), ("_of_no_steps", Steps(""))):
            agreed = sum(said(word) == function(word) for word in chosen)
            share = wilson_interval(agreed, len(chosen))
            rows.append(EvaluationRow(f"agreement{kind}{name}", share, len(chosen), "words"))
            if not kind:
                right = float(share.value >= RIGHT)
                rows.append(EvaluationRow.exact(f"right{name}", right, len(chosen), "words"))
    return Evaluation("function_benchmark", tuple(rows))
