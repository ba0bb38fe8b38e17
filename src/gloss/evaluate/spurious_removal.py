"""Whether what a probe learned by mistake can be taken away: a label that went with the wanted one
in everything that it learned from.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from gloss.errors import BadInput, require_at_least
from gloss.evaluate.measure import Aims, Material
from gloss.evaluate.sparse_probing import means_over_sets
from gloss.evaluate.targeted_perturbation import LabelProbe, ordered_effects
from gloss.evaluate.text_codes import LEAST, TEST_SHARE, LabelledItems, PooledTexts, pool_texts
from gloss.models.dictionary import Dictionary
from gloss.models.labelled_texts import LabelledTexts
from gloss.records import Estimate, Evaluation, EvaluationFailure, EvaluationRow, Needs
from gloss.statistics.intervals import ratio_with_interval

LEAST_GAP = 0.001  # of accuracy that the mistake costs; below it there is nothing to remove
DIRECTIONS = ("dir1", "dir2")  # SAEBench's words: the first label is wanted, or the second


@dataclass(frozen=True)
class SpuriousRemoval:
    """A probe learns from texts in which two labels go together. The n features that hold the
    unwanted one are taken away: how much of what it lacks of a probe that learned from balanced
    texts does its accuracy regain, on balanced texts? (SAEBench's "scr", after Marks et al.,
    2403.19647.)

    Each two of the labelled sets that label the same texts are such a pair, either label is wanted
    in turn; "scr" is the one of both that the mistake costs more. A label's features are those
    whose mean code, as it is written, differs most with it, times how far they write along its
    probe.
    """

    needs: ClassVar[Needs] = Needs(labels=True)
    aims: ClassVar[Aims] = Aims(more=(r"scr_\d+",))

    features: tuple[int, ...] = (2, 5, 10, 20, 50, 100, 500)  # n
    train: int = 1000  # texts of a probe
    test: int = 500
    tokens: int = 128  # of a text that are read, the start token among them

    def __post_init__(self) -> None:
        require_at_least(20, self, "train", "test")
        require_at_least(2, self, "tokens")

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """A row for each n and pair of labelled sets, and the mean over pairs."""
        rows: list[EvaluationRow] = []
        failures: list[EvaluationFailure] = []
        details: dict[str, dict[str, float]] = {}
        for first, second in combinations(material.labelled, 2):
            name = f"{first} and {second}"
            try:
                pair = LabelledPair.of(
                    (material.labelled[first], material.labelled[second]),
                    (self.train, self.test),
                    material.generator(f"texts of {name}"),
                )
                pooled = pool_texts(dictionary, material, pair.texts, self.tokens)
                found, details[name] = self._of_pair(name, pair, pooled, dictionary, rng)
                rows += found
            except BadInput as problem:
                failures.append(EvaluationFailure(name, str(problem)))
        if len(material.labelled) < 2:
            reason = "it takes two labels of the same texts; give two labelled sets"
            failures.append(EvaluationFailure("", reason))
        return Evaluation("scr", (*means_over_sets(rows), *rows), tuple(failures), details)

    def _of_pair(
        self,
        name: str,
        pair: "LabelledPair",
        pooled: PooledTexts,
        dictionary: Dictionary,
        rng: np.random.Generator,
    ) -> tuple[list[EvaluationRow], dict[str, float]]:
        directions = dictionary.decoder_directions.float().cpu().numpy()
        probes = [LabelProbe.fit(pooled, *pair.balanced(side)) for side in (0, 1)]
        mistaken = [LabelProbe.fit(pooled, pair.together, each.tested) for each in probes]
        details = {
            f"{kind}_accuracy_{which}": float(each[side].clean.mean())
            for kind, each in (("balanced", probes), ("mistaken", mistaken))
            for side, which in enumerate(DIRECTIONS)
        }
        worse = int(np.argmin([each.clean.mean() for each in mistaken]))
        rows: list[EvaluationRow] = []
        for wanted, which in enumerate(DIRECTIONS):
            more, along = probes[1 - wanted].effects(pooled, directions)
            chosen = ordered_effects(np.abs(more * along))
            before = mistaken[wanted].clean.astype(np.float64)
            lacking = probes[wanted].clean - before
            for n in self.features:
                vectors = pooled.without(chosen[:n], directions)
                regained = mistaken[wanted].right_of(vectors) - before
                found = Estimate.missing()
                if lacking.mean() >= LEAST_GAP:
                    found = ratio_with_interval(regained, lacking, rng)
                details[f"{which}_{n}"] = found.value
                if wanted == worse:
                    accuracy = f"{before.mean():.3f} of {probes[wanted].clean.mean():.3f}"
                    rows.append(
                        EvaluationRow(
                            f"scr_{n}", found, len(before), "texts", name, f"probe {accuracy}"
                        )
                    )
        return rows, details


@dataclass(frozen=True)
class LabelledPair:
    """Texts that have two labels of two each, in as many texts each way, in no order."""

    texts: tuple[str, ...]
    first: Bool[ndarray, " text"]
    second: Bool[ndarray, " text"]
    train: Bool[ndarray, " text"]

    @staticmethod
    def of(
        sets: tuple[LabelledTexts, LabelledTexts],
        sizes: tuple[int, int],
        rng: np.random.Generator,
    ) -> "LabelledPair":
        """A quarter of the sizes of each kind, or of fewer a fifth to test on.

        Raises BadInput where the sets do not share enough texts.
        """
        both = [dict(zip(each.texts, each.labels, strict=True)) for each in sets]
        if any(len(set(each.values())) != 2 for each in both):
            raise BadInput("both sets must have two labels each; give two such")
        shared = [text for text in both[0] if text in both[1]]
        positive = [max(each.values()) for each in both]
        truths = [
            np.array([each[text] == label for text in shared], dtype=bool)
            for each, label in zip(both, positive, strict=True)
        ]
        kinds = [
            rng.permutation(np.flatnonzero((truths[0] == a) & (truths[1] == b)))
            for a in (False, True)
            for b in (False, True)
        ]
        fewest = min(map(len, kinds))
        if fewest < LEAST * TEST_SHARE:
            raise BadInput(
                f"they share {len(shared):,} texts, of which one of the four pairs of labels has"
                f" {fewest}; give sets in which each pair has {LEAST * TEST_SHARE}"
            )
        number = min(sum(sizes) // 4, fewest)
        tested = sizes[1] // 4
        if number < sum(sizes) // 4:
            tested = min(tested, max(LEAST, number // TEST_SHARE))
        chosen = np.concatenate([kind[:number] for kind in kinds])
        train = np.tile(np.arange(number) >= tested, 4)
        order = rng.permutation(len(chosen))
        places = chosen[order]
        return LabelledPair(
            tuple(shared[place] for place in places),
            truths[0][places],
            truths[1][places],
            train[order],
        )

    def balanced(self, side: int) -> tuple[LabelledItems, LabelledItems]:
        """All texts to learn one label from, and to test on, with the other one half and half."""
        truth = (self.first, self.second)[side]
        learned, tested = np.flatnonzero(self.train), np.flatnonzero(~self.train)
        return LabelledItems(learned, truth[learned]), LabelledItems(tested, truth[tested])

    @property
    def together(self) -> LabelledItems:
        """What is learned from texts that have both labels or neither, in which one may be
        mistaken for the other.
        """
        places = np.flatnonzero(self.train & (self.first == self.second))
        return LabelledItems(places, self.first[places])
