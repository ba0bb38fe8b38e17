"""Says a rule in plain words: what the token is, where it stands, and what is excepted."""

import re
from itertools import pairwise

from gloss.rules.language import (
    After,
    Alternative,
    Before,
    Condition,
    IsClass,
    LineBegins,
    Matches,
    OneOf,
    Position,
    PositionComparison,
    Predicate,
    PredicateUnit,
    Rule,
    TokenState,
)
from gloss.rules.string_naming import NO_WORDS, SeenWords, backtick_string, name_strings
from gloss.rules.word_fields import FIELDS

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
} | {name: field.one for name, field in FIELDS.items()}
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
} | {name: f"that is {field.one}" for name, field in FIELDS.items()}
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
} | {name: f"that is not {field.one}" for name, field in FIELDS.items()}
STATES = {
    TokenState.START_OF_LINE: "at the start of a line",
    TokenState.START_OF_WORD: "at the start of a word",
    TokenState.IN_COMMENT: "in a comment",
    TokenState.IN_STRING: "inside quotation marks",
    TokenState.IN_BRACKETS: "inside brackets",
}
COMPARISONS = {
    PositionComparison.LESS: "among the first {number} tokens",
    PositionComparison.AT_MOST: "among the first {following} tokens",
    PositionComparison.EQUAL: "as token {following} of the text",
    PositionComparison.AT_LEAST: "after the first {number} tokens",
    PositionComparison.MORE: "after the first {following} tokens",
}
# the pattern of a number of so many digits
NUMBER = re.compile(r"\\s\*\\d\{(?:(\d+),)?(\d+)\}(?:\\s\*)?")
# in which conditions are named
ORDER = (OneOf, Matches, IsClass, After, Before, TokenState, LineBegins, Position)


def rule_phrase(rule: Rule, seen: SeenWords = NO_WORDS) -> str:
    """A short phrase for people; alternatives in order, without their strengths.

    `seen` may know the words of which tokens are pieces, and words that a pattern or a field
    meets: they are told beside.
    """
    return "; or ".join(
        dict.fromkeys(alternative_phrase(alternative, seen) for alternative in rule.alternatives)
    )


def alternative_phrase(alternative: Alternative, seen: SeenWords) -> str:
    """What the token is, where it stands, then what is excepted.

    "`raise` right after a line break, except in a string".
    """
    terms = sorted(alternative.terms, key=lambda term: condition_rank(term.condition))
    own = [term.condition for term in terms if not term.negated and is_predicate(term.condition)]
    lacks = [
        CLASS_LACKS[name] for term in terms if term.negated and (name := own_class(term.condition))
    ]
    lacks += [
        "that continues a word"
        for term in terms
        if term.negated and term.condition is TokenState.START_OF_WORD
    ]
    around = [
        condition_phrase(term.condition, seen)
        for term in terms
        if not term.negated and not is_predicate(term.condition)
    ]
    said = {
        term
        for term in terms
        if own_class(term.condition) or term.condition is TokenState.START_OF_WORD
    }
    excepted = [term.condition for term in terms if term.negated and term not in said]
    except_for = [exception_phrase(condition, own, seen) for condition in excepted]
    token = own_token_phrase(own, seen)
    if token == CLASS_NAMES["newline"] and any(map(is_predicate, excepted)):
        token = f"any token {CLASS_NOTES['newline']}"
    words = [token, *filter(None, [join_and(lacks), join_and(around)])]
    return ", except ".join(filter(None, [" ".join(words), " or ".join(except_for)]))


def condition_rank(condition: Condition) -> tuple[int, bool]:
    """Where the condition stands among others: what is said of the word follows the token."""
    return (
        ORDER.index(type(condition)),
        isinstance(condition, OneOf) and condition.unit is PredicateUnit.WORD,
    )


def own_class(condition: Condition) -> str:
    """The class that the condition wants the token itself to belong to.

    Nothing for other conditions.
    """
    return (
        condition.name
        if isinstance(condition, IsClass) and condition.unit is PredicateUnit.TOKEN
        else ""
    )


def exception_phrase(condition: Condition, own: list[Condition], seen: SeenWords) -> str:
    """What is excepted.

    Strings of tokens and of words look alike, so it is said which where the other kind is there.
    """
    units = {each.unit for each in own if isinstance(each, OneOf)}
    if isinstance(condition, OneOf) and units and condition.unit not in units:
        if condition.unit is PredicateUnit.TOKEN:
            return f"where the token is {name_strings(condition.strings, seen)}"
        return f"where the word so far is {name_strings(condition.strings, things='words')}"
    return condition_phrase(condition, seen)


def is_predicate(condition: Condition) -> bool:
    """Whether the condition is about the token itself."""
    return isinstance(condition, OneOf | Matches | IsClass)


def own_token_phrase(conditions: list[Condition], seen: SeenWords) -> str:
    """What the conditions about the token itself say of it."""
    if not conditions:
        return "any token"
    phrase = predicate_phrase(conditions[0], seen)
    for before, condition in pairwise(conditions):
        match condition:
            case IsClass(PredicateUnit.TOKEN, name):
                phrase += f" {CLASS_NOTES[name]}"
            case Matches(PredicateUnit.TOKEN, pattern):
                phrase += f"{' and' * isinstance(before, Matches)} {pattern_note(pattern)}"
            case OneOf(PredicateUnit.WORD, strings):
                phrase += f" where the word so far is {name_strings(strings, things='words')}"
            case _:
                phrase += f" in {predicate_phrase(condition, seen)}"
    return phrase


def predicate_phrase(predicate: Condition, seen: SeenWords) -> str:
    """A predicate as the thing that satisfies it."""
    match predicate:
        case OneOf(unit, strings) if unit is PredicateUnit.WORD and any(
            letter.isalnum() for string in strings for letter in string
        ):
            name = name_strings(strings, things="words")
            return f"the word{'s' * (len(strings) > 1)} {name}" if name[0] == "`" else name
        case OneOf(unit, strings):
            return name_strings(strings, seen if unit is PredicateUnit.TOKEN else NO_WORDS)
        case Matches(unit, pattern):
            return pattern_phrase(unit, pattern) + examples_phrase(predicate, seen)
        case IsClass(unit, name):
            phrase = (
                CLASS_NAMES[name] if unit is PredicateUnit.TOKEN else f"a word {CLASS_NOTES[name]}"
            )
            return phrase + examples_phrase(predicate, seen) * (name in FIELDS)
        case _:
            raise TypeError(f"{predicate} is no predicate")


def examples_phrase(predicate: Predicate, seen: SeenWords) -> str:
    """Words that were seen where the predicate holds, in brackets; nothing where none was."""
    words = seen.matching(predicate)
    return f" ({', '.join(map(backtick_string, words))})" if words else ""


def pattern_phrase(unit: PredicateUnit, pattern: str) -> str:
    """A regular expression in words, where it only says how the string begins or ends.

    Any other as it is.
    """
    thing = (
        "a number"
        if NUMBER.fullmatch(pattern)
        else "a token"
        if unit is PredicateUnit.TOKEN
        else "a word"
    )
    return f"{thing} {pattern_note(pattern)}"


def pattern_note(pattern: str) -> str:
    """What a regular expression says of a string."""
    literal = r"((?:\\[^\w\s]|[^\\.^$*+?{}\[\]|()])+)"
    if found := re.fullmatch(rf"(?:\\s\*)?{literal}\.\*", pattern):
        return f"beginning with {backtick_string(unescape_pattern(found[1]))}"
    if found := re.fullmatch(rf"\.\*{literal}(?:\\s\*)?", pattern):
        return f"ending in {backtick_string(unescape_pattern(found[1]))}"
    if found := re.fullmatch(rf"\.\*{literal}\.\*", pattern):
        return f"containing {backtick_string(unescape_pattern(found[1]))}"
    if found := NUMBER.fullmatch(pattern):
        return f"of {'up to ' * bool(found[1])}{found[2]} digit{'s' * (found[2] != '1')}"
    return f"matching /{pattern}/"


def unescape_pattern(pattern: str) -> str:
    """The text that a pattern without wild cards means."""
    return re.sub(r"\\(.)", r"\1", pattern)


def condition_phrase(condition: Condition, seen: SeenWords) -> str:
    """Where the token stands; of a condition on the token itself, what it is."""
    match condition:
        case After(nearest, farthest, predicate):
            return (
                f"{distance_phrase(nearest, farthest, 'after')} {predicate_phrase(predicate, seen)}"
            )
        case Before(nearest, farthest, predicate):
            return (
                f"{distance_phrase(nearest, farthest, 'before')}"
                f" {predicate_phrase(predicate, seen)}"
            )
        case LineBegins(predicate):
            return f"on a line that begins with {predicate_phrase(predicate, seen)}"
        case Position(PositionComparison.LESS, 1) | Position(
            PositionComparison.EQUAL | PositionComparison.AT_MOST, 0
        ):
            return "at the start of the text"
        case Position(comparison, number):
            return COMPARISONS[comparison].format(number=number, following=number + 1)
        case TokenState() as state:
            return STATES[state]
        case _ as predicate:
            return predicate_phrase(predicate, seen)


def distance_phrase(nearest: int, farthest: int, word: str) -> str:
    """How far away, with the word for the direction."""
    if farthest == 1:
        return f"right {word}"
    if nearest == farthest:
        return f"{nearest} tokens {word}"
    return (
        f"within {farthest} tokens {word}"
        if nearest == 1
        else f"{nearest} to {farthest} tokens {word}"
    )


def join_and(places: list[str]) -> str:
    """Commas, and a last "and"."""
    return " and ".join(filter(None, [", ".join(places[:-1]), *places[-1:]]))
