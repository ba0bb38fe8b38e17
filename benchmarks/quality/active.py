"""Experiment 11: conjunctions that the train text cannot tell apart.

Who may try texts on the subject finds the right one; elsewhere that costs nothing.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from benchmarks.quality.rows import Row
from gloss.explain.active import Active
from gloss.explain.rule_search.search import RuleSearch
from gloss.models.chat_models.prompts import Conversation
from gloss.models.planted import Planted, RuleReader, plant, plant_apart
from gloss.records import Examples, Explanation, Score
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.score.execution import Execution
from gloss.statistics.intervals import bootstrap
from gloss.store.evidence import Evidence, train_evidence

EXPERIMENT = "11 active"
TEXTS = 256
INACTIVE = 2000  # contexts that `rule` reads; `active` reads fewer by as many as it has texts
GAIN, LOSS = 0.2, 0.02  # of F1


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """Held-out F1 of `active` less that of `rule`, at as many contexts read."""
    apart = plant_apart(rng, 60_000 if small else 200_000, 2 if small else 20)
    elsewhere = plant(rng, 80_000 if small else 1_000_000, 16 if small else 200)
    gained, read = f1_gained(apart, rng)
    told_apart = [row for row, one in enumerate(apart.features) if one.kind != "word"]
    words = [row for row, one in enumerate(apart.features) if one.kind == "word"]
    lost, read_elsewhere = f1_gained(elsewhere, rng)
    gain = bootstrap(mean, gained[told_apart], rng=rng)
    most = max(read, read_elsewhere)
    return [
        Row.of(
            EXPERIMENT,
            f"F1 that trials add where train text cannot tell: {GAIN} or more"
            f" (n = {len(told_apart)})",
            gain,
            gain.low >= GAIN,
        ),
        worst_loss("the word alone, under the same text", gained[words]),
        worst_loss("planted rules of every kind", lost),
        Row.exact(
            EXPERIMENT, f"texts read for a feature: {TEXTS} at most", most, 0 < most <= TEXTS
        ),
    ]


def worst_loss(of: str, gained: ndarray) -> Row:
    """The most that a feature loses by trials."""
    lost = max(0.0, -float(gained.min()))
    known = f"F1 that trials cost any feature: {LOSS} at most; {of} (n = {len(gained)})"
    return Row.exact(EXPERIMENT, known, lost, lost <= LOSS)


def mean(values: ndarray) -> ndarray:
    return values.mean(axis=-1)


def f1_gained(planted: Planted, rng: np.random.Generator) -> tuple[ndarray, int]:
    """For each feature the held-out F1 of `active` less that of `rule`, 0 where there is no rule;
    and the most texts that were read for one.
    """
    reader, most = RuleReader(planted), 0
    gained: list[float] = []
    for evidence, fewer in evidences(planted, reader, rng):
        seed = int(rng.integers(2**32))
        shown, vocabulary = evidence.examples.for_explainer(), planted.corpus.vocabulary
        by_rule = finished(RuleSearch().explain(shown, vocabulary, np.random.default_rng(seed)))
        before, active = reader.texts, Active(RuleSearch(), Execution(resamples=1), TEXTS)
        choice = finished(active.investigate(train_evidence(fewer), np.random.default_rng(seed)))
        most = max(most, reader.texts - before)
        gained.append(held_out_f1(choice.explanation, evidence) - held_out_f1(by_rule, evidence))
    return np.array(gained), most


def evidences(
    planted: Planted, reader: RuleReader, rng: np.random.Generator
) -> Iterator[tuple[Evidence, Evidence]]:
    """Every feature's evidence, with as many inactive contexts as `rule` reads and as `active`
    does.
    """
    for feature, fires in zip(planted.features, planted.activations, strict=True):
        seed = int(rng.integers(2**32))
        found = [
            Evidence(examples, planted.corpus, fires, reader=reader)
            for number in (INACTIVE, INACTIVE - TEXTS)
            if isinstance(
                examples := gather_examples(
                    feature.feature,
                    fires,
                    planted.corpus,
                    Quantiles(),
                    SamplingSettings(inactive_train=number),
                    np.random.default_rng(seed),
                ),
                Examples,
            )
        ]
        if found:
            every, fewer = found
            yield every, fewer


def finished(conversation: Conversation[Any]) -> Any:
    """What a conversation that asks nobody returns."""
    try:
        next(conversation)
    except StopIteration as over:
        return over.value
    raise AssertionError("nobody is there to answer")


def held_out_f1(explanation: object, evidence: Evidence) -> float:
    """Over every held-out token; 0 where there is no rule."""
    if not isinstance(explanation, Explanation):
        return 0.0
    score = finished(Execution(resamples=1).score(explanation, evidence, np.random.default_rng(0)))
    assert isinstance(score, Score)
    return score.estimates["f1"].value
