"""What others publish of a dictionary's features, as records: labels, contexts, scores, and the
rows that say nothing that could be used.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

GROUP = "gloss.labels"


class SkipReason(StrEnum):
    """Why a row is no label."""

    NO_INDEX = "no index"
    NO_TEXT = "no text"
    TWICE = "a feature that has one already"
    BEYOND = "an index beyond the dictionary's width"
    UNREADABLE = "cannot be read"
    UNKNOWN = "of no known kind"


@dataclass(frozen=True, slots=True)
class Label:
    """What somebody else says that a feature means.

    >>> Label(12, "the word raise").rule is None
    True
    """

    index: int
    text: str
    rule: str | None = None  # source text in the rule language
    made_by: str = ""  # who or what wrote it, as its file says
    layer: str = ""  # the layer, module or source that the feature is of, as its file says
    scores: tuple[tuple[str, float], ...] = ()  # published with it, by name
    # every field of its row, so that it can be written back as it was
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class PublishedContext:
    """A text with one feature's activation at every token, as somebody else measured it."""

    index: int
    tokens: tuple[str, ...] | tuple[int, ...]  # as text, or as the tokenizer's numbers
    values: tuple[float, ...]
    layer: str = ""


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """A score that somebody else gave a label, beside which it is kept."""

    index: int
    scorer: str
    value: float
    layer: str = ""


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row or a file that was passed over."""

    where: str  # its file, and its row there
    reason: SkipReason


Published = Label | PublishedContext | PublishedScore | SkippedRow


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """How labels of one kind lie in a file. An entry point of `gloss.labels` names one.

    `recognises` looks at the name and the beginning of a file; it is asked of every file. `read`
    gives whatever the file holds, and a SkippedRow for what cannot be used: one bad row ends
    nothing. `write` takes the place of a file as a whole.
    """

    title: str  # what people call it: "Neuronpedia"
    files: str  # what such files are, for errors and lists
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Iterator[Published]]
    write: Callable[[Iterable[Label], Path], None] | None = None
    # where several recognise a file, the smallest counts: what takes any table comes last
    rank: int = 0
