"""Runs an explanation's rule over all held-out tokens: exact, at the true base rate, and without
any language model.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
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
from gloss.rules.resting_arrays import look_up
from gloss.score.held_out_text import (
    HeldOutText,
    held_out_tokens,
    held_out_words,
    runnable_label,
)
from gloss.score.weighted_sums import KnownText, unseen_sequences
from gloss.statistics.document_draws import DocumentSizes
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
        fires = held_out.fires(evidence.activations)
        if not len(fires):
            return Failure(
                evidence.examples.feature,
                METHOD,
                Reason.TOO_FEW_EXAMPLES,
                "it fires at no held-out token",
            )
        predicted, strongest = held_out.predicted(label.rule), evidence.examples.strongest
        known = KnownText.of(held_out, evidence.corpus, evidence.activations)
        if known is None:
            sums = sums_by_document(predicted, fires, held_out, strongest)
            estimates = execution_estimates(sums, held_out.sizes, self.resamples, rng)
        else:
            estimates = sampled_estimates(predicted, fires, known, strongest, self.resamples, rng)
        return Score(
            feature=evidence.examples.feature,
            method=METHOD,
            explained_by=explanation.method,
            n=len(held_out) if known is None else known.tokens,
            failed=0,
            estimates=estimates,
            headline="f1",
            control=Control.NONE,
        )


@dataclass(frozen=True)
class TokenSums:
    """All that the metrics need, added up over the tokens of each row: a document, or a draw of
    documents. A resample of documents is a weighted sum of their rows.
    """

    # tokens at each predicted strength, strongest first, the last 0
    predicted: Float64[ndarray, "row level"]
    firing: Float64[ndarray, "row level"]  # those of them where the feature fires
    strong: Float64[ndarray, "row 2"]  # where it fires above each of STRONG_SHARES
    strong_found: Float64[ndarray, "row 2"]  # those of them where the rule says that it fires
    # of strength s and activation a: sums of s, a, s^2, a^2, s a
    moments: Float64[ndarray, "row 5"]

    @property
    def columns(self) -> Float64[ndarray, "row column"]:
        """All sums side by side."""
        parts = self.predicted, self.firing, self.strong, self.strong_found, self.moments
        return np.concatenate(parts, axis=1)

    @staticmethod
    def of(
        columns: Float64[ndarray, "row column"], silent: Float64[ndarray, " row"]
    ) -> "TokenSums":
        """The sums that stand side by side, with so many tokens more at which nothing is
        predicted and the feature is inactive.
        """
        levels = (columns.shape[1] - 2 * len(STRONG_SHARES) - 5) // 2
        bounds = np.cumsum([levels, levels, len(STRONG_SHARES), len(STRONG_SHARES)])
        predicted, *others = np.split(columns, bounds, axis=1)
        last = predicted[:, -1:] + silent[:, None]
        return TokenSums(np.concatenate([predicted[:, :-1], last], axis=1), *others)


@dataclass(frozen=True)
class DocumentSums:
    """The sums of the documents in which the feature fires or is predicted; of all others it is
    enough to know how large they are.
    """

    documents: Int64[ndarray, " row"]  # their numbers
    sums: TokenSums


def sums_by_document(
    predicted: FeatureActivations,
    fires: FeatureActivations,
    held_out: HeldOutText,
    strongest: float,
) -> DocumentSums:
    """Add up each document that holds a token at which the rule says that the feature fires, or at
    which it does; other documents need no work.
    """
    tokens = active_tokens(predicted, fires)
    documents, rows = np.unique(look_up(held_out.documents, tokens), return_inverse=True)
    sums, _ = sums_by_row(predicted, fires, tokens, rows, strongest)
    sums.predicted[:, -1] += held_out.sizes.sizes[documents] - sums.predicted.sum(1)
    return DocumentSums(documents.astype(np.int64), sums)


def active_tokens(
    predicted: FeatureActivations, fires: FeatureActivations
) -> Int64[ndarray, " token"]:
    """The tokens at which the rule says that the feature fires, or at which it does."""
    tokens = np.sort(np.concatenate([predicted.positions, fires.positions[fires.values > 0]]))
    return tokens[np.diff(tokens, prepend=-1) > 0]


def sums_by_row(
    predicted: FeatureActivations,
    fires: FeatureActivations,
    tokens: Int64[ndarray, " token"],
    rows: Int64[ndarray, " token"],
    strongest: float,
) -> tuple[TokenSums, Float64[ndarray, " level"]]:
    """Add up these tokens by their rows, of which each has one; and the strengths of the levels."""
    strengths, true = (each.at(tokens).astype(np.float64) for each in (predicted, fires))
    number = int(rows.max(initial=-1)) + 1
    levels, level = np.unique(np.append(-strengths, 0.0), return_inverse=True)
    cell = rows * len(levels) + level[:-1]

    def counted(*of: Float64[ndarray, " token"]) -> Float64[ndarray, "row level"]:
        found = np.bincount(cell, *of, minlength=number * len(levels))
        return found.reshape(number, -1).astype(np.float64)

    def summed(*values: Float64[ndarray, " token"]) -> Float64[ndarray, "row _"]:
        return np.stack(
            [np.bincount(rows, value, number).astype(np.float64) for value in values], axis=1
        )

    strong = [(true > share * strongest).astype(np.float64) for share in STRONG_SHARES.values()]
    sums = TokenSums(
        counted(),
        counted((true > 0).astype(np.float64)),
        summed(*strong),
        summed(*(each * (strengths > 0) for each in strong)),
        summed(strengths, true, strengths**2, true**2, strengths * true),
    )
    return sums, -levels


def sampled_estimates(
    predicted: FeatureActivations,
    fires: FeatureActivations,
    known: KnownText,
    strongest: float,
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Every metric of all held-out text, from the part of it in which the feature is known, with
    its interval: documents drawn with replacement, and what no sequence of the background shows.
    """
    predicted, fires = known.known(predicted), known.known(fires)
    tokens = active_tokens(predicted, fires)
    units, rows = known.units(tokens, fires)
    sums, levels = sums_by_row(predicted, fires, tokens, rows, strongest)
    columns = sums.columns
    whole = (units.weights @ columns)[None]
    draws = units.resampled(columns, resamples, rng)
    if len(levels) > 1:
        # tokens of the weakest strength, in silent sequences that nobody looked at
        false = sums.predicted[~units.fires, :-1].sum() / max(units.sizes[~units.fires].sum(), 1)
        unseen = unseen_sequences(known.silent, resamples, rng) * max(false, 1.0)
        draws[:, len(levels) - 2] += unseen
        draws[:, -5] += unseen * levels[-2]
        draws[:, -3] += unseen * levels[-2] ** 2

    def metrics(found: Float64[ndarray, "row column"]) -> dict[str, Float64[ndarray, " row"]]:
        silent = np.maximum(known.total - found[:, : len(levels)].sum(1), 0)
        return execution_metrics(TokenSums.of(found, silent))

    values = {name: float(value[0]) for name, value in metrics(whole).items()}
    if units.all_documents < 2:
        return {name: Estimate(value, np.nan, np.nan) for name, value in values.items()}
    outside = small_sample_tail(units.all_documents)
    found = metrics(draws)
    return {
        name: estimate_from_draws(value, found[name], outside=outside)
        for name, value in values.items()
    }


def execution_estimates(
    found: DocumentSums, sizes: DocumentSizes, resamples: int, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Every metric with its interval, from documents drawn with replacement."""
    columns = found.sums.columns
    silent = np.array([sizes.total - sizes.sizes[found.documents].sum()])
    values = execution_metrics(TokenSums.of(columns.sum(0, keepdims=True), silent))
    if len(sizes) < 2:
        return {name: Estimate(float(value[0]), np.nan, np.nan) for name, value in values.items()}
    draws = execution_metrics(
        TokenSums.of(*sizes.resampled_sums(columns, found.documents, resamples, rng))
    )
    outside = small_sample_tail(len(sizes))
    return {
        name: estimate_from_draws(float(values[name][0]), draws[name], outside=outside)
        for name in values
    }


def execution_metrics(sums: TokenSums) -> dict[str, Float64[ndarray, " row"]]:
    """Every metric of every row; not a number where the row does not say."""
    predicted, firing = sums.predicted, sums.firing
    positive, true, hits = predicted[:, :-1].sum(1), firing.sum(1), firing[:, :-1].sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "f1": 2 * hits / (positive + true),
            "precision": hits / positive,
            "recall": hits / true,
            "auprc": average_precision_of_counts(predicted, firing),
            "pearson": correlation_of_moments(sums.moments, predicted.sum(1)),
        }
        for i, name in enumerate(STRONG_SHARES):
            strong, strong_found = sums.strong[:, i], sums.strong_found[:, i]
            found[f"f1_{name}"] = 2 * strong_found / (positive + strong)
            found[f"recall_{name}"] = strong_found / strong
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
    # how many there are in all; estimated where the corpus was mined
    all_false_positives: int
    all_false_negatives: int
    predicted: FeatureActivations  # where it predicts the feature, and how strongly


def find_rule_mistakes(
    rule: Rule,
    corpus: Corpus,
    activations: FeatureActivations,
    number: int,
    by_words: bool = False,
) -> RuleMistakes:
    """Up to `number` of each kind of mistake, among those tokens of which it is known whether the
    feature fires; by whole words, each stands for its last token.
    """
    held_out = held_out_words(corpus) if by_words else held_out_tokens(corpus)
    said, fires = held_out.predicted(rule), held_out.fires(activations)
    known = KnownText.of(held_out, corpus, activations)
    predicted = said if known is None else known.known(said)

    def worst(
        found: FeatureActivations, is_wrong: Bool[ndarray, " found"]
    ) -> Int64[ndarray, " mistake"]:
        places, values = held_out.indices[found.positions[is_wrong]], found.values[is_wrong]
        places = places[np.argsort(-values, kind="stable")]
        return first_of_sequences(places, corpus, number)

    is_false_positive = fires.at(predicted.positions) == 0
    is_false_negative = (predicted.at(fires.positions) == 0) & (fires.values > 0)

    def every(found: FeatureActivations, is_wrong: Bool[ndarray, " found"]) -> int:
        if known is None:
            return int(is_wrong.sum())
        return round(known.counted(found.positions[is_wrong]))

    return RuleMistakes(
        worst(predicted, is_false_positive),
        worst(fires, is_false_negative),
        every(predicted, is_false_positive),
        every(fires, is_false_negative),
        FeatureActivations(held_out.indices[said.positions], said.values),
    )


def first_of_sequences(
    places: Int64[ndarray, " place"], corpus: Corpus, number: int
) -> Int64[ndarray, " chosen"]:
    """The first `number` of these global token indices that no other of the same sequence stands
    before; looks no further than it must.
    """
    looked = 16 * number
    while True:
        some = places[:looked]
        _, first = np.unique(corpus.sequences_of(some), return_index=True)
        if len(first) >= number or looked >= len(places):
            return some[np.sort(first)[:number]]
        looked *= 8
