"""Reads what a judge said of each numbered item, and how likely yes was by log-probabilities.

A number says which item an answer is for, so that one that is missing costs no other. Answers
without numbers are read only where there are exactly as many as items: with one more or one fewer
nobody knows which is for which.
"""

import math
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import Generic, TypeVar

from gloss.models.chat_models.packed_answers import in_24_bits
from gloss.models.chat_models.prompts import Answer, TokenLogprob
from gloss.models.chat_models.thoughts import strip_thoughts

T = TypeVar("T")
Decide = Callable[[str], T | None]
"""What a word means; None where it is no answer."""
AnswersByItem = dict[int, tuple[T, int]]
"""By item, from 0: what was said of it, and at which character of the text that begins."""

WORDS = {"0": False, "1": True, "no": False, "yes": True, "false": False, "true": True}
YES = "y t oui si sí sì sim ja да так tak evet 是 是的 对 有 はい 네 نعم"  # elsewhere
NO = "n f non não nein nej nee нет ні nie hayır 否 不是 无 いいえ 아니요 لا"
ELSEWHERE: dict[str, bool] = {word: words is YES for words in (YES, NO) for word in words.split()}
WIDE = {sign: sign - 0xFEE0 for sign in range(0xFF01, 0xFF5F)}
SIGNS = WIDE | str.maketrans("✓✔✅☑✗✘❌☒✖。、“”„‘’\ufe0f", '111100000.,"""\'\' ')
ITEM = (
    r"(?:(?:context|text|item|set|number|no\.|question|example|sentence|answer|q|c)s?"
    r"[ _]*)?#?\(?(?P<item>\d{1,4})\)?[\"'`]?"
)
SAID = r"(?P<quote>[\"'`]?)(?P<said>\w+)(?P=quote)"
# What may follow a word.
GOES_ON = (
    r"(?=[\"'`)\]}|*\s]*(?:$|[-.](?!\w)|[,;:!?(|–—#$]"
    r"|(?:because|since|as|it|this|that|there|the)\b))"
)
LABEL = (
    r"[^\w\n]*(?:(?:here (?:is|are) )?(?:the |my |final |so )*answers?(?: is| are)?"
    r"[ ]*[:=]?)?[^\w\n]*"
)

BIT = re.compile("[01]")
NUMBERED_VALUE = re.compile(r'"(?P<item>[0-9]{1,4})": ?(?P<said>[01])')
NUMBERED_JSON = re.compile(
    rf"{{{NUMBERED_VALUE.pattern}(?:, ?{NUMBERED_VALUE.pattern})*}}".replace(
        "?P<item>", "?:"
    ).replace("?P<said>", "?:")
)
LISTED_JSON = re.compile(r'{"answers": ?\[[01](?:, ?[01])*\]}')

OBJECT = re.compile(r"\{[^{}]*(?:\}|$)")
# what may stand between objects of one answer
JOINED = re.compile(r"[\s,;\[\]]*(?:[\"']?\d+[\"']?\s*:\s*)?")
FIELD = re.compile(rf"(?<=[{{,\n])\s*[\"']?{ITEM}\s*[:=]\s*{SAID}\s*(?=[,\n}}]|$)", re.IGNORECASE)
NUMBER = re.compile(
    r"\b(?:context|text|item|set|number|index|id|n|no|question)[\"']?\s*:\s*[\"']?(?P<item>\d{1,4})\b",
    re.I,
)
VALUE = re.compile(
    rf"\b(?:answer|value|active|label|verdict|result|match|matches|counts|fits|decision)[\"']?\s*:\s*{SAID}",
    re.IGNORECASE,
)
KEY = re.compile(r"[\"']?(?P<item>\d{1,4})[\"']?\s*:\s*$")
LIST = re.compile(r"\[[^\[\]{}]*\]")
ENTRY = re.compile(r"[^,\[\]\s][^,\[\]]*")
PAIR = re.compile(
    rf"{ITEM}(?:[ \t]*(?:[:)=-]+|\.(?!\d))[ \t]*|[ \t]+(?=[^\W\d])){SAID}", re.IGNORECASE
)
LINE = re.compile(
    rf"[^\w\n]*{ITEM}[ \t]*(?:=>|->|[:)=→–—|-]|\.(?!\d)|is\b)[ \t|(]*{SAID}{GOES_ON}", re.IGNORECASE
)
ALONE = re.compile(rf"{LABEL}{SAID}{GOES_ON}", re.IGNORECASE)
BETWEEN = re.compile(r"[\s,;/|.$\"'`()-]*")
AND = re.compile(r"[\s,;/|.]+(?:and\s+)?", re.IGNORECASE)
QUOTES = " \t\n\"'`"
DRESS = re.compile(
    r"```[a-z]*|\*\*|__|</?(?:answers?|final|json|output|response|results?|verdicts?)>|(?<=(?<![\w.])[01])\.0+(?![\w.])",
    re.I,
)
TAGGED = re.compile(r"<((?:[a-z]+[ _]?)?\d{1,4})>(\s*\w+\s*)</\1>", re.IGNORECASE)
BOX = re.compile(r"\\(?:boxed|text\w*|mathrm|mathbf)\{([^{}]*)\}")  # as TeX writes what matters
FOR_EXAMPLE = re.compile(
    r"(?:for example|for instance|e\.g\.|such as|(?:example(?: answer)?|form(?:at)?) (?:is|would"
    r" be)|looks? like)"
    r"\W*(?:answers?\W*)?$",
    re.IGNORECASE,
)
REFUSES = re.compile(
    r"\b(?:I|we)\b[^.\n]{0,40}\b(?:cannot|can't|can not|could not|couldn't|unable|don't know|do not"
    r" know|won't)\b",
    re.IGNORECASE,
)
BEGINS = re.compile(r"\W*(\w+)")


@dataclass(frozen=True, slots=True)
class AnswerReading(Generic[T]):
    """Answers that stand together, and from where to where."""

    places: AnswersByItem[T]
    start: int
    end: int


def parse_answers(
    text: str, number: int, decide: Decide[T], counts: T | None = None
) -> AnswersByItem[T]:
    """What a judge said of each of so many items.

    Those that it left out, or left in doubt, are missing.

    Places are those of the text without thoughts, as an answer holds it. Of several readings the
    last one that is whole counts, or else the last one. Where a list names the items that count, as
    `[2, 7]`, these get the answer `counts` and the others its opposite; without `counts` such a
    list says nothing.
    """
    if (said := parse_plain_json(text, number, decide)) is not None:
        return said
    plain = blank_matches(DRESS, normalise_signs(strip_thoughts(text).text))
    readings = [
        *object_readings(plain, number, decide),
        *list_readings(plain, number, decide, counts),
        *line_readings(plain, number, decide),
    ]
    readings += word_readings(plain, number, decide)
    meant = [reading for reading in readings if not FOR_EXAMPLE.search(plain[: reading.start])]
    best = max(
        meant, key=lambda reading: (len(reading.places) == number, reading.end), default=None
    )
    return {} if best is None or REFUSES.search(plain[best.end :]) else best.places


def parse_plain_json(text: str, number: int, decide: Decide[T]) -> AnswersByItem[T] | None:
    """The same of an answer that is nothing but the JSON that was asked for, whole: most are, and
    are read at once. None where it is anything else.

        >>> parse_plain_json('{"answers": [1, 0]}', 2, yes_or_no)
        {0: (True, 13), 1: (False, 16)}
    """
    if NUMBERED_JSON.fullmatch(text):
        said = list(answered_pairs(NUMBERED_VALUE.finditer(text), decide))
        places = answers_by_number(said, number)
    elif LISTED_JSON.fullmatch(text):
        words = ((found[0], found.start()) for found in BIT.finditer(text))
        places = answers_by_order(
            [(value, at) for word, at in words if (value := decide(word)) is not None], number
        )
    else:
        return None
    return places if len(places) == number > 1 else None


def yes_or_no(word: str) -> bool | None:
    """Yes or no as models write them: 1, true, yes; None for anything else."""
    return WORDS.get(word.lower(), ELSEWHERE.get(word.lower()))


def first_answer_word(text: str, decide: Decide[T]) -> str | None:
    """The first word that could be an answer, wherever it stands: who says nothing of the kind need
    not be asked again.
    """
    return next((word for word in re.findall(r"\d+|\w\w+", text) if decide(word) is not None), None)


def normalise_signs(text: str) -> str:
    """The text with signs that are written in many ways in the plainest one, each at its place."""
    plain = "".join(
        str(digit) if (digit := unicodedata.decimal(one, None)) is not None else one
        for one in text.translate(SIGNS)
    )
    plain = TAGGED.sub(
        lambda found: f" {found[1]}:{found[2]}{' ' * (found.end() - found.end(2))}", plain
    )
    for _ in range(2):  # boxes may be nested
        plain = BOX.sub(lambda found: f"{' ' * (found.start(1) - found.start())}{found[1]} ", plain)
    return plain


def blank_matches(what: re.Pattern[str], text: str) -> str:
    """The text with blanks in place of what is no answer; everything else keeps its place."""
    return what.sub(lambda found: " " * len(found[0]), text)


def object_readings(text: str, number: int, decide: Decide[T]) -> Iterator[AnswerReading[T]]:
    """`{"1": 0, "2": 1}`, `{"1": {"answer": 0}}`, `[{"context": 1, "answer": 0}]`: whole, cut
    short, or nearly JSON.
    """
    groups: list[list[re.Match[str]]] = []
    for found in OBJECT.finditer(text):
        if groups and JOINED.fullmatch(text, groups[-1][-1].end(), found.start()):
            groups[-1].append(found)
        else:
            groups.append([found])
    for group in groups:
        numbered: list[tuple[int, T, int]] = []
        in_order: list[tuple[T, int]] = []
        for found in group:
            fields = list(answered_pairs(FIELD.finditer(text, *found.span()), decide))
            numbered += fields
            if (
                not fields
                and (value := VALUE.search(text, *found.span()))
                and (said := decide(value["said"])) is not None
            ):
                key = NUMBER.search(text, *found.span()) or KEY.search(text, 0, found.start())
                if key:
                    numbered.append((int(key["item"]), said, value.start("said")))
                else:
                    in_order.append((said, value.start("said")))
        places = answers_by_number(numbered, number) or answers_by_order(in_order, number)
        if places:
            yield AnswerReading(places, group[0].start(), group[-1].end())


def list_readings(
    text: str, number: int, decide: Decide[T], counts: T | None
) -> Iterator[AnswerReading[T]]:
    """`[0, 1, 1]` with an answer for each item, `["1: no", "2: yes"]`, and `[2, 7]` where that is
    all there is.
    """
    for found in LIST.finditer(text):
        outside = blank_matches(
            re.compile(r"\b(?:answers?|json)\b", re.I), text[: found.start()] + text[found.end() :]
        )
        alone = re.search(r"\w", outside) is None
        if number == 1 and not alone:
            continue  # a number in brackets, in a sentence
        entries = list(ENTRY.finditer(text, *found.span()))
        stripped = [
            (
                entry[0].strip(" \t\n\"'`"),
                entry.start() + len(entry[0]) - len(entry[0].lstrip("\"'`")),
            )
            for entry in entries
        ]
        said = [(value, at) for word, at in stripped if (value := decide(word)) is not None]
        pairs = list(
            answered_pairs((pair for _, at in stripped if (pair := PAIR.match(text, at))), decide)
        )
        if len(said) == len(entries) == number:
            yield AnswerReading(answers_by_order(said, number), *found.span())
        elif len(pairs) == len(entries):
            yield AnswerReading(answers_by_number(pairs, number), *found.span())
        elif (
            counts is not None
            and alone
            and (rows := listed_items([word for word, _ in stripped], number))
        ):
            opposite = next(
                value for word in ("yes", "no") if (value := decide(word)) not in (counts, None)
            )
            yield AnswerReading(
                {
                    row: (counts if row in rows else opposite, found.start())
                    for row in range(number)
                },
                *found.span(),
            )


def listed_items(entries: list[str], number: int) -> list[int]:
    """Which items these numbers name, from 0.

    None where they may be answers themselves, or name nothing.
    """
    rows = [int(word) - 1 for word in entries if word.isascii() and word.isdecimal()]
    rises = (
        len(rows) == len(entries)
        and all(0 <= row < number for row in rows)
        and rows == sorted(set(rows))
    )
    return rows if rises and rows != [0] else []


def line_readings(text: str, number: int, decide: Decide[T]) -> Iterator[AnswerReading[T]]:
    """`1: 0` a line, `2. Yes, because …`, and `1: no, 2: yes` where nothing else stands in the
    line.
    """
    found: list[tuple[int, T, int]] = []
    ends: list[int] = []
    for line in re.finditer(r"^.*\S.*$", text, re.MULTILINE):
        pairs = list(PAIR.finditer(text, *line.span()))
        rest = AND.sub("", blank_matches(PAIR, line[0]))
        if not pairs or re.search(r"\w", blank_matches(re.compile(LABEL, re.I), rest)):
            pairs = [one] if (one := LINE.match(text, *line.span())) else []
        if said := list(answered_pairs(pairs, decide)):
            found += said
            ends += line.span()
    if places := answers_by_number(found, number):
        yield AnswerReading(places, min(ends), max(ends))


def word_readings(text: str, number: int, decide: Decide[T]) -> Iterator[AnswerReading[T]]:
    """`Yes, no, yes` in a line of its own, or an answer a line, exactly as many as items."""
    run: list[tuple[T, int]] = []
    start = 0
    for line in re.finditer(r"^.*\S.*$|\Z", text, re.MULTILINE):
        label = re.match(LABEL, line[0], re.IGNORECASE)
        at = line.start() + (label.end() if label else 0)
        plain = not re.search(r"[\[\]{}]", line[0])
        listed = plain and BETWEEN.fullmatch(re.sub(r"\w+", "", text[at : line.end()]))
        parts = re.finditer(r"\w+", text[at : line.end()]) if listed else ()
        told = [(word[0], at + word.start()) for word in parts if word[0].lower() != "and"]
        said = [(value, position) for word, position in told if (value := decide(word)) is not None]
        if len(said) == len(told) == number > 1:
            yield AnswerReading(answers_by_order(said, number), *line.span())
        if plain and (one := leading_answer(text, line, decide)):
            start = start if run else line.start()
            run.append(one)
            continue
        if len(run) == number or (number == 1 and len({value for value, _ in run}) == 1):
            yield AnswerReading(answers_by_order(run[-number:], number), start, line.start())
        run = []


def leading_answer(text: str, line: re.Match[str], decide: Decide[T]) -> tuple[T, int] | None:
    """The answer with which a line begins, as in `Yes, because …`.

    A number with more behind it may count the line instead.
    """
    found = ALONE.match(text, *line.span())
    if found is None or (
        found["said"].isdecimal() and re.search(r"\w", text[found.end() : line.end()])
    ):
        return None
    said = decide(found["said"])
    return None if said is None else (said, found.start("said"))


def answered_pairs(
    pairs: Iterable[re.Match[str]], decide: Decide[T]
) -> Iterator[tuple[int, T, int]]:
    """The item, the answer, and where it begins, of every pair that has an answer."""
    for pair in pairs:
        if (said := decide(pair["said"])) is not None:
            yield int(pair["item"]), said, pair.start("said")


def answers_by_number(said: list[tuple[int, T, int]], number: int) -> AnswersByItem[T]:
    """Answers at their items, the last of each.

    None at all where the numbers are not those of the items.
    """
    found = {item: (value, at) for item, value, at in said}
    if found.keys() == set(range(number)):
        return found  # counted from 0
    return (
        {item - 1: answer for item, answer in found.items()}
        if all(1 <= item <= number for item in found)
        else {}
    )


def answers_by_order(said: list[tuple[T, int]], number: int) -> AnswersByItem[T]:
    """Answers in the order of the items; none where there are more or fewer."""
    return dict(enumerate(said)) if len(said) == number else {}


@dataclass(frozen=True)
class TokenPlaces:
    """Where the tokens of an answer that have log-probabilities stand in its text."""

    tokens: tuple[TokenLogprob, ...]
    starts: list[int]  # of each token, in characters of the text; in front of it below 0

    @staticmethod
    def of(answer: Answer) -> "TokenPlaces | None":
        """Of an answer; None where it has none, or they do not spell it."""
        if answer.text is None or not answer.logprobs:
            return None
        tokens = answer.logprobs
        if tokens[0].start is not None:
            return TokenPlaces(tokens, [token.start or 0 for token in tokens])
        words = [token.token for token in tokens]
        offset = "".join(words).rfind(answer.text)
        if offset < 0:
            return None
        starts = list(accumulate(map(len, words), initial=-offset))
        return TokenPlaces(tokens, starts[:-1])

    def at(self, position: int) -> int | None:
        """Which token holds this character of the text; None where none does."""
        row = bisect_right(self.starts, position) - 1
        # tokens without text stand where the next one does
        held = row >= 0 and position < self.starts[row] + len(self.tokens[row].token)
        return row if held else None

    def yes_probability(self, position: int) -> float | None:
        """P(yes) of the value that begins at this character of the answer's text; None where it
        cannot be had.
        """
        row = self.at(position)
        if row is None:
            return None
        return token_yes_probability(self.tokens[row], position - self.starts[row])


def keep_read_logprobs(answer: Answer, positions: Iterable[int]) -> Answer:
    """The answer with what `TokenPlaces.yes_probability` reads at these characters of its text, in
    24 bits a number, and without all other log-probabilities.
    """
    if not answer.logprobs or answer.logprobs[0].start is not None:
        return answer
    places = TokenPlaces.of(answer)
    rows = (
        {}
        if places is None
        else {row: None for p in positions if (row := places.at(p)) is not None}
    )
    if places is None or not rows:
        return replace(answer, logprobs=None)
    kept: list[tuple[TokenLogprob, int, list[tuple[str, float]]]] = []
    for row in rows:
        token = places.tokens[row]
        said = [
            one
            for one in token.alternatives
            if one[0] != token.token and answer_of_prefix(one[0]) is not None
        ]
        kept.append((token, places.starts[row], said))
    values = iter(
        in_24_bits(
            [value for token, _, said in kept for value in (token.logprob, *(v for _, v in said))]
        )
    )
    return replace(
        answer,
        logprobs=tuple(
            TokenLogprob(
                token.token, next(values), tuple((text, next(values)) for text, _ in said), start
            )
            for token, start, said in kept
        ),
    )


def token_yes_probability(token: TokenLogprob, at: int) -> float | None:
    """P(yes) among yes and no in place of this token, whose value begins at character `at`; None
    where another stands before it.

    An alternative that is not among those that the server names has probability 0.
    """
    if at > 0 and re.search(r"\w", token.token[:at]):
        return None
    mass = {True: 0.0, False: 0.0}
    for text, logprob in {**dict(token.alternatives), token.token: token.logprob}.items():
        if (meant := answer_of_prefix(text)) is not None:
            mass[meant] += math.exp(logprob)
    return mass[True] / (mass[True] + mass[False]) if mass[True] + mass[False] > 0 else None


@lru_cache(4096)  # the same few tokens come again and again
def answer_of_prefix(token: str) -> bool | None:
    """What a token begins to say, as the first letters of yes or false; None for anything else."""
    value = BEGINS.match(token)
    return next(
        (yes for word, yes in WORDS.items() if value and word.startswith(value[1].lower())), None
    )
