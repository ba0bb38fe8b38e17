"""Names a set of strings: by what they share, and by the first ones, whole words before pieces."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gloss.rules.language import Predicate
from gloss.rules.lexical_classes import CLASSES
from gloss.rules.word_fields import FIELDS

LISTED = 5  # strings that are listed before the rest is counted
LETTERS = 90  # after so many letters no more are listed, but for the first
FEWEST = 3  # that are listed however long they are
SHARED = 0.9  # share of the strings that makes a property worth a name
LONGEST = 24  # letters of a word that stands beside its piece, or in its place
RUN = 4  # the same sign so often is called a run


@dataclass(frozen=True, slots=True)
class PieceOfWord:
    """What is known of a token that mostly is a piece of a word."""

    word: str  # that it is most often a piece of
    is_only: bool  # whether it hardly is a piece of any other, so that the word says it all


class SeenWords:
    """The words that were seen where a rule is about to be told: here none."""

    def around(self, strings: Sequence[str]) -> PieceOfWord | None:
        """What tokens with these strings, variants of one, are a piece of; None where they mostly
        are whole words.
        """

    def matching(self, predicate: Predicate) -> tuple[str, ...]:
        """Some words at which the predicate holds, the most frequent first."""
        return ()

    def centre(self, strings: Sequence[str]) -> str | None:
        """The string that all of these are like; None where there is none."""


NO_WORDS = SeenWords()
PROPERTIES: dict[str, Callable[[str], bool]] = {
    "numbers": CLASSES["number"],
    "line breaks": CLASSES["newline"],
    "closing brackets": CLASSES["closing"],
    "opening brackets": CLASSES["opening"],
    "marks of punctuation": CLASSES["punctuation"],
    "words in capitals": lambda string: len(string.strip()) > 1 and CLASSES["upper"](string),
    "capitalised words": CLASSES["capitalised"],
    "names with an underscore": (
        lambda string: CLASSES["underscored"](string) and len(string.strip("_ ")) > 1
    ),
    FIELDS["exception"].many: FIELDS["exception"].holds,
}


def name_strings(
    strings: tuple[str, ...], seen: SeenWords = NO_WORDS, things: str = "tokens"
) -> str:
    """The strings between backticks, each word once whatever its blanks and capitals, whole words
    first.

    What they share is said, and of many only the first are listed; of those that share nothing the
    number comes first, and that they are `things`.
    """
    named = [name_variants(same, seen) for same in group_variants(strings)]
    entries = list(dict.fromkeys(name for name, _ in sorted(named, key=lambda each: each[1])))
    number = listed_count(entries)
    if number == len(entries):
        field = shared_field(strings) if number >= FEWEST else None
        return join_or(entries) + (f" ({field})" if field else "")
    name = shared_property(strings)
    if name is None and (centre := seen.centre(strings)):
        name = f"tokens like {backtick_string(centre)},"
    if name is None:
        return f"one of {len(entries)} {things}, such as {join_or(entries[:number])}"
    listed, rest = ", ".join(entries[:number]), f"and {len(entries) - number} more like these"
    return f"{name} such as {listed} {rest}"


def listed_count(entries: list[str]) -> int:
    """How many of the entries are listed: all where only one more than that would be left."""
    letters, number = 0, 0
    while number < len(entries) and number < LISTED and (letters < LETTERS or number < FEWEST):
        letters += len(entries[number])
        number += 1
    return len(entries) if number + 1 >= len(entries) else number


def group_variants(strings: tuple[str, ...]) -> list[list[str]]:
    """The strings by what they are but for blanks, capitals and a last `s`.

    Blanks by their line breaks; runs by their sign.
    """
    groups: dict[str, list[str]] = {}
    cores = {string.strip().casefold() for string in strings}
    for string in strings:
        core = string.strip().casefold()
        if not core:
            core = "\n" * string.count("\n") or " "
        elif is_run(core):
            core = core[0] * RUN
        elif len(core) > RUN and core.endswith("s") and core[:-1] in cores:
            core = core[:-1]
        groups.setdefault(core, []).append(string)
    return list(groups.values())


def name_variants(same: list[str], seen: SeenWords) -> tuple[str, bool]:
    """How variants of one string are named, and whether that is a piece of a word."""
    if not same[0].strip():
        return name_blanks(same), False
    simplest = min(
        same, key=lambda string: (len(string.strip()), string.strip() != string.strip().lower())
    )
    core = simplest.strip()
    if is_run(core) and len({string.strip() for string in same}) > 1:
        return f"`{core[0] * RUN}…`", False
    plural = any(string.strip().casefold() == f"{core.casefold()}s" for string in same)
    piece = seen.around(same)
    if piece is None or len(piece.word) > LONGEST:
        return f"`{core}(s)`" if plural else backtick_string(core), False
    if piece.is_only:
        return f"`{piece.word}`", False
    return f"{backtick_string(core)} (`{piece.word}`)", True


def is_run(core: str) -> bool:
    """Whether it is one sign, many times."""
    return len(core) >= RUN and len(set(core)) == 1 and not core.isalnum()


def name_blanks(same: list[str]) -> str:
    """Blanks by number, after as many line breaks."""
    breaks = same[0].count("\n")
    numbers = sorted({len(string.rsplit("\n", 1)[-1]) for string in same})
    broken = ["a line break" if breaks == 1 else f"{breaks} line breaks"] if breaks else []
    few = [str(number) for number in numbers if number]
    spaced = f"{join_or(few)} blank{'s' * (few != ['1'])}" if few else ""
    if len(few) > LISTED:
        spaced = f"{few[0]} to {few[-1]} blanks"
    if broken and spaced and 0 in numbers:
        return f"{broken[0]} with or without {spaced}"
    return " and ".join([*broken, *filter(None, [spaced])]) or "nothing"


def backtick_string(string: str) -> str:
    """The string between backticks, without the blank in front; blanks and line breaks by name."""
    core = string.strip()
    if not core:
        return name_blanks([string])
    return f"`` {core} ``" if "`" in core else f"`{core}`"


def shared_field(strings: tuple[str, ...]) -> str | None:
    """The first word field that all of the strings belong to, in the plural."""
    return next(
        (field.many for field in FIELDS.values() if all(map(field.holds, strings))),
        None,
    )


def shared_property(strings: tuple[str, ...]) -> str | None:
    """What almost all of the strings are, in the plural.

    None where they have nothing in common that has a name.
    """
    shares = {name: sum(map(belongs, strings)) for name, belongs in PROPERTIES.items()}
    cores = [string.strip().casefold() for string in strings]
    for length in (6, 5, 4, 3):
        for name, part in (
            ("words that begin with", slice(length)),
            ("words that end in", slice(-length, None)),
        ):
            parts = [core[part] for core in cores if len(core) > length]
            common = max(parts, key=parts.count, default="")
            if common.isalpha():
                shares.setdefault(f"{name} `{common}`,", parts.count(common))
    shares |= {field.many: sum(map(field.holds, strings)) for field in FIELDS.values()}
    named = (hedged_name(name, holding, len(strings)) for name, holding in shares.items())
    return next(filter(None, named), None)


def hedged_name(name: str, holding: int, everything: int) -> str | None:
    """The name as far as it holds."""
    if holding < SHARED * everything:
        return None
    return name if holding == everything else f"mostly {name}"


def join_or(entries: list[str]) -> str:
    """`a`, `b` or `c`."""
    return " or ".join(filter(None, [", ".join(entries[:-1]), entries[-1]]))
