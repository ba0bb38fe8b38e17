"""Features whose contexts lie close to each other, or do not: with vectors that are worked out by
hand, and over HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from gloss.models.embedder import EmbeddingEndpoint
from gloss.records import NOBODY, Contexts, Estimate, Examples, Explanation, Failure, Reason
from gloss.score import Scorer
from gloss.score.embedding import ExampleEmbedding
from models.servers import serve
from score.one_word import FEATURE, contexts, evidence

NOTHING = Explanation(FEATURE, "", NOBODY)


@dataclass(frozen=True)
class ByFirstWord:
    """Lays a text in the direction of its first word's number, modulo the dimensions."""

    dimensions: int

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.eye(self.dimensions, dtype=np.float32)[
            [int(text.split()[0][1:]) % self.dimensions for text in texts]
        ]


def laid(words: list[int], quantile: int) -> Contexts:
    """Contexts of one token each."""
    rows = np.arange(len(words)) + (1000 if quantile < 0 else 0)
    tokens, values = (
        np.array(words, np.int32)[:, None],
        np.full((len(words), 1), float(quantile >= 0), np.float32),
    )
    return Contexts(rows, rows, np.full(len(words), quantile), tokens, values)


def scored(rng, held_out: list[int], inactive: list[int], shown: list[int], others: list[int]):
    material = evidence(rng)
    none = Contexts.empty(1)
    examples = replace(
        material.examples,
        train=none,
        held_out=laid(held_out, 0),
        inactive_train=none,
        inactive_held_out=laid(inactive, -1),
    )
    shown_contexts, other_contexts = laid(shown, 0), laid(others, -1)
    apart = [
        replace(each, documents=each.documents + 10**6) for each in (shown_contexts, other_contexts)
    ]
    examples = replace(examples, train=apart[0], inactive_train=apart[1])
    return ExampleEmbedding().score_with(
        ByFirstWord(4), NOTHING, replace(material, examples=examples), rng
    )


def test_it_is_a_scorer_that_needs_no_explanation():
    assert isinstance(ExampleEmbedding(), Scorer)
    assert not ExampleEmbedding.needs.explanation


def test_the_ranking_is_the_one_worked_out_by_hand(rng):
    """Towards the train contexts: 1/2 along 0 and 1; away from the others: 1 along 2.

    So 0 and 1 get 1/2, 3 gets 0, 2 gets -1.
    """
    score = scored(rng, held_out=[0, 1, 3, 2], inactive=[0, 3, 2, 2], shown=[0, 1], others=[2])
    # Of 16 pairs: each firing 1/2 beats three and ties one, the 0 beats two and ties one, the -1
    # ties two.
    assert score.estimates["auroc"].value == pytest.approx((3.5 + 3.5 + 2.5 + 1) / 16)
    assert (score.n, score.failed, score.explained_by) == (8, 0, NOBODY)
    assert score.estimates["auprc_of_guessing"].value == 0.5


def test_a_feature_of_one_direction_is_perfect_and_one_of_all_is_at_chance(rng):
    clear = scored(
        rng, held_out=[0] * 30, inactive=[1, 2, 3] * 10, shown=[0] * 5, others=[1, 2, 3] * 5
    )
    assert clear.estimates["auroc"].value == 1
    everything = [0, 1, 2, 3] * 8
    vague = scored(
        rng, held_out=everything, inactive=everything, shown=everything, others=everything
    ).estimates["auroc"]
    assert vague.value == 0.5
    assert vague.low < 0.5 < vague.high


def test_over_http_a_feature_of_one_word_stands_out_and_any_text_is_at_chance(rng):
    material = evidence(rng)
    shown, others = (
        contexts(rng, 40, 5, firing=firing, first=2_000_000 + firing * 10**6)
        for firing in (True, False)
    )
    clear = replace(material.examples, train=shown, inactive_train=others)
    with serve() as server:
        chosen = EmbeddingEndpoint("m", server.base_url)

        def auroc(examples: Examples) -> Estimate:
            score = ExampleEmbedding().score_with(
                chosen, NOTHING, replace(material, examples=examples), rng
            )
            return score.estimates["auroc"]

        def any_text(first: int) -> Contexts:
            return contexts(rng, 50, 60, firing=False, first=first)

        assert auroc(clear).low > 0.6
        values = [
            auroc(replace(clear, held_out=any_text(0), inactive_held_out=any_text(10**6))).value
            for _ in range(12)
        ]
    # of exchangeable sides (Mann and Whitney, 1947)
    standard_error = np.sqrt((50 + 50 + 1) / (12 * 50 * 50) / len(values))
    assert abs(np.mean(values) - 0.5) < 4 * standard_error


def test_where_a_side_is_empty_the_counts_are_told(rng):
    # the train split is empty
    failure = ExampleEmbedding().score_with(ByFirstWord(4), NOTHING, evidence(rng), rng)
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.TOO_FEW_EXAMPLES
    assert (
        failure.detail
        == "50 firing held-out, 50 inactive held-out, 0 firing train, 0 inactive train contexts,"
        " wants at least 1 of each"
    )
