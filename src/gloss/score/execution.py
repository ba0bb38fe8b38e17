"""Runs an explanation's rule over all held-out tokens: exact, at the true base rate, and without
any language model.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray

from gloss.errors import BadInput, require_at_least
from gloss.models.chat_models.prompts import Conversation
from gloss.records import (
    Control,
    Estimate,
    Explanation,
    Failure,
    FeatureActivations,
    Reason,
    Score,
)
from gloss.rules import Rule
from gloss.score.held_out_text import (
    HeldOutText,
    held_out_tokens,
    held_out_words,
    runnable_label,
)
from gloss.statistics.intervals import estimate_from_draws, small_sample_tail
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence

METHOD = "execution"
# of the feature's strongest activation in the train split
STRONG_SHARES = {"above_10_percent": 0.1, "above_50_percent": 0.5}


@dataclass(frozen=True)
class Execution:
    """Compares what the rule predicts with the feature's activations at every held-out token."""

    resamples: int = 500  # of documents, for the intervals
    read_text: bool = False  # run labels in plain words, too, where they can be read as a rule

    def __post_init__(self) -> None:
        require_at_least(1, self, "resamples")

    def score(
        self, explanation: Explanation, evidence: Evidence, rng: np.random.Generator
    ) -> Conversation[Score | Failure]:
        """Precision, recall, F1, average precision and correlation at the true base rate.

        Yields no prompts.
        """
        yield from ()
        try:
            label = runnable_label(explanation, evidence.corpus, self.read_text)
        except BadInput as unreadable:
            return Failure(explanation.feature, METHOD, Reason.UNPARSABLE, str(unreadable))
        if label is None:
            detail = "the explanation has no rule to run"
            detail += ", and its words are not read as one" * self.read_text
            return Failure(explanation.feature, METHOD, Reason.NOT_APPLICABLE, detail)
        held_out = label.text
        activations = held_out.dense(evidence.activations)
        if not activations.any():
            return Failure(
                evidence.examples.feature,
                METHOD,
                Reason.TOO_FEW_EXAMPLES,
                "it fires at no held-out token",
            )
        sums = sums_by_document(
            held_out.predicted(label.rule), activations, held_out, evidence.examples.strongest
        )
        return Score(
            feature=evidence.examples.feature,
            method=METHOD,
            explained_by=explanation.method,
            n=len(held_out.indices),
            failed=0,
            estimates=execution_estimates(sums, self.resamples, rng),
            headline="f1",
            control=Control.NONE,
        )


@dataclass(frozen=True)
class DocumentSums:
    """All that the metrics need of each document, so that a resample of documents is a weighted
    sum.
    """

    # tokens at each predicted strength, strongest first, the last 0
    predicted: Float64[ndarray, "document level"]
    firing: Float64[ndarray, "document level"]  # those of them where the feature fires
    strong: Float64[ndarray, "document 2"]  # where it fires above each of STRONG_SHARES
    strong_found: Float64[ndarray, "document 2"]  # those of them where the rule says that it fires
    # of strength s and activation a: sums of s, a, s^2, a^2, s a
    moments: Float64[ndarray, "document 5"]


def sums_by_document(
    strengths: Float32[ndarray, " token"],
    activations: Float32[ndarray, " token"],
    held_out: HeldOutText,
    strongest: float,
) -> DocumentSums:
    """Add up each document; tokens where both are 0 need no work."""
    active = np.flatnonzero((strengths > 0) | (activations > 0))
    documents, number = held_out.documents[active], len(held_out.sizes)
    predicted, true = strengths[active].astype(np.float64), activations[active].astype(np.float64)
    levels, level = np.unique(np.append(-predicted, 0.0), return_inverse=True)
    cell = documents * len(levels) + level[:-1]
    counts = (
        np.bincount(cell, minlength=number * len(levels)).reshape(number, -1).astype(np.float64)
    )
    counts[:, -1] += held_out.sizes - counts.sum(1)

    def summed(*values: Float64[ndarray, " active"]) -> Float64[ndarray, "document _"]:
        return np.stack(
            [np.bincount(documents, value, number).astype(np.float64) for value in values], axis=1
        )

    strong = [(true > share * strongest).astype(np.float64) for share in STRONG_SHARES.values()]
    return DocumentSums(
        counts,
        np.bincount(cell, true > 0, number * len(levels)).reshape(number, -1).astype(np.float64),
        summed(*strong),
        summed(*(each * (predicted > 0) for each in strong)),
        summed(predicted, true, predicted**2, true**2, predicted * true),
    )


def execution_estimates(
    sums: DocumentSums, resamples: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Every metric with its interval, from documents drawn with replacement."""
    number = len(sums.predicted)
    drawn = rng.multinomial(number, np.full(number, 1 / number), resamples).astype(np.float64)
    values = execution_metrics(sums, np.ones((1, number)))
    draws = execution_metrics(sums, drawn)
    if number < 2:
        return {name: Estimate(float(value[0]), np.nan, np.nan) for name, value in values.items()}
    outside = small_sample_tail(number)
    return {
        name: estimate_from_draws(float(values[name][0]), draws[name], outside=outside)
        for name in values
    }


def execution_metrics(
    sums: DocumentSums, drawn: Float64[ndarray, "draw document"]
) -> dict[str, Float64[ndarray, " draw"]]:
    """Every metric of every draw; not a number where the draw does not say."""
    predicted, firing = drawn @ sums.predicted, drawn @ sums.firing
    strong, strong_found = drawn @ sums.strong, drawn @ sums.strong_found
    positive, true, hits = predicted[:, :-1].sum(1), firing.sum(1), firing[:, :-1].sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "f1": 2 * hits / (positive + true),
            "precision": hits / positive,
            "recall": hits / true,
            "auprc": average_precision_of_counts(predicted, firing),
            "pearson": correlation_of_moments(drawn @ sums.moments, predicted.sum(1)),
        }
        for i, name in enumerate(STRONG_SHARES):
            found[f"f1_{name}"] = 2 * strong_found[:, i] / (positive + strong[:, i])
            found[f"recall_{name}"] = strong_found[:, i] / strong[:, i]
    return found


def average_precision_of_counts(
    predicted: Float64[ndarray, "draw level"], firing: Float64[ndarray, "draw level"]
) -> Float64[ndarray, " draw"]:
    """The area under precision against recall, by steps: the sum over strengths of gained recall
    times precision.
    """
    precision = np.cumsum(firing, 1) / np.maximum(np.cumsum(predicted, 1), 1.0)
    return (firing * precision).sum(1) / firing.sum(1)


def correlation_of_moments(
    moments: Float64[ndarray, "draw 5"], number: Float64[ndarray, " draw"]
) -> Float64[ndarray, " draw"]:
    """Pearson's, from sums."""
    s, a, ss, aa, sa = (moments / number[:, None]).T
    return (sa - s * a) / np.sqrt((ss - s**2) * (aa - a**2))


@dataclass(frozen=True)
class RuleMistakes:
    """Held-out tokens that a rule got wrong, as global token indices, the worst of each sequence,
    worst first.
    """

    # where it predicts the feature and the feature is inactive
    false_positives: Int64[ndarray, " false_positive"]
    # where the feature fires and it predicts nothing
    false_negatives: Int64[ndarray, " false_negative"]
    all_false_positives: int  # how many there are in all
    all_false_negatives: int
    # the strength at every token of the corpus; 0 where it is not held out
    predicted: Float32[ndarray, " token"]


def find_rule_mistakes(
    rule: Rule,
    corpus: Corpus,
    activations: FeatureActivations,
    number: int,
    by_words: bool = False,
) -> RuleMistakes:
    """Up to `number` of each kind of mistake; by whole words, each stands for its last token."""
    held_out = held_out_words(corpus) if by_words else held_out_tokens(corpus)
    strengths, true = held_out.predicted(rule), held_out.dense(activations)

    def worst(
        wrong: Bool[ndarray, " token"], by: Float32[ndarray, " token"]
    ) -> Int64[ndarray, " mistake"]:
        places = held_out.indices[wrong]
        places = places[np.argsort(-by[wrong], kind="stable")]
        _, first = np.unique(corpus.sequences_of(places), return_index=True)
        return places[np.sort(first)[:number]]

    is_false_positive, is_false_negative = (
        (strengths > 0) & (true == 0),
        (strengths == 0) & (true > 0),
    )
    predicted = np.zeros(len(corpus), np.float32)
    predicted[held_out.indices] = strengths
    return RuleMistakes(
        worst(is_false_positive, strengths),
        worst(is_false_negative, true),
        int(is_false_positive.sum()),
        int(is_false_negative.sum()),
        predicted,
    )
