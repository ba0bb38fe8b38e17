"""The scores of a run in columns: of many features a row each, with all its metrics, would fill the
memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from gloss.records import Control
from gloss.store.results import Row
from gloss.store.schemas import SCHEMAS

AT_ONCE = 4096  # rows that are made of the columns at a time


class ScoreRows(Sequence[Row]):
    """Rows of the table `scores`, in their order, each made when it is looked at.

    >>> none = ScoreRows(SCHEMAS["scores"].empty_table())
    >>> len(none), none.numbers("value").tolist(), [*none]
    (0, [], [])
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table.combine_chunks()

    @staticmethod
    def joined(several: Iterable["ScoreRows"]) -> "ScoreRows":
        """The rows of all of them, one after the other."""
        return ScoreRows(
            pa.concat_tables(
                [NO_SCORES.table, *(each.table for each in several)], promote_options="permissive"
            )
        )

    def __len__(self) -> int:
        return self.table.num_rows

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(f"row {place}: there are {len(self)}")
        return self.table.slice(place % len(self), 1).to_pylist()[0]

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def rows(self, *names: str) -> Iterator[Row]:
        """The rows with these columns alone; with all where none is named."""
        table = self.table.select(list(names)) if names else self.table
        for batch in table.to_batches(max_chunksize=AT_ONCE):
            yield from batch.to_pylist()

    def numbers(self, name: str) -> Float64[ndarray, " row"]:
        """A column as numbers; not a number where there is none."""
        return self.table[name].to_numpy().astype(np.float64, copy=False)

    @cached_property
    def features(self) -> Int64[ndarray, " row"]:
        """The feature of each row, by its index in the dictionary."""
        return self.table["feature"].to_numpy()

    def under(self, control: Control) -> Bool[ndarray, " row"]:
        """Which rows are scores under this control."""
        return self.equal("control", control)

    def equal(self, name: str, text: str) -> Bool[ndarray, " row"]:
        """In which rows this text stands in a column."""
        return equals_text(self.table[name], text)

    @cached_property
    def headlines(self) -> Mapping[str, int]:
        """How many rows have each metric for their headline, in the order in which they come."""
        counted = self.table["headline"].value_counts()
        return {each["values"]: each["counts"] for each in counted.to_pylist()}

    def metric(self, name: str) -> tuple[Int64[ndarray, " found"], Float64[ndarray, " found"]]:
        """The rows that have this metric among their estimates, ascending, and its value in each;
        not a number where it has none.
        """
        places = np.flatnonzero(equals_text(self.estimates.field("metric"), name))
        values = self.estimates.field("value").take(pa.array(places))
        return self.rows_of_estimates[places], values.to_numpy(zero_copy_only=False)

    @cached_property
    def estimates(self) -> Any:
        """The estimates of all rows, one after the other."""
        return self.lists.flatten()

    @cached_property
    def rows_of_estimates(self) -> Int64[ndarray, " estimate"]:
        """The row of each estimate."""
        return np.repeat(np.arange(len(self)), np.diff(self.lists.offsets.to_numpy()))

    @property
    def lists(self) -> Any:
        column = self.table["estimates"]
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def equals_text(column: Any, text: str) -> Bool[ndarray, " row"]:
    """In which rows of a column this text stands."""
    found = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    found = found.dictionary_encode()
    known = np.array([each == text for each in found.dictionary.to_pylist()] + [False], bool)
    return known[found.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]


NO_SCORES = ScoreRows(SCHEMAS["scores"].empty_table())
