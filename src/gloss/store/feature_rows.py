"""What a table says of each feature, kept as columns: millions of features take hundreds of bytes
each, and not thousands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from numpy import ndarray

from gloss.store.results import Row, read_columns


@dataclass(frozen=True, eq=False)
class FeatureRows(Mapping[int, Row]):
    """The row of each feature by its index, made when it is asked for.

    The table has a column `feature`, in which no feature stands twice.

        >>> rows = FeatureRows(pa.table({"feature": [7, 3], "value": [0.5, 0.25]}))
        >>> rows[3]["value"], 5 in rows
        (0.25, False)
    """

    table: pa.Table

    @staticmethod
    def read(folder: Path, table: str) -> "FeatureRows":
        """All rows of a kind that the shards of a folder made. Raises Damaged."""
        return FeatureRows(read_columns([folder], table).combine_chunks())

    def __getitem__(self, feature: int) -> Row:
        features, places = self.index
        at = int(np.searchsorted(features, feature))
        if at == len(features) or features[at] != feature:
            raise KeyError(feature)
        return self.table.slice(int(places[at]), 1).to_pylist()[0]

    def __contains__(self, feature: object) -> bool:
        features, _ = self.index
        at = int(np.searchsorted(features, feature)) if isinstance(feature, int) else len(features)
        return at < len(features) and bool(features[at] == feature)

    def __iter__(self) -> Iterator[int]:
        return iter(self.table["feature"].to_numpy().tolist())

    def __len__(self) -> int:
        return self.table.num_rows

    @cached_property
    def index(self) -> tuple[Int64[ndarray, " feature"], Int64[ndarray, " feature"]]:
        """The features, ascending, and the row of each."""
        features = self.table["feature"].to_numpy()
        order = np.argsort(features, kind="stable")
        return features[order], order


@dataclass(frozen=True, eq=False)
class NearFeatures(Mapping[int, list[tuple[int, float]]]):
    """The neighbours of each feature and how near they are, nearest first, out of the column
    `neighbours` of its row.
    """

    rows: Mapping[int, Row]
    closeness: str  # the name of what says how near

    def __getitem__(self, feature: int) -> list[tuple[int, float]]:
        near = self.rows[feature]["neighbours"]
        return [(each["feature"], each[self.closeness]) for each in near]

    def __contains__(self, feature: object) -> bool:
        return feature in self.rows

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)
