"""A text as rules read it: token ids in sequences, and all that predicates ask of them.

Everything is worked out once.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt64
from numpy import ndarray

from gloss.records import PADDING, Contexts
from gloss.rules.language import Predicate, PredicateUnit
from gloss.rules.lexicon import Lexicon, recent_lexicon
from gloss.rules.occurrences import Occurrences
from gloss.rules.syntax_states import SyntaxStates, syntax_states

PREDICATES = 64  # of which a passage remembers where they hold


@dataclass(frozen=True, eq=False)
class PassageStrings:
    """For every token what predicates ask of: the token itself, or the word that it belongs to, up
    to that token.

    Each is an id into the strings' own lexicon.
    """

    ids: Int32[ndarray, " token"]
    lexicon: Lexicon
    # ids of what satisfies recent predicates
    held: dict[Predicate, Int64[ndarray, " id"]] = field(default_factory=dict, repr=False)

    @cached_property
    def occurrences(self) -> Occurrences:
        """Where each string stands."""
        return Occurrences.of(self.ids, len(self.lexicon.strings))

    def held_ids(self, predicate: Predicate) -> Int64[ndarray, " id"]:
        """The strings of which the predicate holds."""
        if predicate not in self.held:
            if len(self.held) >= PREDICATES:
                self.held.clear()
            self.held[predicate] = np.flatnonzero(self.lexicon.truths(predicate))
        return self.held[predicate]

    def truths(self, predicate: Predicate) -> Bool[ndarray, " id"]:
        """Whether the predicate holds of each string."""
        table = np.zeros(len(self.lexicon.strings), bool)
        table[self.held_ids(predicate)] = True
        return table


@dataclass(frozen=True)
class Passage:
    """Sequences of tokens, end to end; no predicate sees across a sequence's edge."""

    ids: Int32[ndarray, " token"]
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
        return Passage(contexts.tokens[real], offsets, strings, firsts)

    @property
    def lexicon(self) -> Lexicon:
        """What is known of every token by itself."""
        return recent_lexicon(self.strings)

    @cached_property
    def tokens(self) -> PassageStrings:
        """Every token by itself."""
        return PassageStrings(self.ids, self.lexicon)

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
    def sequence_positions(self) -> Int64[ndarray, " token"]:
        """Each token's position in the sequence that the subject read, from 0."""
        if self.firsts is None:
            return self.reach.astype(np.int64)
        return self.reach + np.repeat(self.firsts, np.diff(self.offsets))

    @cached_property
    def line_starts(self) -> Bool[ndarray, " token"]:
        """Whether a line, or the sequence, begins with this token."""
        starts = self.reach == 0
        starts[1:] |= self.lexicon.class_table("newline")[self.ids[:-1]]
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
        spoken = np.flatnonzero(~self.lexicon.all_space[self.ids])
        numbers, first = np.unique(lines[spoken], return_index=True)
        heads = np.full(lines[-1] + 1 if len(lines) else 1, -1, np.int64)
        heads[numbers] = spoken[first]
        found = heads[lines]
        return np.where(found <= np.arange(len(self)), found, -1)

    @cached_property
    def syntax_states(self) -> SyntaxStates:
        """Whether each token begins in a comment, a string, brackets."""
        return syntax_states(self.ids, self.offsets, self.strings, self.lexicon.states)

    @cached_property
    def word_starts(self) -> Int64[ndarray, " token"]:
        """Index of the token with which each token's word begins."""
        starts = np.ones(len(self), bool)
        starts[1:] = ~(
            self.lexicon.ends_word[self.ids[:-1]] & self.lexicon.begins_word[self.ids[1:]]
        )
        starts |= self.reach == 0
        return np.maximum.accumulate(np.where(starts, np.arange(len(self)), 0))

    @cached_property
    def word_hashes(self) -> UInt64[ndarray, " token"]:
        """Equal where the pieces of the word up to the token are equal.

        What surrounds the first piece's letters does not count.
        """
        hashes = self.lexicon.cores[self.ids].astype(np.uint64)
        continuing = np.append(self.word_starts != np.arange(len(self)), False)
        frontier = np.flatnonzero(~continuing[:-1] & continuing[1:]) + 1
        factor = np.uint64(0x9E3779B97F4A7C15)
        while len(frontier):
            mixed = (hashes[frontier - 1] + np.uint64(1)) * factor
            hashes[frontier] = (
                (mixed ^ (mixed >> np.uint64(29)))
                + self.ids[frontier].astype(np.uint64) * np.uint64(2)
                + (np.uint64(1) << np.uint64(63))
            )
            frontier = frontier[continuing[frontier + 1]] + 1
        return hashes

    @cached_property
    def words(self) -> PassageStrings:
        """The word of each token as far as it has been read."""
        _, first, ids = np.unique(self.word_hashes, return_index=True, return_inverse=True)
        return PassageStrings(
            ids.astype(np.int32), Lexicon(tuple(self.word_at(int(position)) for position in first))
        )

    def word_at(self, position: int) -> str:
        """The word that the token at this position belongs to, up to the token."""
        return self.lexicon.word(self.ids[self.word_starts[position] : position + 1].tolist())
