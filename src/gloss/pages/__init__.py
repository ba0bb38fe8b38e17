"""Pages that people read, made from records alone: files in a folder, no server and no network.

`write_feature_pages` takes a `RunSummary` and a stream of `FeaturePage` and gives the path of the
index.
"""

from gloss.pages.page_folder import write_feature_pages
from gloss.pages.page_records import (
    FeaturePage,
    FeatureState,
    MistakeKind,
    MistakenContexts,
    RunSummary,
    Statistics,
)

__all__ = [
    "FeaturePage",
    "FeatureState",
    "MistakeKind",
    "MistakenContexts",
    "RunSummary",
    "Statistics",
    "write_feature_pages",
]
