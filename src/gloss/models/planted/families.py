"""Families of planted features: siblings share words and a parent rule, and differ in one
attribute.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

from gloss.models.planted.conditions import (
    CAPITALISED,
    NUMBER,
    PUNCTUATION,
    Among,
    Fits,
    NearbyTest,
    RuleCase,
)
from gloss.models.planted.words import ADJECTIVES, AFFIXES, NUMBERS, ROOTS

PhraseSlot = tuple[str, ...]  # strings of which one stands there, each as often as the others
FILLER: PhraseSlot = tuple(f" {word}" for word in ADJECTIVES)
SPREAD = {1: 0.35, 2: 0.2, 3: 0.2, 4: 0.15, 5: 0.1}  # of the distance between two words, in tokens


@dataclass(frozen=True)
class PlantedPhrase:
    """A run of tokens that is put into the text, as often as `rate` says for each token of the
    text.
    """

    slots: tuple[PhraseSlot, ...]
    rate: float


@dataclass(frozen=True)
class PlantedFamily:
    """Siblings, each as the cases of its rule, and the phrases that make them fire, or nearly."""

    siblings: tuple[tuple[RuleCase, ...], ...]
    phrases: tuple[PlantedPhrase, ...]


@dataclass(frozen=True)
class WordSupply:
    """Supplies words that no other family uses, as tokens with a leading space."""

    unused: Iterator[str]

    def take(self, number: int) -> tuple[str, ...]:
        """The next words."""
        return tuple(f" {word}" for word in islice(self.unused, number))


def token_set_family(words: WordSupply, rate: float) -> PlantedFamily:
    """Sets of words that share members."""
    a, b, c, d = words.take(4)
    sets = ((a, b, c), (a, b, d), (a, b), (c, d))
    return PlantedFamily(
        tuple((RuleCase(Among(members)),) for members in sets),
        (PlantedPhrase(((a, b, c, d),), rate * 4 / 3),),
    )


def preceded_family(words: WordSupply, rate: float) -> PlantedFamily:
    """A word only where another stands shortly before it: siblings differ in the reach, or in the
    other word.
    """
    return neighbouring_family(words, rate, side=-1)


def followed_family(words: WordSupply, rate: float) -> PlantedFamily:
    """A word only where another follows shortly: siblings differ in the reach, or in the other
    word.
    """
    return neighbouring_family(words, rate, side=1)


def neighbouring_family(words: WordSupply, rate: float, *, side: int) -> PlantedFamily:
    """Two words beside triggers, at distances from 1 to 5, and all of them alone."""
    a, b, first, second = words.take(4)
    own, both = Among((a, b)), Among((first, second))
    siblings = (
        RuleCase(own, (NearbyTest(side, 1, 1, Among((first,))),)),
        RuleCase(own, (NearbyTest(side, 1, 3, Among((first,))),)),
        RuleCase(own, (NearbyTest(side, 1, 3, Among((second,))),)),
        RuleCase(own, (NearbyTest(side, 1, 3, both),)),
        RuleCase(Among((a,)), (NearbyTest(side, 1, 3, Among((first,))),)),
    )
    phrases = [PlantedPhrase(slots, rate / 2) for slots in (((a, b),), ((first,),))]
    for trigger in (first, second):
        for distance, share in SPREAD.items():
            slots = ((trigger,), *[FILLER] * (distance - 1), (a, b))
            phrases.append(PlantedPhrase(slots if side < 0 else slots[::-1], rate * share))
    return PlantedFamily(tuple((case,) for case in siblings), tuple(phrases))


def exception_family(words: WordSupply, rate: float) -> PlantedFamily:
    """A word except where another stands before it: siblings differ in the other word, or in the
    word.
    """
    a, b, first, second = words.take(4)
    own = Among((a, b))
    siblings = (
        RuleCase(own, (NearbyTest(-1, 1, 1, Among((first,)), negated=True),)),
        RuleCase(own, (NearbyTest(-1, 1, 1, Among((second,)), negated=True),)),
        RuleCase(own, (NearbyTest(-1, 1, 1, Among((first, second)), negated=True),)),
        RuleCase(Among((a,)), (NearbyTest(-1, 1, 1, Among((first,)), negated=True),)),
    )
    kept, excepted = (
        PlantedPhrase(((a, b),), rate),
        [PlantedPhrase(((word,), (a, b)), rate / 2) for word in (first, second)],
    )
    return PlantedFamily(
        tuple((case,) for case in siblings),
        (kept, *excepted, PlantedPhrase(((first, second),), rate / 2)),
    )


def conjunction_family(words: WordSupply, rate: float) -> PlantedFamily:
    """A word between two others, or beside one of them only."""
    a, b, left, right = words.take(4)
    own = Among((a, b))
    after, before = NearbyTest(-1, 1, 1, Among((left,))), NearbyTest(1, 1, 1, Among((right,)))
    siblings = (
        RuleCase(own, (after, before)),
        RuleCase(own, (after,)),
        RuleCase(own, (before,)),
        RuleCase(own, (after, NearbyTest(1, 1, 1, Among((right,)), negated=True))),
    )
    between = PlantedPhrase(((left,), (a, b), (right,)), rate)
    beside = [
        PlantedPhrase(slots, rate / 2)
        for slots in (((left,), (a, b)), ((a, b), (right,)), ((a, b),), ((left,), FILLER, (right,)))
    ]
    return PlantedFamily(tuple((case,) for case in siblings), (between, *beside))


def token_graded_family(words: WordSupply, rate: float) -> PlantedFamily:
    """The strength depends on the word: siblings fire at the same words with other strengths."""
    names = words.take(3)
    grades = ((1.0, 2.0, 4.0), (4.0, 2.0, 1.0), (1.0, 6.0))
    siblings = (
        tuple(
            RuleCase(Among((word,)), strength=grade)
            for word, grade in zip(names, given, strict=False)
        )
        for given in grades
    )
    return PlantedFamily(tuple(siblings), (PlantedPhrase((names,), rate),))


def distance_graded_family(words: WordSupply, rate: float) -> PlantedFamily:
    """The strength depends on how far back the other word stands."""
    a, b, first, second = words.take(4)
    own = Among((a, b))

    def graded(word: str, close: float, far: float) -> tuple[RuleCase, ...]:
        trigger = Among((word,))
        return RuleCase(own, (NearbyTest(-1, 1, 1, trigger),), strength=close), RuleCase(
            own, (NearbyTest(-1, 2, 3, trigger),), strength=far
        )

    siblings = (graded(first, 4.0, 1.0), graded(second, 4.0, 1.0), graded(first, 2.0, 6.0))
    return PlantedFamily(
        siblings,
        phrases_by_distance(first, (a, b), rate)
        + phrases_by_distance(second, (a, b), rate)
        + (PlantedPhrase(((a, b),), rate / 2),),
    )


def phrases_by_distance(trigger: str, own: PhraseSlot, rate: float) -> tuple[PlantedPhrase, ...]:
    """The trigger at every distance before the words."""
    return tuple(
        PlantedPhrase(((trigger,), *[FILLER] * (distance - 1), own), rate * share)
        for distance, share in SPREAD.items()
    )


def number_family(words: WordSupply, rate: float) -> PlantedFamily:
    """Numbers after a word: siblings differ in the kind of number, or in the word."""
    first, second = words.take(2)
    year = Fits(" [0-9]{4}")
    siblings = (
        RuleCase(NUMBER, (NearbyTest(-1, 1, 1, Among((first,))),)),
        RuleCase(NUMBER, (NearbyTest(-1, 1, 1, Among((second,))),)),
        RuleCase(year, (NearbyTest(-1, 1, 1, Among((first,))),)),
        RuleCase(Fits(" [0-9]{1,2}"), (NearbyTest(-1, 1, 2, Among((first,))),)),
    )
    numbers = tuple(f" {number}" for number in NUMBERS)
    phrases = [PlantedPhrase(((word,), numbers), rate) for word in (first, second)]
    return PlantedFamily(
        tuple((case,) for case in siblings),
        (*phrases, PlantedPhrase(((first,), FILLER, numbers), rate / 2)),
    )


def affix_family(words: WordSupply, rate: float, affix: tuple[str, str]) -> PlantedFamily:
    """Words with a common beginning or end: siblings differ in capitals, in the word before, or in
    a narrower set.
    """
    before, after = affix
    [trigger] = words.take(1)
    lower = tuple(f" {before}{root}{after}" for root in ROOTS)
    upper = tuple(f" {word[1:].capitalize()}" for word in lower[:5])
    any_case = f" (?:{before}|{before.capitalize()})[a-z]+" if before else f" [A-Za-z][a-z]*{after}"
    small = f" {before}[a-z]+{after}"
    large = f" {before.capitalize()}[a-z]+" if before else f" [A-Z][a-z]+{after}"
    siblings = (
        RuleCase(Fits(any_case)),
        RuleCase(Fits(small)),
        RuleCase(Fits(large)),
        RuleCase(Fits(small), (NearbyTest(-1, 1, 1, Among((trigger,))),)),
        RuleCase(Among(lower[:3])),
    )
    phrases = (
        PlantedPhrase((lower,), rate / 2),
        PlantedPhrase((upper,), rate / 4),
        PlantedPhrase(((trigger,), lower), rate / 4),
        PlantedPhrase(((trigger,),), rate / 4),
    )
    return PlantedFamily(tuple((case,) for case in siblings), phrases)


def positional_family() -> PlantedFamily:
    """The first tokens of a sequence, all of them or one kind."""
    the = Among((" the", " The"))
    siblings = (
        RuleCase(before_position=1),
        RuleCase(before_position=2),
        RuleCase(CAPITALISED, before_position=8),
        RuleCase(CAPITALISED, before_position=24),
        RuleCase(NUMBER, before_position=16),
        RuleCase(NUMBER, before_position=48),
        RuleCase(PUNCTUATION, before_position=4),
        RuleCase(PUNCTUATION, before_position=8),
        RuleCase(the, before_position=16),
        RuleCase(Among((",",)), before_position=32),
    )
    return PlantedFamily(tuple((case,) for case in siblings), ())


@dataclass(frozen=True)
class FamilyKind:
    """A way to make families, and the rates between which they lie: of firings for each token of
    the text.
    """

    make: Callable[[WordSupply, float], PlantedFamily]
    rarest: float
    commonest: float


def family_kinds() -> dict[str, FamilyKind]:
    """Every kind of family that needs words of its own, by name."""
    affixes = cycle(AFFIXES)
    return {
        "token_set": FamilyKind(token_set_family, 2e-4, 1e-2),
        "preceded": FamilyKind(preceded_family, 4e-4, 2e-3),
        "unless": FamilyKind(exception_family, 2e-4, 2e-3),
        "followed": FamilyKind(followed_family, 4e-4, 2e-3),
        "conjunction": FamilyKind(conjunction_family, 3e-4, 1.5e-3),
        "graded_by_token": FamilyKind(token_graded_family, 2e-4, 5e-3),
        "graded_by_distance": FamilyKind(distance_graded_family, 3e-4, 1.5e-3),
        "numbered": FamilyKind(number_family, 6e-4, 2e-3),
        "lexical": FamilyKind(
            lambda words, rate: affix_family(words, rate, next(affixes)), 8e-4, 8e-3
        ),
    }
