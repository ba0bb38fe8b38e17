"""Reads a label in plain words as a rule, where it is one as a whole: "the word 'raise'", "months",
"words ending in ing". What is not understood to its last word is not read.
"""

import re
from dataclasses import dataclass, field, replace

from gloss.rules.language import (
    After,
    Alternative,
    Before,
    IsClass,
    Matches,
    OneOf,
    Predicate,
    PredicateUnit,
    Rule,
    RuleTerm,
)
from gloss.rules.patterns import literal_pattern
from gloss.rules.word_fields import FIELDS

# between quotation marks, backticks among them; an apostrophe inside a word is none
QUOTED = re.compile(
    r'"([^"\n]+)"|“([^”\n]+)”|`([^`\n]+)`|«([^»\n]+)»|(?<!\w)[\'‘]([^\'’\n]+)[\'’](?!\w)'
)
Q = "\x02"  # stands for a quotation in a label whose quotations were taken out
LIST = rf"{Q}(?:(?:,| and| or|/|, and|, or|,? and/or)? ?{Q})*"
THINGS = r"(?:words?|tokens?|terms?|names?|nouns?|verbs?|adjectives?|adverbs?|pieces?|strings?)"
FORMED = r"(?:words?|tokens?|terms?|strings?)"
LEAD = re.compile(
    r"(?:the |an? |any |all |specific |specifically |direct |common |frequent |individual )*"
    r"(?:(?:instances?|mentions?|occurrences?|uses?|usages?|appearances?|examples?|presence|"
    r"positions?) (?:of|at)|(?:it )?(?:fires|activates) (?:on|at)|instances where)(?: an?| any)? "
)
LOOSE_LEAD = re.compile(
    r"(?:(?:specific )?references? to|(?:words|terms|tokens|nouns|names) (?:for|denoting|meaning|"
    r"(?:related|relating|referring) to|indicating|describing)) (?:the )?"
)
STRENGTHS = r"(?:activations?|intensit(?:y|ies)|emphasis|relevance|strengths?|levels?|degrees?)"
ABOUT_STRENGTH = re.compile(
    rf",? (?:with|at) (?:a )?(?:varying|various|different|high|strong) {STRENGTHS}"
    rf"(?: (?:values?|levels?|of {STRENGTHS}|or importance))*$"
)
TAIL = re.compile(
    r",? (?:(?:(?:with)?in|throughout) (?:the |an? |various |different |any )*(?:text|sentence|"
    r"context|passage|document)s?|(?:is|are|being) (?:used|mentioned|present|found)|appears?|"
    r"occurs?|and nothing else|only|specifically|alone|themselves|itself)$"
)
EXAMPLES = re.compile(rf",? \(?(?:such as|like|e\.g\.,?|for example|including) {LIST}\)?$")
HALF_READ = re.compile(r"^.+?, specifically (?:the )?(.+)$")
NEIGHBOUR = 2  # tokens within which something follows: a blank may be one


@dataclass(frozen=True, slots=True)
class Reading:
    """Plain words as a rule that can be run.

    >>> str(read_label("the word 'raise'").rule)
    'word in {"raise", "Raise", "RAISE"}'
    """

    rule: Rule
    # whether the rule holds wherever the words do: a list of words that mean the like may lack some
    complete: bool = True


def names_words(rule: Rule) -> bool:
    """Whether it names each word that it means."""
    terms = [term for each in rule.alternatives for term in each.terms]
    return all(isinstance(term.condition, OneOf) for term in terms)


def is_told_at_word_end(rule: Rule) -> bool:
    """Whether it speaks of how words are spelled or formed, which their last piece tells."""
    return all(
        isinstance(term.condition, Matches | IsClass) and term.condition.unit is PredicateUnit.WORD
        for each in rule.alternatives
        for term in each.terms
    )


def sign(characters: str) -> Predicate:
    """A token that holds one of these characters."""
    some = "|".join(map(literal_pattern, characters))
    return Matches(PredicateUnit.TOKEN, f".*(?:{some}).*" if len(characters) > 1 else f".*{some}.*")


def word_like(pattern: str) -> Predicate:
    """A word that matches as a whole."""
    return Matches(PredicateUnit.WORD, pattern)


# what labels call the characters that a token holds
SIGNS = {
    ",": "commas|comma",
    ".": "periods|period|full stops|full stop",
    "?": "question marks|question mark",
    "!": "exclamation marks|exclamation mark|exclamation points|exclamation point",
    ":": "colons|colon",
    ";": "semicolons|semicolon|semi-colons",
    "-–—": "hyphens|hyphen|dashes|dash",
    "'’": "apostrophes|apostrophe",
    "/": "slashes|forward slashes",
    "()": "parentheses|parenthesis|round brackets",
    "(": "opening parentheses|opening parenthesis|open parentheses|open parenthesis",
    ")": "closing parentheses|closing parenthesis|close parentheses|close parenthesis",
    "[]": "square brackets",
    "{}": "curly braces|curly brackets|braces",
    "()[]{}": "brackets",
    "\"'`“”‘’": "quotation marks|quotation mark|quotes",
    "%": "percent signs|percentage signs|percent symbols|percentage symbols",
    "$": "dollar signs|dollar symbols",
    "&": "ampersands",
    "*": "asterisks|asterisk",
    "#": "hash signs|hash symbols|hashes",
    "@": "at signs|at symbols",
    "+": "plus signs",
    "=": "equals signs|equal signs",
    "<": "less than signs|less than symbols|less-than signs",
    ">": "greater than signs|greater than symbols|greater-than signs",
    "_": "underscores|underscore",
}
# what they call tokens of one spelling
SPELLED: dict[Predicate, str] = {
    word_like(
        r"\d+"
    ): "digits|numerical digits|numeric digits|numbers in digits|sequences of digits",
    word_like(r"\d"): "single-digit numbers|single digit numbers|single digits",
    word_like(r"\d{2}"): "two-digit numbers|two digit numbers|double-digit numbers",
    word_like(r"\d{3}"): "three-digit numbers|three digit numbers",
    word_like(r"\d{4}"): "four-digit numbers|four digit numbers",
    word_like(r"[A-Za-z]"): "single letters|individual letters",
    IsClass(PredicateUnit.TOKEN, "newline"): "newlines|newline characters|line breaks",
    IsClass(PredicateUnit.TOKEN, "punctuation"): (
        "punctuation|punctuation marks|punctuation mark|punctuation symbols|marks of punctuation"
    ),
    IsClass(PredicateUnit.WORD, "capitalised"): (
        "capitalized words|capitalised words|words that are capitalized"
    ),
    IsClass(PredicateUnit.WORD, "upper"): (
        "uppercase words|upper case words|words in all caps|all-caps words|words in capital letters"
        "|words in uppercase|fully capitalized words"
    ),
}
EXACT: dict[str, Predicate] = {
    name: predicate
    for predicate, names in (
        *((sign(characters), names) for characters, names in SIGNS.items()),
        *SPELLED.items(),
    )
    for name in names.split("|")
}
# the same of things that a predicate tells nearly: of the others there may be some that it lacks
NEARLY: dict[str, Predicate] = {
    **dict.fromkeys(("numbers", "numerical values", "numeric values"), word_like(r"\d+")),
    **dict.fromkeys(("years", "numerical years"), word_like(r"(?:1\d|20)\d{2}")),
}
# what labels call the words of a field besides its own name: fields of which all members are
# written out, and fields whose lists may lack some
CLOSED = {
    "article": "definite and indefinite articles",
    "demonstrative": "demonstrative pronouns",
    "possessive": "possessive pronouns|possessive determiners|personal possessive pronouns",
    "pronoun": "personal pronouns",
    "modal": "modals|modal auxiliaries",
    "month": "names of months|month names|names of the months|months of the year|calendar months",
    "weekday": "weekdays|days of week|names of days|names of the days of the week",
}
OPEN = {
    "conjunction": "conjunction words",
    "preposition": "prepositional words",
    "asking": "interrogative words|interrogatives|wh-words",
    "negation": "negation|negation words|negative words",
    "numeral": "spelled-out numbers|numbers written as words|numbers spelled out",
    "colour": "colors|color names|color words|names of colors|colour words|names of colours",
    "kin": "family members|family|family relationships|relatives",
    "animal": "names of animals|animal names|kinds of animals",
    "body": "body parts|names of body parts",
    "food": "foods|food and drink|food items|food and drinks",
    "weather": "weather|the weather",
    "feeling": "feelings|emotions|emotion words",
    "saying": "speech verbs|verbs of speech",
    "motion": "motion|motion verbs|movement verbs",
    "superlative": "superlative adjectives|superlative forms",
    "comparative": "comparative adjectives|comparative forms",
    "past": "past tense verbs|past-tense verbs|verbs in the past tense|verbs in past tense",
    "exception": "exception names|exception classes|names of exception classes",
}
MEAN_MORE = ("person", "place", "title", "direction")  # fields whose names mean others, too
FIELD_NAMES = {
    name: key
    for key, each in FIELDS.items()
    if key not in MEAN_MORE
    for name in (each.one, each.many, *(CLOSED | OPEN).get(key, each.many).split("|"))
}


def read_label(text: str) -> Reading | None:
    """The label as a rule, or None where it is not understood as a whole.

    Words count whatever their case where the label writes them in small letters.

    >>> read_label("things that remind of autumn") is None
    True
    """
    quoted = [quotation("".join(groups)) for groups in QUOTED.findall(text)]
    plain = QUOTED.sub(Q, text)
    if any(letter in plain for letter in '"`“”«»\x03') or plain.count(Q) != len(quoted):
        return None
    plain = re.sub(r"\s+", " ", plain).strip(" .;:").lower().replace("‘", "'")
    return LabelParser(quoted).label(ABOUT_STRENGTH.sub("", plain))


def quotation(text: str) -> str:
    """What is quoted, without the comma or full stop that stands inside the marks by custom."""
    text = text.replace("Ġ", " ").replace("▁", " ")
    return text[:-1] if len(text) > 1 and text[-1] in ".,;" and text[-2].isalnum() else text


@dataclass
class LabelParser:
    """Reads one label whose quotations were taken out, from the left."""

    quoted: list[str]
    used: int = field(default=0)

    def label(self, text: str) -> Reading | None:
        """The reading of a whole label."""
        found = self.part(text)
        return found if found and self.used == len(self.quoted) else None

    def part(self, text: str) -> Reading | None:
        """The reading of a label, or of one of several things that it names."""
        before = self.used
        for form in (self.item, self.trimmed, self.several):
            if found := form(text):
                return found
            self.used = before
        return None

    def trimmed(self, text: str) -> Reading | None:
        """The same without what says nothing of which tokens are meant."""
        if found := LEAD.match(text):
            return self.part(text[found.end() :])
        if found := LOOSE_LEAD.match(text):
            read = self.part(text[found.end() :])
            return replace(read, complete=False) if read else None
        if found := TAIL.search(text):
            return self.part(text[: found.start()])
        if found := EXAMPLES.search(text):
            read = self.part(text[: found.start()])
            self.used += found[0].count(Q) if read else 0
            return read
        if (found := HALF_READ.match(text)) and Q not in text[: found.start(1)]:
            return self.part(found[1])
        return None

    def several(self, text: str) -> Reading | None:
        """Things that are joined by commas, "and" or "or"."""
        parts = [each for each in re.split(r",? (?:and|or) |, ", text) if each]
        if len(parts) < 2:
            return None
        found = [self.part(each.removeprefix("the ")) for each in parts]
        read = [each for each in found if each]
        if len(read) < len(found):
            return None
        alternatives = [one for each in read for one in each.rule.alternatives]
        return Reading(
            Rule(tuple(dict.fromkeys(alternatives))), all(each.complete for each in read)
        )

    def item(self, text: str) -> Reading | None:
        """One thing: quoted words, a form, a class, or what stands beside one of these."""
        bare = re.fullmatch(r"the (?:word|token)s? ([a-z]+(?:(?:,| or|, or| and) [a-z]+)*)", text)
        if bare:
            return one_of(re.split(r",? (?:or|and) |, ", bare[1]))
        text = re.sub(r"^(?:the |an? |specific |exact |single |literal )+", "", text)
        if found := re.fullmatch(
            r"(.+?) (?:that (?:is|are) )?followed by (?:the |an? )?(.+)", text
        ):
            return self.beside(found[1], found[2], Before)
        if found := re.fullmatch(
            rf"(?:{THINGS}|text|whatever) (?:that )?(?:(?:right|immediately|directly|come|comes|"
            rf"coming) )?(?:after|following|follows?|preceded by) (?:the |an? )?(.+)",
            text,
        ):
            return self.beside("", found[1], After)
        return self.quoted_words(text) or self.formed(text) or self.named(text)

    def beside(self, own: str, other: str, kind: type[After] | type[Before]) -> Reading | None:
        """A quoted word with another thing after it, or whatever stands after one ("")."""
        first = self.part(own) if own else None
        second = self.part({"number": "numbers"}.get(other, other))
        if second is None or (own and not (first and names_words(first.rule))):
            return None
        predicates = [term.condition for each in second.rule.alternatives for term in each.terms]
        around = [
            RuleTerm(kind(1, NEIGHBOUR if kind is Before else 1, predicate))
            for predicate in predicates
            if isinstance(predicate, OneOf | Matches | IsClass)
        ]
        if len(around) < len(predicates):
            return None
        owns = [one.terms for one in first.rule.alternatives] if first else [()]
        joined = tuple(Alternative((*terms, term)) for terms in owns for term in around)
        return Reading(Rule(joined), second.complete and (first is None or first.complete))

    def quoted_words(self, text: str) -> Reading | None:
        """Words or signs that are quoted."""
        if re.fullmatch(
            rf"(?:(?:{THINGS}|phrases?|pronouns?|conjunctions?|prepositions?|articles?|numbers?|"
            rf"abbreviations?|acronyms?|contractions?|dates?|years?) )?(?:called |named )?{LIST}",
            text,
        ):
            return one_of(self.take(text.count(Q)))
        if re.fullmatch(
            rf"(?:characters?|symbols?|signs?|punctuation(?: marks?)?|letters?) {LIST}", text
        ):
            signs = self.take(text.count(Q))
            if all(len(each) == 1 and not each.isalnum() for each in signs):
                return single(sign("".join(signs)))
            return None if text.startswith(("char", "letter")) else one_of(signs)
        return None

    def formed(self, text: str) -> Reading | None:
        """Words that begin, end or are spelled in a certain way."""
        for shape, pattern in FORMS:
            if re.fullmatch(shape, text):
                written = self.take(text.count(Q)) if Q in text else [text.split()[-1].strip("-")]
                pieces = [each.strip().strip("-") for each in written]
                if not all(piece.isalnum() for piece in pieces):
                    return None
                some = "|".join(literal_pattern(each) for each in pieces)
                unit = PredicateUnit.TOKEN if text.startswith("token") else PredicateUnit.WORD
                begins, ends = (r"\s*" * (unit is PredicateUnit.TOKEN),) * 2
                spelled = pattern.format(f"(?:{some})" if len(pieces) > 1 else some)
                if spelled.startswith(".*"):
                    return single(Matches(unit, spelled + ends * (not spelled.endswith(".*"))))
                return single(Matches(unit, f"(?i){begins}{spelled}"))
        return None

    def named(self, text: str) -> Reading | None:
        """What a class of tokens or a field of words is called."""
        if text in EXACT or text in NEARLY:
            return single((EXACT | NEARLY)[text], text in EXACT)
        if key := FIELD_NAMES.get(text):
            return single(IsClass(PredicateUnit.WORD, key), key in CLOSED)
        return None

    def take(self, number: int) -> list[str]:
        """The next quotations."""
        self.used += number
        return self.quoted[self.used - number : self.used]


BARE = "(?:-[a-z]+|(?!caps)[a-z]{1,4})"  # a longer word names what it ends in
FORMS = (
    (rf"{FORMED} (?:that )?(?:end|ends|ending|finishing) (?:in|with) (?:the (?:letters?|suffix|"
     rf"sequence) )?(?:{LIST}|{BARE})", ".*{}"),
    (rf"(?:suffix(?:es)?|endings?) (?:{LIST}|-[a-z]+)|{LIST} (?:endings?|suffix(?:es)?)", ".*{}"),
    (rf"{FORMED} (?:that )?(?:start|starts|starting|begin|begins|beginning) (?:in|with) (?:the"
     rf" (?:letters?|prefix|sequence) )?(?:{LIST}|{BARE}-?)", "{}.*"),
    (rf"prefix(?:es)? (?:{LIST}|[a-z]+-)|{LIST} prefix(?:es)?", "{}.*"),
    (rf"{FORMED} (?:that )?(?:contain|contains|containing|including) (?:the (?:letters?|sequence|"
     rf"substring|string|characters?) )?{LIST}", ".*{}.*"),
)  # fmt: skip


def one_of(words: list[str]) -> Reading | None:
    """These words, whatever their case where they are in small letters.

    None where one of them is more than a word or a sign.
    """
    found: list[str] = []
    for word in (each.strip() for each in words):
        if not word or not (word.replace("_", "a").isalnum() or is_sign(word)):
            return None
        found += [word, word.capitalize(), word.upper()] if word.islower() else [word]
    return single(OneOf(PredicateUnit.WORD, tuple(dict.fromkeys(found))))


def is_sign(word: str) -> bool:
    """Whether no letter, digit or blank is in it."""
    return not any(letter.isalnum() or letter == "_" or letter.isspace() for letter in word)


def single(predicate: Predicate, complete: bool = True) -> Reading:
    """The rule that this predicate holds."""
    return Reading(Rule((Alternative((RuleTerm(predicate),)),)), complete)
