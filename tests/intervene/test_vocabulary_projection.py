"""The tokens that a decoder direction points at, through the final norm."""

import pytest
import torch
from by_hand import D_MODEL, LAST, MIDDLE, dictionary_of, gpt2_like, llama_like, make_subject
from torch import Tensor

from gloss.errors import BadInput, Mismatch
from gloss.intervene.effect_measurement import output_tokens
from gloss.intervene.vocabulary_projection import vocabulary_projection
from gloss.models.neurons import Neurons
from gloss.models.sites import Site
from gloss.models.subject import Subject


def top(subject: Subject, direction: Tensor, site: Site = LAST) -> str:
    return vocabulary_projection(subject, dictionary_of(direction, site=site), [0])[0][0].text


@pytest.mark.parametrize("which", ["subject", "centring"])
def test_a_row_of_the_unembedding_projects_on_its_token(which: str, request: pytest.FixtureRequest):
    model = request.getfixturevalue(which)
    rows = model.unembedding[40:60]
    found = vocabulary_projection(model, dictionary_of(*rows), range(20), number=3)
    assert [tokens[0].text for tokens in found] == [f"w{n}" for n in range(40, 60)]
    for tokens in found:
        assert tokens[0].value > tokens[1].value >= tokens[2].value


def test_the_gain_of_the_final_norm_counts():
    """Of two numbers that two tokens read alike, the one with the greater gain decides."""
    model = make_subject(llama_like())
    model.unembedding[:, :2] = 0
    model.unembedding[7, 0] = model.unembedding[8, 1] = 4
    model.unembedding[7, 1] = model.unembedding[8, 0] = -4
    direction = torch.zeros(D_MODEL)
    direction[0], direction[1] = 1.0, 1.1  # without the gain, token 8
    model.anatomy.norm_at_end.weight.data[:2] = torch.tensor([1.0, 1.0])
    assert top(model, direction) == "w8"
    model.anatomy.norm_at_end.weight.data[:2] = torch.tensor([1.5, 1.0])
    assert top(model, direction) == "w7"


def test_the_bias_of_the_final_norm_does_not_count():
    model = make_subject(gpt2_like())
    model.anatomy.norm_at_end.bias.data = 100 * model.unembedding[3]
    assert top(model, model.unembedding[50]) == "w50"


def test_what_a_norm_centres_away_projects_on_nothing(centring: Subject):
    found = vocabulary_projection(centring, dictionary_of(torch.ones(D_MODEL)), [0])[0]
    assert max(abs(token.value) for token in found) < 1e-3


def test_the_logits_are_those_of_a_stream_that_holds_the_decoder_direction_alone(subject: Subject):
    """Its length is no matter; their mean is 0; as many come back as asked."""
    row = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(0))
    found = vocabulary_projection(subject, dictionary_of(row, 7 * row), [0, 1], number=99)
    norm = subject.anatomy.norm_at_end
    expected = (norm(row * 1e3) @ subject.unembedding.T).detach()
    expected -= expected.mean()
    for tokens in found:
        assert len(tokens) == 99
        for token in tokens:
            assert token.value == pytest.approx(float(expected[token.token]), abs=1e-3)


@pytest.mark.parametrize("site", [MIDDLE, Site("mlp_out", 1), Site("attn_out", 0)])
def test_whatever_writes_into_the_stream_can_be_projected(subject: Subject, site: Site):
    assert top(subject, subject.unembedding[30], site) == "w30"


def test_neurons_can_be_projected_where_nothing_stands_behind_them(subject: Subject):
    found = vocabulary_projection(subject, Neurons.of(subject, 1), range(96), number=1)
    assert len(found) == 96  # both tails of 48 neurons


def test_what_the_unembedding_does_not_read_is_refused(subject: Subject):
    with pytest.raises(Mismatch, match=r"writes mlp_act\.1, which the unembedding does not read"):
        vocabulary_projection(subject, dictionary_of(torch.ones(48), site=Site("mlp_act", 1)), [0])


def test_a_feature_that_there_is_not_is_refused(subject: Subject):
    with pytest.raises(BadInput, match="feature 1: the dictionary has 1 features; give 0 to 0"):
        vocabulary_projection(subject, dictionary_of(torch.ones(D_MODEL)), [0, 1])


def test_explainers_are_handed_the_texts_alone(subject: Subject):
    ranked = vocabulary_projection(subject, dictionary_of(subject.unembedding[30]), [0], number=4)[
        0
    ]
    assert output_tokens(ranked) == tuple(token.text for token in ranked)
    assert output_tokens(ranked)[0] == "w30"
