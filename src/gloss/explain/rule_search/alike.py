"""Sets of tokens that the subject takes for alike: a token and those that are most alike to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int32, Int64
from numpy import ndarray

from gloss.rules.lexicon import Lexicon, recent_lexicon
from gloss.store.vocabulary import Vocabulary

SIZES = np.array([3, 4, 5, 6, 8, 10, 12, 16, 20, 25])  # of sets that are tried


@dataclass(frozen=True)
class AlikeTokens:
    """What the subject takes for alike, by token id; tokens of one string count by their first."""

    lexicon: Lexicon
    table: Int32[ndarray, "token alike"]  # most alike first; -1 for none
    # of sets that were asked for
    centres: dict[tuple[str, ...], str | None] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(vocabulary: Vocabulary) -> "AlikeTokens":
        """As the corpus keeps it; where it keeps nothing, no token is like another."""
        table = vocabulary.alike
        if table is None:
            table = np.full((len(vocabulary), 0), -1, np.int32)
        return AlikeTokens(recent_lexicon(vocabulary.strings), table)

    def around(self, centres: Int64[ndarray, " centre"]) -> Int64[ndarray, "centre member"]:
        """Each centre, then the tokens that are most alike to it; -1 for none."""
        return np.concatenate([centres[:, None], self.table[centres]], axis=1).astype(np.int64)

    def field(self, centre: str, size: int) -> tuple[str, ...]:
        """The strings of the centre and of those that are most alike to it, `size` in all."""
        ids = self.lexicon.ids_of.get(centre, ())[:1]
        if not ids:
            return ()
        members = self.around(np.array(ids, np.int64))[0, :size]
        return tuple(self.lexicon.strings[int(i)] for i in members if i >= 0)

    def centre(self, strings: Sequence[str]) -> str | None:
        """The string of which these are the field; None where they are nobody's."""
        strings = tuple(strings)
        if strings not in self.centres:
            wanted = set(strings)
            fields = (each for each in strings if set(self.field(each, len(wanted))) == wanted)
            self.centres[strings] = next(fields, None) if len(wanted) >= SIZES[0] else None
        return self.centres[strings]

    def covering(self, strings: Sequence[str], share: float) -> list[tuple[str, ...]]:
        """Fields of one of the strings that hold at least this share of them: of each size the one
        that holds most.
        """
        ids = [i for string in strings for i in self.lexicon.ids_of.get(string, ())[:1]]
        if len(ids) < SIZES[0] or not self.table.shape[1]:
            return []
        members = self.around(np.array(ids, np.int64))
        held = np.cumsum(np.isin(members, ids), axis=1)
        found: list[tuple[str, ...]] = []
        for size in SIZES[members.shape[1] >= SIZES].tolist():
            best = int(held[:, size - 1].argmax())
            chosen = members[best, :size]
            if held[best, size - 1] >= share * len(ids) and (chosen >= 0).all():
                found.append(tuple(self.lexicon.strings[int(i)] for i in chosen))
        return found
