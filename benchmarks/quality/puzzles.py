"""Published puzzles: 19 features made by hand, each with a true explanation and false ones.

How often do scores prefer the true?

(OpenAI, 2023, as kept by Transluce.) The texts are read from the folder of data and stand in no
prompt. Scores that ask nobody are asked to rank each true explanation above the false ones of its
puzzle.
"""

import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

import numpy as np

from benchmarks.quality.data import found
from benchmarks.quality.rows import Row
from gloss.models.embedder import PACKAGE, load_embedder
from gloss.records import (
    PADDING,
    Contexts,
    Examples,
    Explanation,
    FeatureActivations,
    FeatureId,
    Negative,
    Score,
)
from gloss.score.embedding import Embedding
from gloss.statistics.intervals import bootstrap
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

EXPERIMENT = "9 puzzles"
WIDTHS = {"whole sentences": 200, "eight tokens at a time": 8}
METRICS = ("auroc", "auprc_at_base_rate")
Sentence = list[tuple[str, float]]  # tokens with their activations


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """The share of pairs in which the true explanation scores higher than a false one.

    Nothing where these are not here.
    """
    path = found("explanation-tests", "openai_puzzles.json")
    if path is None or find_spec(PACKAGE) is None:
        return []
    puzzles = list(json.loads(path.read_text()).values())[: 2 if small else None]
    return [row for name, width in WIDTHS.items() for row in reached(puzzles, name, width, rng)]


def reached(
    puzzles: list[Mapping], name: str, width: int, rng: np.random.Generator
) -> Iterator[Row]:
    """What `embedding` reaches.

    There is no known answer but chance: a row passes unless its interval lies below ½.
    """
    shares: dict[str, list[float]] = {metric: [] for metric in METRICS}
    pairs = 0
    for number, puzzle in enumerate(puzzles):
        evidence = evidence_of(
            [[spelled(one) for one in sentence] for sentence in puzzle["sentences"]], width, number
        )
        scores = [
            scored(text, evidence, rng)
            for text in (puzzle["explanation"], *puzzle["false_explanations"])
        ]
        if all(isinstance(score, Score) for score in scores):
            pairs += len(scores) - 1
            for metric in METRICS:
                own, *false = (score.estimates[metric].value for score in scores)
                shares[metric].append(
                    float(
                        np.mean([float(own > other) + 0.5 * float(own == other) for other in false])
                    )
                )
    for metric, values in shares.items():
        share = bootstrap(lambda x: x.mean(axis=-1), np.array(values), rng=rng)
        known = (
            f"above chance, .5: true beats false by {metric} in so many of {pairs} pairs of"
            f" {len(values)} puzzles"
        )
        yield Row.of(f"{EXPERIMENT}: embedding of {name}", known, share, share.high >= 0.5)


def spelled(token: str | list) -> tuple[str, float]:
    """A token of the file, inactive where it stands alone."""
    return (token, 0.0) if isinstance(token, str) else (token[0], float(token[1]))


def scored(text: str, evidence: Evidence, rng: np.random.Generator):
    """What `embedding` says."""
    return Embedding().score_with(
        load_embedder(""), Explanation(evidence.examples.feature, text, "by hand"), evidence, rng
    )


def evidence_of(sentences: list[Sentence], width: int, number: int) -> Evidence:
    """The sentences, cut into windows of so many tokens, as held-out contexts."""
    strings = sorted({text for sentence in sentences for text, _ in sentence})
    ids = {text: index for index, text in enumerate(strings)}
    windows = [
        sentence[at : at + width] for sentence in sentences for at in range(0, len(sentence), width)
    ]
    tokens = np.full((len(windows), width), PADDING, np.int32)
    activations = np.zeros((len(windows), width), np.float32)
    for row, window in enumerate(windows):
        tokens[row, : len(window)] = [ids[text] for text, _ in window]
        activations[row, : len(window)] = [value for _, value in window]
    fires = (activations > 0).any(axis=1)
    starts = np.arange(len(windows)) * width
    labels = np.where(fires, 0, int(Negative.RANDOM))
    every, none = (
        Contexts(starts, np.arange(len(windows)), labels, tokens, activations),
        Contexts.empty(width),
    )
    share = float(fires.mean())
    examples = Examples(
        FeatureId("puzzle", number), none, every[fires], none, every[~fires], 10.0, share, share
    )
    vocabulary = Vocabulary(tuple(text.encode() for text in strings))
    corpus = Corpus(
        np.zeros(1, np.int32),
        np.array([0, 1]),
        np.array([0]),
        np.zeros(1, np.uint64),
        ("sentences",),
        vocabulary,
    )
    return Evidence(
        examples, corpus, FeatureActivations(np.zeros(1, np.int64), np.ones(1, np.float32))
    )
