"""Predicates on every string of a vocabulary at once, so that a text is read by looking up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8
from numpy import ndarray

from gloss.rules.language import IsClass, Matches, Predicate
from gloss.rules.lexical_classes import CLASSES, is_word_character, word_core
from gloss.rules.patterns import match_strings
from gloss.rules.syntax_states import STATES

KEPT = 2  # lexicons of recent vocabularies: a run has one subject, a comparison two
WORDS = 200_000  # words of a vocabulary that are remembered, before it is begun anew


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Strings by id, with tables of what is true of each."""

    strings: Sequence[str]
    # of the classes asked for so far
    tables: dict[str, Bool[ndarray, " vocabulary"]] = field(default_factory=dict, repr=False)
    recent_words: "list[WordLexicon]" = field(default_factory=list, repr=False)

    def truths(self, predicate: Predicate) -> Bool[ndarray, " vocabulary"]:
        """Whether the predicate holds of each string."""
        if isinstance(predicate, IsClass):
            return self.class_table(predicate.name)
        if isinstance(predicate, Matches):
            return match_strings(predicate.pattern, self.strings)
        table = np.zeros(len(self.strings), bool)
        for string in predicate.strings:
            table[list(self.ids_of.get(string, ()))] = True
        return table

    def class_table(self, name: str) -> Bool[ndarray, " vocabulary"]:
        """Whether each string belongs to the lexical class."""
        table = self.tables.get(name)
        known = 0 if table is None else len(table)
        if table is None or known < len(self.strings):
            others = self.strings[known:]
            found = np.fromiter(map(CLASSES[name], others), bool, len(others))
            table = self.tables[name] = found if table is None else np.append(table, found)
        return table

    def classes(self, ids: Int64[ndarray, " id"]) -> Bool[ndarray, "id class"]:
        """Which of all lexical classes each of these strings belongs to, in the order of CLASSES.

        A string is looked at when it is first asked for: texts hold few of a large vocabulary.
        """
        looked_at, found = self.class_rows
        for i in ids[~looked_at[ids]].tolist():
            string = self.strings[int(i)]
            found[i] = [belongs(string) for belongs in CLASSES.values()]
        looked_at[ids] = True
        return found[ids]

    @cached_property
    def class_rows(self) -> tuple[Bool[ndarray, " vocabulary"], Bool[ndarray, "vocabulary class"]]:
        """Which strings have been looked at, and the classes of those."""
        number = len(self.strings)
        return np.zeros(number, bool), np.zeros((number, len(CLASSES)), bool)

    @cached_property
    def states(self) -> UInt8[ndarray, "state vocabulary"]:
        """What a text is in after a state and a token, as `syntax_states` remembers it."""
        return np.zeros((STATES, len(self.strings)), np.uint8)

    @property
    def words(self) -> "WordLexicon":
        """The words that texts in these tokens were seen to hold."""
        if not self.recent_words or len(self.recent_words[0].strings) > WORDS:
            self.recent_words[:] = [WordLexicon([])]
        return self.recent_words[0]

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


@dataclass(frozen=True, eq=False)
class WordLexicon(Lexicon):
    """Words by id, which grows as texts are read: most words of a text stood in texts before."""

    strings: list[str]
    numbers: dict[int, int] = field(default_factory=dict, repr=False)  # id by the pieces' hash

    @cached_property
    def ids_of(self) -> dict[str, tuple[int, ...]]:
        """The id of each word. It is added to, and never made anew."""
        return {}

    def ids_by_hash(
        self, hashes: list[int], spell: Callable[[int], str]
    ) -> Int64[ndarray, " hash"]:
        """The ids of words by the hashes of their pieces; `spell` is asked for the word at a place
        of the list where its hash is new.
        """
        found: list[int | None] = list(map(self.numbers.get, hashes))
        if None in found:
            for place in [place for place, number in enumerate(found) if number is None]:
                word = spell(place)
                if word not in self.ids_of:
                    self.ids_of[word] = (len(self.strings),)
                    self.strings.append(word)
                found[place] = self.numbers[hashes[place]] = self.ids_of[word][0]
        return np.array(found, np.int64)


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
