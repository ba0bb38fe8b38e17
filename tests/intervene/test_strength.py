"""Strengths reach their KL, measured here by other means, or it is said that none does."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from by_hand import (
    D_MODEL,
    LAST,
    MIDDLE,
    NAME,
    busy_dictionary,
    dictionary_of,
    gpt2_like,
    llama_like,
    make_subject,
)
from torch import Tensor, nn
from torch.nn.functional import kl_div

from gloss.errors import BadSettings
from gloss.intervene.baseline import Baseline
from gloss.intervene.edits import FeatureEdit, random_direction
from gloss.intervene.strength_calibration import (
    PASSES,
    StrengthCalibration,
    StrengthSearch,
    calibrate_strength,
)
from gloss.models.subject import Subject
from gloss.records import EditKind, Failure, Reason

TARGETS = (0.1, 0.33, 1.0, 3.0)


def kl_by_hand(subject: Subject, prompts: Tensor, edit: FeatureEdit, strength: float) -> float:
    """Prompt by prompt, with the decoder direction added by hand, by torch's own KL."""
    total = 0.0
    for tokens in prompts:
        row = tokens[tokens >= 0][None]

        def added(x: Tensor) -> Tensor:
            x[:, 1:] += strength * edit.decoder_direction
            return x

        clean, edited = (
            subject.run(row, edits=e, logits=True).logits[0, -1].log_softmax(0)
            for e in ({}, {edit.writes: added})
        )
        total += float(kl_div(edited, clean, reduction="sum", log_target=True))
    return total / len(prompts)


@pytest.mark.parametrize("target", TARGETS)
def test_a_calibrated_strength_has_its_kl(
    subject: Subject, prompts: Tensor, middle: Baseline, target: float
):
    for feature in range(5):
        edit = FeatureEdit(busy_dictionary(), feature)
        found = calibrate_strength(middle, edit, target, NAME)
        assert isinstance(found, StrengthCalibration), found
        assert found.passes <= PASSES
        assert kl_by_hand(subject, prompts, edit, found.strength) == pytest.approx(target, rel=0.1)
        assert found.kl.low <= found.kl.value <= found.kl.high


def test_a_random_direction_reaches_the_same_kl(middle: Baseline, rng: np.random.Generator):
    control = random_direction(FeatureEdit(busy_dictionary(), 0), D_MODEL, rng)
    found = calibrate_strength(middle, control, 1.0, NAME)
    assert found.kl.value == pytest.approx(1.0, rel=0.1)


def test_scale_of_the_decoder_direction_is_no_matter(middle: Baseline):
    """A direction a million times shorter needs a strength a million times larger, in as many
    passes.
    """
    decoder_direction = busy_dictionary().decoder_directions[2]
    long, short = (
        calibrate_strength(middle, FeatureEdit(dictionary_of(a, site=MIDDLE), 0), 0.33, NAME)
        for a in (decoder_direction, decoder_direction * 1e-6)
    )
    assert short.strength == pytest.approx(long.strength * 1e6, rel=1e-3)
    assert short.passes == long.passes


def test_a_direction_that_the_unembedding_does_not_read_reaches_nothing(prompts: Tensor):
    """The last layer writes it, no row of the unembedding has a part of it, and no norm stands
    between.
    """
    blind = make_subject(llama_like())
    blind.model.model.norm = nn.Identity()
    blind.unembedding[:, 5] = 0
    edit = FeatureEdit(dictionary_of(torch.eye(D_MODEL)[5]), 0)
    baseline = Baseline.of(blind, prompts, LAST)
    assert torch.equal(baseline.edited(edit, 1e3), baseline.clean)
    found = calibrate_strength(baseline, edit, 0.1, NAME)
    assert isinstance(found, Failure)
    assert (found.feature, found.stage, found.reason) == (NAME, "intervene", Reason.UNREACHABLE)
    assert "0.1 nats: no more than 0 were reached, at strengths of up to" in found.detail


def test_what_the_final_norm_takes_away_reaches_nothing(prompts: Tensor):
    """A norm that centres its input does not see what is added to every number alike."""
    found = calibrate_strength(
        Baseline.of(make_subject(gpt2_like()), prompts, LAST),
        FeatureEdit(dictionary_of(torch.ones(D_MODEL)), 0),
        0.1,
        NAME,
    )
    assert isinstance(found, Failure)
    assert found.reason is Reason.UNREACHABLE


def test_behind_a_norm_that_does_not_centre_such_a_direction_still_drowns_the_others(
    prompts: Tensor,
):
    """The unembedding does not read it, but the norm divides all else by its length."""
    subject = make_subject(llama_like())
    subject.unembedding[:, 5] = 0
    baseline = Baseline.of(subject, prompts, LAST)
    edited = baseline.edited(FeatureEdit(dictionary_of(torch.eye(D_MODEL)[5]), 0), 1e4)
    flat = torch.full_like(edited, 1 / edited.shape[1]).log()
    torch.testing.assert_close(edited, flat, rtol=0, atol=0.1)


def test_a_target_beyond_what_the_feature_can_do_is_a_failure_that_says_how_far_it_went(
    middle: Baseline,
):
    found = calibrate_strength(middle, FeatureEdit(busy_dictionary(), 0), 500.0, NAME)
    assert isinstance(found, Failure)
    assert found.reason is Reason.UNREACHABLE
    assert found.detail.startswith("500 nats: no more than ")


def test_a_feature_whose_absence_alone_does_more_is_a_failure(
    middle: Baseline, subject: Subject, prompts: Tensor
):
    """Set to ever less, a feature that fires everywhere still loses what it had."""
    dictionary = busy_dictionary()
    x = subject.run(prompts, [MIDDLE]).activations[MIDDLE][:, 1:].flatten(0, 1)
    feature = int(dictionary.encode(x).indices.mode().values[0])
    edit = FeatureEdit(dictionary, feature, EditKind.SET)
    floor = float(middle.kl(middle.edited(edit, 0.0)).mean())
    found = calibrate_strength(middle, edit, floor / 100, NAME)
    assert isinstance(found, Failure)
    assert "no less than" in found.detail or "nothing nearer was found" in found.detail


def test_a_direction_of_length_0_is_a_failure(middle: Baseline):
    found = calibrate_strength(
        middle, FeatureEdit(dictionary_of(torch.zeros(D_MODEL), site=MIDDLE), 0), 0.1, NAME
    )
    assert isinstance(found, Failure)
    assert "its direction is 0" in found.detail


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan"), float("inf")])
def test_a_target_that_is_no_amount_is_refused(middle: Baseline, target: float):
    with pytest.raises(BadSettings, match="cannot be calibrated to; give a number above 0"):
        calibrate_strength(middle, FeatureEdit(busy_dictionary(), 0), target, NAME)


def test_ablation_has_no_strength_to_calibrate(middle: Baseline):
    with pytest.raises(BadSettings, match="ablating a feature has no strength to calibrate"):
        calibrate_strength(middle, FeatureEdit(busy_dictionary(), 0, EditKind.ABLATE), 0.1, NAME)


@dataclass
class Curve:
    """A KL by strength that needs no model."""

    slope: float
    most: float
    turn: float

    def at(self, strength: float) -> float:
        grown = (strength / self.turn) ** self.slope
        return self.most * grown / (1 + grown)


@pytest.mark.parametrize("target", TARGETS)
def test_the_search_ends_within_its_passes_on_curves_of_any_shape(
    rng: np.random.Generator, target: float
):
    """Steep and flat, early and late: found wherever the curve gets there."""
    for _ in range(500):
        curve = Curve(
            rng.uniform(1, 4), target * 10 ** rng.uniform(0.1, 1.5), 10 ** rng.uniform(-2, 2)
        )
        search, found = StrengthSearch(target), 0.0
        for _ in range(PASSES):
            strength = search.next()
            found = curve.at(strength)
            if abs(found - target) <= 0.1 * target:
                break
            search.record(strength, found)
        assert found == pytest.approx(target, rel=0.1), curve


def test_the_search_backs_off_from_what_is_no_number():
    """A subject that overflows at high strengths is calibrated below them."""
    search, curve = StrengthSearch(0.3), Curve(2, 5, 0.1)
    for _ in range(PASSES):
        strength = search.next()
        found = curve.at(strength) if strength < 0.2 else float("nan")
        if abs(found - 0.3) <= 0.03:
            return
        search.record(strength, found)
    pytest.fail("the search did not end")


def test_a_jump_over_the_target_is_told_with_both_sides():
    search = StrengthSearch(1.0)
    for _ in range(PASSES):
        strength = search.next()
        search.record(strength, 0.1 if strength < 0.7 else 5.0)
    assert search.describe_failure(1.0).startswith("between 0.1 at strength 0.")
    assert not search.is_over
