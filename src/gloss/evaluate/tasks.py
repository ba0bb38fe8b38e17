"""Two tasks of English prompts whose attributes are known, each with twins that differ in one
attribute: indirect objects (Wang et al., 2022, arXiv 2211.00593) and agreement of number (Linzen et
al., 2016, arXiv 1611.01368).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gloss.models.planted.words import split_words

NAMES = split_words("""
Mary John Tom James Alice Robert Anna Paul Mark Peter David Sarah Michael Laura Kate Martin
""")
PLACES = split_words("store park school garden office station")
THINGS = split_words("book drink letter ring ball ticket")
# one and several; every word is common, so that most tokenizers hold it whole
NOUNS = MappingProxyType(
    dict(
        zip(
            split_words("key book dog girl car teacher house picture child friend letter horse"),
            split_words("""
            keys books dogs girls cars teachers houses pictures children friends letters horses
            """),
            strict=True,
        )
    )
)
BETWEEN = split_words("near behind beside with")
ONE, SEVERAL = " is", " are"


@dataclass(frozen=True, slots=True)
class TaskPrompt:
    """A prompt with the token that must follow, the one that would follow if the attribute that
    matters were exchanged, and what its attributes are.
    """

    text: str
    answer: str
    wrong: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TaskPrompts:
    """Prompts, and for each attribute the twin of each prompt that differs in it."""

    prompts: tuple[TaskPrompt, ...]
    twins: Mapping[str, tuple[TaskPrompt, ...]]

    @property
    def answers(self) -> tuple[str, ...]:
        """Every token that may follow, sorted."""
        twins = (twin for each in self.twins.values() for twin in each)
        return tuple(sorted({prompt.answer for prompt in (*self.prompts, *twins)}))


def indirect_object(io: str, subject: str, order: str, place: str, thing: str) -> TaskPrompt:
    """Two people of whom one acts again: what follows is the other's name.

    >>> indirect_object("Mary", "John", "io first", "store", "book").text
    'When Mary and John went to the store, John gave a book to'
    """
    first, second = (io, subject) if order == "io first" else (subject, io)
    text = f"When {first} and {second} went to the {place}, {subject} gave a {thing} to"
    told = {"io": io, "subject": subject, "order": order}
    return TaskPrompt(text, f" {io}", f" {subject}", MappingProxyType(told))


def agreement(noun: str, number: str, other: str, other_number: str, between: str) -> TaskPrompt:
    """A noun, and another between it and its verb, which agrees with the first.

    >>> agreement("key", "several", "house", "one", "near").text
    'The keys near the house'
    """
    forms = [NOUNS[word] if many == "several" else word
             for word, many in ((noun, number), (other, other_number))]  # fmt: skip
    answers = (SEVERAL, ONE) if number == "several" else (ONE, SEVERAL)
    told = {"number": number, "other number": other_number}
    return TaskPrompt(f"The {forms[0]} {between} the {forms[1]}", *answers, MappingProxyType(told))


def indirect_objects(
    number: int, rng: np.random.Generator, names: Sequence[str] = NAMES
) -> TaskPrompts:
    """So many prompts of indirect objects; twins have another name that neither of the two has, or
    the other order.
    """
    prompts, twins = list[TaskPrompt](), dict[str, list[TaskPrompt]](io=[], subject=[], order=[])
    for _ in range(number):
        io, subject, third = rng.choice(np.array(names), 3, replace=False).tolist()
        order, turned = rng.permutation(["io first", "subject first"]).tolist()
        rest = (str(rng.choice(PLACES)), str(rng.choice(THINGS)))
        prompts.append(indirect_object(io, subject, order, *rest))
        twins["io"].append(indirect_object(third, subject, order, *rest))
        twins["subject"].append(indirect_object(io, third, order, *rest))
        twins["order"].append(indirect_object(io, subject, turned, *rest))
    return TaskPrompts(tuple(prompts), {name: tuple(each) for name, each in twins.items()})


def agreements(number: int, rng: np.random.Generator) -> TaskPrompts:
    """So many prompts of agreement; twins differ in the number of one of the two nouns."""
    prompts, twins = list[TaskPrompt](), dict[str, list[TaskPrompt]]()
    for _ in range(number):
        noun, other = rng.choice(np.array(list(NOUNS)), 2, replace=False).tolist()
        many, other_many = (str(rng.choice(["one", "several"])) for _ in range(2))
        between = str(rng.choice(BETWEEN))
        prompts.append(agreement(noun, many, other, other_many, between))
        for name, turned in (
            ("number", (OTHER_NUMBER[many], other_many)),
            ("other number", (many, OTHER_NUMBER[other_many])),
        ):
            twins.setdefault(name, []).append(agreement(noun, turned[0], other, turned[1], between))
    return TaskPrompts(tuple(prompts), {name: tuple(each) for name, each in twins.items()})


OTHER_NUMBER = MappingProxyType({"one": "several", "several": "one"})
TASKS: Mapping[str, Callable[[int, np.random.Generator], TaskPrompts]] = MappingProxyType(
    {"indirect_object": indirect_objects, "agreement": agreements}
)
