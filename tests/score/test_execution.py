"""Rules scored by running them, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from gloss.records import (
    Contexts,
    Examples,
    Explanation,
    Failure,
    FeatureActivations,
    FeatureId,
    Reason,
    Score,
)
from gloss.rules import parse_rule
from gloss.score import Scorer
from gloss.score.execution import (
    Execution,
    average_precision_of_counts,
    find_rule_mistakes,
)
from gloss.score.held_out_text import held_out_tokens
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

FEATURE = FeatureId("d", 0)
TRAIN, HELD_OUT = 0, 2**64 - 1  # hashes


def corpus(*sequences: str, held_out: bool = True) -> Corpus:
    """One document a sequence, one token a letter; the first document is of the train split."""
    letters = "".join(sequences)
    hashes = [TRAIN] + [HELD_OUT if held_out else TRAIN] * (len(sequences) - 1)
    return Corpus(
        tokens=np.array([ord(letter) - 97 for letter in letters], np.int32),
        offsets=np.cumsum([0, *map(len, sequences)]).astype(np.int64),
        documents=np.arange(len(sequences)),
        hashes=np.array(hashes, np.uint64),
        names=tuple(map(str, range(len(sequences)))),
        vocabulary=Vocabulary(tuple(bytes([97 + i]) for i in range(26))),
    )


def evidence(text: Corpus, positions: list[int], values: list[float]) -> Evidence:
    none = Contexts.empty(4)
    examples = Examples(
        FEATURE, none, none, none, none, strongest=4.0, share_train=0.5, share_held_out=0.5
    )
    return Evidence(
        examples,
        text,
        FeatureActivations(np.array(positions, np.int64), np.array(values, np.float32)),
    )


def scored(rule: str | None, given: Evidence, resamples: int = 50) -> Score | Failure:
    conversation = Execution(resamples).score(
        Explanation(FEATURE, "", "rule", rule), given, np.random.default_rng(0)
    )
    with pytest.raises(StopIteration) as stopped:
        next(conversation)
    return stopped.value.value


TEXT = corpus("aaaa", "abcd", "abca", "bbcc")


def test_execution_is_a_scorer() -> None:
    assert isinstance(Execution(), Scorer)


def test_metrics_by_hand() -> None:
    # Held out: abcd abca bbcc at 4..15; it fires at 4 (a, 4.0), 8 (a, 1.0) and 9 (b, 1.0); the rule
    # says a: 4, 8, 11.
    score = scored('token in {"a"} -> 2', evidence(TEXT, [0, 4, 8, 9], [9.0, 4.0, 1.0, 1.0]))
    assert isinstance(score, Score)
    values = {name: estimate.value for name, estimate in score.estimates.items()}
    assert (score.n, score.failed, score.headline) == (12, 0, "f1")
    assert values["precision"] == pytest.approx(2 / 3)
    assert values["recall"] == pytest.approx(2 / 3)
    assert values["f1"] == pytest.approx(2 / 3)
    assert values["auprc"] == pytest.approx(2 / 3 * 2 / 3 + 1 / 3 * 3 / 12)
    predicted, true = np.zeros(12), np.zeros(12)
    predicted[[0, 4, 7]], true[[0, 4, 5]] = 2, (4, 1, 1)
    assert values["pearson"] == pytest.approx(np.corrcoef(predicted, true)[0, 1])
    assert values["recall_above_50_percent"] == 1.0
    assert values["f1_above_50_percent"] == pytest.approx(2 * 1 / (3 + 1))


def test_a_perfect_rule_scores_one_in_everything() -> None:
    score = scored('token in {"a"} -> 4', evidence(TEXT, [4, 8, 11], [4.0, 4.0, 4.0]))
    assert isinstance(score, Score)
    assert {name: estimate.value for name, estimate in score.estimates.items()} == pytest.approx(
        dict.fromkeys(score.estimates, 1.0)
    )


def test_a_rule_that_never_holds_scores_nothing() -> None:
    score = scored('token in {"z"}', evidence(TEXT, [4, 8], [1.0, 1.0]))
    assert isinstance(score, Score)
    assert (score.estimates["f1"].value, score.estimates["recall"].value) == (0.0, 0.0)
    assert math.isnan(score.estimates["precision"].value)


def test_graded_strengths_rank_the_tokens() -> None:
    # strongest first: 1 of 1 fires, 1 of 2 fires, 1 of 7 fires
    predicted, firing = np.array([[1.0, 2.0, 7.0]]), np.array([[1.0, 1.0, 1.0]])
    assert average_precision_of_counts(predicted, firing)[0] == pytest.approx(
        (1 + 2 / 3 + 3 / 10) / 3
    )


def test_the_interval_contains_the_value_and_says_when_documents_differ() -> None:
    many = corpus("aaaa", *(["aabb", "abab", "bbaa", "aaaa"] * 10))
    firing = [i for i in range(4, len(many)) if many.tokens[i] == 0 and i % 3]
    score = scored('token in {"a"}', evidence(many, firing, [1.0] * len(firing)), resamples=300)
    assert isinstance(score, Score)
    f1 = score.estimates["f1"]
    assert f1.low < f1.value < f1.high


def test_one_document_gives_no_interval() -> None:
    score = scored('token in {"a"}', evidence(corpus("aaaa", "abab"), [4], [1.0]))
    assert isinstance(score, Score)
    assert score.estimates["f1"].value == pytest.approx(2 / 3)
    assert math.isnan(score.estimates["f1"].low)


@pytest.mark.parametrize(
    ("rule", "positions", "reason"),
    [
        (None, [4], Reason.NOT_APPLICABLE),
        ("token is loud", [4], Reason.UNPARSABLE),
        ('token in {"a"}', [0], Reason.TOO_FEW_EXAMPLES),
    ],
)
def test_what_cannot_be_scored_is_a_failure_with_its_reason(
    rule: str | None, positions: list[int], reason: Reason
) -> None:
    failure = scored(rule, evidence(TEXT, positions, [1.0] * len(positions)))
    assert isinstance(failure, Failure)
    assert failure.reason is reason


def test_nothing_held_out_is_a_failure() -> None:
    assert isinstance(
        scored('token in {"a"}', evidence(corpus("aa", "aa", held_out=False), [0], [1.0])), Failure
    )


def test_held_out_tokens_are_read_once_and_only_they() -> None:
    held_out = held_out_tokens(TEXT)
    assert held_out is held_out_tokens(TEXT)
    assert held_out.indices.tolist() == list(range(4, 16))


def test_mistakes_are_the_worst_of_each_sequence() -> None:
    activations = FeatureActivations(
        np.array([4, 9, 10, 12]), np.array([1.0, 1.0, 3.0, 2.0], np.float32)
    )
    wrong = find_rule_mistakes(
        parse_rule('token in {"a"} or token in {"c"} and after(1, token in {"c"}) -> 2'),
        TEXT,
        activations,
        number=2,
    )
    assert wrong.false_positives.tolist() == [15, 8]
    assert wrong.false_negatives.tolist() == [10, 12]
    fewer = find_rule_mistakes(parse_rule('token in {"a"}'), TEXT, activations, number=1)
    assert (len(fewer.false_positives), len(fewer.false_negatives)) == (
        min(1, fewer.all_false_positives),
        1,
    )
    assert fewer.all_false_negatives > 1
    assert fewer.predicted.positions.min() >= 4  # tokens of the train split are left out
