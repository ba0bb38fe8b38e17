"""Sites are found by structure alone: scaled, parallel, flattened, hybrid, untrained layers."""

import pytest
import torch
from torch import nn

from benchmarks.subjects.tiny import letters, tiny_model
from gloss.errors import BadInput, Mismatch
from gloss.models.sites import KINDS, Site
from gloss.models.structure.recording import probe_tokens
from gloss.models.subject import Subject


def subject_of(model_type: str, dtype: torch.dtype = torch.float32) -> Subject:
    return Subject(nn.Module.to(tiny_model(model_type), dtype), letters(), None)


def sites_of(subject: Subject, layer: int) -> list[Site]:
    return [Site(kind, layer) for kind in KINDS if subject.anatomy.has(Site(kind, layer))]


def test_a_residual_multiplier_is_part_of_what_is_added_and_not_of_what_the_projection_gives():
    subject = subject_of("granite")
    tokens = probe_tokens(subject.model)
    x = {
        site.kind: value
        for site, value in subject.run(tokens, sites_of(subject, 1)).activations.items()
    }
    torch.testing.assert_close(x["resid_pre"] + x["attn_out"] + x["mlp_out"], x["resid_post"])
    torch.testing.assert_close(x["mlp_out"], 0.22 * x["mlp_raw"])
    layer = subject.model.get_submodule("model.layers.1")
    assert torch.equal(layer.get_submodule("mlp.down_proj")(x["mlp_act"]), x["mlp_raw"])
    assert torch.equal(layer.get_submodule("self_attn.o_proj")(x["z"]), x["attn_raw"])


def test_an_edit_at_a_scaled_site_is_an_edit_of_what_is_added():
    subject = subject_of("granite")
    tokens, new = (
        probe_tokens(subject.model),
        torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(0)),
    )
    middle, end = Site("resid_mid", 1), Site("resid_post", 1)
    plain = subject.run(tokens, [middle, end]).activations
    edited = subject.run(tokens, [end], {Site("mlp_out", 1): lambda _: new}).activations
    torch.testing.assert_close(edited[end], plain[middle] + new)
    carried = subject.run(tokens, [end, Site("mlp_out", 1)], {middle: lambda _: new}).activations
    torch.testing.assert_close(carried[end], new + carried[Site("mlp_out", 1)])


@pytest.mark.parametrize("model_type", ["granite", "falcon", "opt", "mixtral", "olmo2", "jamba"])
def test_an_edit_that_changes_nothing_leaves_every_bit(model_type: str):
    subject = subject_of(model_type)
    tokens, last = probe_tokens(subject.model), Site("resid_post", subject.layers - 1)
    edits = {
        site: torch.clone for layer in range(subject.layers) for site in sites_of(subject, layer)
    }
    plain, edited = (
        subject.run(tokens, [last], logits=True),
        subject.run(tokens, [last], edits, logits=True),
    )
    assert torch.equal(plain.activations[last], edited.activations[last])
    assert torch.equal(plain.logits, edited.logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("model_type", ["llama", "granite", "olmo2"])
def test_rounding_hides_no_site_and_invents_no_scale(model_type: str, dtype: torch.dtype):
    wanted, found = (
        subject_of(model_type).anatomy.layout.layers,
        subject_of(model_type, dtype).anatomy.layout.layers,
    )
    assert [layer.locations for layer in found] == [layer.locations for layer in wanted]


def test_parts_that_give_nothing_yet_are_told_from_each_other():
    model = tiny_model("llama")
    for layer in range(4):
        for path in ("self_attn.o_proj", "mlp.down_proj"):
            nn.init.zeros_(
                model.get_submodule(f"model.layers.{layer}.{path}").get_parameter("weight")
            )
    subject = Subject(model, letters(), None)
    assert all(subject.anatomy.has(Site(kind, layer)) for kind in KINDS for layer in range(4))
    added = subject.run(
        probe_tokens(model),
        [Site("mlp_out", 1), Site("resid_post", 1)],
        {Site("mlp_out", 1): torch.ones_like},
    )
    entered = subject.run(probe_tokens(model), [Site("resid_pre", 1)]).activations[
        Site("resid_pre", 1)
    ]
    torch.testing.assert_close(added.activations[Site("resid_post", 1)], entered + 1)


def test_what_a_model_flattens_is_read_a_sequence_at_a_time():
    subject = subject_of("opt")
    x = subject.run(probe_tokens(subject.model), sites_of(subject, 1)).activations
    assert {site.kind for site in x} == set(KINDS)
    assert {tuple(value.shape[:2]) for value in x.values()} == {(2, 6)}
    torch.testing.assert_close(
        x[Site("resid_mid", 1)] + x[Site("mlp_out", 1)], x[Site("resid_post", 1)]
    )


def test_a_hybrid_has_attention_where_it_has_it_and_says_so_elsewhere():
    subject = subject_of("bamba")
    assert subject.layers_with("z") == (1, 3)
    with pytest.raises(
        Mismatch,
        match=(
            r"site attn_out\.0 is not offered: the layer has no attention; layer 0 has resid_pre\.0"
        ),
    ):
        subject.site("attn_out.0")
    assert [subject.anatomy.heads(layer) for layer in (1, 3)] == [4, 4]


def test_a_mixture_of_experts_has_no_neurons_to_offer():
    with pytest.raises(
        Mismatch,
        match=r"mlp_act\.2 is not offered: what the MLP gives is not one matrix times something",
    ):
        subject_of("mixtral").width_at(Site("mlp_act", 2))


def test_a_middle_that_could_not_be_carried_to_the_end_is_read_and_not_edited():
    subject = subject_of("electra")
    middle = Site("resid_mid", 1)
    assert subject.run(probe_tokens(subject.model), [middle]).activations[middle].shape == (
        2,
        6,
        32,
    )
    with pytest.raises(
        Mismatch,
        match=r"resid_mid\.1 can be read but not edited: .*; edit resid_pre\.1 or resid_post\.1",
    ):
        subject.run(probe_tokens(subject.model), edits={middle: torch.zeros_like})


def test_a_model_in_which_tokens_see_later_ones_is_refused():
    model = tiny_model("electra")
    model.config.is_decoder = False
    with pytest.raises(
        BadInput,
        match=r"is no causal model as it is configured: .* where its config\.json has is_decoder",
    ):
        Subject(type(model)(model.config), letters(), None)


@pytest.mark.parametrize(
    "model_type, reason",
    [
        ("deepseek_v4", r"model\.layers: a layer gets a tensor of shape \(2, 6, 4, 32\)"),
        ("hrm_text", "a pass goes through 0 6 times"),
    ],
)
def test_a_model_without_one_stream_through_its_layers_is_refused(model_type: str, reason: str):
    with pytest.raises(
        BadInput,
        match=f"has no residual stream that can be followed from layer to layer: .*{reason}",
    ):
        subject_of(model_type)


def test_finding_and_proving_leaves_no_hook_and_no_drawn_number():
    model, before = tiny_model("llama"), torch.random.get_rng_state()
    Subject(model, letters(), None)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_beginnings_are_shared_or_run_again_as_the_model_allows():
    for model_type in ("llama", "mamba", "bamba"):
        subject = subject_of(model_type)
        tokens, last = probe_tokens(subject.model), Site("resid_post", 3)
        wanted = subject.run(tokens, [last]).activations[last][:, 4:]
        found = subject.run_after(tokens[0, :4], tokens[:, 4:], [last]).activations[last]
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
