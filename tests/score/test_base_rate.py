"""Explanations that are too broad, or a parent's: what a balanced sample hides, the true rate and
hard negatives show.
"""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from gloss.models.chat_models.prompts import Answer
from gloss.records import Contexts, Negative, Score
from gloss.score.detection import Detection
from gloss.score.judge.verdict_metrics import HARD
from gloss.store.evidence import Evidence
from score.one_word import contexts, evidence, explained

BROAD = {f"w{number}" for number in range(60, 76)}  # a tenth of all tokens


def judged(material: Evidence, rng, yes) -> Score:
    """The score when a judge says `yes(text)` of each context, whatever the prompt."""
    conversation = Detection().score(explained(5), material, rng)
    prompts = next(conversation)
    texts = [
        [json.loads(text) for text in re.findall(r'(?m)^\d+: (".*")$', p.messages[-1].text)]
        for p in prompts
    ]
    with pytest.raises(StopIteration) as over:
        conversation.send(
            [Answer(json.dumps({"answers": [int(yes(text)) for text in group]})) for group in texts]
        )
    return over.value.value


def words_of(text: str) -> set[str]:
    return set(re.findall(r"w\d+", text))


def too_broad(text: str) -> bool:
    first = re.match(r" ?(w\d+)", text)
    return "w5" in words_of(text) or (first is not None and first[1] in BROAD)


def test_a_label_a_hundred_times_too_broad_comes_out_near_its_true_f1(rng):
    """It fires in 0.1 % of contexts, the label in all of these and in a tenth of the others."""
    material = evidence(rng, firing=100, inactive=100, share_held_out=0.001)
    found = judged(material, rng, too_broad).estimates
    precision = 0.001 / (0.001 + 0.999 * 0.1)
    true_f1 = 2 * precision / (1 + precision)
    assert found["balanced_accuracy"].low <= 0.95 <= found["balanced_accuracy"].high
    assert found["f1"].value > 0.9
    assert found["f1_at_base_rate"].low <= true_f1 <= found["f1_at_base_rate"].high
    assert found["f1_at_base_rate"].value <= 0.05
    assert found["precision_at_base_rate"].low <= precision <= found["precision_at_base_rate"].high
    assert found["auprc_at_base_rate"].low <= precision <= found["auprc_at_base_rate"].high
    assert found["auprc_at_base_rate"].high <= 0.05


def test_the_headline_sees_what_is_too_broad_as_far_as_the_rate_is_known(rng):
    material = evidence(rng, firing=100, inactive=100, share_held_out=0.001)
    score = judged(material, rng, too_broad)
    assert score.estimates[score.headline].value <= 0.05
    siblings = replace(material.examples, inactive_held_out=sibling(rng, Negative.SIBLINGS))
    assert (
        judged(replace(material, examples=siblings), rng, too_broad).headline == "balanced_accuracy"
    )


def test_intervals_at_the_base_rate_hold_the_true_f1_as_often_as_they_say(rng):
    precision = 0.001 / (0.001 + 0.999 * 0.1)
    held = 0
    for _ in range(60):
        found = judged(evidence(rng, inactive=60, share_held_out=0.001), rng, too_broad).estimates[
            "f1_at_base_rate"
        ]
        held += found.low <= 2 * precision / (1 + precision) <= found.high
    assert held >= 52


def test_a_label_without_error_is_worth_everything_at_any_rate(rng):
    found = judged(
        evidence(rng, share_held_out=0.001), rng, lambda text: "w5" in words_of(text)
    ).estimates
    assert found["f1_at_base_rate"].value == found["auprc_at_base_rate"].value == 1
    # 50 inactive contexts cannot say that one in a thousand is not wrong
    assert found["f1_at_base_rate"].low < 0.2


def test_a_label_that_claims_nothing_ranks_at_the_base_rate(rng):
    found = judged(evidence(rng, share_held_out=0.001), rng, lambda text: False).estimates
    assert found["auprc_at_base_rate"].value == pytest.approx(0.001)
    assert found["f1_at_base_rate"].value == 0


@pytest.mark.parametrize("kind", HARD)
def test_a_parents_label_has_one_with_random_negatives_and_a_half_with_those_of_siblings(kind, rng):
    """The parent's label names w5 and w6; w6 alone is a sibling's."""
    material = evidence(rng)
    parents = lambda text: bool({"w5", "w6"} & words_of(text))  # noqa: E731
    random = without(material.examples.inactive_held_out, 6)
    easy = replace(material, examples=replace(material.examples, inactive_held_out=random))
    hard = replace(
        material, examples=replace(material.examples, inactive_held_out=sibling(rng, kind))
    )
    assert judged(easy, rng, parents).estimates["balanced_accuracy"].value == 1
    found = judged(hard, rng, parents).estimates
    assert found["balanced_accuracy"].value == 0.5
    assert found[f"true_negative_rate_{kind.name.lower()}"].value == 0
    assert np.isnan(found["f1_at_base_rate"].value)  # hard contexts do not come as they do in text
    assert (
        judged(hard, rng, lambda text: "w5" in words_of(text)).estimates["balanced_accuracy"].value
        == 1
    )


def without(inactive: Contexts, word: int) -> Contexts:
    """The contexts with another word in the place of this one, all drawn at random."""
    tokens = np.where(inactive.tokens == word, word + 10, inactive.tokens).astype(np.int32)
    return replace(inactive, tokens=tokens, quantiles=np.full(len(inactive), int(Negative.RANDOM)))


def sibling(rng, kind: Negative) -> Contexts:
    """Contexts in which a feature of the word w6 fires, and the feature of w5 is inactive."""
    found = contexts(rng, 50, 6, firing=True, first=2_000_000)
    tokens = np.where(found.tokens == 5, 15, found.tokens).astype(np.int32)
    return replace(
        found,
        tokens=tokens,
        activations=np.zeros_like(found.activations),
        quantiles=np.full(50, int(kind)),
    )
