"""Edits do what zeroing the weights by hand does, reads see edits, and nothing stays behind."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from parts import parallel, part
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor, nn

from gloss.errors import Mismatch
from gloss.models.sites import KINDS, JointSite, Site
from gloss.models.subject import Subject, untrained_subject

LAST = Site("resid_post", 2)


def sites_of(subject: Subject, layer: int) -> list[Site]:
    return [Site(kind, layer) for kind in KINDS if kind != "resid_mid" or not parallel(subject)]


def hooks_left(subject: Subject) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in subject.model.modules()
    )


def zero(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.data.zero_()


@pytest.mark.parametrize("copy", [lambda x: x, lambda x: x.clone(), lambda x: x * 1])
def test_an_identity_edit_changes_nothing(
    subject: Subject, tokens: Tensor, copy: Callable[[Tensor], Tensor]
):
    plain = subject.run(tokens, [LAST], logits=True)
    edited = subject.run(
        tokens,
        [LAST],
        {site: copy for layer in range(3) for site in sites_of(subject, layer)},
        logits=True,
    )
    assert torch.equal(plain.activations[LAST], edited.activations[LAST])
    assert torch.equal(plain.logits, edited.logits)


@pytest.mark.parametrize(
    "kind, projection", [("mlp_out", "mlp_projection"), ("attn_out", "attention_projection")]
)
def test_ablating_a_contribution_equals_zeroing_its_weights(
    make_subject, family: str, tokens: Tensor, kind: str, projection: str
):
    ablated = make_subject(family).run(tokens, edits={Site(kind, 1): torch.zeros_like}, logits=True)
    by_hand = make_subject(family)
    zero(part(by_hand, 1, projection))
    torch.testing.assert_close(
        ablated.logits, by_hand.run(tokens, logits=True).logits, rtol=1e-5, atol=1e-5
    )
    assert not torch.allclose(
        ablated.logits, make_subject(family).run(tokens, logits=True).logits, atol=1e-3
    )


@pytest.mark.parametrize(
    "kind, projection", [("mlp_act", "mlp_projection"), ("z", "attention_projection")]
)
def test_ablating_neurons_or_heads_equals_zeroing_what_reads_them(
    make_subject, family: str, tokens: Tensor, kind: str, projection: str
):
    subject, by_hand = make_subject(family), make_subject(family)

    def silence(x: Tensor) -> Tensor:
        x[..., 3:7] = 0
        return x

    weight = part(by_hand, 1, projection).weight.data
    rows = weight if family == "gpt2" else weight.T
    rows[3:7] = 0
    ablated = subject.run(tokens, edits={Site(kind, 1): silence}, logits=True)
    torch.testing.assert_close(
        ablated.logits, by_hand.run(tokens, logits=True).logits, rtol=1e-5, atol=1e-5
    )
    assert not torch.allclose(ablated.logits, subject.run(tokens, logits=True).logits, atol=1e-4)


def test_ablating_what_leaves_the_last_layer_gives_the_logits_of_nothing(
    subject: Subject, tokens: Tensor
):
    ablated = subject.run(tokens, edits={LAST: torch.zeros_like}, logits=True)
    assert torch.allclose(ablated.logits, ablated.logits[0, 0])


def test_editing_what_enters_a_layer_equals_editing_what_left_the_one_before(
    subject: Subject, tokens: Tensor
):
    before = subject.run(tokens, edits={Site("resid_post", 0): torch.sin}, logits=True)
    after = subject.run(tokens, edits={Site("resid_pre", 1): torch.sin}, logits=True)
    assert torch.equal(before.logits, after.logits)
    assert not torch.allclose(before.logits, subject.run(tokens, logits=True).logits, atol=1e-3)


def test_an_edit_between_attention_and_mlp_reaches_both_the_mlp_and_the_stream(
    subject: Subject, tokens: Tensor
):
    if parallel(subject):
        pytest.skip("attention and MLP run in parallel")
    new = torch.randn(3, 10, 32, generator=torch.Generator().manual_seed(2))
    read = [Site("resid_mid", 1), Site("mlp_out", 1), Site("resid_post", 1)]
    trace = subject.run(tokens, read, {Site("resid_mid", 1): lambda _: new})
    normed = part(subject, 1, "norm_before_mlp")(new)
    contribution = part(subject, 1, "norm_after_mlp")(part(subject, 1, "mlp")(normed))
    assert torch.equal(trace.activations[read[0]], new)
    assert torch.equal(trace.activations[read[1]], contribution)
    assert torch.equal(trace.activations[read[2]], new + contribution)


def test_edits_of_the_middle_the_mlp_and_the_end_of_one_layer_work_together(
    llama: Subject, tokens: Tensor
):
    end = Site("resid_post", 1)
    edits = {
        end: lambda x: x + 3,
        Site("mlp_out", 1): lambda x: x * 0 + 2,
        Site("resid_mid", 1): lambda x: x * 0 + 1,
    }
    assert torch.equal(
        llama.run(tokens, [end], edits).activations[end], torch.full((3, 10, 32), 6.0)
    )


def test_what_the_mlp_gets_can_be_edited_alone(subject: Subject, tokens: Tensor):
    read = [Site("mlp_raw", 1), Site("resid_pre", 1), Site("attn_out", 1)]
    plain, trace = (
        subject.run(tokens, read),
        subject.run(tokens, read, {Site("mlp_in", 1): torch.zeros_like}),
    )
    assert torch.equal(trace.activations[read[0]], part(subject, 1, "mlp")(torch.zeros(3, 10, 32)))
    assert torch.equal(trace.activations[read[2]], plain.activations[read[2]])


def test_a_read_sees_the_edit_at_its_own_site_and_later_sites_feel_it(
    subject: Subject, tokens: Tensor
):
    for site in sites_of(subject, 1):
        plain = subject.run(tokens, [site, LAST])
        trace = subject.run(tokens, [site, LAST], {site: lambda x: x + 1})
        assert torch.equal(trace.activations[site], plain.activations[site] + 1)
        assert not torch.equal(trace.activations[LAST], plain.activations[LAST])


def test_two_names_of_one_place_are_edited_in_order_and_read_alike(llama: Subject, tokens: Tensor):
    raw, out = Site("mlp_raw", 1), Site("mlp_out", 1)
    trace = llama.run(tokens, [raw, out], {raw: lambda x: x * 0 + 1, out: lambda x: x * 3})
    assert torch.equal(trace.activations[raw], torch.full((3, 10, 32), 3.0))
    assert torch.equal(trace.activations[out], torch.full((3, 10, 32), 3.0))


def test_an_edit_in_place_does_not_reach_back(llama: Subject, tokens: Tensor):
    before, after = Site("resid_post", 0), Site("resid_pre", 1)
    plain = llama.run(tokens, [before])
    trace = llama.run(tokens, [before, after], {after: lambda x: x.zero_()})
    assert torch.equal(trace.activations[before], plain.activations[before])
    assert not trace.activations[after].any()


def test_an_edit_of_another_precision_is_brought_to_the_model_s(llama: Subject, tokens: Tensor):
    assert (
        llama.run(tokens, [LAST], {LAST: lambda x: x.double()}).activations[LAST].dtype
        == torch.float32
    )


def test_an_edit_of_another_shape_is_refused(llama: Subject, tokens: Tensor):
    with pytest.raises(
        Mismatch, match=r"resid_post\.2 gave a tensor of shape \(3, 10, 31\), wanted \(3, 10, 32\)"
    ):
        llama.run(tokens, edits={LAST: lambda x: x[..., 1:]})


def test_an_edit_that_forgets_to_return_is_refused(llama: Subject, tokens: Tensor):
    with pytest.raises(Mismatch, match=r"resid_post\.2 gave NoneType"):
        llama.run(tokens, edits={LAST: lambda x: None})


def test_deeper_layers_and_the_output_embedding_are_skipped(
    make_subject, family: str, tokens: Tensor
):
    subject = make_subject(family)
    called: list[str] = []
    layers = subject.anatomy.layers
    for n, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, n=n: called.append(f"layer {n}"))
    subject.model.get_output_embeddings().register_forward_hook(lambda *_: called.append("head"))
    subject.run(tokens, [Site("resid_pre", 1), Site("mlp_in", 1)])
    assert called == ["layer 0"]
    called.clear()
    subject.run(tokens, [Site("resid_mid" if not parallel(subject) else "attn_out", 0)])
    assert called == []
    subject.run(tokens, [LAST])
    assert called == ["layer 0", "layer 1", "layer 2"]
    called.clear()
    subject.run(tokens, [Site("resid_pre", 0)], logits=True)
    assert called == ["layer 0", "layer 1", "layer 2", "head"]


def test_a_run_that_wants_nothing_runs_nothing(llama: Subject, tokens: Tensor):
    trace = llama.run(tokens)
    assert not trace.activations
    assert trace.logits is None


def test_no_hook_is_left_after_a_run(subject: Subject, tokens: Tensor):
    before = hooks_left(subject)
    subject.run(
        tokens, sites_of(subject, 1), dict.fromkeys(sites_of(subject, 0), torch.sin), logits=True
    )
    subject.run(tokens, [Site("mlp_act", 0)], dict.fromkeys(sites_of(subject, 0), torch.sin))
    assert hooks_left(subject) == before


def test_no_hook_is_left_after_an_edit_that_fails(llama: Subject, tokens: Tensor):
    def fail(x: Tensor) -> Tensor:
        raise ArithmeticError("broken")

    before, plain = hooks_left(llama), llama.run(tokens, [LAST])
    with pytest.raises(ArithmeticError, match="broken"):
        llama.run(tokens, [LAST], {Site("resid_mid", 1): fail, Site("z", 0): torch.sin})
    assert hooks_left(llama) == before
    assert torch.equal(llama.run(tokens, [LAST]).activations[LAST], plain.activations[LAST])


def test_no_hook_is_left_after_a_site_that_does_not_exist(llama: Subject, tokens: Tensor):
    before = hooks_left(llama)
    with pytest.raises(Mismatch):
        llama.run(tokens, [LAST, Site("z", 9)])
    assert hooks_left(llama) == before


def test_an_edit_that_runs_its_own_subject_is_refused(llama: Subject, tokens: Tensor):
    with pytest.raises(RuntimeError, match="running already"):
        llama.run(tokens, edits={LAST: lambda x: llama.run(tokens, [LAST]).activations[LAST]})
    assert llama.run(tokens, [LAST]).activations[LAST].shape == (3, 10, 32)


def test_several_sites_are_read_side_by_side_and_not_edited(subject: Subject, tokens: Tensor):
    joint = JointSite.of([Site("resid_post", 1), Site("mlp_out", 0)])
    found = subject.run(tokens, [joint, *joint.parts]).activations
    assert torch.equal(found[joint], torch.cat([found[part] for part in joint.parts], dim=2))
    assert found[joint].shape[2] == subject.width_at(subject.site("resid_post.1+mlp_out.0"))
    after = subject.run_after(tokens[0, :2], tokens[:, 2:], [joint]).activations[joint]
    assert after.shape == found[joint][:, 2:].shape
    with pytest.raises(Mismatch, match="can be read together and not edited; name one of them"):
        subject.run(tokens, [], {joint: lambda x: x})
    with pytest.raises(Mismatch, match="the model has 3 layers"):
        subject.site("resid_post.1+resid_post.3")


def test_another_model_reads_the_same_tokens_and_is_not_edited(llama: Subject, tokens: Tensor):
    tuned = deepcopy(llama.model)
    for parameter in tuned.parameters():
        parameter.data *= 1.1
    other = Subject(tuned, llama.tokens, llama.start_token)
    both = Subject(llama.model, llama.tokens, llama.start_token).beside(other)
    joint = both.site("resid_post.1+other:resid_post.1")
    here, there = joint.parts
    found = both.run(tokens, [joint]).activations[joint]
    wanted = [subject.run(tokens, [here]).activations[here] for subject in (llama, other)]
    assert torch.equal(found, torch.cat(wanted, dim=2))
    assert not torch.equal(*wanted)
    after = both.run_after(tokens[0, :2], tokens[:, 2:], [joint]).activations[joint]
    alone = [
        subject.run_after(tokens[0, :2], tokens[:, 2:], [here])[here] for subject in (llama, other)
    ]
    assert torch.equal(after, torch.cat(alone, dim=2))
    for site, message in ((there, "is of the other model, which is only read"), (joint, "several")):
        with pytest.raises(Mismatch, match=message):
            both.run(tokens, [], {site: lambda x: x})
    with pytest.raises(Mismatch, match="is a site of another model, and there is none"):
        llama.run(tokens, [there])
    drawn = untrained_subject(both, np.random.default_rng(0))
    assert drawn.run(tokens, [joint]).activations[joint].shape == found.shape


def test_a_model_of_other_tokens_or_sites_is_not_read_beside(llama: Subject):
    vocabulary = {f"w{number}": number for number in range(32)}
    words = Tokenizer(WordLevel(vocabulary, unk_token="w0"))
    with pytest.raises(Mismatch, match="the other model has another tokenizer than the subject"):
        llama.beside(Subject(llama.model, words, llama.start_token, llama.anatomy.layout))
    assert llama.other is None
