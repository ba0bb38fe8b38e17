"""Pages that people read, made from records alone: files in a folder, no server and no network.

`write_pages` takes a `RunSummary` and a stream of `FeaturePage` and gives the path of the index.
"""

from gloss.browse.model import FeaturePage, Mistake, Mistakes, RunSummary, State, Statistics
from gloss.browse.pages import write_pages

__all__ = ["FeaturePage", "Mistake", "Mistakes", "RunSummary", "State", "Statistics", "write_pages"]
