"""A token that is left out neither fires nor is inactive: whatever is said of it changes no
explanation and no score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.explain.rule_search.description_length import DescriptionLength
from gloss.explain.rule_search.search import RuleSearch
from gloss.explain.rule_search.term_candidates import UncoveredRows
from gloss.explain.rule_search.train_windows import TrainWindows
from gloss.models.chat_models.prompts import Answer, Message, Prompt
from gloss.models.chat_models.token_marks import SpelledContext, spell_contexts
from gloss.records import (
    Contexts,
    Examples,
    Explanation,
    FeatureActivations,
    FeatureId,
    Reason,
    Score,
)
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.score.execution import Execution
from gloss.score.fuzzing import Fuzzing
from gloss.score.simulation_metrics import TokenPredictions, drop_empty_pieces, simulate_contexts
from gloss.store.contexts import cut_contexts
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary
from score.one_word import evidence, explained

STRINGS = (b" cat", *(b" w" + bytes([97 + number // 6, 97 + number % 6]) for number in range(36)))
CAT = 0


def corpus(
    rng: np.random.Generator, left_out: np.ndarray, tokens: np.ndarray, documents: int
) -> Corpus:
    length = len(tokens) // documents
    return Corpus(
        tokens=tokens.astype(np.int32),
        offsets=np.arange(documents + 1) * length,
        documents=np.arange(documents),
        hashes=rng.integers(0, 2**64, documents, dtype=np.uint64),
        names=tuple(map(str, range(documents))),
        vocabulary=Vocabulary(STRINGS),
        left_out=left_out,
    )


@pytest.fixture(scope="module")
def sinks() -> Evidence:
    """A feature that fires at every ` cat`, but where the model parks its attention there: half of
    them are left out.
    """
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, len(STRINGS), 30_000)
    places = rng.permutation(len(tokens))[:1200]
    tokens[places] = CAT
    fires, out = np.sort(places[:600]), np.sort(places[600:])
    whole = corpus(rng, out, tokens, 100)
    activations = FeatureActivations(fires, rng.uniform(1, 3, len(fires)).astype(np.float32))
    sampling = SamplingSettings(
        context_length=20, train=100, held_out=30, inactive_train=400, inactive_held_out=30
    )
    examples = gather_examples(FeatureId("made", 0), activations, whole, Quantiles(), sampling, rng)
    assert isinstance(examples, Examples)
    return Evidence(examples, whole, activations)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 12))
def test_a_context_knows_which_of_its_tokens_count(seed: int, number: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, len(STRINGS), 5 * 17)
    out = np.sort(rng.permutation(len(tokens))[:number])
    whole = corpus(rng, out, tokens, 5)
    starts = rng.integers(0, len(tokens), 9)
    found = cut_contexts(
        whole,
        FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32)),
        starts,
        width,
        np.full(9, -1),
    )
    for row, start in enumerate(starts.tolist()):
        end = int(whole.offsets[whole.sequences_of(np.array([start]))[0] + 1])
        there = [place < end and place not in out for place in range(start, start + width)]
        assert found.counted[row].tolist() == there
        assert found[row : row + 1].counted.tolist() == [there]


def test_rules_are_found_and_scored_without_them(sinks: Evidence, rng: np.random.Generator) -> None:
    train_windows = TrainWindows.of(sinks.examples, sinks.corpus.vocabulary, rng)
    both = sinks.examples.train, sinks.examples.inactive_train
    counted = np.concatenate([each.counted[each.tokens >= 0] for each in both])
    assert 0 < np.count_nonzero(~counted) < len(counted)
    rows = UncoveredRows.of(train_windows, np.ones(len(counted), bool), DescriptionLength(1.0, 1.0))
    assert rows.indices.tolist() == np.flatnonzero(counted).tolist()
    [found] = run_out(RuleSearch().explain(sinks.examples, sinks.corpus.vocabulary, rng))
    assert isinstance(found, Explanation)
    [score] = run_out(Execution().score(found, sinks, rng))
    assert isinstance(score, Score)
    assert score.estimates["f1"].value == 1


def run_out(conversation):  # type: ignore[no-untyped-def]
    """What a conversation that asks nothing returns."""
    with pytest.raises(StopIteration) as over:
        next(conversation)
    return [over.value.value]


@dataclass(frozen=True)
class Knows:
    """A simulator that knows the truth, and says anything at tokens that are left out."""

    spelled: dict[tuple[str, ...], SpelledContext]
    elsewhere: float

    def prompts(self, explanation: str, pieces: Sequence[str]) -> list[Prompt]:
        return [Prompt((Message("user", "".join(pieces)),))]

    def predicted(
        self, answers: Sequence[Answer], prompts: Sequence[Prompt], pieces: Sequence[str]
    ) -> TokenPredictions:
        one = self.spelled[tuple(pieces)]
        noisy = one.activations + np.arange(len(pieces)) % 3
        return TokenPredictions(
            np.where(one.counted, noisy, self.elsewhere).astype(np.float64), Reason.UNPARSABLE
        )


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 10) | st.just(math.nan))
def test_what_a_simulator_says_there_changes_nothing(seed: int, said: float) -> None:
    material = masked(evidence(np.random.default_rng(5)), seed)
    sides = material.examples.held_out, material.examples.inactive_held_out
    spelled = [
        drop_empty_pieces(one)
        for side in sides
        for one in spell_contexts(side, material.corpus.vocabulary)
    ]
    scores: list[Score] = []
    for value in (0.0, said):
        simulator = Knows({one.pieces: one for one in spelled}, value)
        conversation = simulate_contexts(
            "test", simulator, explained(5), material, 100, np.random.default_rng(1)
        )
        prompts = next(conversation)
        with pytest.raises(StopIteration) as over:
            conversation.send([Answer("")] * len(prompts))
        scores.append(over.value.value)
    assert scores[0].failed == scores[1].failed == 0
    assert scores[0].verdicts == scores[1].verdicts == ()
    assert scores[0].estimates == scores[1].estimates
    assert 0 < scores[0].n < sum(len(one.pieces) for one in spelled)


def masked(material: Evidence, seed: int) -> Evidence:
    """The evidence with a tenth of the inactive tokens left out."""
    rng = np.random.default_rng(seed)

    def without(contexts: Contexts) -> Contexts:
        return replace(
            contexts,
            left_out=(rng.random(contexts.tokens.shape) < 0.1) & (contexts.activations == 0),
        )

    examples = material.examples
    held_out, inactive = without(examples.held_out), without(examples.inactive_held_out)
    return replace(
        material, examples=replace(examples, held_out=held_out, inactive_held_out=inactive)
    )


def test_no_mark_stands_there(rng: np.random.Generator) -> None:
    material = masked(evidence(rng), 3)
    items = Fuzzing().judged_items(material, rng)
    assert {item.firing for item in items} == {True, False}
    for item in items:
        assert not (item.marks & ~item.spelled.counted).any()
