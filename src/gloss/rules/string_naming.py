"""Names a set of strings: by what they share where they are many, and by the first ones."""

import re
from collections.abc import Callable

from gloss.rules.lexical_classes import CLASSES

LISTED = 6  # strings that are listed before the rest is counted
LETTERS = 90  # after so many letters no more are listed, but for the first
FEWEST = 3  # that are listed however long they are
SHARED = 0.9  # share of the strings that makes a property worth a name
LONGEST = 24  # letters of a word that stands beside its piece
RUN = 4  # the same sign so often is called a run

# a word in which the token with this string is seen, where it is a piece of one
WordFinder = Callable[[str], str | None]
PROPERTIES: dict[str, Callable[[str], bool]] = {
    "numbers": CLASSES["number"],
    "line breaks": CLASSES["newline"],
    "closing brackets": CLASSES["closing"],
    "opening brackets": CLASSES["opening"],
    "exception names": (
        lambda string: re.fullmatch(r"\s*\w*(Error|Exception|Warning)", string) is not None
    ),
    "marks of punctuation": CLASSES["punctuation"],
    "words in capitals": lambda string: len(string.strip()) > 1 and CLASSES["upper"](string),
    "capitalised words": CLASSES["capitalised"],
    "names with an underscore": (
        lambda string: CLASSES["underscored"](string) and len(string.strip("_ ")) > 1
    ),
}


def no_word(_string: str) -> None:
    """No word beside any string."""
    return


def name_strings(strings: tuple[str, ...], find_word: WordFinder = no_word) -> str:
    """The strings between backticks, each word once whatever its blanks and capitals.

    Of many the first, and what they share.
    """
    entries = list(
        dict.fromkeys(name_variants(same, find_word) for same in group_variants(strings))
    )
    number = listed_count(entries)
    if number == len(entries):
        return join_or(entries)
    name = shared_property(strings)
    if name is None:
        return f"{', '.join(entries[:number])} … and {len(entries) - number} more"
    return f"{len(entries)} {name} such as {', '.join(entries[:number])}"


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


def name_variants(same: list[str], find_word: WordFinder) -> str:
    """How variants of one string are named."""
    if not same[0].strip():
        return name_blanks(same)
    simplest = min(
        same, key=lambda string: (len(string.strip()), string.strip() != string.strip().lower())
    )
    core = simplest.strip()
    if is_run(core) and len({string.strip() for string in same}) > 1:
        return f"`{core[0] * RUN}…`"
    plural = any(string.strip().casefold() == f"{core.casefold()}s" for string in same)
    word = next((word for string in same if (word := find_word(string))), None)
    beside = f" (`{word}`)" if word and len(word) <= LONGEST else ""
    return f"`{core}(s)`{beside}" if plural else f"{backtick_string(core)}{beside}"


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


def shared_property(strings: tuple[str, ...]) -> str | None:
    """What almost all of the strings are, in the plural.

    None where they have nothing in common that has a name.
    """
    for name, belongs in PROPERTIES.items():
        if holding := hedged_name(name, sum(belongs(string) for string in strings), len(strings)):
            return holding
    cores = [string.strip().casefold() for string in strings]
    for length in (6, 5, 4, 3):
        for name, part in (
            ("words that begin with", slice(length)),
            ("words that end in", slice(-length, None)),
        ):
            parts = [core[part] for core in cores if len(core) > length]
            common = max(parts, key=parts.count, default="")
            if common.isalpha() and (
                holding := hedged_name(f"{name} `{common}`,", parts.count(common), len(cores))
            ):
                return holding
    return None


def hedged_name(name: str, holding: int, everything: int) -> str | None:
    """The name as far as it holds."""
    if holding < SHARED * everything:
        return None
    return name if holding == everything else f"tokens, mostly {name}"


def join_or(entries: list[str]) -> str:
    """`a`, `b` or `c`."""
    return " or ".join(filter(None, [", ".join(entries[:-1]), entries[-1]]))
