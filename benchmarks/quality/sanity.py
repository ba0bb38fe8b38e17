"""Experiment 2: does a metric fall when half of a perfect label's claims are missing, or as many
again are made at random?

(Oikarinen et al., 2025, section 3.) Each metric is computed by the code of the score that reports
it, on expected counts, so that no sampling error hides what the metric itself can see; what a
sample of inactive contexts can see is told apart.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from benchmarks.quality.rows import Row
from gloss.models.chat_models.prompts import Answer
from gloss.records import (
    Contexts,
    Estimate,
    Examples,
    Explanation,
    FeatureActivations,
    FeatureId,
    Score,
)
from gloss.score import execution, simulation_metrics
from gloss.score.detection import Detection
from gloss.score.judge.verdict_metrics import VerdictCounts, verdict_estimates
from gloss.score.metric_sanity import MetricSanity, sanity_of_metric
from gloss.statistics import ranking
from gloss.statistics.intervals import wilson_interval
from gloss.statistics.scale_calibration import apply_scale, fit_scale
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

EXPERIMENT = "2 sanity"
RATES = (0.5, 0.1, 0.01, 1e-3, 1e-4)
FALLS, IN_MOST = 0.001, 0.9  # by more than this, in more than this share of the rates
MANY = 10_000_000  # contexts that stand for all
WIDTH = 16  # tokens of a context, of which one fires where any does


@dataclass(frozen=True)
class Label:
    """What share of firing contexts, and of inactive ones, a label claims."""

    of_firing: float
    of_inactive: float

    @staticmethod
    def extra(rate: float) -> "Label":
        """Every firing context, and as many inactive ones."""
        return Label(1.0, min(1.0, rate / (1 - rate)))


PERFECT, HALF = Label(1.0, 0.0), Label(0.5, 0.0)


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """The theoretical column, the table of metrics, headlines, the broad label, and what sampling
    leaves to be seen.
    """
    values = {
        rate: {
            label: dict(measured(rate, label, rng)) for label in (PERFECT, HALF, Label.extra(rate))
        }
        for rate in RATES
    }
    shares = {name: falls(values, name) for name in values[0.5][PERFECT]}
    return [
        *theory(shares),
        agreement_with_table(shares),
        *headlines(shares),
        *too_broad(rng),
        *sampled(rng, 100 if small else 1000),
    ]


def falls(
    values: Mapping[float, Mapping[Label, Mapping[str, float]]], name: str
) -> tuple[float, float]:
    """In what share of the rates the metric falls with missing labels, and with extra ones."""
    lost = [is_lower(found[HALF][name], found[PERFECT][name]) for found in values.values()]
    added = [
        is_lower(found[Label.extra(rate)][name], found[PERFECT][name])
        for rate, found in values.items()
    ]
    return float(np.mean(lost)), float(np.mean(added))


def is_lower(value: float, perfect: float) -> bool:
    """Whether the metric has fallen, or has nothing to say any more: a label that claims everything
    correlates with nothing.
    """
    return bool(np.isnan(value)) or perfect - value > FALLS


def measured(rate: float, label: Label, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """Every metric that a score reports of a label, as `score: metric`."""
    yes = (
        VerdictCounts(round(share * MANY), MANY - round(share * MANY), 0)
        for share in (label.of_firing, label.of_inactive)
    )
    for name, estimate in verdict_estimates(*yes, {}, rate, rng).items():
        yield f"detection: {name}", estimate.value
    firing, inactive = (
        np.array([[0, share, 1 - share, 0]]).T for share in (label.of_firing, label.of_inactive)
    )
    ranked = ranking.RankedWeights.of_levels(firing, inactive)
    yield "embedding: auroc", float(ranking.area_under_roc(ranked)[0])
    yield "embedding: auprc", float(ranking.average_precision_at_share(ranked, 0.5)[0])
    yield (
        "embedding: auprc_at_base_rate",
        float(ranking.average_precision_at_share(ranked, rate)[0]),
    )
    for name, value in over_tokens(rate, label).items():
        yield f"execution: {name}", value
    yield from of_simulation(rate, label)


def over_tokens(rate: float, label: Label) -> dict[str, float]:
    """What `execution` says where this share of all tokens fires."""
    fires, claims = (
        rate * MANY,
        np.array([rate * label.of_firing, (1 - rate) * label.of_inactive]) * MANY,
    )
    total, right = float(claims.sum()), float(claims[0])
    sums = execution.TokenSums(
        predicted=np.array([[total, MANY - total]]),
        firing=np.array([[right, fires - right]]),
        strong=np.array([[fires, fires]]),
        strong_found=np.array([[right, right]]),
        moments=np.array([[total, fires, total, fires, right]]),
    )
    return {name: float(value[0]) for name, value in execution.execution_metrics(sums).items()}


def of_simulation(rate: float, label: Label) -> Iterator[tuple[str, float]]:
    """What a simulation says of contexts of which half fire, at one token each.

    Extra claims fall on any token.
    """
    elsewhere = min(1.0, label.of_inactive / WIDTH)
    kinds = {
        True: ((1, 1.0, label.of_firing), (WIDTH - 1, 0.0, elsewhere)),
        False: ((WIDTH, 0.0, elsewhere),),
    }
    sums = {
        fires: sum(number * expected(truth, claimed) for number, truth, claimed in kind)
        for fires, kind in kinds.items()
    }
    yield (
        "simulation: pearson",
        float(simulation_metrics.correlation_with_failures((sums[True] + sums[False])[None])[0]),
    )
    yield (
        "simulation: pearson_firing",
        float(simulation_metrics.correlation_with_failures(sums[True][None])[0]),
    )
    weighed = rate * sums[True] + (1 - rate) * sums[False]
    yield (
        "simulation: pearson_at_base_rate",
        float(simulation_metrics.correlation_with_failures(weighed[None])[0]),
    )
    truth, claims = tokens_of([*kinds[True], *kinds[False]])
    calibration = fit_scale([truth], [claims])
    for name in ("linear", "percentile"):
        error = truth - apply_scale(calibration, name, claims)
        yield f"simulation: r_squared_{name}", float(1 - (error**2).sum() / (truth**2).sum())
        yield (
            f"simulation: absolute_deviation_explained_{name}",
            float(1 - np.abs(error).sum() / np.abs(truth).sum()),
        )


def expected(truth: float, claimed: float) -> ndarray:
    """The expected sums of one token that is claimed with this probability."""
    inactive, named = (
        simulation_metrics.context_moments(np.array([truth]), np.array([value]))
        for value in (0.0, 1.0)
    )
    return claimed * named + (1 - claimed) * inactive


def tokens_of(kinds: Sequence[tuple[int, float, float]]) -> tuple[ndarray, ndarray]:
    """Truth and claims of 200,000 tokens of the given kinds, in the expected numbers."""
    truth, claims = [], []
    each = 200_000 // sum(number for number, _, _ in kinds)
    for number, fires, claimed in kinds:
        truth.append(np.full(number * each, fires))
        claims.append((np.arange(number * each) < round(claimed * number * each)).astype(float))
    return np.concatenate(truth), np.concatenate(claims)


# of the paper's table, in per cent of the cases; what a sample of top and random contexts does is
# not of these
THEORY = {
    "execution: recall": (1.0, 0.0),
    "execution: precision": (0.0, 1.0),
    "execution: f1": (1.0, 1.0),
    "execution: pearson": (1.0, 1.0),
    "execution: auprc": (1.0, 1.0),
    "detection: balanced_accuracy": (1.0, 0.6),
    "embedding: auroc": (1.0, 0.6),
}


def theory(shares: Mapping[str, tuple[float, float]]) -> Iterator[Row]:
    """The metrics of which the paper's theoretical column speaks."""
    for name, wanted in THEORY.items():
        for test, found, known in zip(("missing", "extra"), shares[name], wanted, strict=True):
            told = f"{name.split(': ')[1]} falls at {known:.0%} of the rates"
            yield Row.exact(f"{EXPERIMENT}: {test} labels", told, found, found == known)


def passes(shares: tuple[float, float]) -> MetricSanity:
    return MetricSanity(*(share > IN_MOST for share in shares))


def agreement_with_table(shares: Mapping[str, tuple[float, float]]) -> Row:
    """Whether the table that reports print from says of every metric what is measured here."""
    beside: dict[str, list[str]] = {}
    for name in shares:
        method, metric = name.split(": ")
        beside.setdefault(method, []).append(metric)
    wrong = []
    for name, found in shares.items():
        method, metric = name.split(": ")
        stated = sanity_of_metric(metric, beside[method])
        if stated != passes(found):
            wrong.append(name)
            print(
                f"gloss.score.metric_sanity says {stated} of {name}, measured {passes(found)}"
                f" {found}"
            )
    known = f"0 of {len(shares)} metrics differ from gloss.score.metric_sanity"
    return Row.exact(f"{EXPERIMENT}: table", known, len(wrong), not wrong)


HEADLINES = {
    "detection, fuzzing": "detection: f1_at_base_rate",
    "simulation": "simulation: pearson_at_base_rate",
    "surprisal, embedding": "embedding: auprc_at_base_rate",
    "execution": "execution: f1",
}


def headlines(shares: Mapping[str, tuple[float, float]]) -> Iterator[Row]:
    """The headline of every score must fall in both tests at all rates."""
    for method, name in HEADLINES.items():
        least = min(shares[name])
        told = f"{name.split(': ')[1]} falls at all rates, in both tests"
        yield Row.exact(f"{EXPERIMENT}: headline of {method}", told, least, least == 1)


def too_broad(rng: np.random.Generator) -> Iterator[Row]:
    """A label 100 times too broad, of a feature that fires in 0.1 % of contexts, through the whole
    of detection.
    """
    evidence = numbered(rng, firing=100, inactive=1000, rate=0.001)
    score = judged(evidence, lambda context: context < 1000 or context % 10 == 0, rng)
    broad, balanced = score.estimates[score.headline], score.estimates["balanced_accuracy"]
    name = f"{EXPERIMENT}: label 100 × too broad at 0.1 %"
    yield Row.of(name, f"{score.headline} ≤ .05 (true F1 .020)", broad, broad.value <= 0.05)
    yield Row.of(
        name,
        "balanced accuracy .95, which does not see it",
        balanced,
        abs(balanced.value - 0.95) < 0.02,
    )


def sampled(rng: np.random.Generator, trials: int) -> Iterator[Row]:
    """How often 100 inactive contexts drawn at random contain an extra claim at all: more than that
    no metric can see.
    """
    for rate in (0.01, 1e-3):
        seen = int((rng.binomial(100, Label.extra(rate).of_inactive, trials) > 0).sum())
        known = 1 - (1 - Label.extra(rate).of_inactive) ** 100
        share: Estimate = wilson_interval(seen, trials)
        told = f"1 − (1 − rate)¹⁰⁰ = {known:.3f} of scores see a doubled label"
        yield Row.of(
            f"{EXPERIMENT}: 100 inactive contexts at {rate:g}",
            told,
            share,
            share.low <= known <= share.high,
        )


def numbered(rng: np.random.Generator, firing: int, inactive: int, rate: float) -> Evidence:
    """Contexts of one token that says its own number; inactive ones begin at 1,000."""
    strings = tuple(b"%d" % number for number in range(1000 + inactive))
    none = Contexts.empty(1)

    def contexts(first: int, number: int, activation: float) -> Contexts:
        at = np.arange(first, first + number)
        kind = np.full(number, 0 if activation else -1)
        return Contexts(
            at, at, kind, at.astype(np.int32)[:, None], np.full((number, 1), activation, np.float32)
        )

    feature = FeatureId("numbers", 0)
    examples = Examples(
        feature,
        none,
        contexts(0, firing, 1.0),
        none,
        contexts(1000, inactive, 0.0),
        1.0,
        rate,
        rate,
    )
    corpus = Corpus(
        np.zeros(1, np.int32),
        np.array([0, 1]),
        np.array([0]),
        np.zeros(1, np.uint64),
        ("one",),
        Vocabulary(strings),
    )
    return Evidence(
        examples, corpus, FeatureActivations(np.zeros(1, np.int64), np.ones(1, np.float32))
    )


def judged(evidence: Evidence, claims, rng: np.random.Generator) -> Score:
    """The score where the judge says yes of the contexts that the label claims."""
    conversation = Detection().score(
        Explanation(evidence.examples.feature, "a label", "by hand"), evidence, rng
    )
    prompts = next(conversation)
    asked = [
        [int(json.loads(text)) for text in re.findall(r'(?m)^\d+: ("\d+")$', one.messages[-1].text)]
        for one in prompts
    ]
    try:
        conversation.send(
            [
                Answer(json.dumps({"answers": [int(claims(number)) for number in group]}))
                for group in asked
            ]
        )
    except StopIteration as over:
        return over.value
    raise AssertionError("detection asks once")
