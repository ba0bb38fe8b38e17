"""Whether a few features hold one label and no other: take them away, and see which probes fail."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped
from numpy import ndarray

from gloss.errors import BadInput, require_at_least
from gloss.evaluate.measure import Aims, Material
from gloss.evaluate.sparse_probing import largest, means_over_sets
from gloss.evaluate.text_codes import (
    LabelledItems,
    LabelledSplit,
    PooledTexts,
    mean_difference,
    pool_texts,
    split_labelled,
)
from gloss.models.dictionary import Dictionary
from gloss.models.labelled_texts import LabelledTexts
from gloss.records import Estimate, Evaluation, EvaluationFailure, EvaluationRow, Needs
from gloss.statistics.intervals import bootstrap
from gloss.statistics.logistic import LinearProbe, fit_validated


@dataclass(frozen=True)
class TargetedPerturbation:
    """By how much the accuracy of a label's probe falls when its n features are taken away, less by
    how much those of the other labels' probes fall: the mean over labels (SAEBench's "tpp").

    A label's features are those that write most along its probe: the mean code of its texts, as it
    is written, less that of others, where this is more than 0, times the direction's product with
    the probe. Probes are logistic regressions on the mean vectors of texts.
    """

    needs: ClassVar[Needs] = Needs(labels=True)
    aims: ClassVar[Aims] = Aims(more=(r"tpp_\d+",))

    features: tuple[int, ...] = (2, 5, 10, 20, 50, 100, 500)  # n
    train: int = 1000  # texts of a probe, half of them with the label
    test: int = 500
    most_labels: int = 5  # of a set; the most frequent ones
    tokens: int = 128  # of a text that are read, the start token among them

    def __post_init__(self) -> None:
        require_at_least(20, self, "train", "test")
        require_at_least(2, self, "most_labels", "tokens")

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """A row for each n and labelled set, and the mean over sets."""
        rows: list[EvaluationRow] = []
        failures: list[EvaluationFailure] = []
        details: dict[str, dict[str, float]] = {}
        for name, given in material.labelled.items():
            try:
                found, details[name] = self._of_set(name, given, dictionary, material, rng)
                rows += found
            except BadInput as problem:
                failures.append(EvaluationFailure(name, str(problem)))
        return Evaluation("tpp", (*means_over_sets(rows), *rows), tuple(failures), details)

    def _of_set(
        self,
        name: str,
        given: LabelledTexts,
        dictionary: Dictionary,
        material: Material,
        rng: np.random.Generator,
    ) -> tuple[list[EvaluationRow], dict[str, float]]:
        drawn_by = material.generator(f"texts of {name}")
        split = split_labelled(given, (self.train, self.test), self.most_labels, drawn_by)
        if len(split.names) < 3:
            raise BadInput(
                "it has two labels, so that whatever holds one holds the other; give a set of three"
                " labels or more"
            )
        pooled = pool_texts(dictionary, material, split.texts, self.tokens)
        directions = dictionary.decoder_directions.float().cpu().numpy()
        probes = [LabelProbe.of(split, label, pooled, rng) for label in range(len(split.names))]
        chosen = [features_of_probe(each, pooled, directions) for each in probes]
        rows: list[EvaluationRow] = []
        details = {"clean_accuracy": float(np.mean([each.clean.mean() for each in probes]))}
        for n in self.features:
            ablated = (pooled.without(features[:n], directions) for features in chosen)
            fallen = [
                [each.clean - each.right_of(vectors) for each in probes] for vectors in ablated
            ]
            effect, parts = specific_fall(probes, fallen, rng)
            rows.append(
                EvaluationRow(
                    f"tpp_{n}",
                    effect,
                    int((~split.train).sum()),
                    "texts",
                    name,
                    f"{len(split.names)} labels; probes {details['clean_accuracy']:.3f}",
                )
            )
            details |= {f"{part}_{n}": value for part, value in parts.items()}
        return rows, details


@dataclass(frozen=True)
class LabelProbe:
    """A probe of one label against the others, the texts it learned from and those it is tested
    on.
    """

    probe: LinearProbe
    learned: LabelledItems
    tested: LabelledItems
    clean: Bool[ndarray, " item"]  # whether it is right of each of these, as they are

    @staticmethod
    def of(
        split: LabelledSplit, label: int, pooled: PooledTexts, rng: np.random.Generator
    ) -> "LabelProbe":
        """Of a label of several."""
        learned, tested = (
            split.one_against_all(label, train=train, rng=rng) for train in (True, False)
        )
        return LabelProbe.fit(pooled, learned, tested)

    @staticmethod
    def fit(pooled: PooledTexts, learned: LabelledItems, tested: LabelledItems) -> "LabelProbe":
        """Learn from mean vectors of texts."""
        probe = fit_validated(pooled.vectors[learned.places], learned.positive)
        clean = probe.correct(pooled.vectors[tested.places], tested.positive)
        return LabelProbe(probe, learned, tested, clean)

    def right_of(self, vectors: Shaped[ndarray, "text d_out"]) -> Float64[ndarray, " item"]:
        """1 where it is right of its test texts with other vectors, else 0."""
        found = self.probe.correct(vectors[self.tested.places], self.tested.positive)
        return found.astype(np.float64)

    def effects(
        self, pooled: PooledTexts, directions: Float32[ndarray, "feature d_out"]
    ) -> tuple[Float64[ndarray, " feature"], Float64[ndarray, " feature"]]:
        """Of each feature, how much more of it is written with the label, and how far it writes
        along the probe.
        """
        return mean_difference(pooled.written, self.learned), directions @ self.probe.weights


def features_of_probe(
    probe: LabelProbe, pooled: PooledTexts, directions: Float32[ndarray, "feature d_out"]
) -> Int64[ndarray, " some"]:
    """The features that have any effect, the largest first."""
    more, along = probe.effects(pooled, directions)
    return ordered_effects(more.clip(min=0) * along)


def ordered_effects(effects: Float64[ndarray, " feature"]) -> Int64[ndarray, " some"]:
    """The places of effects that are not 0, the largest first."""
    every = largest(effects, len(effects))
    return every[effects[every] != 0]


def specific_fall(
    probes: Sequence[LabelProbe],
    fallen: Sequence[Sequence[Float64[ndarray, " item"]]],
    rng: np.random.Generator,
) -> tuple[Estimate, dict[str, float]]:
    """How much more accuracy falls for the label whose features are taken away, first index of
    `fallen`, than for the others, second index; the interval is over test texts.
    """
    number = len(probes)
    texts = np.unique(np.concatenate([each.tested.places for each in probes]))
    share = np.zeros(len(texts))
    for label, each in enumerate(probes):
        others = [fallen[other][label] for other in range(number) if other != label]
        more = fallen[label][label] - np.mean(others, axis=0)
        places = np.searchsorted(texts, each.tested.places)
        share[places] += more * len(texts) / len(places) / number
    means = np.array([[each.mean() for each in row] for row in fallen])
    intended = float(np.diag(means).mean())
    unintended = float((means.sum() - np.diag(means).sum()) / (number * (number - 1)))
    found = bootstrap(lambda x: x.mean(axis=-1), share, rng=rng)
    return found, {"intended": intended, "unintended": unintended}
