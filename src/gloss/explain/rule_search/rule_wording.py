"""Says a found rule in plain words, with the words in which pieces of words were seen."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules.english import rule_phrase
from gloss.rules.language import OneOf, Predicate, PredicateUnit, Rule
from gloss.rules.string_naming import LONGEST, PieceOfWord, SeenWords

NEARBY = 8  # tokens around a firing one, where the tokens of a condition are looked for
SEEN = 400  # places of one token that are looked at
EXAMPLES = 2  # words that are told beside a pattern or a field
ONLY = 0.8  # share of a piece's places in one word, from which on the word says it all


def rule_sentence(rule: Rule, train_windows: TrainWindows) -> str:
    """The rule's English, every piece of a word with the word that it is most often a piece of
    where the feature fires.
    """
    return rule_phrase(rule, NearbyTokens.of(train_windows))


@dataclass(frozen=True)
class NearbyTokens(SeenWords):
    """Which words are seen at and around firing tokens."""

    train_windows: TrainWindows
    nearby: Int64[ndarray, " place"]  # tokens at and around firing ones
    words: Int64[ndarray, " word_and_end"]  # the first token of each word; the number of tokens

    @staticmethod
    def of(train_windows: TrainWindows) -> "NearbyTokens":
        """The same for all tokens of the rule."""
        passage = train_windows.passage
        fires = np.pad(np.cumsum(train_windows.fires), (NEARBY + 1, NEARBY), mode="edge")
        fires[: NEARBY + 1] = 0
        near = fires[2 * NEARBY + 1 :] > fires[: len(passage)]
        words = np.append(np.flatnonzero(passage.starts_word), len(passage))
        return NearbyTokens(train_windows, np.flatnonzero(near), words)

    def around(self, strings: Sequence[str]) -> PieceOfWord | None:
        """The word that tokens with these strings are most often a piece of; None where they mostly
        are the whole word, or are no letters.
        """
        words = self.words_at(self.where(OneOf(PredicateUnit.TOKEN, tuple(strings))))
        total = words.total()
        cores = {string.strip().strip("_") for string in strings}
        whole = sum(words.pop(core, 0) for core in cores)
        if not words or whole * 2 >= total or not all(core.isalpha() for core in cores):
            return None
        word, number = words.most_common(1)[0]
        return PieceOfWord(word, is_only=number >= ONLY * total)

    def matching(self, predicate: Predicate) -> tuple[str, ...]:
        """The most frequent words at which the predicate holds, where the feature fires."""
        found = self.words_at(self.where(predicate)).most_common(EXAMPLES)
        return tuple(word for word, _ in found if word and len(word) <= LONGEST)

    def centre(self, strings: Sequence[str]) -> str | None:
        """The string that the subject takes all of these for alike to, where they are its field."""
        alike = self.train_windows.alike
        return None if alike is None else alike.centre(strings)

    def where(self, predicate: Predicate) -> Bool[ndarray, " place"]:
        """Where among the nearby places the predicate holds."""
        read = self.train_windows.passage.read_by(predicate.unit)
        return read.truths(predicate).take(read.ids.take(self.nearby))

    def words_at(self, held: Bool[ndarray, " place"]) -> Counter[str]:
        """How often each word is seen at these nearby places: at firing ones, or else near them."""
        places, passage = self.nearby[held], self.train_windows.passage
        firing = places[self.train_windows.fires[places]]
        places = (firing if len(firing) else places)[:SEEN]
        words = np.searchsorted(self.words, places, side="right")
        firsts, ends = self.words[words - 1], self.words[words]
        # the word may go on where the context ends
        whole = (passage.reach[firsts] > 0) & (passage.following[ends - 1] > 0)
        bounds = np.stack([firsts, places, ends], axis=1)[whole].tolist()
        return Counter(word for each in bounds if (word := self.whole_word(*each)))

    def whole_word(self, first: int, place: int, end: int) -> str | None:
        """The word from `first` to before `end` around the token at `place`, up to underscores on
        both sides; None where the token holds one inside.
        """
        passage = self.train_windows.passage
        strings = [passage.strings[i] for i in passage.ids[first:end].tolist()]
        here = strings[place - first]
        core = here.strip()
        if "_" in core.strip("_"):
            return None
        before, after = "".join(strings[: place - first]), "".join(strings[place - first + 1 :])
        front = "" if here[:1] in ("_", " ", "\n") else re.split(r"\W|_", before)[-1]
        back = "" if here.endswith("_") else re.split(r"\W|_", after)[0]
        return front + core.strip("_") + back
