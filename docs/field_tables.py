"""For the API reference: a table of a dataclass' fields, from the comments beside them."""

import tokenize
from io import StringIO
from typing import Any

from griffe import Attribute, Class, Docstring, Extension


def field_comments(source: str) -> dict[int, str]:
    """What is said of each line: the comment behind it, or the lines of comments right above."""
    said: dict[int, str] = {}
    above: list[str] = []
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("#"):
            above.append(line.lstrip()[1:].strip())
            continue
        if line.strip():
            tokens = tokenize.generate_tokens(StringIO(line.strip()).readline)
            try:
                behind = [
                    each.string[1:].strip() for each in tokens if each.type == tokenize.COMMENT
                ]
            except tokenize.TokenError:
                behind = []
            if above or behind:
                said[number] = " ".join(above + behind)
        above = []
    return said


class FieldTables(Extension):
    """Adds a table of its fields to the docstring of each class: types, defaults, what is said."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        comments = field_comments("\n".join(cls.lines_collection[cls.filepath]))
        fields = [
            each
            for each in cls.members.values()
            if isinstance(each, Attribute)
            and each.name[0] != "_"
            and "property" not in each.labels
            and (each.annotation or each.lineno in comments)
        ]
        if fields and cls.docstring:
            rows = [field_row(each, comments.get(each.lineno or 0, "")) for each in fields]
            table = "\n".join(["| field | |", "|---|---|", *rows])
            cls.docstring = Docstring(f"{cls.docstring.value}\n\n{table}", parent=cls)


def field_row(field: Attribute, said: str) -> str:
    """A row of the table: the declaration, and what is said of it."""
    declared = f"{field.name}: {field.annotation}" if field.annotation else field.name
    if field.value is not None:
        declared += f" = {field.value}"
    return f"| `{declared}` | {said.replace('|', chr(92) + '|')} |"
