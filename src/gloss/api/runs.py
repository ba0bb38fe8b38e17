"""A run that is there: its features by index and its tables, in a form that a notebook shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gloss.errors import BadInput
from gloss.pages.heatmap import Palette, paint_context
from gloss.records import Contexts, Examples, Explanation, FeatureId
from gloss.run.opened_run import restore_feature_examples
from gloss.run.plan import Plan, load_plan
from gloss.store.results import Row, explanation_from_row, read_rows
from gloss.store.schemas import SCHEMAS
from gloss.store.vocabulary import Vocabulary

SHADES = "".join(
    f".gloss-row .h{level}{{background:rgb(255 160 0/{share}%)}}"
    for level, share in zip(range(1, 10), (10, 18, 28, 38, 48, 60, 72, 84, 100), strict=True)
)
STYLE = (
    "<style>.gloss-row{font-family:monospace;white-space:pre-wrap;margin:2px 0}"
    f".gloss-row b,.gloss-row i{{font-weight:400;font-style:normal}}{SHADES}</style>"
)


@dataclass(frozen=True)
class Run:
    """The results of an experiment, by its folder. `run[999]` is a feature."""

    plan: Plan

    @staticmethod
    def open(folder: Path) -> "Run":
        """The run in this folder. Raises BadInput where there is none."""
        return Run(load_plan(folder))

    def __getitem__(self, index: int) -> "Feature":
        """The feature with this index in the dictionary. Raises BadInput where there is none."""
        width = self.plan.activations.width
        if not 0 <= index < width:
            raise BadInput(f"the dictionary has features 0 to {width - 1}, there is no {index}")
        return Feature(self, index)

    def __iter__(self) -> Iterator["Feature"]:
        """Every feature that the run treated, by index."""
        return (Feature(self, feature.index) for feature in self.plan.features)

    def __len__(self) -> int:
        return len(self.plan.features)

    def table(self, name: str) -> "RunTable":
        """All rows of a kind of record: "explanations", "scores", "verdicts", "failures", ….

        Raises BadInput for a table that there is not.
        """
        if name not in SCHEMAS:
            raise BadInput(f"a run has no table {name!r}; it has {', '.join(SCHEMAS)}")
        rows = read_rows([self.plan.place(stage) for stage in self.plan.keys], name)
        return RunTable(name, pa.Table.from_pylist(rows, schema=SCHEMAS[name]))

    @property
    def explanations(self) -> "RunTable":
        """Every explanation, a row each."""
        return self.table("explanations")

    @property
    def scores(self) -> "RunTable":
        """Every score, controls among them, a row each."""
        return self.table("scores")

    @property
    def failures(self) -> "RunTable":
        """Every feature that a stage could not treat, with the reason."""
        return self.table("failures")

    @cached_property
    def rows(self) -> dict[str, dict[int, list[Row]]]:
        """The rows of the tables that a feature shows, by table and index."""
        found: dict[str, dict[int, list[Row]]] = {}
        for name in ("explanations", "scores", "failures", "examples"):
            by_index = found.setdefault(name, {})
            for row in read_rows([self.plan.place(stage) for stage in self.plan.keys], name):
                by_index.setdefault(row["feature"], []).append(row)
        return found

    def __repr__(self) -> str:
        explained = len(self.rows["explanations"])
        return (
            f"<gloss run {str(self.plan.folder)!r}: {len(self)} features of"
            f" {self.plan.dictionary_name}, {explained} explained, {len(self.plan.corpus):,}"
            " tokens>"
        )


@dataclass(frozen=True)
class Feature:
    """One feature of a run: what was said of it, how well that predicts it, where it fires."""

    run: Run
    index: int

    @property
    def id(self) -> FeatureId:
        """Its dictionary's name and its index."""
        return FeatureId(self.run.plan.dictionary_name, self.index)

    @property
    def explanations(self) -> list[Explanation]:
        """What each explainer said."""
        return [explanation_from_row(row) for row in self._rows("explanations")]

    @property
    def explanation(self) -> Explanation | None:
        """What the first explainer said; None where it found nothing."""
        return next(iter(self.explanations), None)

    @property
    def scores(self) -> list[Row]:
        """Rows of the table `scores`, without controls: metric, value, interval, `n`, failures."""
        return [row for row in self._rows("scores") if row["control"] == "none"]

    @property
    def failures(self) -> list[str]:
        """Why a stage could not treat it, a sentence each."""
        return [
            f"{row['stage']}: {row['reason']}: {row['detail']}" for row in self._rows("failures")
        ]

    @property
    def examples(self) -> Examples:
        """The contexts that show it. Raises BadInput where the run drew none for it."""
        if not (rows := self._rows("examples")):
            raise BadInput(
                f"the run has no contexts of feature {self.index}; it drew some for others"
            )
        return restore_feature_examples(self.run.plan, self.id, rows)

    @property
    def contexts(self) -> "ContextList":
        """Where it fires, strongest first, train and held-out contexts together."""
        examples = self.examples
        return ContextList(
            (examples.train, examples.held_out), self.run.plan.corpus.vocabulary, examples.strongest
        )

    def _rows(self, table: str) -> list[Row]:
        return self.run.rows[table].get(self.index, [])

    def __repr__(self) -> str:
        said = self.explanation
        scores = ", ".join(f"{s['method']} {s['headline']} {s['value']:.3f}" for s in self.scores)
        text = said.text if said else "; ".join(self.failures) or "no explanation"
        return f"<feature {self.id}: {text}{f' ({scores})' if scores else ''}>"

    def _repr_html_(self) -> str:
        said = self.explanation
        scores = "".join(
            f"<li>{escape(s['method'])}: {escape(s['headline'])} {s['value']:.3f}"
            f" ({s['low']:.3f} to {s['high']:.3f}), n = {s['n']}</li>"
            for s in self.scores
        )
        what = escape(said.text) if said else escape("; ".join(self.failures) or "no explanation")
        shown = self.contexts.top(5).html() if self._rows("examples") else ""
        return f"<h4>Feature {escape(str(self.id))}</h4><p>{what}</p><ul>{scores}</ul>{shown}"


@dataclass(frozen=True)
class ContextList:
    """Contexts as people read them: text, and the activation at each token."""

    contexts: tuple[Contexts, ...]
    vocabulary: Vocabulary
    strongest: float
    most: int | None = None

    def top(self, number: int) -> "ContextList":
        """The strongest of them."""
        return ContextList(self.contexts, self.vocabulary, self.strongest, number)

    @property
    def ordered(self) -> list[tuple[Contexts, int]]:
        """Each context's record and row, strongest first."""
        rows = [(each, row) for each in self.contexts for row in range(len(each))]
        rows.sort(key=lambda one: -float(one[0].maxima[one[1]]))
        return rows[: self.most]

    def __len__(self) -> int:
        return len(self.ordered)

    def __iter__(self) -> Iterator[str]:
        """The text of each."""
        return (self.vocabulary.text(_tokens(each, row)) for each, row in self.ordered)

    def __getitem__(self, number: int) -> str:
        return list(self)[number]

    @property
    def activations(self) -> list[np.ndarray]:
        """The activation at each token of each."""
        return [each.activations[row][each.tokens[row] >= 0] for each, row in self.ordered]

    def __repr__(self) -> str:
        return "\n".join(
            f"{each.maxima[row]:.3g}  {self.vocabulary.text(_tokens(each, row))!r}"
            for each, row in self.ordered[:20]
        )

    def html(self) -> str:
        """A heat map, a row a context."""
        palette = Palette(self.vocabulary, self.strongest)
        painted = [
            paint_context(each, row, palette, held_out=False) for each, row in self.ordered[:20]
        ]
        rows = "".join(
            f'<div class="gloss-row"><small>{escape(one.strength)} </small>'
            f"{one.before}{one.after}</div>"
            for one in painted
        )
        return STYLE + rows

    def _repr_html_(self) -> str:
        return self.html()


def _tokens(contexts: Contexts, row: int) -> Sequence[int]:
    return contexts.tokens[row][contexts.tokens[row] >= 0].tolist()


@dataclass(frozen=True)
class RunTable:
    """All rows of one kind of record."""

    name: str
    arrow: pa.Table

    def to_arrow(self) -> pa.Table:
        """As a table of pyarrow."""
        return self.arrow

    def to_pandas(self) -> Any:
        """As a data frame of pandas. Raises BadInput where pandas is not installed."""
        try:
            return self.arrow.to_pandas()
        except ImportError as problem:
            raise BadInput("pandas is not installed; run: pip install pandas") from problem

    def to_polars(self) -> Any:
        """As a data frame of polars. Raises BadInput where polars is not installed."""
        try:
            polars = import_module("polars")
        except ImportError as problem:
            raise BadInput("polars is not installed; run: pip install polars") from problem
        return polars.from_arrow(self.arrow)

    def to_pylist(self) -> list[Row]:
        """As one dictionary a row."""
        return self.arrow.to_pylist()

    def __len__(self) -> int:
        return len(self.arrow)

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} rows of {', '.join(self.arrow.column_names)}>"

    def _repr_html_(self) -> str:
        names = self.arrow.column_names
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(str(row[name]))}</td>' for name in names)}</tr>"
            for row in self.arrow.slice(0, 20).to_pylist()
        )
        left = "" if len(self) <= 20 else f"<p>and {len(self) - 20:,} more rows</p>"
        return f"<table><tr>{head}</tr>{rows}</table>{left}"
