"""Which tokens of the vocabulary an explanation names: those of its rule, or those that its text quotes."""

import json
import re
from functools import lru_cache

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from gloss.records import Explanation
from gloss.rules import parse
from gloss.rules.language import After, Before, LineBegins, OneOf, Rule
from gloss.store.vocabulary import Vocabulary

EXACT = re.compile(r'`("(?:[^"\\]|\\.)*")`')  # a JSON string between backticks, as explainers that name tokens write them
LOOSE = re.compile(r'`` (.+?) ``|`([^`"]+)`|"([^"\n]{1,40})"|“([^”\n]{1,40})”')


def named_tokens(explanation: Explanation, vocabulary: Vocabulary) -> Int64[ndarray, " token"]:
    """Their ids, ascending; none where it names none.

    A rule names the strings of its sets, wherever they stand. A text names what it quotes: a JSON string between backticks
    stands for exactly that token, anything else for every token that is the same but for blanks around it and capitals.
    """
    known = ids_of(vocabulary)
    if explanation.rule is not None:
        return joined([known[0].get(string, ()) for string in strings_of(parse(explanation.rule))])
    exact = [json.loads(found) for found in EXACT.findall(explanation.text)]
    loose = ["".join(groups) for groups in LOOSE.findall(EXACT.sub("", explanation.text))]
    return joined([known[0].get(string, ()) for string in exact] + [known[1].get(core(string), ()) for string in loose])


def strings_of(rule: Rule) -> list[str]:
    """The strings of every set in the rule that is not denied."""
    found: list[str] = []
    for alternative in rule.alternatives:
        for term in alternative.terms:
            condition = term.condition
            predicate = condition.predicate if isinstance(condition, After | Before | LineBegins) else condition
            if not term.negated and isinstance(predicate, OneOf):
                found += predicate.strings
    return found


@lru_cache(maxsize=2)
def ids_of(vocabulary: Vocabulary) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """The tokens of each string, and the tokens of each core."""
    exact: dict[str, tuple[int, ...]] = {}
    loose: dict[str, tuple[int, ...]] = {}
    for token, string in enumerate(vocabulary.strings):
        exact[string] = (*exact.get(string, ()), token)
        loose[core(string)] = (*loose.get(core(string), ()), token)
    return exact, loose


def core(string: str) -> str:
    """The string without blanks around it and without capitals; blanks alone stay as they are."""
    return string.strip().casefold() or string


def joined(found: list[tuple[int, ...]]) -> Int64[ndarray, " token"]:
    return np.unique(np.array([token for tokens in found for token in tokens], np.int64))
