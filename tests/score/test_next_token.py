"""Named tokens that follow where a feature fires, counted over held-out text."""

import numpy as np
import pytest

from gloss.errors import BadSettings
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
from gloss.score.next_token import NextToken
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

FEATURE = FeatureId("toy", 0)
VOCABULARY = Vocabulary(tuple(b" w%d" % number for number in range(10)))


def evidence(rng, followed: float) -> Evidence:
    """Forty documents of a hundred tokens; the feature fires at `w0`, which `w1` follows so often.
    Elsewhere both come as often as any token.
    """
    tokens = rng.integers(0, 10, (40, 100)).astype(np.int32)
    places = np.flatnonzero(tokens.reshape(-1) == 0)
    places = places[places % 100 < 99]
    after = tokens.reshape(-1)
    after[places + 1] = np.where(rng.random(len(places)) < followed, 1, after[places + 1])
    fires = np.flatnonzero(after == 0)
    half = np.iinfo(np.uint64).max // 2
    corpus = Corpus(
        after,
        np.arange(0, 4001, 100),
        np.arange(40),
        np.array([half * 2 - number if number % 2 else number for number in range(40)], np.uint64),
        tuple(map(str, range(40))),
        VOCABULARY,
    )
    none = Contexts.empty(8)
    examples = Examples(FEATURE, none, none, none, none, 1.0, 0.5, 0.5)
    return Evidence(examples, corpus, FeatureActivations(fires, np.ones(len(fires), np.float32)))


def scored(text: str, given: Evidence) -> Score | Failure:
    conversation = NextToken(resamples=200).score(
        Explanation(FEATURE, text, "vocabulary_projection"), given, np.random.default_rng(0)
    )
    with pytest.raises(StopIteration) as over:
        next(conversation)
    return over.value.value


def test_what_follows_is_counted(rng):
    given = evidence(rng, 0.8)
    found = scored('raises the probability that the next token is `" w1"`', given)
    tokens, fires = given.corpus.tokens, given.activations.positions
    held_out = ~given.corpus.in_train
    fires = fires[(fires % 100 < 99) & held_out[fires]]
    inside = np.flatnonzero(held_out & (np.arange(4000) % 100 < 99))
    share, chance = (np.mean(tokens[at + 1] == 1) for at in (fires, inside))
    estimates = {name: found.estimates[name].value for name in found.estimates}
    assert estimates == pytest.approx(
        {
            "followed": share,
            "followed_by_chance": chance,
            "followed_above_chance": (share - chance) / (1 - chance),
        }
    )
    assert found.n == len(fires)
    headline = found.estimates[found.headline]
    assert 0.6 < headline.low < headline.value < headline.high < 0.95


@pytest.mark.parametrize("text", ['the next token is `" w2"`', 'the next token is `" w7"`'])
def test_what_does_not_follow_is_at_chance(text, rng):
    found = scored(text, evidence(rng, 0.0))
    headline = found.estimates[found.headline]
    assert headline.low < 0.0 < headline.high


def test_names_that_are_no_token_cannot_be_counted(rng):
    found = scored("a feeling of regret", evidence(rng, 0.5))
    assert isinstance(found, Failure)
    assert found.reason is Reason.NOT_APPLICABLE


def test_a_feature_that_is_silent_there_cannot_be_scored(rng):
    given = evidence(rng, 0.5)
    silent = FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32))
    found = scored('`" w1"`', Evidence(given.examples, given.corpus, silent))
    assert found.reason is Reason.TOO_FEW_EXAMPLES


def test_it_wants_a_resample():
    with pytest.raises(BadSettings):
        NextToken(resamples=0)
