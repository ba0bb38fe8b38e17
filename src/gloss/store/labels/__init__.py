"""What others say that features mean, read from the files that they publish, and written back.

Each format is an entry point of `gloss.labels`.
"""

from gloss.store.labels.label_records import (
    Label,
    LabelFormat,
    PublishedContext,
    PublishedScore,
    SkippedRow,
    SkipReason,
)
from gloss.store.labels.published_files import (
    PublishedFiles,
    labels_by_feature,
    read_published,
    write_labels,
)

__all__ = [
    "Label",
    "LabelFormat",
    "PublishedContext",
    "PublishedFiles",
    "PublishedScore",
    "SkipReason",
    "SkippedRow",
    "labels_by_feature",
    "read_published",
    "write_labels",
]
