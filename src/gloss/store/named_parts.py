"""`path#name`: which column of texts, or dictionary of several, is meant in a path."""

import os


def split_part_name(source: str) -> tuple[str, str]:
    """The path, and the name of the part behind its `#`; no name where the whole is meant.

    A path may hold `#` itself, and so may a name: the longest path that exists counts. Where none
    does, the first `#` divides.

        >>> split_part_name("no/such/folder#early")
        ('no/such/folder', 'early')
    """
    divides = [place for place, sign in enumerate(source) if sign == "#"]
    for place in (len(source), *reversed(divides)):
        if os.path.exists(source[:place]):  # noqa: PTH110  Path raises for some names
            return source[:place], source[place + 1 :]
    path, _, name = source.partition("#")
    return path, name
