"""The page of an audit: how many labels got which verdict, and labels of each with what shows
it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gloss.pages.heatmap import ContextRow
from gloss.pages.report_sections import Link
from gloss.pages.single_page import write_single_page
from gloss.records import Estimate
from gloss.statistics.intervals import wilson_interval


@dataclass(frozen=True, slots=True)
class LabelCard:
    """One label with what its verdict rests on."""

    feature: Link
    text: str
    rule: str | None
    read_as: str | None  # the rule that its words were read as
    reason: str
    scorer: str
    numbers: Mapping[str, Estimate]
    beside: tuple[str, ...]  # what other scores say
    flags: tuple[str, ...]
    kind: str  # of the contexts
    contexts: tuple[ContextRow, ...]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Everything on the page."""

    title: str
    facts: Mapping[str, str]
    counts: Mapping[str, tuple[int, int]]  # by verdict: how many, of how many
    cards: Mapping[str, Sequence[LabelCard]]  # by verdict, some of them
    doubts: tuple[str, ...]


MEANINGS: Mapping[str, str] = {
    "believe": (
        "Where the label holds the feature fires, and where the feature fires it holds, by the"
        " lower bounds of both; other features’ labels do worse."
    ),
    "too broad": "It holds where the feature fires, and far beyond, where that is silent.",
    "too narrow": "It holds only where the feature fires, and leaves most of that out.",
    "about something else": "The feature fires elsewhere.",
    "cannot be told": "The bounds leave it open, or nobody could look: more text may help.",
}


def write_audit_page(path: Path, page: AuditPage) -> Path:
    """Write the page, with its style sheet inside. Raises Unwritable."""
    shares = {name: wilson_interval(*counted) for name, counted in page.counts.items()}
    return write_single_page(path, "audit", page=page, shares=shares, meanings=MEANINGS)
