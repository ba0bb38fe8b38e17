"""Beginnings and ends that tokens of a vocabulary share, as patterns that may be worth trying."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from gloss.explain.rule_search.description_length import CHARACTER_BITS, KIND_BITS
from gloss.rules.language import Matches, PredicateUnit
from gloss.rules.lexicon import Lexicon
from gloss.rules.patterns import literal_pattern, match_strings

LETTERS = 6  # the longest beginning or end of a token that is tried as a pattern
NUMBER = r"\s*\d+\s*"
SHARED_BY = 2  # a pattern that fewer strings of the vocabulary share says no more than the string


@dataclass(frozen=True)
class TokenTraits:
    """Pairs of a token and something that it has, such as a class or an affix, sorted by token."""

    traits: Int64[ndarray, " pair"]
    begins: Int64[ndarray, " token_and_end"]  # each token's first pair, then the number of pairs
    number: int  # of traits

    @staticmethod
    def of(
        tokens: Int64[ndarray, " pair"], traits: Int64[ndarray, " pair"], size: tuple[int, int]
    ) -> "TokenTraits":
        """Pairs sorted by token, of so many tokens and traits."""
        begins = np.append(0, np.cumsum(np.bincount(tokens, minlength=size[0])))
        return TokenTraits(traits, begins, size[1])

    def pairs(
        self, tokens: Int64[ndarray, " token"]
    ) -> tuple[Int64[ndarray, " pair"], Int64[ndarray, " pair"]]:
        """The pairs of these tokens: which of them it is, and what it has."""
        first = self.begins.take(tokens)
        numbers = self.begins.take(tokens + 1) - first
        owners = np.repeat(np.arange(len(tokens)), numbers)
        before = np.cumsum(numbers) - numbers
        return owners, self.traits.take(np.arange(len(owners)) + (first - before).take(owners))

    def weigh(
        self, tokens: Int64[ndarray, " token"], weights: Float64[ndarray, "kind token"]
    ) -> tuple[Float64[ndarray, "kind trait"], Int64[ndarray, " pair"]]:
        """The weight of these tokens that have each trait, and the traits that they have, some of
        them more than once.
        """
        owners, traits = self.pairs(tokens)
        sums = [np.bincount(traits, each.take(owners), self.number) for each in weights]
        return np.array(sums, np.float64), traits

    def members(self, trait: int) -> Int64[ndarray, " token"]:
        """The tokens that have it."""
        pairs = np.flatnonzero(self.traits == trait)
        return np.searchsorted(self.begins, pairs, side="right") - 1


@dataclass(frozen=True)
class SharedAffixes:
    """Beginnings and ends of tokens. Patterns are only written out of those that are asked for."""

    kinds: Int64[ndarray, " affix"]  # where it stands among those of one token
    texts: Sequence[str]  # of each affix: what a token begins or ends with, or the pattern
    bits: Float64[ndarray, " affix"]  # of saying the pattern
    tokens: TokenTraits  # the affixes of each token

    def condition(self, affix: int) -> Matches:
        """That a token begins, or ends, so."""
        text = self.texts[affix]
        if self.kinds[affix] < 2 * LETTERS:
            literal = literal_pattern(text)
            text = rf".*{literal}\s*" if self.kinds[affix] % 2 else rf"\s*{literal}.*"
        return Matches(PredicateUnit.TOKEN, text)

    def of_tokens(self, tokens: Int64[ndarray, " token"]) -> "SharedAffixes":
        """Those that these tokens have, which are numbered anew; so are the tokens, from 0."""
        owners, affixes = self.tokens.pairs(tokens)
        there = np.zeros(len(self.texts), np.int64)
        there[affixes] = 1
        kept = np.flatnonzero(there)
        there[kept] = np.arange(len(kept))
        return SharedAffixes(
            self.kinds[kept],
            [self.texts[each] for each in kept.tolist()],
            self.bits[kept],
            TokenTraits.of(owners, there.take(affixes), (len(tokens), len(kept))),
        )


@lru_cache(maxsize=2)
def find_shared_affixes(lexicon: Lexicon) -> SharedAffixes:
    """What tokens of the lexicon begin and end with, up to some letters, where several tokens share
    it.

    Blanks around a token do not count, neither here nor in the patterns. In the order in which the
    vocabulary shows them: by the first token that has it, then by kind.
    """
    cores = [string.strip() for string in lexicon.strings]
    found: list[tuple[int, int, str, float, list[int]]] = []
    for kind in range(2 * LETTERS):
        members: dict[str, list[int]] = {}
        length, is_end = kind // 2 + 1, kind % 2
        for i, core in enumerate(cores):
            if len(core) >= length:
                members.setdefault(core[-length:] if is_end else core[:length], []).append(i)
        for text, tokens in members.items():
            if len(tokens) >= SHARED_BY and not text[0 if is_end else -1].isspace():
                found.append((tokens[0], kind, text, float(len(literal_pattern(text))), tokens))
    for kind, (pattern, tokens) in enumerate(number_patterns(lexicon, cores).items()):
        if len(tokens) >= SHARED_BY:
            letters = float(len(pattern.replace(r"\s*", "")) - 2)
            found.append((tokens[0], 2 * LETTERS + kind, pattern, letters, tokens))
    found.sort(key=lambda each: each[:2])
    affixes = np.repeat(np.arange(len(found)), [len(tokens) for *_, tokens in found])
    tokens = np.array([token for *_, tokens in found for token in tokens], np.int64)
    return SharedAffixes(
        np.array([kind for _, kind, *_ in found], np.int64),
        [text for _, _, text, *_ in found],
        KIND_BITS + CHARACTER_BITS * np.array([letters for *_, letters, _ in found], np.float64),
        TokenTraits.of(
            np.sort(tokens),
            affixes[np.argsort(tokens, kind="stable")],
            (len(cores), len(found)),
        ),
    )


def number_patterns(lexicon: Lexicon, cores: list[str]) -> dict[str, list[int]]:
    """The numbers of up to, and of just so many digits, by their patterns."""
    members: dict[str, list[int]] = {}
    for i in np.flatnonzero(match_strings(NUMBER, lexicon.strings)).tolist():
        for digits in range(len(cores[i]), LETTERS + 1):
            members.setdefault(rf"\s*\d{{1,{digits}}}\s*", []).append(i)
        members.setdefault(rf"\s*\d{{{len(cores[i])}}}\s*", []).append(i)
    return members
