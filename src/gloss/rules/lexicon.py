"""Predicates on every string of a vocabulary at once, so that a text is read by looking up."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int32
from numpy import ndarray

from gloss.rules.language import IsClass, OneOf, Predicate
from gloss.rules.lexical_classes import CLASSES, is_word_character, word_core
from gloss.rules.patterns import match_strings

KEPT = 2  # lexicons of recent vocabularies: a run has one subject, a comparison two


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Strings by id, with tables of what is true of each."""

    strings: tuple[str, ...]
    # of the classes asked for so far
    tables: dict[str, Bool[ndarray, " vocabulary"]] = field(default_factory=dict, repr=False)
    # what a text is in after a state and a token
    states: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    def truths(self, predicate: Predicate) -> Bool[ndarray, " vocabulary"]:
        """Whether the predicate holds of each string."""
        if isinstance(predicate, IsClass):
            return self.class_table(predicate.name)
        if isinstance(predicate, OneOf):
            table = np.zeros(len(self.strings), bool)
            for string in predicate.strings:
                table[list(self.ids_of.get(string, ()))] = True
            return table
        return match_strings(predicate.pattern, self.strings)

    def class_table(self, name: str) -> Bool[ndarray, " vocabulary"]:
        """Whether each string belongs to the lexical class."""
        if name not in self.tables:
            belongs = CLASSES[name]
            self.tables[name] = np.fromiter(
                (belongs(string) for string in self.strings), bool, len(self.strings)
            )
        return self.tables[name]

    @cached_property
    def ids_of(self) -> dict[str, tuple[int, ...]]:
        """All ids of each string."""
        found: dict[str, tuple[int, ...]] = {}
        for i, string in enumerate(self.strings):
            found[string] = (*found.get(string, ()), i)
        return found

    @cached_property
    def firsts(self) -> Int32[ndarray, " vocabulary"]:
        """For each id the first one with the same string: no rule can tell them apart."""
        return np.array([self.ids_of[string][0] for string in self.strings], np.int32)

    @cached_property
    def all_space(self) -> Bool[ndarray, " vocabulary"]:
        """Whether each string is blanks and line breaks only."""
        return np.fromiter((not string.strip() for string in self.strings), bool, len(self.strings))

    @cached_property
    def begins_word(self) -> Bool[ndarray, " vocabulary"]:
        """Whether each string begins inside a word."""
        return np.fromiter(
            (is_word_character(string[:1]) for string in self.strings), bool, len(self.strings)
        )

    @cached_property
    def ends_word(self) -> Bool[ndarray, " vocabulary"]:
        """Whether each string ends inside a word."""
        return np.fromiter(
            (is_word_character(string[-1:]) for string in self.strings), bool, len(self.strings)
        )

    @cached_property
    def cores(self) -> Int32[ndarray, " vocabulary"]:
        """A number for each string that strings of the same core share."""
        numbers: dict[str, int] = {}
        found = (numbers.setdefault(word_core(string), len(numbers)) for string in self.strings)
        return np.fromiter(found, np.int32, len(self.strings))

    def word(self, ids: list[int]) -> str:
        """The word that these pieces spell."""
        return word_core("".join(self.strings[i] for i in ids))


RECENT: list[Lexicon] = []


def recent_lexicon(strings: tuple[str, ...]) -> Lexicon:
    """The lexicon of these very strings.

    The same one while the vocabulary is among the recent ones.
    """
    for lexicon in RECENT:
        if lexicon.strings is strings:
            return lexicon
    RECENT.insert(0, Lexicon(strings))
    del RECENT[KEPT:]
    return RECENT[0]
