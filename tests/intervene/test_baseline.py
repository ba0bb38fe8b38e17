"""The clean side of every comparison."""

import pytest
import torch
from by_hand import MIDDLE, busy_dictionary
from torch import Tensor

from gloss.errors import BadInput, Mismatch
from gloss.intervene.baseline import ROWS, Baseline, prompt_tokens
from gloss.intervene.edits import FeatureEdit
from gloss.models.subject import Subject


def test_the_clean_distribution_is_that_after_each_prompts_last_token(
    subject: Subject, prompts: Tensor, middle: Baseline
):
    for row, tokens in enumerate(prompts):
        alone = (
            subject.run(tokens[tokens >= 0][None], logits=True)
            .logits[0, -1]
            .double()
            .log_softmax(0)
        )
        torch.testing.assert_close(middle.clean[row], alone, rtol=1e-5, atol=1e-5)


def test_the_size_is_the_mean_length_of_the_vectors_that_will_be_changed(
    subject: Subject, prompts: Tensor, middle: Baseline
):
    x = subject.run(prompts, [MIDDLE]).activations[MIDDLE]
    changed = prompts >= 0
    changed[:, 0] = False
    assert middle.size == pytest.approx(float(x[changed].norm(dim=1).mean()), rel=1e-5)


def test_more_prompts_than_one_pass_takes_give_the_same(
    subject: Subject, prompts: Tensor, middle: Baseline
):
    many = Baseline.of(subject, prompts.repeat(ROWS // 12 + 1, 1), MIDDLE)
    assert len(many) > ROWS
    edit = FeatureEdit(busy_dictionary(), 3)
    torch.testing.assert_close(many.clean[-12:], middle.clean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        many.edited(edit, 2.0)[-12:], middle.edited(edit, 2.0), rtol=1e-5, atol=1e-5
    )


def test_the_kl_is_that_of_the_clean_from_the_edited(middle: Baseline):
    edited = middle.edited(FeatureEdit(busy_dictionary(), 3), 2.0)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=middle.clean),
        torch.distributions.Categorical(logits=edited),
    )
    assert float(expected.min()) > 0
    torch.testing.assert_close(middle.kl(edited), expected)
    assert float(middle.kl(middle.clean).abs().max()) == 0


def test_texts_become_prompts_behind_the_start_token(subject: Subject):
    assert prompt_tokens(subject, ["w5 w6 w7", "w8"]).tolist() == [[0, 5, 6, 7], [0, 8, -1, -1]]


@pytest.mark.parametrize("texts", [[], [""], ["w5", ""]])
def test_no_text_is_no_prompt(subject: Subject, texts: list[str]):
    with pytest.raises(BadInput, match="no prompt to go on from, or an empty one"):
        prompt_tokens(subject, texts)


def test_a_prompt_of_the_start_token_alone_is_refused(subject: Subject):
    for tokens in (torch.tensor([[0, 5], [0, -1]]), torch.zeros(0, 3, dtype=torch.int64)):
        with pytest.raises(BadInput, match="no prompt to go on from, or an empty one"):
            Baseline.of(subject, tokens, MIDDLE)


def test_a_prompt_that_is_too_long_is_refused(subject: Subject):
    with pytest.raises(Mismatch, match="sequences of 49 positions"):
        Baseline.of(subject, torch.ones(1, 49, dtype=torch.int64), MIDDLE)
