"""Scoring a rule where it holds or the feature fires says what scoring it at every token says; the
bootstrap over documents draws from the law of drawing all of them.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from gloss.records import FeatureActivations
from gloss.rules import Rule, execute
from gloss.rules.parser import parse_rule
from gloss.rules.passage import Passage
from gloss.rules.reading import is_told_at_word_end
from gloss.rules.sparse_execution import execute_sparsely
from gloss.score.execution import (
    STRONG_SHARES,
    execution_estimates,
    find_rule_mistakes,
    sums_by_document,
)
from gloss.score.held_out_text import HeldOutText, held_out_tokens, held_out_words
from gloss.statistics.document_draws import FEW, DocumentSizes
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary
from rules.random_rules import WORDS, drawn_rules, rule_of

STRONGEST = 4.0


def dense(text: HeldOutText, rule: Rule, fires: FeatureActivations) -> tuple[np.ndarray, ...]:
    """Strengths and activations at every token, or of every word, of the held-out text."""
    tokens = text.tokens if hasattr(text, "tokens") else text
    strengths = execute(rule, tokens.passage)[tokens.counted]
    there = dict(zip(fires.positions, fires.values, strict=True))
    true = np.array([there.get(at, 0.0) for at in tokens.indices], np.float32)
    if text is tokens:
        return strengths, true
    of_words = [
        values[first : last + 1].max()
        if values is true or not is_told_at_word_end(rule)
        else values[last]
        for values in (strengths, true)
        for first, last in zip(text.starts, text.ends, strict=True)
    ]
    return tuple(np.array(of_words, np.float32).reshape(2, -1))


def expected(strengths: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """The metrics, each from its definition."""
    says, fires = strengths > 0, true > 0
    found = {
        "precision": fires[says].mean() if says.any() else np.nan,
        "recall": says[fires].mean(),
        "f1": 2 * (says & fires).sum() / (says.sum() + fires.sum()),
        "auprc": sum(
            (fires & (strengths == level)).sum() * fires[strengths >= level].mean()
            for level in np.unique(strengths)
        )
        / fires.sum(),
    }
    for name, share in STRONG_SHARES.items():
        strong = true > share * STRONGEST
        found[f"recall_{name}"] = says[strong].mean() if strong.any() else np.nan
        either = says.sum() + strong.sum()
        found[f"f1_{name}"] = 2 * (says & strong).sum() / either if either else np.nan
    return found


documents = st.lists(
    st.lists(
        st.lists(st.integers(0, len(WORDS) - 1), min_size=1, max_size=25), min_size=1, max_size=3
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(drawn_rules, documents, st.randoms(use_true_random=False), st.booleans())
def test_metrics_and_mistakes_are_those_of_reading_every_token(drawn, texts, random, by_words):
    tokens = [each for text in texts for sequence in text for each in sequence]
    lengths = [len(sequence) for text in texts for sequence in text]
    corpus = Corpus(
        np.array(tokens, np.int32),
        np.cumsum([0, *lengths]),
        np.repeat(np.arange(len(texts)), [*map(len, texts)]),
        np.array([0] + [2**64 - 1] * (len(texts) - 1), np.uint64),
        tuple(map(str, range(len(texts)))),
        Vocabulary(tuple(word.encode() for word in WORDS)),
        left_out=np.array(sorted(random.sample(range(len(tokens)), len(tokens) // 9)), np.int64),
        near_copies=np.array([0, 1, *(random.choice((1, i)) for i in range(2, len(texts)))]),
    )
    at = sorted(random.sample(range(len(tokens)), len(tokens) // 3))
    at = np.setdiff1d(np.array(at, np.int64), corpus.left_out)
    values = np.array([random.choice((-1.0, 0.3, 1.0, 2.5, 4.0)) for _ in at], np.float32)
    fires, rule = FeatureActivations(at, values), rule_of(drawn)
    text = held_out_words(corpus) if by_words else held_out_tokens(corpus)
    strengths, true = dense(text, rule, fires)

    predicted, active = text.predicted(rule), text.fires(fires)
    assert predicted.positions.tolist() == np.flatnonzero(strengths).tolist()
    assert predicted.values.tolist() == strengths[strengths > 0].tolist()
    assert active.positions.tolist() == np.flatnonzero(true).tolist()
    assert active.values.tolist() == true[true != 0].tolist()

    wrong = find_rule_mistakes(rule, corpus, fires, 2, by_words)
    for found, number, where, by in (
        (
            wrong.false_positives,
            wrong.all_false_positives,
            (strengths > 0) & (true == 0),
            strengths,
        ),
        (wrong.false_negatives, wrong.all_false_negatives, (strengths == 0) & (true > 0), true),
    ):
        worst = sorted(np.flatnonzero(where), key=lambda token: -by[token])
        sequences = dict.fromkeys(int(corpus.sequences_of(text.indices[[i]])[0]) for i in worst)
        assert number == where.sum()
        assert corpus.sequences_of(found).tolist() == list(sequences)[:2]
        assert set(found) <= set(text.indices[where])

    if (true > 0).any():
        sums = sums_by_document(predicted, active, text, STRONGEST)
        estimates = execution_estimates(sums, text.sizes, 20, np.random.default_rng(0))
        for name, value in expected(strengths, true).items():
            assert estimates[name].value == pytest.approx(value, nan_ok=True)
        true = np.where(strengths > 0, true, np.maximum(true, 0))  # as far as anybody looks
        if np.ptp(strengths) and np.ptp(true):
            pearson = np.corrcoef(strengths.astype(float), true.astype(float))[0, 1]
            assert estimates["pearson"].value == pytest.approx(pearson, abs=1e-6)


@pytest.mark.parametrize(("documents", "counted"), [(60, 7), (60, 60), (900, 40), (900, 880)])
def test_draws_of_documents_follow_the_law_of_drawing_all_of_them(documents, counted, rng):
    """The means, variances and covariances too, of sums that hang together through the draw."""
    sizes = DocumentSizes(rng.integers(20, 400, documents).astype(np.float64))
    rows = np.sort(rng.choice(documents, counted, replace=False))
    columns = rng.poisson(3.0, (counted, 2)).astype(np.float64)
    whole = np.zeros((documents, 3))
    whole[rows, :2] = columns
    whole[np.setdiff1d(np.arange(documents), rows), 2] = sizes.sizes[
        np.setdiff1d(np.arange(documents), rows)
    ]
    drawn = rng.multinomial(documents, np.full(documents, 1 / documents), 20_000) @ whole
    sums, silent = sizes.resampled_sums(columns, rows, 20_000, rng)
    found = np.column_stack([sums, silent])
    for mine, theirs in zip(found.T, drawn.T, strict=True):
        assert ks_2samp(mine, theirs).pvalue > 1e-3
    assert np.allclose(np.cov(found.T), np.cov(drawn.T), rtol=0.08, atol=0.03 * drawn.var(0).max())
    assert (documents - counted > FEW) == (documents == 900 and counted == 40)


def test_a_distance_that_no_text_has_costs_nothing():
    """`after(999999999, …)` of a string that stands nowhere, and of one that does."""
    text = Passage(np.array([0, 1, 0, 0], np.int32), np.array([0, 4]), ("a", "b", "c"))
    for string, places in (("c", []), ("b", [2, 3])):
        rule = parse_rule(f'after(999999999, token in {{"{string}"}}) -> 1')
        assert execute_sparsely(rule, text, rare=1).positions.tolist() == places


def test_one_large_document_among_many_is_drawn_as_it_is(rng):
    """No normal law has the shape of a sum that one document makes up: it has steps."""
    documents, large = 400, 17
    sizes = DocumentSizes(np.where(np.arange(documents) == large, 1e6, 100.0))
    rows = np.array([3, 40, 200])
    _, silent = sizes.resampled_sums(np.ones((3, 1)), rows, 20_000, rng)
    counts = rng.multinomial(documents, np.full(documents, 1 / documents), 20_000)
    theirs = np.delete(counts * sizes.sizes, rows, axis=1).sum(1)
    assert silent.min() >= 0
    assert ks_2samp(np.round(silent, -5), np.round(theirs, -5)).pvalue > 1e-3
    assert silent.std() == pytest.approx(theirs.std(), rel=0.05)


def test_draws_cost_what_the_counted_documents_cost():
    """A million silent documents are drawn as quickly as a thousand: no array is as long."""
    sizes = DocumentSizes(np.full(10**6, 200.0))
    assert sizes.total == 2e8
    assert sizes.squares > 0
    columns, rows = np.ones((50, 3)), np.arange(50)
    sums, silent = sizes.resampled_sums(columns, rows, 5000, np.random.default_rng(0))
    assert sums.mean() == pytest.approx(50, rel=0.02)
    assert sums[:, 0] * 200 + silent == pytest.approx(2e8, abs=1.0)


def test_a_text_of_no_documents_that_count_has_no_draws(rng):
    sums, silent = DocumentSizes(np.full(5, 3.0)).resampled_sums(
        np.zeros((0, 4)), np.empty(0, np.int64), 10, rng
    )
    assert sums.shape == (10, 4)
    assert silent.tolist() == [15.0] * 10


def test_held_out_text_of_which_nothing_counts_has_no_words():
    corpus = Corpus(
        np.zeros(3, np.int32),
        np.array([0, 2, 3]),
        np.array([0, 1]),
        np.array([0, 2**64 - 1], np.uint64),
        ("a", "b"),
        Vocabulary((b"x",)),
        left_out=np.array([2]),
        near_copies=np.array([0, 1]),
    )
    text = held_out_words(corpus)
    assert len(text) == len(text.ends) == 0
