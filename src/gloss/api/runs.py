"""A run that is there: its features by index and its tables, in a form that a notebook shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gloss.api.tables import RunTable, feature_table, scores_of_words, stored_table
from gloss.errors import BadInput
from gloss.records import Effect, Examples, Explanation, Failure, FeatureId

if TYPE_CHECKING:
    from gloss.api.contexts import ContextList, MistakeList
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject
    from gloss.pages.heatmap import Palette
    from gloss.pages.page_records import FeaturePage
    from gloss.run.opened_run import OpenedRun
    from gloss.store.evidence import Evidence
    from gloss.store.results import Row
    from gloss.store.window_shares import CopiedWindows

OF_A_FEATURE = ("explanations", "scores", "verdicts", "failures", "examples", "feature_facts")


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
    def open(folder: Path) -> Run:
        """Open the run in this folder, as `gloss.open` does. Raises BadInput where there is none.

        >>> len(gloss.Run.open(Path("runs/demo"))) == len(run)
        True
        """
        from gloss.run.planning import read_run

        return Run(read_run(folder))

    def __getitem__(self, index: int) -> Feature:
        """The feature with this index in the dictionary. Raises BadInput where there is none."""
        width = self.plan.activations.width
        if not 0 <= index < width:
            raise BadInput(f"the dictionary has features 0 to {width - 1}, there is no {index}")
        return Feature(self, int(index))

    def __iter__(self) -> Iterator[Feature]:
        """Every feature that the run treated, by index."""
        return (Feature(self, feature.index) for feature in self.plan.features)

    def __len__(self) -> int:
        return len(self.plan.features)

    @cached_property
    def model(self) -> Subject:
        """The language model that the run read, loaded when it is first used."""
        from gloss.run.run_dictionary import load_run_subject

        return load_run_subject(self.plan)

    @cached_property
    def dictionary(self) -> Dictionary:
        """The dictionary that the run read it with, loaded when it is first used."""
        from gloss.run.run_dictionary import load_run_dictionary

        return load_run_dictionary(self.plan, self.model)

    def table(self, name: str) -> RunTable:
        """All rows of one kind of record; `docs/query.md` lists tables and columns.

        Raises BadInput for a table that does not exist.

            >>> len(run.table("examples")) > len(run.table("explanations"))
            True
        """
        return stored_table(self.plan, name)

    @property
    def features(self) -> RunTable:
        """One row a feature: its first explanation, the score of that (of no other explainer's
        words) beside the best control, the share of tokens at which it fires, and why something is
        missing.

            >>> run.features.sort_by("value")[0]["explanation"]
            '...'
        """
        return feature_table(self)

    @property
    def held_out_copies(self) -> CopiedWindows:
        """How many held-out windows stand in the train split, too; prints as a sentence.

        >>> str(run.held_out_copies)
        '...'
        """
        from gloss.run.reporting.setup import held_out_copies

        return held_out_copies(self.plan)

    @property
    def explanations(self) -> RunTable:
        """Every explanation, one a row.

        >>> run.explanations.to_pylist()[0]["text"]
        '...'
        """
        return self.table("explanations")

    @property
    def scores(self) -> RunTable:
        """Every score, one a row; `control` is `"none"` where it is no control.

        >>> scores = run.scores.to_pandas()
        >>> scores[scores.control == "none"].value.between(0, 1).all()
        np.True_
        """
        return self.table("scores")

    @property
    def failures(self) -> RunTable:
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
            parts = [self.plan.part(step, shard) for step in self.plan.keys]
            found: dict[str, dict[int, list[Row]]] = {name: {} for name in OF_A_FEATURE}
            for name in OF_A_FEATURE:
                for row in (row for part in parts for row in part.rows(name)):
                    found[name].setdefault(row["feature"], []).append(row)
            self._opened[shard] = found
        return self._opened[shard][table].get(index, [])

    def __repr__(self) -> str:
        explained = len({row["feature"] for row in self.explanations})
        return (
            f"<gloss run {str(self.plan.folder)!r}: {len(self)} features of"
            f" {self.plan.dictionary_name}, {explained} explained, {self.plan.activations.tokens:,}"
            " tokens>"
        )

    def _repr_html_(self) -> str:
        from gloss.pages import notebook_view
        from gloss.run.reporting.feature_pages import compose_run_summary

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
        from gloss.store.record_rows import explanation_from_row

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
        from gloss.store.record_rows import failure_from_row

        return [failure_from_row(row) for row in self._rows("failures")]

    @property
    def examples(self) -> Examples:
        """The contexts that show it, train and held-out ones apart, and inactive ones beside them.

        Raises BadInput where the run drew none for it.

            >>> feature.examples.train.activations.shape == feature.examples.train.tokens.shape
            True
        """
        return self.examples_of()

    def examples_of(self, sample: str = "") -> Examples:
        """The same with the train contexts of the [[sample]] of this name, by default the first.

        Raises BadInput where the run drew none for it, and BadSettings where there is no such
        sample.

            >>> len(feature.examples_of("quantiles").train) == len(feature.examples.train)
            True
        """
        import pyarrow as pa

        from gloss.run.opened_run import restore_feature_examples
        from gloss.store.feature_facts import FeatureFacts
        from gloss.store.stored_examples import READ, references_by_feature

        *_, shown = self.run.plan.experiment.sample_steps(sample)
        wanted = ("", shown.partition(".")[2])
        rows = [row for row in self._rows("examples") if row["sample"] in wanted]
        if not any(row["sample"] for row in rows):
            raise BadInput(
                f"the run has no contexts of feature {self.index}; it drew some for others"
            )
        table = pa.Table.from_pylist(rows, schema=READ)
        facts = [FeatureFacts.of_row(row) for row in self._rows("feature_facts")]
        references = references_by_feature(table)[self.id]
        return restore_feature_examples(
            self.run.plan, self.id, references, facts[0] if facts else None
        )

    @property
    def evidence(self) -> Evidence:
        """What a scorer judges by: the contexts, the whole corpus, and where it fires there.

        >>> len(feature.evidence.activations) > 0
        True
        """
        from gloss.store.evidence import Evidence

        plan = self.run.plan
        return Evidence(self.examples, plan.corpus, plan.activations.feature(self.index))

    @property
    def contexts(self) -> ContextList:
        """Where it fires, strongest first, train and held-out contexts together.

        >>> feature.contexts.top(5)[0]
        '...'
        """
        from gloss.api.contexts import ContextList

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
    def neighbours(self) -> list[tuple[Feature, float]]:
        """The features whose directions lie nearest, with the cosines.

        >>> near, cosine = feature.neighbours[0]
        >>> near.index != feature.index, cosine <= 1
        (True, True)
        """
        return [(Feature(self.run, near.index), cosine) for near, cosine in self.page.neighbours]

    @property
    def mistakes(self) -> MistakeList:
        """Held-out contexts that its rules get wrong, worked out anew.

        >>> feature.mistakes
        <mistakes on held-out text: ...>
        """
        from gloss.api.contexts import MistakeList
        from gloss.run.reporting.feature_pages import feature_mistakes

        found = feature_mistakes(self.run.plan, self.explanations)
        return MistakeList(found, self._palette(self.page.statistics.strongest))

    @cached_property
    def page(self) -> FeaturePage:
        """All records of the feature, as its page shows them."""
        from gloss.run.reporting.feature_pages import compose_feature_page

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
        from gloss.pages.heatmap import Palette

        corpus = self.run.plan.corpus
        return Palette(corpus.vocabulary, strongest, corpus.names)

    def __repr__(self) -> str:
        said = self.explanation
        scores = ", ".join(
            f"{s['method']} {s['headline']} {s['value']:.3f} ({s['low']:.3f} to {s['high']:.3f})"
            for s in scores_of_words(self.scores, said and said.method)
        )
        failures = "; ".join(f"{each.stage}: {each.detail}" for each in self.failures)
        none = "no explanation" if self.index in self.run.shards else "not drawn by this run"
        text = said.text if said else failures or none
        return f"<feature {self.index}: {text}{f'; {scores}' if scores else ''}>"

    def _repr_html_(self) -> str:
        from gloss.pages import notebook_view

        return notebook_view.feature_html(self.page, self._palette(self.page.statistics.strongest))
