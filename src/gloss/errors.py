"""What users can mend: the command line prints these as one sentence, without a traceback, and
exits with code 2.
"""

import difflib
from collections.abc import Iterable

MOST_NAMES, NEAREST_NAMES = 40, 8  # that a sentence lists; of more, so many


class GlossError(Exception):
    """Something that the user gave cannot be used.

    Its one sentence says what was given, what was wanted and what to do. Every error that a user
    can mend is one of its subclasses. A notebook shows the sentence, and not the way to it.

        >>> try:
        ...     gloss.open("no/such/run")
        ... except gloss.GlossError as problem:
        ...     print(problem)
        no/such/run holds no run...
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class BadInput(GlossError):
    """A path, a text or a file that cannot be read as what it should be."""


class BadSettings(GlossError):
    """A setting that does not exist, or has a value that it cannot have."""


class Mismatch(GlossError):
    """Two things that do not fit together: a dictionary and a site, settings and the run that they
    should resume.
    """


class Unreachable(GlossError):
    """A server that does not answer, or refuses."""


class Unwritable(GlossError):
    """A folder that cannot be written: read-only, full, or no folder."""


class Stopped(GlossError):
    """Something outside gloss ended a part of its work; the same command goes on."""


class Busy(GlossError):
    """A folder in which another process works."""


class Damaged(GlossError):
    """A file of a run that does not hold what was written."""


def require_at_least(least: int | float, settings: object, *names: str) -> None:
    """Raise BadSettings where one of these attributes is below `least`, by the setting's name."""
    for name in names:
        if not getattr(settings, name) >= least:
            raise BadSettings(f"{name} is {getattr(settings, name)}; give {least:g} or more")


def require_one_of(choices: Iterable[str], settings: object, name: str) -> None:
    """Raise BadSettings, with what there is, where this attribute is none of the choices.

    >>> require_one_of(["rule", "max_activating"], feature.explanation, "method")
    """
    if (given := getattr(settings, name)) not in (known := list(choices)):
        raise BadSettings(f"{name} is {given!r}; give {' or '.join(map(repr, known))}")


def error_cause(error: BaseException) -> str:
    """An error's first cause in one line, with its kind where it says little by itself."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[:2])[:300]
    return (
        said
        if isinstance(error, OSError | ValueError | ImportError) and said
        else f"{type(error).__name__} {said}".strip()
    )


def suggestion(given: str, known: Iterable[str]) -> str:
    """What was probably meant, and everything that is there; of many, the names nearest to it."""
    known = list(known)
    near = difflib.get_close_matches(given, known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    if len(known) > MOST_NAMES:
        nearest = difflib.get_close_matches(given, known, n=NEAREST_NAMES, cutoff=0)
        return f"{meant} There are {len(known):,}; nearest to it: {', '.join(nearest)}."
    return (
        f"{meant} There {'are' if len(known) != 1 else 'is'}: {', '.join(sorted(known)) or 'none'}."
    )
