"""Says a rule in plain words: what the token is, where it stands, and what is excepted."""

import re
from itertools import pairwise

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
    "letters": "a word or a piece of one",
    "lower": "a token in small letters",
    "upper": "a token in capital letters",
    "capitalised": "a capitalised word",
    "number": "a number",
    "punctuation": "a mark of punctuation",
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
CLASS_LACKS = {
    "letters": "that is not of letters only",
    "lower": "not in small letters",
    "upper": "not in capital letters",
    "capitalised": "that is no capitalised word",
    "number": "that is no number",
    "punctuation": "that is more than punctuation",
    "opening": "without an opening bracket",
    "closing": "without a closing bracket",
    "quote": "without a quotation mark",
    "blank": "that is more than blanks",
    "newline": "without a line break",
    "spaced": "without a blank in front",
    "unspaced": "that begins with a blank or a sign",
    "underscored": "without an underscore",
}
STATES = {
    State.START_OF_LINE: "at the start of a line",
    State.START_OF_WORD: "at the start of a word",
    State.IN_COMMENT: "in a comment",
    State.IN_STRING: "inside quotation marks",
    State.IN_BRACKETS: "inside brackets",
}
COMPARISONS = {
    Comparison.LESS: "among the first {number} tokens",
    Comparison.AT_MOST: "among the first {following} tokens",
    Comparison.EQUAL: "as token {following} of the text",
    Comparison.AT_LEAST: "after the first {number} tokens",
    Comparison.MORE: "after the first {following} tokens",
}
NUMBER = re.compile(r"\\s\*\\d\{(?:(\d+),)?(\d+)\}(?:\\s\*)?")  # the pattern of a number of so many digits
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
    lacks = [CLASS_LACKS[name] for term in terms if term.negated and (name := own_class(term.condition))]
    lacks += ["that continues a word" for term in terms if term.negated and term.condition is State.START_OF_WORD]
    around = [place_phrase(term.condition, as_in) for term in terms if not term.negated and not is_own(term.condition)]
    said = {term for term in terms if own_class(term.condition) or term.condition is State.START_OF_WORD}
    except_for = [exception(term.condition, own, as_in) for term in terms if term.negated and term not in said]
    words = [own_phrase(own, as_in), *filter(None, [join_and(lacks), join_and(around)])]
    return ", except ".join(filter(None, [" ".join(words), " or ".join(except_for)]))


def rank(condition: Condition) -> tuple[int, bool]:
    """Where the condition is told among others: what is said of the word follows what is said of the token."""
    return ORDER.index(type(condition)), isinstance(condition, OneOf) and condition.unit is Unit.WORD


def own_class(condition: Condition) -> str:
    """The class that the condition wants the token itself to belong to; nothing for other conditions."""
    return condition.name if isinstance(condition, IsClass) and condition.unit is Unit.TOKEN else ""


def exception(condition: Condition, own: list[Condition], as_in: AsIn) -> str:
    """What is excepted. Strings of tokens and of words look alike, so it is said which, where the other kind is spoken of."""
    units = {each.unit for each in own if isinstance(each, OneOf)}
    if isinstance(condition, OneOf) and units and condition.unit not in units:
        thing = "token" if condition.unit is Unit.TOKEN else "word so far"
        return f"where the {thing} is {told(condition.strings, as_in if condition.unit is Unit.TOKEN else whole)}"
    return place_phrase(condition, as_in)


def is_own(condition: Condition) -> bool:
    """Whether the condition is about the token itself."""
    return isinstance(condition, OneOf | Matches | IsClass)


def own_phrase(conditions: list[Condition], as_in: AsIn) -> str:
    """What the conditions about the token itself say of it."""
    if not conditions:
        return "any token"
    phrase = predicate_phrase(conditions[0], as_in)
    for before, condition in pairwise(conditions):
        match condition:
            case IsClass(Unit.TOKEN, name):
                phrase += f" {CLASS_NOTES[name]}"
            case Matches(Unit.TOKEN, pattern):
                phrase += f"{' and' * isinstance(before, Matches)} {pattern_note(pattern)}"
            case OneOf(Unit.WORD, strings):
                phrase += f" where the word so far is {told(strings)}"
            case _:
                phrase += f" in {predicate_phrase(condition, as_in)}"
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
    thing = "a number" if NUMBER.fullmatch(pattern) else "a token" if unit is Unit.TOKEN else "a word"
    return f"{thing} {pattern_note(pattern)}"


def pattern_note(pattern: str) -> str:
    """What a regular expression says of a string."""
    literal = r"((?:\\[^\w\s]|[^\\.^$*+?{}\[\]|()])+)"
    if found := re.fullmatch(rf"(?:\\s\*)?{literal}\.\*", pattern):
        return f"beginning with {quoted(unescaped(found[1]))}"
    if found := re.fullmatch(rf"\.\*{literal}(?:\\s\*)?", pattern):
        return f"ending in {quoted(unescaped(found[1]))}"
    if found := re.fullmatch(rf"\.\*{literal}\.\*", pattern):
        return f"containing {quoted(unescaped(found[1]))}"
    if found := NUMBER.fullmatch(pattern):
        return f"of {'up to ' * bool(found[1])}{found[2]} digit{'s' * (found[2] != '1')}"
    return f"matching /{pattern}/"


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
