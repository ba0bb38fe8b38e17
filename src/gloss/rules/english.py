"""Says a rule in plain words: what the token is, where it stands, and what is excepted."""

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
    Unit,
)
from gloss.rules.naming import AsIn, quoted, told, whole

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
CLASS_NOTES = {
    "letters": "of letters only",
    "lower": "in small letters",
    "upper": "in capital letters",
    "capitalised": "with a capital in front",
    "number": "of digits only",
    "punctuation": "without letters",
    "opening": "with an opening bracket",
    "closing": "with a closing bracket",
    "quote": "with a quotation mark",
    "blank": "of blanks only",
    "newline": "with a line break",
    "spaced": "with a blank in front",
    "unspaced": "without a blank in front",
    "underscored": "with an underscore",
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
ORDER = (OneOf, Matches, IsClass, After, Before, State, LineBegins, Position)  # in which conditions are told


def phrase(rule: Rule, as_in: AsIn = whole) -> str:
    """A short phrase for people; alternatives in order, without their strengths.

    `as_in` may know a word for the string of a token that is a piece of one: it is told beside the piece.
    """
    return "; or ".join(dict.fromkeys(alternative_phrase(alternative, as_in) for alternative in rule.alternatives))


def alternative_phrase(alternative: Alternative, as_in: AsIn) -> str:
    """What the token is, where it stands, then what is excepted: "`raise` right after a line break, except in a string"."""
    terms = sorted(alternative.terms, key=lambda term: rank(term.condition))
    own = [term.condition for term in terms if not term.negated and is_own(term.condition)]
    around = [place_phrase(term.condition, as_in) for term in terms if not term.negated and not is_own(term.condition)]
    except_for = [place_phrase(term.condition, as_in) for term in terms if term.negated]
    words = [own_phrase(own, as_in), *filter(None, [join_and(around)])]
    return ", except ".join(filter(None, [" ".join(words), " or ".join(except_for)]))


def rank(condition: Condition) -> int:
    """Where the condition is told among others."""
    return ORDER.index(type(condition))


def is_own(condition: Condition) -> bool:
    """Whether the condition is about the token itself."""
    return isinstance(condition, OneOf | Matches | IsClass)


def own_phrase(conditions: list[Condition], as_in: AsIn) -> str:
    """What the conditions about the token itself say of it."""
    if not conditions:
        return "any token"
    phrase = predicate_phrase(conditions[0], as_in)
    for condition in conditions[1:]:
        match condition:
            case IsClass(Unit.TOKEN, name):
                phrase += f" {CLASS_NOTES[name]}"
            case _:
                phrase += f" that is {predicate_phrase(condition, as_in)}"
    return phrase


def predicate_phrase(predicate: Condition, as_in: AsIn) -> str:
    """A predicate as the thing that satisfies it."""
    match predicate:
        case OneOf(unit, strings) if unit is Unit.WORD and any(letter.isalnum() for string in strings for letter in string):
            return f"the word{'s' * (len(strings) > 1)} {told(strings)}"
        case OneOf(unit, strings):
            return told(strings, as_in if unit is Unit.TOKEN else whole)
        case Matches(unit, pattern):
            return pattern_phrase(unit, pattern)
        case IsClass(unit, name):
            return CLASS_NAMES[name] if unit is Unit.TOKEN else f"a word {CLASS_NOTES[name]}"
        case _:
            raise TypeError(f"{predicate} is no predicate")


def pattern_phrase(unit: Unit, pattern: str) -> str:
    """A regular expression in words where it only says how the string begins or ends, else itself."""
    literal = r"((?:\\[^\w\s]|[^\\.^$*+?{}\[\]|()])+)"
    thing = "a token" if unit is Unit.TOKEN else "a word"
    if found := re.fullmatch(rf"(?:\\s\*)?{literal}\.\*", pattern):
        return f"{thing} beginning with {quoted(unescaped(found[1]))}"
    if found := re.fullmatch(rf"\.\*{literal}(?:\\s\*)?", pattern):
        return f"{thing} ending in {quoted(unescaped(found[1]))}"
    if found := re.fullmatch(rf"\.\*{literal}\.\*", pattern):
        return f"{thing} containing {quoted(unescaped(found[1]))}"
    if found := re.fullmatch(r"\\s\*\\d\{(?:(\d+),)?(\d+)\}(?:\\s\*)?", pattern):
        return f"a number of {'up to ' * bool(found[1])}{found[2]} digit{'s' * (found[2] != '1')}"
    return f"{thing} matching /{pattern}/"


def unescaped(pattern: str) -> str:
    """The text that a pattern without wild cards means."""
    return re.sub(r"\\(.)", r"\1", pattern)


def place_phrase(condition: Condition, as_in: AsIn) -> str:
    """Where the token stands; of a condition on the token itself, what it is."""
    match condition:
        case After(nearest, farthest, predicate):
            return f"{span(nearest, farthest, 'after')} {predicate_phrase(predicate, as_in)}"
        case Before(nearest, farthest, predicate):
            return f"{span(nearest, farthest, 'before')} {predicate_phrase(predicate, as_in)}"
        case LineBegins(predicate):
            return f"on a line that begins with {predicate_phrase(predicate, as_in)}"
        case Position(Comparison.LESS, 1) | Position(Comparison.EQUAL | Comparison.AT_MOST, 0):
            return "at the start of the text"
        case Position(comparison, number):
            return COMPARISONS[comparison].format(number=number, following=number + 1)
        case State() as state:
            return STATES[state]
        case _ as predicate:
            return predicate_phrase(predicate, as_in)


def span(nearest: int, farthest: int, word: str) -> str:
    """How far away, with the word for the direction."""
    if farthest == 1:
        return f"right {word}"
    if nearest == farthest:
        return f"{nearest} tokens {word}"
    return f"within {farthest} tokens {word}" if nearest == 1 else f"{nearest} to {farthest} tokens {word}"


def join_and(places: list[str]) -> str:
    """Commas, and a last "and"."""
    return " and ".join(filter(None, [", ".join(places[:-1]), *places[-1:]]))
