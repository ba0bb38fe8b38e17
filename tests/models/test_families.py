"""In every family, what the sites hold adds up as the model adds it up."""

import pytest
import torch
from parts import parallel, part
from torch import Tensor

from gloss.errors import Mismatch
from gloss.models.sites import KINDS, Site
from gloss.models.subject import Subject


def read_layer(subject: Subject, tokens: Tensor, layer: int) -> dict[str, Tensor]:
    kinds = [kind for kind in KINDS if kind != "resid_mid" or not parallel(subject)]
    sites = [Site(kind, layer) for kind in kinds]
    trace = subject.run(tokens, sites)
    return {site.kind: x for site, x in trace.activations.items()}


def test_contributions_add_up_to_the_residual_stream(subject: Subject, tokens: Tensor):
    for layer in range(3):
        x = read_layer(subject, tokens, layer)
        torch.testing.assert_close(
            x["resid_pre"] + x["attn_out"] + x["mlp_out"], x["resid_post"], rtol=1e-5, atol=1e-5
        )
        # else the sum would say nothing
        assert min(x["attn_out"].abs().mean(), x["mlp_out"].abs().mean()) > 1e-3


def test_the_stream_between_attention_and_mlp_has_the_attention_s_contribution(
    subject: Subject, tokens: Tensor
):
    if parallel(subject):
        pytest.skip("attention and MLP run in parallel")
    for layer in range(3):
        x = read_layer(subject, tokens, layer)
        torch.testing.assert_close(x["resid_pre"] + x["attn_out"], x["resid_mid"], rtol=0, atol=0)
        torch.testing.assert_close(x["resid_mid"] + x["mlp_out"], x["resid_post"], rtol=0, atol=0)


def test_projections_of_neurons_and_heads_are_the_raw_outputs(subject: Subject, tokens: Tensor):
    for layer in range(3):
        x = read_layer(subject, tokens, layer)
        assert torch.equal(part(subject, layer, "mlp_projection")(x["mlp_act"]), x["mlp_raw"])
        assert torch.equal(part(subject, layer, "attention_projection")(x["z"]), x["attn_raw"])
        assert torch.equal(part(subject, layer, "mlp")(x["mlp_in"]), x["mlp_raw"])


def test_contributions_are_the_raw_outputs_after_the_family_s_post_norms(
    subject: Subject, tokens: Tensor
):
    for layer in range(3):
        x = read_layer(subject, tokens, layer)
        assert torch.equal(part(subject, layer, "norm_after_mlp")(x["mlp_raw"]), x["mlp_out"])
        assert torch.equal(
            part(subject, layer, "norm_after_attention")(x["attn_raw"]), x["attn_out"]
        )


def test_only_gemma_has_post_norms(subject: Subject, tokens: Tensor):
    x = read_layer(subject, tokens, 1)
    is_gemma = subject.config.model_type.startswith("gemma")
    assert torch.equal(x["mlp_raw"], x["mlp_out"]) != is_gemma
    assert subject.site("layers.1.mlp") == Site("mlp_raw" if is_gemma else "mlp_out", 1)
    assert subject.site("layers.1.self_attn") == Site("attn_raw" if is_gemma else "attn_out", 1)


def test_a_width_is_the_width_of_what_is_read(subject: Subject, tokens: Tensor):
    x = read_layer(subject, tokens, 1)
    assert {kind: subject.width_at(Site(kind, 1)) for kind in x} == {
        kind: activation.shape[2] for kind, activation in x.items()
    }


def test_reads_equal_the_hidden_states_of_transformers(subject: Subject, tokens: Tensor):
    with torch.no_grad():
        hidden = subject.model(tokens, output_hidden_states=True, use_cache=False).hidden_states
    trace = subject.run(
        tokens,
        [Site("resid_pre", layer) for layer in range(3)]
        + [Site("resid_post", layer) for layer in range(2)],
    )
    for layer in range(3):
        assert torch.equal(trace.activations[Site("resid_pre", layer)], hidden[layer])
    for layer in range(2):
        assert torch.equal(trace.activations[Site("resid_post", layer)], hidden[layer + 1])


def test_what_enters_a_layer_is_what_left_the_one_before(subject: Subject, tokens: Tensor):
    trace = subject.run(tokens, [Site("resid_post", 0), Site("resid_pre", 1)])
    assert torch.equal(
        trace.activations[Site("resid_post", 0)], trace.activations[Site("resid_pre", 1)]
    )


def test_a_layer_in_parallel_has_no_middle(make_subject, tokens: Tensor):
    with pytest.raises(Mismatch, match=r"in parallel on resid_pre, so nothing lies between them"):
        make_subject("gpt_neox").run(tokens, [Site("resid_mid", 1)])


def test_a_layer_beyond_the_last_is_refused(subject: Subject, tokens: Tensor):
    with pytest.raises(Mismatch, match=r"resid_post\.3: the model has 3 layers, 0 to 2"):
        subject.run(tokens, [Site("resid_post", 3)])


def test_gemma_3_with_its_image_tower_is_read_as_text(gemma3_with_images: Subject, tokens: Tensor):
    x = read_layer(gemma3_with_images, tokens, 1)
    torch.testing.assert_close(
        x["resid_pre"] + x["attn_out"] + x["mlp_out"], x["resid_post"], rtol=1e-5, atol=1e-5
    )
    trace = gemma3_with_images.run(tokens, [Site("resid_post", 2)], logits=True)
    assert trace.logits is not None
    assert trace.logits.shape == (3, 10, 99)
