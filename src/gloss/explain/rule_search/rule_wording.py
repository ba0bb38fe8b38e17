"""Says a found rule in plain words, with the words in which pieces of words were seen."""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.rules.english import rule_phrase
from gloss.rules.language import Rule

NEARBY = 8  # tokens around a firing one, where the tokens of a condition are looked for
SEEN = 400  # places of one token that are looked at


def rule_sentence(rule: Rule, train_windows: TrainWindows) -> str:
    """The rule's English, every piece of a word with the word that it is most often a piece of
    where the feature fires.
    """
    return rule_phrase(rule, NearbyTokens.of(train_windows).word)


@dataclass(frozen=True)
class NearbyTokens:
    """Where tokens are seen at and around firing ones."""

    train_windows: TrainWindows
    nearby: Bool[ndarray, " token"]
    joined: Bool[ndarray, " token"]  # whether the token continues the word of the token before

    @staticmethod
    def of(train_windows: TrainWindows) -> "NearbyTokens":
        """The same for all tokens of the rule."""
        passage = train_windows.passage
        totals = np.append(0, np.cumsum(train_windows.fires))
        places = np.arange(len(passage))
        near = (
            totals[np.minimum(places + NEARBY + 1, len(passage))]
            > totals[np.maximum(places - NEARBY, 0)]
        )
        return NearbyTokens(train_windows, near, passage.word_starts != places)

    def word(self, string: str) -> str | None:
        """The word that a token with this string is most often a piece of; None where it mostly is
        the whole word.
        """
        passage = self.train_windows.passage
        places = np.flatnonzero(
            np.isin(passage.ids, passage.lexicon.ids_of.get(string, ())) & self.nearby
        )
        firing = places[self.train_windows.fires[places]]
        words = Counter(
            word
            for place in (firing if len(firing) else places)[:SEEN]
            if (word := self.whole_word(int(place)))
        )
        core = string.strip().strip("_")
        if not core or words[core] * 2 >= words.total():
            return None
        del words[core]
        return words.most_common(1)[0][0]

    def whole_word(self, place: int) -> str | None:
        """The word around the token, up to underscores on both sides; None where the context ends
        before the word may.
        """
        passage = self.train_windows.passage
        first, last = int(passage.word_starts[place]), place
        while last + 1 < len(passage) and passage.reach[last + 1] > 0 and self.joined[last + 1]:
            last += 1
        if passage.reach[first] == 0 or passage.following[last] == 0:
            return None
        before, here, after = (
            "".join(passage.strings[i] for i in passage.ids[part].tolist())
            for part in (slice(first, place), slice(place, place + 1), slice(place + 1, last + 1))
        )
        core = here.strip()
        if "_" in core.strip("_"):
            return None
        front = "" if here[:1] in ("_", " ", "\n") else re.split(r"\W|_", before)[-1]
        back = "" if here.endswith("_") else re.split(r"\W|_", after)[0]
        return front + core.strip("_") + back
