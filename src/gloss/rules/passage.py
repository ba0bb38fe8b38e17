"""A text as rules read it: token ids in sequences, and all that predicates ask of them.

Everything is worked out once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int, Int32, Int64, UInt8, UInt64
from numpy import ndarray

from gloss.records import PADDING, Contexts
from gloss.rules.language import IsClass, Matches, OneOf, Predicate, PredicateUnit
from gloss.rules.lexicon import Lexicon, WordLexicon, recent_lexicon
from gloss.rules.occurrences import Occurrences, count_ids
from gloss.rules.patterns import match_strings
from gloss.rules.syntax_states import SyntaxStates, syntax_states

PREDICATES = 64  # of which a passage remembers where they hold
FAR = 255  # distances up to here are counted in bytes


@dataclass(frozen=True, eq=False)
class PassageStrings:
    """For every token what predicates ask of: the token itself, or the word that it belongs to, up
    to that token.

    Each is a number of this passage, so that no table grows with what other passages hold.
    """

    ids: Int[ndarray, " token"]
    lexicon: Lexicon  # of the strings, which may come to know more
    number: int  # of strings that may occur here
    # of each its id in the lexicon; None: it is the same number
    known: Int32[ndarray, " id"] | None = None
    # ids of what satisfies recent predicates
    held: dict[Predicate, Int64[ndarray, " id"]] = field(default_factory=dict, repr=False)

    @cached_property
    def occurrences(self) -> Occurrences:
        """Where each string stands."""
        return Occurrences.of(self.ids, self.number)

    @cached_property
    def seen(self) -> Int64[ndarray, " id"]:
        """The strings that occur."""
        return np.flatnonzero(count_ids(self.ids, self.number))

    @cached_property
    def own(self) -> dict[int, int]:
        """The number here of each id of the lexicon that occurs."""
        return dict(zip(self.seen_ids.tolist(), self.seen.tolist(), strict=True))

    @cached_property
    def seen_ids(self) -> Int64[ndarray, " id"]:
        """What the strings that occur are in the lexicon."""
        return self.seen if self.known is None else self.known.take(self.seen).astype(np.int64)

    def ids_of(self, string: str) -> list[int]:
        """What this string is here; nothing where it does not occur, of a token perhaps others."""
        ids = self.lexicon.ids_of.get(string, ())
        if self.known is None:  # of a lexicon that may have grown since
            return [i for i in ids if i < self.number]
        return [self.own[i] for i in ids if i in self.own]

    def held_ids(self, predicate: Predicate) -> Int64[ndarray, " id"]:
        """The strings that occur of which the predicate holds; of a set perhaps others."""
        if (ids := self.held.get(predicate)) is None:
            if len(self.held) >= PREDICATES:
                self.held.clear()
            ids = self.held[predicate] = self.find_held_ids(predicate)
        return ids

    def find_held_ids(self, predicate: Predicate) -> Int64[ndarray, " id"]:
        """The same, looked up."""
        match predicate:
            case OneOf(_, strings):
                return np.array(
                    sorted({i for each in strings for i in self.ids_of(each)}), np.int64
                )
            case Matches(_, pattern):
                spelled = [self.lexicon.strings[int(i)] for i in self.seen_ids]
                return self.seen[match_strings(pattern, spelled)]
            case IsClass(_, name):
                return self.seen[self.lexicon.belong(name, self.seen_ids)]

    def truths(self, predicate: Predicate) -> Bool[ndarray, " id"]:
        """Whether the predicate holds of each string; of one that does not occur perhaps not."""
        table = np.zeros(self.number, bool)
        table[self.held_ids(predicate)] = True
        return table


@dataclass(frozen=True, eq=False)
class WordCuts:
    """For every token the pieces of its word up to that token: sequences of pieces by numbers."""

    ids: Int[ndarray, " token"]
    places: Int64[ndarray, " cut"]  # a token where each stands
    first: Int64[ndarray, " cut"]  # the first that spells the same word


@dataclass(frozen=True)
class Passage:
    """Sequences of tokens, end to end; no predicate sees across a sequence's edge."""

    ids: Int[ndarray, " token"]
    # of each sequence's first token, then the number of tokens
    offsets: Int64[ndarray, " sequence_and_end"]
    strings: tuple[str, ...]  # of every id
    # position of each sequence's first token, where sequences are cut out of longer ones
    firsts: Int64[ndarray, " sequence"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @staticmethod
    def of_contexts(contexts: Contexts, strings: tuple[str, ...]) -> "Passage":
        """One sequence a context.

        Tokens stay in the order of `contexts.tokens[contexts.tokens != PADDING]`.
        """
        real = contexts.tokens != PADDING
        offsets = np.concatenate([[0], np.cumsum(real.sum(axis=1))]).astype(np.int64)
        firsts = (
            None
            if contexts.sequence_positions is None
            else np.maximum(contexts.sequence_positions, 0)
        )
        # looked up again and again: as wide as what numpy looks up by
        return Passage(contexts.tokens[real].astype(np.int64), offsets, strings, firsts)

    @property
    def lexicon(self) -> Lexicon:
        """What is known of every token by itself."""
        return recent_lexicon(self.strings)

    @cached_property
    def tokens(self) -> PassageStrings:
        """Every token by itself."""
        return PassageStrings(self.ids, self.lexicon, len(self.strings))

    def blocks(self) -> Iterator[tuple[int, "Passage"]]:
        """The passage some whole sequences at a time, each with the index of its first token."""
        yield 0, self

    def read_by(self, unit: PredicateUnit) -> PassageStrings:
        """What predicates of this unit look at."""
        return self.words if unit is PredicateUnit.WORD else self.tokens

    @cached_property
    def reach(self) -> Int32[ndarray, " token"]:
        """How many tokens of the same sequence stand before each token."""
        lengths = np.diff(self.offsets)
        return (np.arange(len(self)) - np.repeat(self.offsets[:-1], lengths)).astype(np.int32)

    @cached_property
    def following(self) -> Int32[ndarray, " token"]:
        """How many tokens of the same sequence follow each token."""
        return (np.repeat(np.diff(self.offsets), np.diff(self.offsets)) - 1).astype(
            np.int32
        ) - self.reach

    @cached_property
    def near_reach(self) -> UInt8[ndarray, " token"]:
        """The same up to FAR, in a byte."""
        return np.minimum(self.reach, FAR).astype(np.uint8)

    @cached_property
    def near_following(self) -> UInt8[ndarray, " token"]:
        """How many follow, up to FAR, in a byte."""
        return np.minimum(self.following, FAR).astype(np.uint8)

    @cached_property
    def sequence_positions(self) -> Int64[ndarray, " token"]:
        """Each token's position in the sequence that the subject read, from 0."""
        if self.firsts is None:
            return self.reach.astype(np.int64)
        return self.reach + np.repeat(self.firsts, np.diff(self.offsets))

    @cached_property
    def line_starts(self) -> Bool[ndarray, " token"]:
        """Whether a line, or the sequence, begins with this token."""
        starts = self.reach == 0
        starts[1:] |= self.lexicon.class_table("newline").take(self.ids[:-1])
        return starts

    @cached_property
    def line_firsts(self) -> Int64[ndarray, " line_and_end"]:
        """Index of the first token of each line, then the number of tokens."""
        return np.append(np.flatnonzero(self.line_starts), len(self))

    def line_ends(self, at: Int64[ndarray, " place"]) -> Int64[ndarray, " place"]:
        """The index behind the last token of each of these tokens' lines."""
        return self.line_firsts[np.searchsorted(self.line_firsts, at, side="right")]

    @cached_property
    def line_heads(self) -> Int64[ndarray, " token"]:
        """Index of the first token of the line that is more than blanks.

        It is this token or one before; -1 otherwise.
        """
        lines = np.cumsum(self.line_starts)
        spoken = np.flatnonzero(~self.lexicon.all_space.take(self.ids))
        numbers = lines.take(spoken)
        first = np.flatnonzero(np.diff(numbers, prepend=0))
        heads = np.full(lines[-1] + 1 if len(lines) else 1, -1, np.int64)
        heads[numbers.take(first)] = spoken.take(first)
        found = heads.take(lines)
        return np.where(found <= np.arange(len(self)), found, -1)

    @cached_property
    def first_said(self) -> Int64[ndarray, " head"]:
        """Index of each line's first token that is more than blanks; none of lines that are not."""
        return np.flatnonzero(self.line_heads == np.arange(len(self)))

    @cached_property
    def syntax_states(self) -> SyntaxStates:
        """Whether each token begins in a comment, a string, brackets."""
        return syntax_states(self.ids, self.offsets, self.strings, self.lexicon.states)

    @cached_property
    def starts_word(self) -> Bool[ndarray, " token"]:
        """Whether a word begins with this token."""
        starts = self.reach == 0
        starts[1:] |= ~(
            self.lexicon.ends_word.take(self.ids[:-1]) & self.lexicon.begins_word.take(self.ids[1:])
        )
        return starts

    @cached_property
    def word_starts(self) -> Int64[ndarray, " token"]:
        """Index of the token with which each token's word begins."""
        return np.maximum.accumulate(np.where(self.starts_word, np.arange(len(self)), 0))

    def word_start(self, position: int) -> int:
        """The same of one token, where few are asked for."""
        while not self.starts_word[position]:
            position -= 1
        return position

    @cached_property
    def word_hashes(self) -> UInt64[ndarray, " token"]:
        """Equal where the pieces of the word up to the token are equal.

        What surrounds the first piece's letters does not count.
        """
        hashes = self.lexicon.cores.take(self.ids).astype(np.uint64)
        factor = np.uint64(0x9E3779B97F4A7C15)
        for frontier in self.continuing_places():
            mixed = (hashes[frontier - 1] + np.uint64(1)) * factor
            hashes[frontier] = (
                (mixed ^ (mixed >> np.uint64(29)))
                + self.ids[frontier].astype(np.uint64) * np.uint64(2)
                + (np.uint64(1) << np.uint64(63))
            )
        return hashes

    def continuing_places(self) -> Iterator[Int64[ndarray, " place"]]:
        """The tokens that are second in their word, then those that are third, and so on."""
        continuing = np.append(~self.starts_word, False)
        frontier = np.flatnonzero(~continuing[:-1] & continuing[1:]) + 1
        while len(frontier):
            yield frontier
            frontier = frontier[continuing[frontier + 1]] + 1

    @cached_property
    def word_keys(self) -> UInt64[ndarray, " token"]:
        """Equal where the words up to the token are equal, however they are cut."""
        lexicon = self.lexicon
        keys = lexicon.core_hashes.take(self.ids)
        for places in self.continuing_places():
            cores = self.ids.take(places)
            keys[places] += keys[places - 1] * lexicon.core_powers.take(cores)
        return keys

    @cached_property
    def word_cuts(self) -> WordCuts:
        """The pieces of each token's word as far as it has been read, in the order of the pieces'
        hashes.
        """
        # most are of one piece, and their hashes are small numbers, which need no sorting
        single, several = np.flatnonzero(self.starts_word), np.flatnonzero(~self.starts_word)
        cores = self.lexicon.cores.take(self.ids)
        stands = np.full(len(self.strings), -1, np.int64)
        stands[cores[single]] = single
        seen = np.flatnonzero(stands >= 0)
        numbers = np.zeros(len(self.strings), self.ids.dtype)
        numbers[seen] = np.arange(len(seen))
        cuts = numbers.take(cores)
        hashes, codes = encode_values(self.word_hashes.take(several))
        order = np.argsort(hashes)
        ranks, first = np.empty(len(order), np.int32), np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order)) + len(seen)
        first[codes[::-1]] = several[::-1]
        cuts[several] = ranks.take(codes)
        places = np.append(stands[seen], first[order])
        keys, codes = encode_values(self.word_keys.take(places))
        same = np.empty(len(keys), np.int64)
        same[codes[::-1]] = np.arange(len(places))[::-1]
        return WordCuts(cuts, places, same.take(codes))

    @cached_property
    def words(self) -> PassageStrings:
        """The word of each token as far as it has been read."""
        return self.words_of(self.lexicon.words)

    def words_of(self, words: WordLexicon) -> PassageStrings:
        """The same, by what is known of words; those that are new there are added."""
        cuts = self.word_cuts
        by_cut = words.ids_by_key(
            self.word_keys.take(cuts.places).tolist(),
            lambda cut: self.word_at(int(cuts.places[cut])),
        )
        return PassageStrings(cuts.first.take(cuts.ids), words, len(by_cut), by_cut)

    def word_at(self, position: int) -> str:
        """The word that the token at this position belongs to, up to the token."""
        return self.lexicon.word(self.ids[self.word_start(position) : position + 1].tolist())


def encode_values(
    values: UInt64[ndarray, " value"],
) -> tuple[UInt64[ndarray, " distinct"], Int32[ndarray, " value"]]:
    """The different values as they first appear, and which of them each value is."""
    # by buffers: other ways in and out of Arrow import pandas where it is installed
    given = pa.py_buffer(np.ascontiguousarray(values))
    encoded = pa.Array.from_buffers(pa.uint64(), len(values), [None, given]).dictionary_encode()
    found, codes = (each.buffers()[1] for each in (encoded.dictionary, encoded.indices))
    distinct = np.frombuffer(found, np.uint64, len(encoded.dictionary))
    return distinct, np.frombuffer(codes, np.int32, len(values))
