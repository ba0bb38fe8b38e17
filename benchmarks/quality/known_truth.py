"""Planted superposition as real models might have it: few features that fire often, many that fire
rarely, trees of general and special ones, and which methods of `decompose` find them.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.quality.rows import Row
from gloss.evaluate.known_truth import KnownTruth, found_features
from gloss.installed import installed, load_installed
from gloss.models.sites import Site
from gloss.records import Estimate, Evaluation
from gloss.statistics.intervals import student_interval

EXPERIMENT = "16 known truth"
SITE = Site("resid_post", 0)
LEARN: Mapping[str, Any] = MappingProxyType(
    {"batch": 1024, "learning_rate": 1e-2, "dead_after_tokens": 30_000, "auxiliary_k": 64}
)
METHODS = ("topk", "matryoshka", "matching_pursuit", "frozen_decoder", "random")
CONTROLS = METHODS[-2:]
STATED = ("mcc", "share_found", "firing_f1", "fvu")


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """Each method on the same vectors, seed by seed."""
    tokens, seeds = (100_000, 2) if small else (300_000, 5)
    methods = ("topk", *CONTROLS) if small else METHODS
    found: dict[str, list[Evaluation]] = {name: [] for name in methods}
    for seed in rng.integers(2**31, size=seeds).tolist():
        asked = KnownTruth(
            features=128 if small else 512, dimensions=32 if small else 64,
            trees=(4, 4, 1) if small else (8, 4, 2), seed=seed,
        )  # fmt: skip
        planted = asked.planted
        active = max(1, round(planted.rates.sum()))
        for name in methods:
            method = load_installed(installed("gloss.decompose")[name])
            settings = {"tokens": tokens, **({} if name == "random" else LEARN)}
            own = np.random.default_rng([seed, 1])
            made = method(planted.features, active, **settings).fit(planted.batches(own), SITE, own)
            found[name].append(
                found_features(made, planted, 8192, np.random.default_rng([seed, 2]))
            )
    return [*told(found, seeds, small)]


def told(found: Mapping[str, list[Evaluation]], seeds: int, small: bool) -> Iterator[Row]:
    """What is stated of each method, and what the controls must not reach."""

    def over(name: str, number: str) -> Estimate:
        return student_interval(np.array([each.value(number) for each in found[name]]))

    learned = over("topk", "mcc")
    for name in found:
        of = f"{EXPERIMENT}: {name}, {seeds} seeds"
        for number in STATED:
            estimate, known, passes = over(name, number), number.replace("_", " "), True
            if number == "mcc" and name in CONTROLS:
                known = f"mcc: below that of topk, {learned.value:.3f}"
                passes = estimate.value < learned.value if small else estimate.high < learned.low
            if number == "share_found" and name in CONTROLS:
                known, passes = "share found: ≤ .02", estimate.value <= 0.02
            yield Row.of(of, known, estimate, bool(passes))
