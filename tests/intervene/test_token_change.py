"""The tokens that become likelier when a feature is amplified."""

import pytest
import torch
from by_hand import D_MODEL, LAST, NAME, busy_dictionary, dictionary_of, llama_like, make_subject
from torch import Tensor, nn

from gloss.intervene.baseline import Baseline
from gloss.intervene.edits import FeatureEdit
from gloss.intervene.effect_measurement import most_moved_tokens, token_change
from gloss.intervene.strength_calibration import calibrate_strength
from gloss.models.subject import Subject


@pytest.fixture(scope="module")
def only_token_8_reads_number_5() -> Subject:
    model = make_subject(llama_like())
    model.model.model.norm = nn.Identity()
    model.unembedding[:, 5] = 0
    model.unembedding[8] = 4 * torch.eye(D_MODEL)[5]
    return model


def test_a_direction_equal_to_a_row_raises_exactly_that_token(
    only_token_8_reads_number_5: Subject, prompts: Tensor
):
    """No other token reads it, so that all others fall, and all alike."""
    subject = only_token_8_reads_number_5
    baseline = Baseline.of(subject, prompts, LAST)
    edit = FeatureEdit(dictionary_of(subject.unembedding[8].clone()), 0)
    assert [token.text for token in token_change(baseline, edit, 0.5)] == ["w8"]
    change = baseline.edited(edit, 0.5) - baseline.clean
    others = torch.arange(99) != 8
    assert float(change[:, others].max()) < 0
    assert float(change[:, others].std(1).max()) < 1e-5


@pytest.mark.parametrize("which", ["subject", "centring"])
@pytest.mark.parametrize("token", [3, 41, 97])
@pytest.mark.parametrize("target", [0.1, 0.33, 1.0, 3.0])
def test_through_a_real_norm_too_that_token_rises_most(
    which: str, token: int, target: float, prompts: Tensor, request: pytest.FixtureRequest
):
    model = request.getfixturevalue(which)
    baseline = Baseline.of(model, prompts, LAST)
    edit = FeatureEdit(dictionary_of(model.unembedding[token]), 0)
    found = token_change(baseline, edit, calibrate_strength(baseline, edit, target, NAME).strength)
    assert found[0].text == f"w{token}"
    assert found[0].value > 1.2 * found[1].value


def test_a_feature_that_is_not_changed_raises_nothing(middle: Baseline):
    assert token_change(middle, FeatureEdit(busy_dictionary(), 0), 0.0) == ()


def test_ranks_are_by_the_mean_change_in_nats():
    """Token 0 rises thousandfold and stays rare, token 1 doubles.

    What rises the other way falls.
    """
    clean, edited = (
        torch.tensor([[low, p, 1 - p - low]], dtype=torch.float64).log()
        for low, p in ((1e-8, 0.3), (1e-5, 0.6))
    )
    assert most_moved_tokens(clean, edited, 3, rising=True).tolist() == [0, 1]
    assert most_moved_tokens(clean, edited, 1, rising=True).tolist() == [0]
    assert most_moved_tokens(clean, edited, 3, rising=False).tolist() == [2]


def test_what_would_not_be_read_anyway_does_not_fall():
    clean, edited = (
        torch.tensor([[low, p, 1 - p - low]], dtype=torch.float64).log()
        for low, p in ((1e-5, 0.6), (1e-8, 0.4))
    )
    assert most_moved_tokens(clean, edited, 3, rising=False).tolist() == [1]
