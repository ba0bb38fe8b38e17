"""A passage that is longer than should be in memory: what predicates ask of it is worked out some
sequences at a time, and rests in files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64
from numpy import ndarray
from numpy.typing import DTypeLike

from gloss.rules.language import Predicate
from gloss.rules.occurrences import INT32
from gloss.rules.passage import Passage, PassageStrings
from gloss.rules.resting_arrays import (
    BLOCK,
    place_blocks,
    resting_array,
    sequence_blocks,
    smallest_type,
)
from gloss.rules.syntax_states import SyntaxStates


@dataclass(frozen=True)
class LongPassage(Passage):
    """Says what `Passage` says, of which it has the fields."""

    block: int = BLOCK  # tokens that are worked on at a time, about

    def blocks(self) -> Iterator[tuple[int, Passage]]:
        """The passage some whole sequences at a time, with all that is known of them."""
        return iter(self.only_block) if len(self) <= self.block else self.made_blocks()

    @cached_property
    def only_block(self) -> list[tuple[int, Passage]]:
        """That of a short passage, which keeps what was worked out of it."""
        return [*self.made_blocks()]

    def made_blocks(self) -> Iterator[tuple[int, Passage]]:
        """Blocks of which nothing is worked out yet."""
        for first, part in self.parts():
            block = PassageBlock(part.ids, part.offsets, part.strings, part.firsts, self, first)
            yield first, block

    def parts(self) -> Iterator[tuple[int, Passage]]:
        """The same, each a passage of its own of which nothing is known."""
        for own in sequence_blocks(self.offsets, self.block):
            bounds = self.offsets[own.start : own.stop + 1]
            first, end = int(bounds[0]), int(bounds[-1])
            firsts = None if self.firsts is None else self.firsts[own]
            ids = self.ids[first:end].astype(np.int32, copy=False)
            yield first, Passage(ids, bounds - first, self.strings, firsts)

    def gathered(
        self, of: Callable[[Passage, int], ndarray], dtype: DTypeLike
    ) -> Int[ndarray, " token"] | Bool[ndarray, " token"]:
        """What is worked out of every part, given the index of its first token."""
        found = resting_array(len(self), dtype)
        for first, part in self.parts():
            found[first : first + len(part)] = of(part, first)
        return found

    @property
    def index_type(self) -> DTypeLike:
        """What holds the index of a token."""
        return np.int32 if len(self) <= INT32 else np.int64

    @cached_property
    def words(self) -> PassageStrings:
        words = self.lexicon.words

        def known(part: Passage, _: int) -> Int32[ndarray, " token"]:
            read = part.words_of(words)
            assert read.known is not None
            return read.known.take(read.ids)

        ids = self.gathered(known, np.int32)
        number = len(words.strings)
        if (smaller := smallest_type(number)) is not np.int32:
            wide, ids = ids, resting_array(len(ids), smaller)
            for own in place_blocks(len(ids)):
                ids[own] = wide[own]
        return PassageStrings(ids, words, number)

    @property
    def length_type(self) -> DTypeLike:
        """What holds a distance within a sequence."""
        return smallest_type(int(np.diff(self.offsets).max(initial=0)))

    @cached_property
    def reach(self) -> Int[ndarray, " token"]:
        return self.gathered(lambda part, _: part.reach, self.length_type)

    @cached_property
    def following(self) -> Int[ndarray, " token"]:
        return self.gathered(lambda part, _: part.following, self.length_type)

    @cached_property
    def sequence_positions(self) -> Int[ndarray, " token"]:
        return (
            self.reach
            if self.firsts is None
            else self.gathered(lambda part, _: part.sequence_positions, np.int64)
        )

    @cached_property
    def line_starts(self) -> Bool[ndarray, " token"]:
        return self.gathered(lambda part, _: part.line_starts, np.bool_)

    @cached_property
    def line_firsts(self) -> Int64[ndarray, " line_and_end"]:
        number = int(np.count_nonzero(self.line_starts))
        found, done = resting_array(number + 1, np.int64), 0
        for first, block in self.blocks():
            own = np.flatnonzero(block.line_starts) + first
            found[done : done + len(own)] = own
            done += len(own)
        found[-1] = len(self)
        return found

    @cached_property
    def line_heads(self) -> Int[ndarray, " token"]:
        def heads(part: Passage, first: int) -> Int64[ndarray, " token"]:
            own = part.line_heads
            return np.where(own < 0, own, own + first)

        return self.gathered(heads, self.index_type)

    @cached_property
    def first_said(self) -> Int64[ndarray, " head"]:
        found = [first + block.first_said for first, block in self.blocks()]
        return np.concatenate([np.empty(0, np.int64), *found])

    @cached_property
    def syntax_states(self) -> SyntaxStates:
        comment, string, brackets = (resting_array(len(self), np.bool_) for _ in range(3))
        for first, part in self.parts():
            own, found = slice(first, first + len(part)), part.syntax_states
            comment[own], string[own], brackets[own] = found.comment, found.string, found.brackets
        return SyntaxStates(comment, string, brackets)

    @cached_property
    def starts_word(self) -> Bool[ndarray, " token"]:
        return self.gathered(lambda part, _: part.starts_word, np.bool_)

    @cached_property
    def word_starts(self) -> Int[ndarray, " token"]:
        return self.gathered(lambda part, first: part.word_starts + first, self.index_type)


@dataclass(frozen=True, eq=False)
class BlockStrings(PassageStrings):
    """What predicates ask of in a block, by what is known of the whole passage."""

    whole: PassageStrings | None = None

    def held_ids(self, predicate: Predicate) -> Int64[ndarray, " id"]:
        assert self.whole is not None
        return self.whole.held_ids(predicate)


@dataclass(frozen=True)
class PassageBlock(Passage):
    """Some sequences of a long passage, with what is known of them there."""

    whole: LongPassage | None = None
    first: int = 0  # index of its first token in the whole

    @property
    def of(self) -> LongPassage:
        assert self.whole is not None
        return self.whole

    @property
    def own(self) -> slice:
        """Its tokens in the whole."""
        return slice(self.first, self.first + len(self))

    def strings_here(self, read: PassageStrings) -> PassageStrings:
        return BlockStrings(
            read.ids[self.own], read.lexicon, read.number, read.known, read.held, read
        )

    @cached_property
    def tokens(self) -> PassageStrings:
        return self.strings_here(self.of.tokens)

    @cached_property
    def words(self) -> PassageStrings:
        return self.strings_here(self.of.words)

    @cached_property
    def reach(self) -> Int32[ndarray, " token"]:
        return self.of.reach[self.own].astype(np.int32)

    @cached_property
    def following(self) -> Int32[ndarray, " token"]:
        return self.of.following[self.own].astype(np.int32)

    @cached_property
    def line_starts(self) -> Bool[ndarray, " token"]:
        return self.of.line_starts[self.own]

    @cached_property
    def line_heads(self) -> Int[ndarray, " token"]:
        heads = self.of.line_heads[self.own]
        return np.where(heads < 0, heads, heads - self.first)

    @cached_property
    def syntax_states(self) -> SyntaxStates:
        whole = self.of.syntax_states
        return SyntaxStates(
            whole.comment[self.own], whole.string[self.own], whole.brackets[self.own]
        )

    @cached_property
    def starts_word(self) -> Bool[ndarray, " token"]:
        return self.of.starts_word[self.own]
