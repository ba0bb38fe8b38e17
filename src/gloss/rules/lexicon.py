"""Predicates on every string of a vocabulary at once, so that a text is read by looking up."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8, UInt64
from numpy import ndarray

from gloss.rules.language import IsClass, Matches, Predicate
from gloss.rules.lexical_classes import CLASSES, belonging, is_word_character, word_core
from gloss.rules.patterns import match_strings
from gloss.rules.syntax_states import STATES

KEPT = 2  # lexicons of recent vocabularies: a run has one subject, a comparison two
BASE = 0x9E3779B97F4A7C15  # of the hashes of words
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
        if name not in self.tables:
            self.tables[name] = self.belong(name, np.arange(len(self.strings)))
        return self.tables[name]

    def belong(self, name: str, ids: Int64[ndarray, " id"]) -> Bool[ndarray, " id"]:
        """Whether each of these strings belongs to the lexical class.

        A string is looked at when it is first asked for: texts hold few of a large vocabulary.
        """
        belongs, found = CLASSES[name], self.looked_at[:, list(CLASSES).index(name)]
        for i in ids[found[ids] == 0].tolist():
            found[i] = 1 + belongs(self.strings[int(i)])
        return found[ids] == 2

    def classes(self, ids: Int64[ndarray, " id"]) -> Bool[ndarray, "id class"]:
        """Which of all classes each of these strings belongs to, in the order of CLASSES."""
        found = self.looked_at
        if not found[ids].all():
            for i in ids[(found[ids] == 0).any(axis=1)].tolist():
                found[i] = np.add(belonging(self.strings[int(i)]), 1)
        return found[ids] == 2

    @cached_property
    def looked_at(self) -> UInt8[ndarray, "vocabulary class"]:
        """2 where a string belongs to a lexical class, 1 where it does not, 0 where nobody has
        asked.
        """
        return np.zeros((len(self.strings), len(CLASSES)), np.uint8)

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
        found = (numbers.setdefault(core, len(numbers)) for core in self.core_strings)
        return np.fromiter(found, np.int32, len(self.strings))

    @cached_property
    def core_hashes(self) -> UInt64[ndarray, " vocabulary"]:
        """A hash of each string's core: that of two texts one behind the other is the first one's
        times the second one's `core_powers`, and the second one's.
        """
        lengths = self.core_lengths
        text = "".join(self.core_strings).encode("utf-32-le", "surrogatepass")
        ends = np.cumsum(lengths)
        behind = np.repeat(ends, lengths) - np.arange(1, ends[-1] + 1 if len(ends) else 1)
        letters = np.frombuffer(text, np.uint32).astype(np.uint64) + np.uint64(1)
        sums = np.append(np.uint64(0), np.cumsum(letters * self.powers.take(behind)))
        return sums[ends] - sums[ends - lengths]

    @cached_property
    def core_powers(self) -> UInt64[ndarray, " vocabulary"]:
        """What a hash is multiplied by, when each string's core is put behind the text."""
        return self.powers.take(self.core_lengths)

    @cached_property
    def core_strings(self) -> list[str]:
        """Each string without what surrounds its word characters."""
        return [word_core(string) for string in self.strings]

    @cached_property
    def core_lengths(self) -> Int64[ndarray, " vocabulary"]:
        """How many characters each core has."""
        return np.array([*map(len, self.core_strings)], np.int64)

    @cached_property
    def powers(self) -> UInt64[ndarray, " length"]:
        """The powers of the hashes' base, up to the longest string's length."""
        longest = max(map(len, self.strings), default=0)
        factors = np.full(longest + 1, BASE, np.uint64)
        factors[0] = 1
        return np.cumprod(factors)

    def word(self, ids: list[int]) -> str:
        """The word that these pieces spell."""
        return word_core("".join(self.strings[i] for i in ids))


@dataclass(frozen=True, eq=False)
class WordLexicon(Lexicon):
    """Words by id, which grows as texts are read: most words of a text stood in texts before."""

    strings: list[str]
    numbers: dict[int, int] = field(default_factory=dict, repr=False)  # ids by the words' hashes

    @cached_property
    def ids_of(self) -> dict[str, tuple[int, ...]]:
        """The id of each word. It is added to, and never made anew."""
        return {}

    def class_table(self, name: str) -> Bool[ndarray, " vocabulary"]:
        """Whether each word belongs to the lexical class: words that came since are looked at."""
        table = self.tables.get(name, np.empty(0, bool))
        if len(table) < len(self.strings):
            fresh = [CLASSES[name](word) for word in self.strings[len(table) :]]
            table = self.tables[name] = np.append(table, np.array(fresh, bool))
        return table

    def belong(self, name: str, ids: Int64[ndarray, " id"]) -> Bool[ndarray, " id"]:
        """Whether each of these words belongs to the lexical class."""
        return self.class_table(name)[ids]

    def ids_by_key(self, keys: list[int], spell: Callable[[int], str]) -> Int32[ndarray, " key"]:
        """The ids of words by their hashes; `spell` is asked for the word at a place of the list
        where its hash is new.
        """
        found: list[int | None] = list(map(self.numbers.get, keys))
        if None in found:
            with GROWING:
                for place in [place for place, number in enumerate(found) if number is None]:
                    if keys[place] not in self.numbers:
                        word = spell(place)
                        self.ids_of[word] = (len(self.strings),)
                        self.strings.append(word)
                        self.numbers[keys[place]] = len(self.strings) - 1
                    found[place] = self.numbers[keys[place]]
        return np.array(found, np.int32)


RECENT: list[Lexicon] = []
GROWING = threading.Lock()  # of words: threads that ask a language model read texts side by side


def recent_lexicon(strings: tuple[str, ...]) -> Lexicon:
    """The lexicon of these very strings.

    The same one while the vocabulary is among the recent ones.
    """
    for lexicon in RECENT:
        if lexicon.strings is strings:
            return lexicon
    made = Lexicon(strings)
    RECENT.insert(0, made)
    del RECENT[KEPT:]
    return made
