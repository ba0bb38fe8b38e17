"""Beginnings and ends that tokens of a vocabulary share, as patterns that may be worth trying."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
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
    kinds = [kind_of_affixes(cores, kind) for kind in range(2 * LETTERS)]
    for kind, (pattern, tokens) in enumerate(number_patterns(lexicon, cores).items()):
        if len(tokens) >= SHARED_BY:
            letters = len(pattern.replace(r"\s*", "")) - 2
            zeros = np.zeros(len(tokens), np.int64)
            kinds.append(KindOfAffixes(2 * LETTERS + kind, [pattern], [letters], tokens, zeros))
    numbers = np.cumsum([0, *(len(each.texts) for each in kinds)])
    tokens = np.concatenate([each.tokens for each in kinds])
    affixes = np.concatenate([each.affixes + n for each, n in zip(kinds, numbers, strict=False)])
    first = np.full(numbers[-1], len(cores), np.int64)
    np.minimum.at(first, affixes, tokens)
    kind = np.repeat([each.kind for each in kinds], np.diff(numbers))
    order = np.lexsort((kind, first))
    ranks = np.argsort(order)[affixes]
    texts = [text for each in kinds for text in each.texts]
    letters = np.array([number for each in kinds for number in each.letters], np.float64)
    by_token = np.lexsort((ranks, tokens))
    return SharedAffixes(
        kind[order],
        [texts[i] for i in order.tolist()],
        KIND_BITS + CHARACTER_BITS * letters[order],
        TokenTraits.of(tokens[by_token], ranks[by_token], (len(cores), len(order))),
    )


class KindOfAffixes(NamedTuple):
    """The affixes of one kind that tokens share, and the pairs of a token and an affix."""

    kind: int
    texts: list[str]
    letters: list[int]  # of the pattern
    tokens: Int64[ndarray, " pair"]
    affixes: Int64[ndarray, " pair"]


def kind_of_affixes(cores: Sequence[str], kind: int) -> KindOfAffixes:
    """All beginnings (an even kind) or ends of one length."""
    length, is_end = kind // 2 + 1, kind % 2
    owners = [i for i, core in enumerate(cores) if len(core) >= length]
    texts = [cores[i][-length:] if is_end else cores[i][:length] for i in owners]
    encoded = pa.array(texts, pa.string()).dictionary_encode()
    codes = np.frombuffer(encoded.indices.buffers()[1], np.int32, len(owners))
    shared = np.flatnonzero(np.bincount(codes, minlength=1) >= SHARED_BY)
    known = encoded.dictionary.take(pa.array(shared.tolist(), pa.int64())).to_pylist()
    # blanks around a token do not count
    kept = [n for n, text in enumerate(known) if not text[0 if is_end else -1].isspace()]
    numbers = np.full(len(encoded.dictionary) + 1, -1, np.int64)
    numbers[shared[kept]] = np.arange(len(kept))
    affixes = numbers[codes]
    there = np.flatnonzero(affixes >= 0)
    texts = [known[n] for n in kept]
    letters = [len(literal_pattern(text)) for text in texts]
    return KindOfAffixes(kind, texts, letters, np.array(owners, np.int64)[there], affixes[there])


def number_patterns(lexicon: Lexicon, cores: list[str]) -> dict[str, Int64[ndarray, " token"]]:
    """The numbers of up to, and of just so many digits, by their patterns."""
    members: dict[str, list[int]] = {}
    for i in np.flatnonzero(match_strings(NUMBER, lexicon.strings)).tolist():
        for digits in range(len(cores[i]), LETTERS + 1):
            members.setdefault(rf"\s*\d{{1,{digits}}}\s*", []).append(i)
        members.setdefault(rf"\s*\d{{{len(cores[i])}}}\s*", []).append(i)
    return {pattern: np.array(tokens, np.int64) for pattern, tokens in members.items()}
