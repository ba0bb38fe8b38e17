"""The page of two features side by side: what each says, and the same text coloured by either."""

from dataclasses import dataclass
from pathlib import Path

from gloss.pages.heatmap import ContextRow
from gloss.pages.report_sections import Grid
from gloss.pages.single_page import write_single_page


@dataclass(frozen=True, slots=True)
class PairedContexts:
    """The same contexts twice: as one feature fires in them, and as the other does."""

    title: str
    left: tuple[ContextRow, ...]
    right: tuple[ContextRow, ...]


@dataclass(frozen=True, slots=True)
class FeaturePairPage:
    """Everything on the page."""

    names: tuple[str, str]
    sentence: str  # what they are compared by
    facts: Grid
    groups: tuple[PairedContexts, ...]


def write_feature_pair_page(path: Path, page: FeaturePairPage) -> Path:
    """Write the page as one file that needs no other. Raises Unwritable."""
    return write_single_page(path, "feature_pair", page=page)
