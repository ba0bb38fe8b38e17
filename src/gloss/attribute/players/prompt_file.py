"""A file of prompts: what each is, its corrupted twin, the answer that is asked about and the other
one. A line that cannot be used is told, and ends nothing.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gloss.errors import BadInput, BadSettings
from gloss.store.file_bytes import filled_lines

FIELDS = ("prompt", "corrupted", "answer", "other")
SHOWN = 3  # reasons that are told, each with its lines


@dataclass(frozen=True, slots=True)
class PromptLine:
    """A line of a file; "" for what it does not say."""

    prompt: str
    corrupted: str = ""  # the prompt's twin, which says something else in some places
    answer: str = ""
    other: str = ""
    line: int = 0  # of the file, counted from 1
    problem: str = ""  # why the line cannot be used


@dataclass(frozen=True, slots=True)
class UnusableLine:
    """A line that was left out, and why."""

    line: int
    reason: str


def read_prompt_file(path: Path) -> tuple[PromptLine, ...]:
    """All lines of a file that are not empty: JSON with the fields `prompt`, `corrupted`, `answer`
    and `other` where its name ends in `.jsonl`, or else a prompt a line.

    Raises BadInput where it cannot be read, or none of its lines holds a prompt.
    """
    try:
        lines = filled_lines(path)
    except (OSError, UnicodeDecodeError) as problem:
        raise BadInput(
            f"--prompts {path} cannot be read ({problem}); give a file with a line of JSON for each"
            ' prompt, such as {"prompt": "…", "answer": "…"}'
        ) from problem
    given = [
        (number, text if path.suffix != ".jsonl" else json_line(text)) for number, text in lines
    ]
    return prompt_lines(given, f"--prompts {path}")


def prompt_lines(given: Iterable[tuple[int, Any]], where: str) -> tuple[PromptLine, ...]:
    """Texts, or mappings with the fields of a line, by their numbers.

    Raises BadInput where none holds a prompt.
    """
    found = tuple(prompt_line(number, one) for number, one in given)
    bad = [UnusableLine(one.line, one.problem) for one in found if one.problem]
    if len(bad) == len(found):
        raise none_usable(where, bad)
    return found


def prompt_line(number: int, one: Any) -> PromptLine:
    """One line, with its problem where it has one."""
    if problem := wrong_with(one):
        return PromptLine("", line=number, problem=problem)
    said = {"prompt": one} if isinstance(one, str) else one
    return PromptLine(**{name: said.get(name) or "" for name in FIELDS}, line=number)


def require_prompt_lines(given: object) -> None:
    """Raises BadSettings for anything but lines."""
    if not isinstance(given, tuple) or not all(isinstance(one, PromptLine) for one in given):
        raise BadSettings(f"prompts must be lines of prompts, got {given!r}; give them to prompts=")


def json_line(text: str) -> Any:
    """What a line of JSON holds; None for what is none, or is no mapping."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def wrong_with(one: Any) -> str:
    """Why this is no prompt; "" where it is one."""
    if isinstance(one, str):
        return "" if one.strip() else "it holds no text"
    if not isinstance(one, Mapping):
        return 'it is no JSON of the form {"prompt": "…"}'
    given: Mapping[str, Any] = one
    if wrong := [name for name in FIELDS if not isinstance(given.get(name) or "", str)]:
        return f'"{wrong[0]}" is {given[wrong[0]]!r}, and must be text'
    return "" if (given.get("prompt") or "").strip() else 'it has no "prompt"'


def none_usable(where: str, left_out: Sequence[UnusableLine]) -> BadInput:
    """What is raised where no line can be used."""
    why = f": {lines_sentence(left_out)}" if left_out else ""
    return BadInput(
        f"{where} holds no prompt that can be used{why}; give a line of JSON for each, such as"
        ' {"prompt": "…", "corrupted": "…", "answer": "…", "other": "…"}'
    )


def lines_sentence(left_out: Sequence[UnusableLine]) -> str:
    """Which lines were left out, by reason, the most frequent first."""
    by_reason: dict[str, list[int]] = {}
    for one in left_out:
        by_reason.setdefault(one.reason, []).append(one.line)
    ranked = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    said = [f"{lines_in_words(lines)}: {reason}" for reason, lines in ranked[:SHOWN]]
    more = sum(len(lines) for _, lines in ranked[SHOWN:])
    return "; ".join([*said, *([f"and {more:,} for other reasons"] if more else [])])


def lines_in_words(lines: Sequence[int]) -> str:
    """A line, or several, the first few by their numbers."""
    if len(lines) == 1:
        return f"line {lines[0]}"
    shown = ", ".join(map(str, lines[:SHOWN]))
    more = f" and {len(lines) - SHOWN:,} more" if len(lines) > SHOWN else ""
    return f"lines {shown}{more}"
