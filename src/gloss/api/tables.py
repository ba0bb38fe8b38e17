"""The rows of a run as tables, which pyarrow, pandas and polars take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

from gloss.errors import BadInput
from gloss.records import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from gloss.api.runs import Run
    from gloss.run.opened_run import OpenedRun
    from gloss.store.results import Row


@dataclass(frozen=True)
class RunTable:
    """All rows of one kind of record; `len` is their number.

    >>> run.scores
    <scores: ... rows of dictionary, feature, ...>
    """

    name: str
    arrow: pa.Table

    def to_arrow(self) -> pa.Table:
        """Give the rows as a table of pyarrow.

        >>> run.scores.to_arrow().column_names[:2]
        ['dictionary', 'feature']
        """
        return self.arrow

    def to_pandas(self) -> Any:
        """Give the rows as a data frame of pandas. Raises BadInput where it is not installed.

        >>> run.explanations.to_pandas().method.unique().tolist()
        ['rule']
        """
        try:
            return self.arrow.to_pandas()
        except ImportError as problem:
            raise BadInput("pandas is not installed; run: pip install pandas") from problem

    def to_polars(self) -> Any:
        """Give the rows as a data frame of polars. Raises BadInput where it is not installed.

        >>> frame = run.scores.to_polars()  # doctest: +SKIP
        """
        try:
            polars = import_module("polars")
        except ImportError as problem:
            raise BadInput("polars is not installed; run: pip install polars") from problem
        return polars.from_arrow(self.arrow)

    def to_pylist(self) -> list[Row]:
        """Give the rows as dictionaries, one a row.

        >>> sorted(run.explanations.to_pylist()[0])[:3]
        ['dictionary', 'feature', 'method']
        """
        return self.arrow.to_pylist()

    def sort_by(self, column: str, *, descending: bool = True) -> RunTable:
        """The same rows, ordered by a column, the largest first; missing values last.

        Raises BadInput for a column that does not exist.

            >>> rows = run.scores.sort_by("value")
            >>> rows[0]["value"] >= rows[1]["value"]
            True
        """
        self._require_column(column)
        order = "descending" if descending else "ascending"
        return replace(self, arrow=self.arrow.sort_by([(column, order)]))

    @overload
    def __getitem__(self, number: int) -> Row: ...
    @overload
    def __getitem__(self, number: slice | list[str]) -> RunTable: ...
    def __getitem__(self, number: int | slice | list[str]) -> Row | RunTable:
        """A row; or, as a table, some of them, or all of them with the columns that are named."""
        if isinstance(number, list):
            for name in number:
                self._require_column(name)
            return replace(self, arrow=self.arrow.select(number))
        if isinstance(number, slice):
            return replace(self, arrow=self.arrow.take([*range(len(self))[number]]))
        return self.arrow.take([range(len(self))[number]]).to_pylist()[0]

    def _require_column(self, name: str) -> None:
        if name not in self.arrow.column_names:
            raise BadInput(
                f"the table {self.name} has no column {name!r}; it has"
                f" {', '.join(self.arrow.column_names)}"
            )

    def __iter__(self) -> Iterator[Row]:
        return iter(self.to_pylist())

    def __len__(self) -> int:
        return len(self.arrow)

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} rows of {', '.join(self.arrow.column_names)}>"

    def _repr_html_(self) -> str:
        from gloss.pages import notebook_view

        names = [name for name in self.arrow.column_names if name != "dictionary"]
        shown = self.arrow.slice(0, notebook_view.MOST_ROWS).to_pylist()
        return notebook_view.table_html(shown, names, len(self))


def stored_table(run: OpenedRun, name: str) -> RunTable:
    """All rows of one kind of record in a run. Raises BadInput where there is no such table."""

    from gloss.store.results import read_columns
    from gloss.store.schemas import SCHEMAS

    if name not in SCHEMAS:
        raise BadInput(f"a run has no table {name!r}; it has {', '.join(SCHEMAS)}")
    return RunTable(name, read_columns([run.place(stage) for stage in run.keys], name))


def feature_table(run: Run) -> RunTable:
    """One row for each feature that the run treated: words, score, best control, share, failure."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("feature", pa.int64()),
            ("explanation", pa.string()),
            ("score", pa.string()),  # the scorer and its first metric
            ("value", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("control", pa.float64()),  # the best that another feature's words got
            ("share", pa.float64()),  # of tokens at which it fires
            ("failure", pa.string()),
        ]
    )
    explained, failed = first_rows(run.explanations), first_rows(run.failures)
    scores = run.scores.to_pylist()
    real: dict[int, list[Row]] = {}
    controls: dict[tuple[int, str, str], float] = {}
    for row in scores:
        if row["control"] == "none":
            real.setdefault(row["feature"], []).append(row)
        else:
            key = (row["feature"], row["method"], row["explained_by"])
            controls[key] = max(row["value"], controls.get(key, row["value"]))
    tokens = run.plan.activations.counted_tokens
    counts = run.plan.activations.counts

    def row_of(index: int) -> Row:
        said, failure = explained.get(index), failed.get(index)
        found: Row = {"feature": index, "share": float(counts[index]) / tokens}
        found["explanation"] = said["text"] if said else None
        shown = scores_of_words(real.get(index, []), said["method"] if said else None)
        score = next(iter(shown), None)
        if failure is not None:
            found["failure"] = f"{failure['stage']}: {failure['detail'] or failure['reason']}"
        if score is None:
            return found
        key = (index, score["method"], score["explained_by"])
        measured = {name: score[name] for name in ("value", "low", "high")}
        named = f"{score['method']} {score['headline']}"
        return found | measured | {"score": named, "control": controls.get(key)}

    rows = [row_of(feature.index) for feature in run.plan.features]
    return RunTable("features", pa.Table.from_pylist(rows, schema=schema))


def first_rows(rows: RunTable) -> dict[int, Row]:
    """The first row of each feature."""
    found: dict[int, Row] = {}
    for row in rows:
        found.setdefault(row["feature"], row)
    return found


def scores_of_words(scores: Sequence[Row], explained_by: str | None) -> list[Row]:
    """The scores of one explainer's words, then those of the feature itself, which need none."""
    return [row for who in (explained_by, NOBODY) for row in scores if row["explained_by"] == who]
