"""All effects of one feature: both splits, every target, beside a random direction."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from by_hand import LAST, VOCABULARY, dictionary_of

from gloss.errors import BadSettings
from gloss.intervene.feature_effects import draw_context_prompts, measure_feature_effects
from gloss.intervene.settings import InterventionSettings
from gloss.models.subject import Subject
from gloss.records import (
    PADDING,
    Contexts,
    Control,
    Effect,
    Examples,
    Failure,
    FeatureId,
    Reason,
    Split,
)
from gloss.store.record_rows import effect_from_row, effect_row

ASKED = InterventionSettings(
    kl=(1.0, 0.33), prompts=10, train_prompts=9, completions=2, new_tokens=3
)


def contexts(rng: np.random.Generator, number: int, first_document: int) -> Contexts:
    """Windows of 9 tokens in which the feature fires at the sixth, and often again."""
    tokens = rng.integers(1, VOCABULARY, (number, 9)).astype(np.int32)
    tokens[0, :3] = PADDING
    activations = np.zeros((number, 9), np.float32)
    activations[:, 5] = activations[::2, 7] = 1.0
    documents = np.arange(number) + first_document
    return Contexts(documents * 9, documents, np.zeros(number, np.int64), tokens, activations)


@pytest.fixture
def examples(rng: np.random.Generator) -> Examples:
    none = Contexts.empty(9)
    return Examples(
        FeatureId("by hand", 0),
        contexts(rng, 12, 0),
        contexts(rng, 14, 100),
        none,
        none,
        1.0,
        0.1,
        0.1,
    )


@pytest.fixture
def found(subject: Subject, examples: Examples, rng: np.random.Generator) -> list[Effect | Failure]:
    return list(
        measure_feature_effects(
            subject, dictionary_of(subject.unembedding[8]), examples, ASKED, rng
        )
    )


def test_every_target_is_met_by_the_feature_and_by_a_random_direction(
    found: list[Effect | Failure],
):
    measured = [(effect.split, effect.control, effect.target) for effect in found]
    train = [(Split.TRAIN, control, 1.0) for control in (Control.NONE, Control.RANDOM_DIRECTION)]
    assert measured == train + [
        (Split.HELD_OUT, control, target)
        for control in (Control.NONE, Control.RANDOM_DIRECTION)
        for target in (0.33, 1.0)
    ]
    for effect in found:
        assert effect.kl.value == pytest.approx(effect.target, rel=0.1)
        assert 1 <= effect.passes <= 12
        assert sorted(effect.ranking) == list(range(VOCABULARY))


def test_the_token_that_the_feature_says_rises_and_is_ranked_first(found: list[Effect | Failure]):
    for effect in found:
        if effect.control is Control.NONE:
            assert effect.risen[0].text == "w8"
            assert effect.ranking[0] == 8
        else:
            assert effect.ranking[0] != 8


def test_completions_are_of_held_out_prompts_alone_and_the_clean_ones_are_the_same_for_all(
    found: list[Effect | Failure],
):
    assert [len(effect.completions) for effect in found] == [0, 0, 2, 2, 2, 2]
    clean = {
        tuple((pair.prompt, pair.clean) for pair in effect.completions) for effect in found[2:]
    }
    assert len(clean) == 1


def test_a_direction_that_nothing_reads_has_no_effect_and_none_is_made_up(
    subject: Subject, examples: Examples, rng: np.random.Generator
):
    found = list(
        measure_feature_effects(subject, dictionary_of(torch.zeros(32)), examples, ASKED, rng)
    )
    assert all(isinstance(one, Failure) and one.reason is Reason.UNREACHABLE for one in found)
    assert (
        found[0].detail
        == "the feature, train: 1 nats: its direction is 0, so that it moves nothing"
    )
    assert found[1].detail.startswith("random direction, train: ")


def test_prompts_end_where_the_feature_first_fires(
    subject: Subject, examples: Examples, rng: np.random.Generator
):
    prompts = draw_context_prompts(examples.train, 99, subject, 3, rng)
    assert prompts.shape == (12, 7)
    for prompt, tokens in zip(prompts[1:], examples.train.tokens[1:], strict=True):
        assert prompt.tolist() == [0, *tokens[:6].tolist()]
    assert prompts[0].tolist() == [
        0,
        *examples.train.tokens[0, 3:6].tolist(),
        PADDING,
        PADDING,
        PADDING,
    ]


def test_prompts_leave_room_for_what_is_written_after_them(
    subject: Subject, examples: Examples, rng: np.random.Generator
):
    # of 49 with the start token
    assert draw_context_prompts(examples.train, 3, subject, 44, rng).shape == (3, 5)
    with pytest.raises(
        BadSettings,
        match="new_tokens = 48 leaves no room for a prompt: the subject takes 48 tokens in all",
    ):
        draw_context_prompts(examples.train, 3, subject, 48, rng)


def test_an_effect_is_read_back_as_it_was_stored(found: list[Effect | Failure]):
    for effect in found:
        assert effect_from_row(effect_row(effect)) == effect


def test_an_explainer_is_handed_the_effects_after_train_contexts_alone(
    examples: Examples, found: list[Effect | Failure]
):
    handed = replace(examples, effects=tuple(found)).for_explainer()
    assert handed.effects == tuple(found[:2])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kl": ()}, "kl and train_kl must be above 0"),
        ({"kl": (0.0, 1.0)}, "kl and train_kl must be above 0"),
        ({"kl": (1.0, 1.0)}, "kl names a target twice"),
        ({"reach": "first"}, "reach must be one of text, last"),
        ({"prompts": 0}, "prompts must be 1 or more"),
        ({"completions": 17}, "completions must be from 0 to the 16 prompts"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
        InterventionSettings(**settings)


def test_the_sites_that_are_changed_are_the_dictionarys(subject: Subject):
    assert dictionary_of(subject.unembedding[8]).writes == LAST
