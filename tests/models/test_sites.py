"""Every dialect's name means the place that it means there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.errors import BadInput
from gloss.models.sites import KINDS, Site, parse_site

SPELLINGS = {
    # TransformerLens
    "blocks.2.hook_resid_pre": "resid_pre",
    "blocks.2.hook_resid_mid": "resid_mid",
    "blocks.2.hook_resid_post": "resid_post",
    "blocks.2.mlp.hook_in": "mlp_in",
    "blocks.2.mlp.hook_post": "mlp_act",
    "blocks.2.mlp.hook_out": "mlp_raw",
    "blocks.2.hook_mlp_out": "mlp_out",
    "blocks.2.attn.hook_z": "z",
    "blocks.2.attn.hook_out": "attn_raw",
    "blocks.2.hook_attn_out": "attn_out",
    "blocks.2.hook_in": "resid_pre",
    "blocks.2.hook_out": "resid_post",
    "blocks.2.ln2.hook_in": "resid_mid",
    # transformers and sparsify
    "layers.2": "resid_post",
    "h.2": "resid_post",
    "model.layers.2": "resid_post",
    "transformer.h.2": "resid_post",
    "gpt_neox.layers.2": "resid_post",
    "model.language_model.layers.2": "resid_post",
    "language_model.model.layers.2": "resid_post",
    "layers.2.mlp": "mlp_raw",
    "model.layers.2.mlp": "mlp_raw",
    "layers.2.mlp.down_proj": "mlp_raw",
    "h.2.mlp.c_proj": "mlp_raw",
    "gpt_neox.layers.2.mlp.dense_4h_to_h": "mlp_raw",
    "transformer.h.2.mlp.act": "mlp_act",
    "layers.2.self_attn": "attn_raw",
    "layers.2.self_attn.o_proj": "attn_raw",
    "h.2.attn": "attn_raw",
    "h.2.attn.c_proj": "attn_raw",
    "h.2.attn.attention.out_proj": "attn_raw",
    "layers.2.attention": "attn_raw",
    "layers.2.attention.dense": "attn_raw",
    "h.2.ln_2": "mlp_in",
    "layers.2.pre_feedforward_layernorm": "mlp_in",
    "layers.2.post_feedforward_layernorm": "mlp_out",
    # nnterp and interp-engine
    "layers_input[2]": "resid_pre",
    "layers_output[2]": "resid_post",
    "mlps_input[2]": "mlp_in",
    "mlps_output[2]": "mlp_raw",
    "attentions_output[2]": "attn_raw",
    "mlp_out_post.2": "mlp_out",
    "attn_out_post.2": "attn_out",
}


@pytest.mark.parametrize("name, kind", SPELLINGS.items())
def test_a_name_of_another_library_means_its_site(name: str, kind: str):
    assert parse_site(name) == Site(kind, 2)


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 200))
def test_a_written_site_reads_back(kind: str, layer: int):
    assert parse_site(str(Site(kind, layer))) == Site(kind, layer)


def test_layers_of_several_digits_are_read_whole():
    assert parse_site("model.layers.31.mlp") == Site("mlp_raw", 31)


@pytest.mark.parametrize("name", ["blocks.2.ln2.hook_normalized", "blocks.2.ln1.hook_normalized"])
def test_the_norm_before_its_gain_is_refused_with_the_reason(name: str):
    with pytest.raises(BadInput, match="before the norm's gain, which no module"):
        parse_site(name)


def test_a_name_that_changed_its_meaning_between_versions_is_refused():
    with pytest.raises(BadInput, match=r"write resid_mid\.2 or mlp_in\.2"):
        parse_site("blocks.2.hook_mlp_in")


def test_a_norm_that_lies_elsewhere_in_other_families_is_refused():
    with pytest.raises(BadInput, match=r"write attn_out\.2 or mlp_in\.2"):
        parse_site("layers.2.post_attention_layernorm")


def test_half_of_a_gated_neuron_is_refused():
    with pytest.raises(BadInput, match="their product"):
        parse_site("layers.2.mlp.act_fn")


@pytest.mark.parametrize(
    "name, meant",
    [
        ("resid_pots.3", "resid_post.3"),
        ("blocks.3.hook_resid_pst", "blocks.3.hook_resid_post"),
        ("layers.3.mpl", "layers.3.mlp"),
        ("mlp_outt.3", "mlp_out.3"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(name: str, meant: str):
    with pytest.raises(BadInput, match=f"did you mean '{meant}'"):
        parse_site(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "quartz",
        "resid_post",
        "resid_post.",
        "resid_post.-1",
        "layers",
        "blocks.x.hook_resid_post",
    ],
)
def test_a_name_of_nothing_is_refused(name: str):
    with pytest.raises(BadInput, match=r"no such name.*write for example resid_post\.5"):
        parse_site(name)


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(BadInput, match="did you mean 'mlp_act'"):
        Site("mlp_acts", 0)


def test_a_layer_below_the_first_is_refused():
    with pytest.raises(BadInput, match="counted from 0"):
        Site("mlp_act", -1)
