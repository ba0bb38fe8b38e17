"""Says a rule in plain words: short, with variants of one word told once and long lists cut."""

import re

from gloss.rules.language import (
    After,
    Alternative,
    Before,
    Comparison,
    Condition,
    IsClass,
    LineBegins,
    Matches,
    OneOf,
    Position,
    Rule,
    State,
    Term,
    Unit,
)

LISTED = 6  # strings that are told before the rest is counted
CLASS_NAMES = {
    "letters": "a piece of a word",
    "lower": "small letters",
    "upper": "capital letters",
    "capitalised": "a capitalised word",
    "number": "a number",
    "punctuation": "punctuation",
    "opening": "an opening bracket",
    "closing": "a closing bracket",
    "quote": "a quotation mark",
    "blank": "blanks",
    "newline": "a line break",
    "spaced": "a token with a blank in front",
    "unspaced": "a token without a blank in front",
    "underscored": "a token with an underscore",
}
STATES = {
    State.START_OF_LINE: "at the start of a line",
    State.IN_COMMENT: "in a comment",
    State.IN_STRING: "in a string",
    State.IN_BRACKETS: "inside brackets",
}
COMPARISONS = {
    Comparison.LESS: "among the first {number} tokens",
    Comparison.AT_MOST: "among the first {following} tokens",
    Comparison.EQUAL: "as token {following} of the text",
    Comparison.AT_LEAST: "after the first {number} tokens",
    Comparison.MORE: "after the first {following} tokens",
}


def phrase(rule: Rule) -> str:
    """A short phrase for people; alternatives in order, without their strengths."""
    told = list(dict.fromkeys(alternative_phrase(alternative) for alternative in rule.alternatives))
    return "; or ".join(told)


def alternative_phrase(alternative: Alternative) -> str:
    """What the token is, then where it stands: "`raise` or `except`, after a line break"."""
    is_own = [isinstance(term.condition, OneOf | Matches | IsClass) for term in alternative.terms]
    own = [term for term, mine in zip(alternative.terms, is_own, strict=True) if mine]
    around = [term for term, mine in zip(alternative.terms, is_own, strict=True) if not mine]
    own.sort(key=lambda term: (term.negated, isinstance(term.condition, IsClass)))
    told = own_phrase(own)
    places = join_and([place_phrase(term) for term in around])
    return f"{told} {places}" if places else told


def own_phrase(terms: list[Term]) -> str:
    """What the terms about the token itself say of it."""
    if not terms:
        return "any token"
    first, *others = terms
    told = f"anything but {predicate_phrase(first.condition)}" if first.negated else predicate_phrase(first.condition)
    for term in others:
        told += f", {'but not' if term.negated else 'that is'} {predicate_phrase(term.condition)}"
    return told


def predicate_phrase(predicate: Condition) -> str:
    """A predicate as the thing that satisfies it."""
    match predicate:
        case OneOf(unit, strings):
            return f"the end of the word {listed(strings)}" if unit is Unit.WORD and split_words(strings) else listed(strings)
        case Matches(unit, pattern):
            return pattern_phrase(unit, pattern)
        case IsClass(unit, name):
            return CLASS_NAMES[name] if unit is Unit.TOKEN else f"a word of the kind {name}"
        case _:
            raise TypeError(f"{predicate} is no predicate")


def split_words(strings: tuple[str, ...]) -> bool:
    """Whether the words are real ones, which tokens may hold in pieces."""
    return any(letter.isalnum() for string in strings for letter in string)


def listed(strings: tuple[str, ...]) -> str:
    """The strings between backticks, each word once whatever its blanks and capitals, a long list cut."""
    variants: dict[str, list[str]] = {}
    for string in strings:
        variants.setdefault(string.strip().casefold() or string, []).append(string)
    told = [
        quoted(min(same, key=lambda string: (string.strip() != string.strip().lower(), len(string))))
        for same in variants.values()
    ]
    if len(told) > LISTED + 1:
        return f"{', '.join(told[:LISTED])} … and {len(told) - LISTED} more"
    return join_or(told)


def quoted(string: str) -> str:
    """The string between backticks, without the blank in front; blanks and line breaks by name."""
    core = string.strip()
    if not core:
        breaks = string.count("\n")
        blanks = len(string.rsplit("\n", 1)[-1])
        told = ["a line break" if breaks == 1 else f"{breaks} line breaks"] if breaks else []
        told += [f"{blanks} blank{'s' * (blanks > 1)}"] if blanks else []
        return " and ".join(told) or "nothing"
    return f"`` {core} ``" if "`" in core else f"`{core}`"


def pattern_phrase(unit: Unit, pattern: str) -> str:
    """A regular expression in words where it only says how the string begins or ends, else itself."""
    literal = r"((?:\\[^\w\s]|[^\\.^$*+?{}\[\]|()])+)"
    thing = "a token" if unit is Unit.TOKEN else "a word"
    if found := re.fullmatch(rf"(?:\\s\*)?{literal}\.\*", pattern):
        return f"{thing} beginning with {quoted(unescaped(found[1]))}"
    if found := re.fullmatch(rf"\.\*{literal}", pattern):
        return f"{thing} ending in {quoted(unescaped(found[1]))}"
    if found := re.fullmatch(rf"\.\*{literal}\.\*", pattern):
        return f"{thing} containing {quoted(unescaped(found[1]))}"
    if found := re.fullmatch(r"\\s\*\\d\{(?:(\d+),)?(\d+)\}", pattern):
        return f"a number of {'up to ' * bool(found[1])}{found[2]} digit{'s' * (found[2] != '1')}"
    return f"{thing} matching /{pattern}/"


def unescaped(pattern: str) -> str:
    """The text that a pattern without wild cards means."""
    return re.sub(r"\\(.)", r"\1", pattern)


def place_phrase(term: Term) -> str:
    """Where the token stands."""
    match term.condition:
        case After(nearest, farthest, predicate):
            told = f"{span(nearest, farthest, 'after')} {predicate_phrase(predicate)}"
        case Before(nearest, farthest, predicate):
            told = f"{span(nearest, farthest, 'before')} {predicate_phrase(predicate)}"
        case LineBegins(predicate):
            told = f"on a line that begins with {predicate_phrase(predicate)}"
        case Position(comparison, number):
            told = COMPARISONS[comparison].format(number=number, following=number + 1)
        case State() as state:
            told = STATES[state]
        case _ as predicate:
            told = f"as {predicate_phrase(predicate)}"
    return f"not {told}" if term.negated else told


def span(nearest: int, farthest: int, word: str) -> str:
    """How far away, with the word for the direction."""
    if farthest == 1:
        return f"right {word}"
    if nearest == farthest:
        return f"{nearest} tokens {word}"
    return f"within {farthest} tokens {word}" if nearest == 1 else f"{nearest} to {farthest} tokens {word}"


def join_or(told: list[str]) -> str:
    """`a`, `b` or `c`."""
    return " or ".join(filter(None, [", ".join(told[:-1]), told[-1]]))


def join_and(told: list[str]) -> str:
    """Commas, and a last "and"."""
    return " and ".join(filter(None, [", ".join(told[:-1]), *told[-1:]]))
