"""A run that is there: its features by index and its tables, in a form that a notebook shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa

from gloss.errors import BadInput
from gloss.pages import notebook_view
from gloss.pages.heatmap import ContextRow, Palette, paint_context
from gloss.pages.page_records import FeaturePage, MistakenContexts
from gloss.records import (
    NOBODY,
    PADDING,
    Contexts,
    Effect,
    Examples,
    Explanation,
    Failure,
    FeatureId,
)
from gloss.run.opened_run import OpenedRun, restore_feature_examples, shard_rows
from gloss.run.planning import read_run
from gloss.run.reporting.feature_pages import (
    compose_feature_page,
    compose_run_summary,
    feature_mistakes,
)
from gloss.run.reporting.setup import held_out_copies
from gloss.store.context_text import context_pieces
from gloss.store.evidence import Evidence
from gloss.store.record_rows import explanation_from_row, failure_from_row
from gloss.store.results import Row, read_rows
from gloss.store.schemas import SCHEMAS
from gloss.store.vocabulary import Vocabulary
from gloss.store.window_shares import CopiedWindows

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject

OF_A_FEATURE = ("explanations", "scores", "verdicts", "failures", "examples")
FEATURES = pa.schema(
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


@dataclass(frozen=True)
class Run:
    """The results of an experiment, as `gloss.open` and `gloss.run` give them.

    `run[999]` is the feature with this index in the dictionary, `for feature in run` goes through
    the features that the run treated, and `len(run)` is their number. Tables hold all rows of one
    kind of record.

        >>> feature = next(one for one in run if one.explanation)
        >>> run[feature.index] == feature
        True
    """

    plan: OpenedRun

    @staticmethod
    def open(folder: Path) -> "Run":
        """Open the run in this folder, as `gloss.open` does. Raises BadInput where there is none.

        >>> len(gloss.Run.open(Path("runs/demo"))) == len(run)
        True
        """
        return Run(read_run(folder))

    def __getitem__(self, index: int) -> "Feature":
        """The feature with this index in the dictionary. Raises BadInput where there is none."""
        width = self.plan.activations.width
        if not 0 <= index < width:
            raise BadInput(f"the dictionary has features 0 to {width - 1}, there is no {index}")
        return Feature(self, int(index))

    def __iter__(self) -> Iterator["Feature"]:
        """Every feature that the run treated, by index."""
        return (Feature(self, feature.index) for feature in self.plan.features)

    def __len__(self) -> int:
        return len(self.plan.features)

    @cached_property
    def model(self) -> "Subject":
        """The language model that the run read, loaded when it is first used."""
        from gloss.run.run_dictionary import load_run_subject

        return load_run_subject(self.plan)

    @cached_property
    def dictionary(self) -> "Dictionary":
        """The dictionary that the run read it with, loaded when it is first used."""
        from gloss.run.run_dictionary import load_run_dictionary

        return load_run_dictionary(self.plan, self.model)

    def table(self, name: str) -> "RunTable":
        """All rows of one kind of record; `docs/query.md` lists tables and columns.

        Raises BadInput for a table that does not exist.

            >>> len(run.table("examples")) > len(run.table("explanations"))
            True
        """
        if name not in SCHEMAS:
            raise BadInput(f"a run has no table {name!r}; it has {', '.join(SCHEMAS)}")
        rows = read_rows([self.plan.place(stage) for stage in self.plan.keys], name)
        return RunTable(name, pa.Table.from_pylist(rows, schema=SCHEMAS[name]))

    @property
    def features(self) -> "RunTable":
        """One row a feature: its first explanation, the score of that (of no other explainer's
        words) beside the best control, the share of tokens at which it fires, and why something is
        missing.

            >>> run.features.sort_by("value")[0]["explanation"]
            '...'
        """
        explained, failed = _first(self.explanations), _first(self.failures)
        scores = self.scores.to_pylist()
        real: dict[int, list[Row]] = {}
        controls: dict[tuple[int, str, str], float] = {}
        for row in scores:
            if row["control"] == "none":
                real.setdefault(row["feature"], []).append(row)
            else:
                key = (row["feature"], row["method"], row["explained_by"])
                controls[key] = max(row["value"], controls.get(key, row["value"]))
        tokens = max(1, int(self.plan.corpus.counted.sum()))
        counts = self.plan.activations.counts

        def row_of(index: int) -> Row:
            said, failure = explained.get(index), failed.get(index)
            found: Row = {"feature": index, "share": float(counts[index]) / tokens}
            found["explanation"] = said["text"] if said else None
            shown = _scores_of_words(real.get(index, []), said["method"] if said else None)
            score = next(iter(shown), None)
            if failure is not None:
                found["failure"] = f"{failure['stage']}: {failure['detail'] or failure['reason']}"
            if score is None:
                return found
            key = (index, score["method"], score["explained_by"])
            measured = {name: score[name] for name in ("value", "low", "high")}
            named = f"{score['method']} {score['headline']}"
            return found | measured | {"score": named, "control": controls.get(key)}

        rows = [row_of(feature.index) for feature in self.plan.features]
        return RunTable("features", pa.Table.from_pylist(rows, schema=FEATURES))

    @property
    def held_out_copies(self) -> CopiedWindows:
        """How many held-out windows stand in the train split, too; prints as a sentence.

        >>> str(run.held_out_copies)
        '...'
        """
        return held_out_copies(self.plan)

    @property
    def explanations(self) -> "RunTable":
        """Every explanation, one a row.

        >>> run.explanations.to_pylist()[0]["text"]
        '...'
        """
        return self.table("explanations")

    @property
    def scores(self) -> "RunTable":
        """Every score, one a row; `control` is `"none"` where it is no control.

        >>> scores = run.scores.to_pandas()
        >>> scores[scores.control == "none"].value.between(0, 1).all()
        np.True_
        """
        return self.table("scores")

    @property
    def failures(self) -> "RunTable":
        """Every feature that a stage could not treat, with the reason.

        >>> run.failures
        <failures: ... rows of dictionary, feature, stage, reason, detail, ...>
        """
        return self.table("failures")

    @cached_property
    def shards(self) -> dict[int, int]:
        """The shard of each feature that the run treated, by index."""
        size = self.plan.experiment.run.features_per_shard
        return {feature.index: place // size for place, feature in enumerate(self.plan.features)}

    @cached_property
    def _opened(self) -> dict[int, dict[str, dict[int, list[Row]]]]:
        return {}

    def rows(self, table: str, index: int) -> list[Row]:
        """The rows of one feature; only its own shard is read. None for one that was not drawn."""
        if (shard := self.shards.get(index)) is None:
            return []
        if shard not in self._opened:
            places = [self.plan.place(stage) for stage in self.plan.keys]
            found: dict[str, dict[int, list[Row]]] = {name: {} for name in OF_A_FEATURE}
            for name in OF_A_FEATURE:
                for row in (row for place in places for row in shard_rows(place, name, shard)):
                    found[name].setdefault(row["feature"], []).append(row)
            self._opened[shard] = found
        return self._opened[shard][table].get(index, [])

    def __repr__(self) -> str:
        explained = len({row["feature"] for row in self.explanations})
        return (
            f"<gloss run {str(self.plan.folder)!r}: {len(self)} features of"
            f" {self.plan.dictionary_name}, {explained} explained, {len(self.plan.corpus):,}"
            " tokens>"
        )

    def _repr_html_(self) -> str:
        return notebook_view.run_html(
            compose_run_summary(self.plan), len(self), self.features.to_pylist()
        )


@dataclass(frozen=True)
class Feature:
    """One feature of a run: what was said of it, how well that predicts it, where it fires.

    A notebook shows all three. Elsewhere a feature prints in one line.

        >>> feature
        <feature ...: ...; execution f1 ...>
    """

    run: Run
    index: int

    @property
    def id(self) -> FeatureId:
        """The name of its dictionary in the run, and its index there.

        >>> feature.id.index == feature.index
        True
        """
        return FeatureId(self.run.plan.dictionary_name, self.index)

    @property
    def explanations(self) -> list[Explanation]:
        """What each explainer said; empty where none found anything.

        >>> [said.method for said in feature.explanations]
        ['rule']
        """
        return [explanation_from_row(row) for row in self._rows("explanations")]

    @property
    def explanation(self) -> Explanation | None:
        """What the first explainer said; None where none found anything.

        >>> feature.explanation.text
        '...'
        """
        return next(iter(self.explanations), None)

    @property
    def scores(self) -> list[Row]:
        """Its rows of the table `scores`, without controls: value, interval, `n`, failures.

        >>> row = feature.scores[0]
        >>> row["method"], row["low"] <= row["value"] <= row["high"]
        ('execution', True)
        """
        return [row for row in self._rows("scores") if row["control"] == "none"]

    @property
    def controls(self) -> list[Row]:
        """Its rows of the table `scores` for another feature's words: what chance gives.

        >>> {row["control"] for row in feature.controls}
        {...}
        """
        return [row for row in self._rows("scores") if row["control"] != "none"]

    @property
    def failures(self) -> list[Failure]:
        """Why a stage could not treat it.

        >>> feature.failures
        []
        """
        return [failure_from_row(row) for row in self._rows("failures")]

    @property
    def examples(self) -> Examples:
        """The contexts that show it, train and held-out ones apart, and inactive ones beside them.

        Raises BadInput where the run drew none for it.

            >>> feature.examples.train.activations.shape == feature.examples.train.tokens.shape
            True
        """
        if not (rows := self._rows("examples")):
            raise BadInput(
                f"the run has no contexts of feature {self.index}; it drew some for others"
            )
        return restore_feature_examples(self.run.plan, self.id, rows)

    @property
    def evidence(self) -> Evidence:
        """What a scorer judges by: the contexts, the whole corpus, and where it fires there.

        >>> len(feature.evidence.activations) > 0
        True
        """
        plan = self.run.plan
        return Evidence(self.examples, plan.corpus, plan.activations.feature(self.index))

    @property
    def contexts(self) -> "ContextList":
        """Where it fires, strongest first, train and held-out contexts together.

        >>> feature.contexts.top(5)[0]
        '...'
        """
        examples = self.examples
        return ContextList((examples.train, examples.held_out), self._palette(examples.strongest))

    @property
    def promoted_tokens(self) -> list[tuple[str, float]]:
        """The tokens whose logits it raises most, and by how much for one unit of activation.

        >>> feature.promoted_tokens[0][1] >= feature.promoted_tokens[-1][1]
        True
        """
        return list(self.page.promoted_tokens)

    @property
    def suppressed_tokens(self) -> list[tuple[str, float]]:
        """The tokens whose logits it lowers most, and by how much.

        >>> [type(token).__name__ for token, _ in feature.suppressed_tokens[:1]]
        ['str']
        """
        return list(self.page.suppressed_tokens)

    @property
    def neighbours(self) -> list[tuple["Feature", float]]:
        """The features whose directions lie nearest, with the cosines.

        >>> near, cosine = feature.neighbours[0]
        >>> near.index != feature.index, cosine <= 1
        (True, True)
        """
        return [(Feature(self.run, near.index), cosine) for near, cosine in self.page.neighbours]

    @property
    def mistakes(self) -> "MistakeList":
        """Held-out contexts that its rules get wrong, worked out anew.

        >>> feature.mistakes
        <mistakes on held-out text: ...>
        """
        found = feature_mistakes(self.run.plan, self.explanations)
        return MistakeList(found, self._palette(self.page.statistics.strongest))

    @cached_property
    def page(self) -> FeaturePage:
        """All records of the feature, as its page shows them."""
        records = {name: self._rows(name) for name in OF_A_FEATURE}
        examples = self.examples if records["examples"] else None
        return compose_feature_page(self.run.plan, self.id, records, examples)

    def steer(self, prompts: str | Sequence[str], **settings: Any) -> Effect:
        """Steer the run's subject along this feature, as `gloss.steer` does.

        >>> feature.steer("def f(", kl=0.5, new_tokens=2).completions[0].prompt
        'def f('
        """
        from gloss.api.verbs import steer

        return steer(self, prompts, **settings)

    def _rows(self, table: str) -> list[Row]:
        return self.run.rows(table, self.index)

    def _palette(self, strongest: float) -> Palette:
        corpus = self.run.plan.corpus
        return Palette(corpus.vocabulary, strongest, corpus.names)

    def __repr__(self) -> str:
        said = self.explanation
        scores = ", ".join(
            f"{s['method']} {s['headline']} {s['value']:.3f} ({s['low']:.3f} to {s['high']:.3f})"
            for s in _scores_of_words(self.scores, said and said.method)
        )
        failures = "; ".join(f"{each.stage}: {each.detail}" for each in self.failures)
        none = "no explanation" if self.index in self.run.shards else "not drawn by this run"
        text = said.text if said else failures or none
        return f"<feature {self.index}: {text}{f'; {scores}' if scores else ''}>"

    def _repr_html_(self) -> str:
        return notebook_view.feature_html(self.page, self._palette(self.page.statistics.strongest))


@dataclass(frozen=True)
class ContextList:
    """Contexts as people read them: text, tokens, and the activation at each token.

    `contexts[0]` is the text of the first, and a notebook shows them as a heat map.

        >>> top = feature.contexts.top(3)
        >>> [type(text).__name__ for text in top]
        ['str', 'str', 'str']
    """

    contexts: tuple[Contexts, Contexts]  # of the train split, and held out
    palette: Palette
    most: int | None = None

    def top(self, number: int) -> "ContextList":
        """The strongest of them, so many at most.

        >>> len(feature.contexts.top(2))
        2
        """
        return replace(self, most=number)

    @property
    def train(self) -> "ContextList":
        """Those that explainers may see."""
        return replace(self, contexts=(self.contexts[0], self.contexts[1][:0]))

    @property
    def held_out(self) -> "ContextList":
        """Those that no explainer saw, by which scores are measured."""
        return replace(self, contexts=(self.contexts[0][:0], self.contexts[1]))

    @property
    def ordered(self) -> list[tuple[Contexts, int]]:
        """Each context's record and row, strongest first."""
        rows = [(each, row) for each in self.contexts for row in range(len(each))]
        rows.sort(key=lambda one: -float(one[0].maxima[one[1]]))
        return rows[: self.most]

    @property
    def vocabulary(self) -> Vocabulary:
        """What each token says."""
        return self.palette.vocabulary

    @property
    def tokens(self) -> list[list[str]]:
        """The tokens of each, as text."""
        return [
            np.array(context_pieces(each, row, self.vocabulary))[_inside(each, row)].tolist()
            for each, row in self.ordered
        ]

    @property
    def activations(self) -> list[np.ndarray]:
        """The activation at each token: an array of shape (token,) for each context.

        >>> peaks = [each.max() for each in feature.contexts.activations]
        >>> peaks == sorted(peaks, reverse=True)
        True
        """
        return [each.activations[row][_inside(each, row)] for each, row in self.ordered]

    @property
    def peaks(self) -> list[tuple[str, float]]:
        """The token of each at which the feature is strongest, and its activation there."""
        return [
            (tokens[values.argmax()], float(values.max()))
            for tokens, values in zip(self.tokens, self.activations, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.ordered)

    def __iter__(self) -> Iterator[str]:
        """The text of each."""
        return ("".join(tokens) for tokens in self.tokens)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        return list(self)[number]

    def __repr__(self) -> str:
        shown = self.top(min(20, len(self)))
        lines = [
            f"{peaks.max():.3g}  {text!r}"
            for peaks, text in zip(shown.activations, shown, strict=True)
        ]
        left = len(self) - len(shown)
        return "\n".join([*lines, *([f"and {left:,} more"] if left else [])])

    def _repr_html_(self) -> str:
        return notebook_view.contexts_html([self._row(*one) for one in self.ordered[:20]])

    def _row(self, contexts: Contexts, row: int) -> ContextRow:
        return paint_context(contexts, row, self.palette, held_out=contexts is self.contexts[1])


def _inside(contexts: Contexts, row: int) -> np.ndarray:
    return contexts.tokens[row] != PADDING


def _first(rows: "RunTable") -> dict[int, Row]:
    """The first row of each feature."""
    found: dict[int, Row] = {}
    for row in rows:
        found.setdefault(row["feature"], row)
    return found


def _scores_of_words(scores: Sequence[Row], explained_by: str | None) -> list[Row]:
    """The scores of one explainer's words, then those of the feature itself, which need none."""
    return [row for who in (explained_by, NOBODY) for row in scores if row["explained_by"] == who]


@dataclass(frozen=True)
class MistakeList:
    """Held-out contexts that rules get wrong: false positives, then false negatives."""

    found: tuple[MistakenContexts, ...]
    palette: Palette

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[MistakenContexts]:
        return iter(self.found)

    def __repr__(self) -> str:
        counts = ", ".join(f"{one.total or len(one.contexts):,} {one.kind}" for one in self.found)
        return f"<mistakes on held-out text: {counts or 'none'}>"

    def _repr_html_(self) -> str:
        return notebook_view.mistakes_html(self.found, self.palette)


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

    def sort_by(self, column: str, *, descending: bool = True) -> "RunTable":
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
    def __getitem__(self, number: slice | list[str]) -> "RunTable": ...
    def __getitem__(self, number: int | slice | list[str]) -> "Row | RunTable":
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
        names = [name for name in self.arrow.column_names if name != "dictionary"]
        shown = self.arrow.slice(0, notebook_view.MOST_ROWS).to_pylist()
        return notebook_view.table_html(shown, names, len(self))
