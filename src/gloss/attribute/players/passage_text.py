"""A prompt made of passages and a question: which passages, sentences and words it has, and the
game of its words.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gloss.attribute.levels.part_tree import Level, PartTree
from gloss.attribute.players.prompt_parts import PromptUnit, Span, spans_by_character, unit_spans
from gloss.errors import BadInput, BadSettings
from gloss.store.file_bytes import filled_lines

PASSAGES, QUESTION = "{passages}", "{question}"
WITH_QUESTION = f"{PASSAGES}\n\nQuestion: {QUESTION}\nAnswer:"
BETWEEN = "\n\n"  # passages


@dataclass(frozen=True)
class ContextPassage:
    """A piece of context, and what it is called."""

    text: str
    name: str = ""


@dataclass(frozen=True)
class PassagePrompt:
    """A prompt with passages in it."""

    text: str
    spans: tuple[Span, ...]  # of the passages
    names: tuple[str, ...]  # of the passages

    @staticmethod
    def of(
        passages: Sequence[ContextPassage], question: str = "", template: str = ""
    ) -> "PassagePrompt":
        """The passages, an empty line between them, and the question in a template.

        Without a template it is `WITH_QUESTION`, or the passages alone. Raises BadSettings for a
        template that has not one place for each, and where there are no passages.
        """
        template = template or (WITH_QUESTION if question else PASSAGES)
        if not passages:
            raise BadSettings("there are no passages; give some text to attribute to")
        if template.count(PASSAGES) != 1:
            raise BadSettings(
                f"the template {template!r} must hold {PASSAGES} once, and {QUESTION} for a"
                " question"
            )
        if bool(question.strip()) != (QUESTION in template):
            needed = "no place for the question" if question.strip() else "a place for a question"
            raise BadSettings(
                f"the template {template!r} has {needed}; write {QUESTION} where a question stands,"
                " and give --question"
            )
        before, after = (
            each.replace(QUESTION, question.strip()) for each in template.split(PASSAGES)
        )
        spans, at = list[Span](), len(before)
        for each in passages:
            spans.append((at, at + len(each.text)))
            at += len(each.text) + len(BETWEEN)
        names = tuple(
            f"{each.name or number}: {' '.join(each.text.split())}"
            for number, each in enumerate(passages, 1)
        )
        text = before + BETWEEN.join(each.text for each in passages) + after
        return PassagePrompt(text, tuple(spans), names)

    @property
    def within(self) -> Span:
        """Where the passages begin and end in the text, in characters."""
        return self.spans[0][0], self.spans[-1][1]

    def tree(self, leaves: Sequence[Span], finest: PromptUnit = PromptUnit.WORDS) -> PartTree:
        """Passages, their sentences and, if these are the finest, their words, over stretches of
        the text that are the leaves.

        A leaf that reaches over several parts belongs to the first.
        """
        first = [begin + leading_space(self.text[begin:end]) for begin, end in leaves]
        levels = [Level("passages", self.names, spans_by_character(self.text, self.spans)[first])]
        units = [PromptUnit.SENTENCES]
        units += [PromptUnit.WORDS] if finest is PromptUnit.WORDS else []
        for unit in units:
            spans = [one for span in self.spans for one in unit_spans(self.text, unit, span)]
            says = tuple(" ".join(self.text[begin:end].split()) for begin, end in spans)
            levels.append(Level(str(unit), says, spans_by_character(self.text, spans)[first]))
        return PartTree(tuple(levels))


def leading_space(text: str) -> int:
    """How many characters of white space it begins with; none of a text that is nothing else."""
    return len(text) - len(text.lstrip()) if text.strip() else 0


def read_passages(path: Path) -> list[ContextPassage]:
    """The passages of a file: of `.jsonl` a line each, its fields `text` and perhaps `title` and
    `id`; of any other text its paragraphs, or its lines where none is empty.

    A title stands on a line of its own above the text. Raises BadInput where there are none.
    """
    try:
        if path.suffix == ".jsonl":
            found = [passage_of(json.loads(line)) for _, line in filled_lines(path)]
        else:
            found = [ContextPassage(each) for each in paragraphs(path.read_text("utf-8-sig"))]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BadInput(
            f"--passages {path} cannot be read ({problem}); give a file with a passage a line or a"
            ' paragraph, or lines of JSON with "text"'
        ) from problem
    if not found:
        raise BadInput(f"--passages {path} holds no passages; give a file with one a line")
    return found


def passage_of(row: Any) -> ContextPassage:
    """From a line of JSON. Raises ValueError where it holds no text."""
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
        raise ValueError(f"{json.dumps(row)[:80]} has no text")
    title = str(row.get("title") or "").strip()
    text = row["text"].strip()
    return ContextPassage(f"{title}\n{text}" if title else text, str(row.get("id") or ""))


def paragraphs(text: str) -> list[str]:
    """Stretches between empty lines; lines where there are no empty ones."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    if "" not in lines:
        return lines
    return [each.strip() for each in "\n".join(lines).split("\n\n") if each.strip()]
