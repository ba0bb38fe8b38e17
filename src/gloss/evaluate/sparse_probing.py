"""How much a few features know of a label."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped
from numpy import ndarray

from gloss.errors import BadInput, require_at_least
from gloss.evaluate.measure import Aims, Material
from gloss.evaluate.text_codes import (
    MEAN,
    LabelledItems,
    LabelledSplit,
    PooledTexts,
    mean_difference,
    pool_texts,
    require_pool,
    split_labelled,
)
from gloss.models.dictionary import Dictionary
from gloss.models.labelled_texts import LabelledTexts
from gloss.records import Estimate, Evaluation, EvaluationFailure, EvaluationRow, Needs
from gloss.statistics.intervals import student_interval, wilson_interval
from gloss.statistics.logistic import LinearProbe, fit_logistic, fit_validated
from gloss.statistics.ranking import auroc_estimate

FEWEST_SETS = 5  # over which an interval is given


@dataclass(frozen=True)
class SparseProbing:
    """Logistic regression on the pooled codes of the k features whose mean differs most between
    texts with a label and others (Gurnee et al., 2305.01610, as SAEBench does it).

    Beside it stand the k numbers of the vectors that differ most, a probe on all of them, and the
    share of the more frequent side. As many texts have the label as have another.
    """

    needs: ClassVar[Needs] = Needs(labels=True)
    aims: ClassVar[Aims] = Aims(more=(r"(accuracy|auroc)_of_\d+",))

    features: tuple[int, ...] = (1, 2, 5)  # k
    train: int = 1000  # texts of a probe, half of them with the label
    test: int = 500
    most_labels: int = 5  # of a set; the most frequent ones
    tokens: int = 128  # of a text that are read, the start token among them
    pool: str = MEAN

    def __post_init__(self) -> None:
        require_pool(self.pool)
        require_at_least(20, self, "train", "test")
        require_at_least(2, self, "most_labels", "tokens")

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Accuracies and AUROCs of each labelled set, and their means over sets."""
        rows: list[EvaluationRow] = []
        failures: list[EvaluationFailure] = []
        for name, given in material.labelled.items():
            try:
                rows += self._of_set(name, given, dictionary, material, rng)
            except BadInput as problem:
                failures.append(EvaluationFailure(name, str(problem)))
        return Evaluation("sparse_probing", (*means_over_sets(rows), *rows), tuple(failures))

    def _of_set(
        self,
        name: str,
        given: LabelledTexts,
        dictionary: Dictionary,
        material: Material,
        rng: np.random.Generator,
    ) -> Iterator[EvaluationRow]:
        drawn_by = material.generator(f"texts of {name}")
        split = split_labelled(given, (self.train, self.test), self.most_labels, drawn_by)
        pooled = pool_texts(dictionary, material, split.texts, self.tokens, self.pool)
        found: dict[str, list[ProbeResult]] = {}
        for label in range(len(split.names)) if len(split.names) > 2 else [1]:
            for kind, result in self._of_label(split, label, pooled, rng):
                found.setdefault(kind, []).append(result)
        note = f"{len(split.names)} labels"
        for kind, results in found.items():
            estimate, texts = accuracy_of(results)
            yield EvaluationRow(f"accuracy_{kind}", estimate, texts, "texts", name, note)
        for kind, results in found.items():
            ranked = auroc_of(results, rng)
            if ranked is not None:
                texts = accuracy_of(results)[1]
                yield EvaluationRow(f"auroc_{kind}", ranked, texts, "texts", name, note)

    def _of_label(
        self, split: LabelledSplit, label: int, pooled: PooledTexts, rng: np.random.Generator
    ) -> Iterator[tuple[str, "ProbeResult"]]:
        learned = split.one_against_all(label, train=True, rng=rng)
        tested = split.one_against_all(label, train=False, rng=rng)
        raw = pooled.inputs.astype(np.float64)
        having, others = (
            raw[learned.places[side]] for side in (learned.positive, ~learned.positive)
        )
        by_raw = np.abs(having.mean(0) - others.mean(0))
        by_codes = np.abs(mean_difference(pooled.codes, learned))
        for k in self.features:
            best = largest(by_raw, k)
            for name, x in (
                (f"of_{k}", pooled.dense(largest(by_codes, k))),
                (f"of_{k}_raw", raw[:, best]),
            ):
                probe = fit_logistic(x[learned.places], learned.positive)
                yield name, ProbeResult.of(probe, x, tested)
        probe = fit_validated(raw[learned.places], learned.positive)
        yield "all_raw", ProbeResult.of(probe, raw, tested)
        often = np.full(len(tested.places), tested.positive.mean() >= 0.5)
        yield "majority", ProbeResult(often == tested.positive, None, tested)


def largest(values: Float64[ndarray, " feature"], number: int) -> Int64[ndarray, " some"]:
    """The places of the largest values, the first of equal ones, largest first."""
    return np.argsort(-values, kind="stable")[:number]


@dataclass(frozen=True)
class ProbeResult:
    """What a probe said of test texts."""

    correct: Bool[ndarray, " item"]
    margins: Float64[ndarray, " item"] | None
    tested: LabelledItems

    @staticmethod
    def of(
        probe: LinearProbe, x: Shaped[ndarray, "text d"], tested: LabelledItems
    ) -> "ProbeResult":
        """Of the texts that it is tested on."""
        margins = probe.margins(x[tested.places])
        return ProbeResult((margins > 0) == tested.positive, margins, tested)


def accuracy_of(results: Sequence[ProbeResult]) -> tuple[Estimate, int]:
    """The mean accuracy over labels, with Wilson's interval for so many different texts."""
    mean = float(np.mean([each.correct.mean() for each in results]))
    texts = len(np.unique(np.concatenate([each.tested.places for each in results])))
    found = wilson_interval(round(mean * texts), texts)
    return Estimate(mean, min(found.low, mean), max(found.high, mean)), texts


def auroc_of(results: Sequence[ProbeResult], rng: np.random.Generator) -> Estimate | None:
    """The mean AUROC over labels; its interval's ends are the means of theirs, as if what chance
    does to one label it did to all.
    """
    found = [
        auroc_estimate(each.margins[each.tested.positive], each.margins[~each.tested.positive], rng)
        for each in results
        if each.margins is not None
    ]
    if not found:
        return None
    value, low, high = np.mean([(each.value, each.low, each.high) for each in found], axis=0)
    return Estimate(float(value), float(low), float(high))


def means_over_sets(rows: Sequence[EvaluationRow]) -> Iterator[EvaluationRow]:
    """The mean of each number over labelled sets, where there are several; with Student's interval
    over sets from FEWEST_SETS on, because that of two or three says nothing. Sets that have no such
    number are left out, and the note counts them.
    """
    by_name: dict[str, list[float]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row.estimate.value)
    for name, each in by_name.items():
        values = np.array([value for value in each if not np.isnan(value)])
        n, missing = len(values), len(each) - len(values)
        note = f"mean; without {missing} that have none" if missing else "mean"
        if n >= FEWEST_SETS:
            yield EvaluationRow(name, student_interval(values), n, "sets", note=note)
        elif n and len(each) > 1:
            yield EvaluationRow.exact(name, float(values.mean()), n, "sets", note=note)
