"""What is told of an intervention."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from by_hand import LAST, MIDDLE, NAME, busy_dictionary, dictionary_of
from torch import Tensor

from gloss.errors import BadInput
from gloss.intervene.baseline import Baseline
from gloss.intervene.edits import FeatureEdit, random_direction
from gloss.intervene.effect_measurement import (
    EffectOptions,
    TokenShifts,
    complete_with_and_without,
    measure_effect,
)
from gloss.intervene.strength_calibration import calibrate_strength
from gloss.models.subject import Subject
from gloss.records import Control, EditKind


def towards(subject: Subject, token: int) -> FeatureEdit:
    """A feature of the last layer that says one token."""
    return FeatureEdit(dictionary_of(subject.unembedding[token]), 0)


def test_a_feature_that_says_a_token_raises_it_and_is_heard_in_the_completions(
    subject: Subject, last: Baseline, rng: np.random.Generator
):
    edit = towards(subject, 42)
    strength = calibrate_strength(last, edit, 3.0, NAME)
    found = measure_effect(
        last, edit, strength, NAME, rng, EffectOptions(tokens=5, completions=12, new_tokens=5)
    )
    assert found.risen[0].text == "w42"
    assert found.risen[0].change.low > 0
    assert found.risen[0].edited > found.risen[0].clean
    assert (found.n, found.choosing, found.target, found.control, found.edit) == (
        12,
        6,
        3.0,
        Control.NONE,
        EditKind.ADD,
    )
    assert found.kl.value == pytest.approx(3.0, rel=0.1)
    assert found.kl.low < found.kl.value < found.kl.high
    said = [
        sum(getattr(pair, side).count("w42") for pair in found.completions)
        for side in ("clean", "edited")
    ]
    assert said[1] > said[0] + 10


def test_what_falls_is_what_was_likely(subject: Subject, last: Baseline, rng: np.random.Generator):
    found = measure_effect(last, towards(subject, 42), 2.0, NAME, rng)
    assert found.target is None
    for shift in found.fallen:
        assert shift.change.value < 0
        assert shift.clean > shift.edited


def test_strength_0_changes_nothing(middle: Baseline, rng: np.random.Generator):
    edit = FeatureEdit(busy_dictionary(), 3)
    assert torch.equal(middle.edited(edit, 0.0), middle.clean)
    found = measure_effect(middle, edit, 0.0, NAME, rng, EffectOptions(completions=12))
    assert (found.kl.value, found.kl.high, found.risen, found.fallen) == (0, 0, (), ())
    assert all(pair.clean == pair.edited for pair in found.completions)


def test_the_control_is_measured_at_the_same_kl_and_raises_other_tokens(
    subject: Subject, last: Baseline, rng: np.random.Generator
):
    edit = towards(subject, 42)
    found = []
    for instead in (edit, random_direction(edit, 32, rng)):
        found.append(
            measure_effect(last, instead, calibrate_strength(last, instead, 1.0, NAME), NAME, rng)
        )
    assert [one.control for one in found] == [Control.NONE, Control.RANDOM_DIRECTION]
    assert found[1].kl.value == pytest.approx(found[0].kl.value, rel=0.21)
    assert found[1].risen[0].text != "w42"
    assert found[1].feature == NAME


def test_ablation_has_an_effect_where_the_feature_fires_and_none_where_it_is_inactive(
    middle: Baseline, rng: np.random.Generator
):
    dictionary = busy_dictionary()
    x = middle.subject.run(middle.tokens, [MIDDLE]).activations[MIDDLE][:, 1:].flatten(0, 1)
    fires = int(dictionary.encode(x).indices.mode().values[0])
    assert (
        measure_effect(
            middle, FeatureEdit(dictionary, fires, EditKind.ABLATE), 0.0, NAME, rng
        ).kl.low
        > 0
    )
    inactive = dictionary_of(torch.ones(32), site=MIDDLE)
    assert (
        measure_effect(middle, FeatureEdit(inactive, 0, EditKind.ABLATE), 0.0, NAME, rng).kl.value
        == 0
    )


def test_chance_is_not_taken_for_an_effect(subject: Subject):
    """Tokens chosen and measured on the same noise seem to rise.

    Measured on other prompts they do not.
    """
    rng = np.random.default_rng(3)
    tokens = torch.from_numpy(rng.integers(1, 99, (40, 4)))
    tokens[:, 0] = 0
    baseline = Baseline.of(subject, tokens, LAST)
    noise = torch.from_numpy(rng.normal(0, 0.1, baseline.clean.shape))
    flat = replace(baseline, clean=torch.zeros_like(baseline.clean).log_softmax(1))
    noisy = (flat.clean + noise).log_softmax(1)
    everything = torch.arange(40)
    same = TokenShifts(flat, noisy, everything, everything).most(10, rising=True)
    apart = TokenShifts(flat, noisy, everything[:20], everything[20:]).most(10, rising=True)
    loss = float((noisy - flat.clean).mean())  # what normalising takes from all
    assert np.mean([shift.change.value for shift in same]) > loss + 0.02
    assert np.mean([shift.change.value for shift in apart]) == pytest.approx(loss, abs=0.02)


def test_few_prompts_choose_and_measure_alike_and_one_bounds_nothing(
    subject: Subject, prompts: Tensor, rng: np.random.Generator
):
    three = measure_effect(
        Baseline.of(subject, prompts[:3], LAST), towards(subject, 42), 2.0, NAME, rng
    )
    assert (three.n, three.choosing) == (3, 0)
    one = measure_effect(
        Baseline.of(subject, prompts[:1], LAST), towards(subject, 42), 2.0, NAME, rng
    )
    assert (one.kl.low, one.kl.high) == (0, np.inf)
    assert (one.risen[0].change.low, one.risen[0].change.high) == (-np.inf, np.inf)


def test_completions_are_what_was_written_after_the_prompt(
    subject: Subject, last: Baseline, rng: np.random.Generator
):
    pairs = complete_with_and_without(
        last, towards(subject, 42), 0.0, rng, EffectOptions(completions=3, new_tokens=4)
    )
    assert [pair.prompt.count("w") for pair in pairs] == [4, 5, 6]  # the start token is not shown
    assert [pair.clean.count("w") for pair in pairs] == [4, 4, 4]


def test_completions_that_would_be_too_long_are_refused(
    last: Baseline, subject: Subject, rng: np.random.Generator
):
    fits = EffectOptions(completions=1, new_tokens=48 + 1 - 5)
    assert len(complete_with_and_without(last, towards(subject, 42), 1.0, rng, fits)) == 1
    with pytest.raises(
        BadInput, match="a prompt and its 45 new tokens are 50 together, and the subject takes 48"
    ):
        complete_with_and_without(
            last, towards(subject, 42), 1.0, rng, replace(fits, new_tokens=45)
        )


def test_an_effect_that_nobody_measured_is_refused(
    subject: Subject, last: Baseline, rng: np.random.Generator
):
    found = measure_effect(last, towards(subject, 42), 1.0, NAME, rng)
    with pytest.raises(ValueError, match="at least one must measure them"):
        replace(found, choosing=12)


def test_one_half_of_the_prompts_chooses_and_the_other_measures(subject: Subject, last: Baseline):
    """By the permutation that the generator draws first."""
    edit = towards(subject, 42)
    order = torch.from_numpy(np.random.default_rng(7).permutation(12))
    change = last.edited(edit, 0.1) - last.clean
    found = measure_effect(
        last, edit, 0.1, NAME, np.random.default_rng(7), EffectOptions(tokens=4)
    ).risen
    assert [shift.token for shift in found] == change[order[:6]].mean(0).argsort(descending=True)[
        :4
    ].tolist()
    for shift in found:
        assert shift.change.value == pytest.approx(float(change[order[6:], shift.token].mean()))
        assert shift.clean == pytest.approx(float(last.clean[order[6:], shift.token].exp().mean()))
