"""Families of planted features: siblings share words and a parent rule, and differ in one attribute."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

from gloss.models.planted.conditions import CAPITALISED, NUMBER, PUNCTUATION, Among, Case, Fits, Near
from gloss.models.planted.words import ADJECTIVES, AFFIXES, NUMBERS, ROOTS

Slot = tuple[str, ...]  # strings of which one stands there, each as often as the others
FILLER: Slot = tuple(f" {word}" for word in ADJECTIVES)
SPREAD = {1: 0.35, 2: 0.2, 3: 0.2, 4: 0.15, 5: 0.1}  # of the distance between two words, in tokens


@dataclass(frozen=True)
class Phrase:
    """A run of tokens that is put into the text, as often as `rate` says for each token of the text."""

    slots: tuple[Slot, ...]
    rate: float


@dataclass(frozen=True)
class Family:
    """Siblings, each as the cases of its rule, and the phrases that make them fire, or nearly."""

    siblings: tuple[tuple[Case, ...], ...]
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True)
class Words:
    """Supplies words that no other family uses, as tokens with a leading space."""

    fresh: Iterator[str]

    def take(self, number: int) -> tuple[str, ...]:
        """The next words."""
        return tuple(f" {word}" for word in islice(self.fresh, number))


def token_set(words: Words, rate: float) -> Family:
    """Sets of words that share members."""
    a, b, c, d = words.take(4)
    sets = ((a, b, c), (a, b, d), (a, b), (c, d))
    return Family(tuple((Case(Among(members)),) for members in sets), (Phrase(((a, b, c, d),), rate * 4 / 3),))


def preceded(words: Words, rate: float) -> Family:
    """A word only where another stands shortly before it: siblings differ in the reach, or in the other word."""
    return neighbouring(words, rate, side=-1)


def followed(words: Words, rate: float) -> Family:
    """A word only where another follows shortly: siblings differ in the reach, or in the other word."""
    return neighbouring(words, rate, side=1)


def neighbouring(words: Words, rate: float, *, side: int) -> Family:
    """Two words beside triggers, at distances from 1 to 5, and all of them alone."""
    a, b, first, second = words.take(4)
    own, both = Among((a, b)), Among((first, second))
    siblings = (
        Case(own, (Near(side, 1, 1, Among((first,))),)),
        Case(own, (Near(side, 1, 3, Among((first,))),)),
        Case(own, (Near(side, 1, 3, Among((second,))),)),
        Case(own, (Near(side, 1, 3, both),)),
        Case(Among((a,)), (Near(side, 1, 3, Among((first,))),)),
    )
    phrases = [Phrase(slots, rate / 2) for slots in (((a, b),), ((first,),))]
    for trigger in (first, second):
        for distance, share in SPREAD.items():
            slots = ((trigger,), *[FILLER] * (distance - 1), (a, b))
            phrases.append(Phrase(slots if side < 0 else slots[::-1], rate * share))
    return Family(tuple((case,) for case in siblings), tuple(phrases))


def unless(words: Words, rate: float) -> Family:
    """A word except where another stands before it: siblings differ in the other word, or in the word."""
    a, b, first, second = words.take(4)
    own = Among((a, b))
    siblings = (
        Case(own, (Near(-1, 1, 1, Among((first,)), negated=True),)),
        Case(own, (Near(-1, 1, 1, Among((second,)), negated=True),)),
        Case(own, (Near(-1, 1, 1, Among((first, second)), negated=True),)),
        Case(Among((a,)), (Near(-1, 1, 1, Among((first,)), negated=True),)),
    )
    kept, excepted = Phrase(((a, b),), rate), [Phrase(((word,), (a, b)), rate / 2) for word in (first, second)]
    return Family(tuple((case,) for case in siblings), (kept, *excepted, Phrase(((first, second),), rate / 2)))


def conjunction(words: Words, rate: float) -> Family:
    """A word between two others, or beside one of them only."""
    a, b, left, right = words.take(4)
    own = Among((a, b))
    after, before = Near(-1, 1, 1, Among((left,))), Near(1, 1, 1, Among((right,)))
    siblings = (
        Case(own, (after, before)),
        Case(own, (after,)),
        Case(own, (before,)),
        Case(own, (after, Near(1, 1, 1, Among((right,)), negated=True))),
    )
    between = Phrase(((left,), (a, b), (right,)), rate)
    beside = [
        Phrase(slots, rate / 2) for slots in (((left,), (a, b)), ((a, b), (right,)), ((a, b),), ((left,), FILLER, (right,)))
    ]
    return Family(tuple((case,) for case in siblings), (between, *beside))


def graded_by_token(words: Words, rate: float) -> Family:
    """The strength depends on the word: siblings fire at the same words with other strengths."""
    names = words.take(3)
    grades = ((1.0, 2.0, 4.0), (4.0, 2.0, 1.0), (1.0, 6.0))
    siblings = (
        tuple(Case(Among((word,)), strength=grade) for word, grade in zip(names, given, strict=False)) for given in grades
    )
    return Family(tuple(siblings), (Phrase((names,), rate),))


def graded_by_distance(words: Words, rate: float) -> Family:
    """The strength depends on how far back the other word stands."""
    a, b, first, second = words.take(4)
    own = Among((a, b))

    def graded(word: str, close: float, far: float) -> tuple[Case, ...]:
        trigger = Among((word,))
        return Case(own, (Near(-1, 1, 1, trigger),), strength=close), Case(own, (Near(-1, 2, 3, trigger),), strength=far)

    siblings = (graded(first, 4.0, 1.0), graded(second, 4.0, 1.0), graded(first, 2.0, 6.0))
    return Family(siblings, neighbours(first, (a, b), rate) + neighbours(second, (a, b), rate) + (Phrase(((a, b),), rate / 2),))


def neighbours(trigger: str, own: Slot, rate: float) -> tuple[Phrase, ...]:
    """The trigger at every distance before the words."""
    return tuple(Phrase(((trigger,), *[FILLER] * (distance - 1), own), rate * share) for distance, share in SPREAD.items())


def numbered(words: Words, rate: float) -> Family:
    """Numbers after a word: siblings differ in the kind of number, or in the word."""
    first, second = words.take(2)
    year = Fits(" [0-9]{4}")
    siblings = (
        Case(NUMBER, (Near(-1, 1, 1, Among((first,))),)),
        Case(NUMBER, (Near(-1, 1, 1, Among((second,))),)),
        Case(year, (Near(-1, 1, 1, Among((first,))),)),
        Case(Fits(" [0-9]{1,2}"), (Near(-1, 1, 2, Among((first,))),)),
    )
    numbers = tuple(f" {number}" for number in NUMBERS)
    phrases = [Phrase(((word,), numbers), rate) for word in (first, second)]
    return Family(tuple((case,) for case in siblings), (*phrases, Phrase(((first,), FILLER, numbers), rate / 2)))


def lexical(words: Words, rate: float, affix: tuple[str, str]) -> Family:
    """Words with a common beginning or end: siblings differ in capitals, in the word before, or in a narrower set."""
    before, after = affix
    [trigger] = words.take(1)
    lower = tuple(f" {before}{root}{after}" for root in ROOTS)
    upper = tuple(f" {word[1:].capitalize()}" for word in lower[:5])
    any_case = f" (?:{before}|{before.capitalize()})[a-z]+" if before else f" [A-Za-z][a-z]*{after}"
    small = f" {before}[a-z]+{after}"
    large = f" {before.capitalize()}[a-z]+" if before else f" [A-Z][a-z]+{after}"
    siblings = (
        Case(Fits(any_case)),
        Case(Fits(small)),
        Case(Fits(large)),
        Case(Fits(small), (Near(-1, 1, 1, Among((trigger,))),)),
        Case(Among(lower[:3])),
    )
    phrases = (
        Phrase((lower,), rate / 2),
        Phrase((upper,), rate / 4),
        Phrase(((trigger,), lower), rate / 4),
        Phrase(((trigger,),), rate / 4),
    )
    return Family(tuple((case,) for case in siblings), phrases)


def positional() -> Family:
    """The first tokens of a sequence, all of them or one kind."""
    the = Among((" the", " The"))
    siblings = (
        Case(before_position=1),
        Case(before_position=2),
        Case(CAPITALISED, before_position=8),
        Case(CAPITALISED, before_position=24),
        Case(NUMBER, before_position=16),
        Case(NUMBER, before_position=48),
        Case(PUNCTUATION, before_position=4),
        Case(PUNCTUATION, before_position=8),
        Case(the, before_position=16),
        Case(Among((",",)), before_position=32),
    )
    return Family(tuple((case,) for case in siblings), ())


@dataclass(frozen=True)
class Kind:
    """A way to make families, and the rates between which they lie: of firings for each token of the text."""

    make: Callable[[Words, float], Family]
    rarest: float
    commonest: float


def kinds() -> dict[str, Kind]:
    """Every kind of family that needs words of its own, by name."""
    affixes = cycle(AFFIXES)
    return {
        "token_set": Kind(token_set, 2e-4, 1e-2),
        "preceded": Kind(preceded, 4e-4, 2e-3),
        "unless": Kind(unless, 2e-4, 2e-3),
        "followed": Kind(followed, 4e-4, 2e-3),
        "conjunction": Kind(conjunction, 3e-4, 1.5e-3),
        "graded_by_token": Kind(graded_by_token, 2e-4, 5e-3),
        "graded_by_distance": Kind(graded_by_distance, 3e-4, 1.5e-3),
        "numbered": Kind(numbered, 6e-4, 2e-3),
        "lexical": Kind(lambda words, rate: lexical(words, rate, next(affixes)), 8e-4, 8e-3),
    }
