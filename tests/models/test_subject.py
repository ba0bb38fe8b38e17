"""A subject runs over sequences of any length, continues them under edits, and says what its tokens
are.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from gloss.errors import BadInput, Mismatch
from gloss.models.pretrained.special_tokens import SpecialTokens
from gloss.models.pretrained.tokenizer import PlainTokenizer
from gloss.models.sites import Site
from gloss.models.subject import Subject
from gloss.models.token_tree import TokenTree, tree_batches
from gloss.records import PADDING

SITES = [Site("resid_post", 1), Site("mlp_act", 2), Site("z", 0)]


def test_padding_does_not_change_what_is_real(subject: Subject, tokens: Tensor):
    padded = tokens.clone()
    padded[0, 6:] = PADDING
    padded[2, 1:] = PADDING
    batch = subject.run(padded, SITES, logits=True)
    for row, length in enumerate((6, 10, 1)):
        alone = subject.run(tokens[row : row + 1, :length], SITES, logits=True)
        torch.testing.assert_close(
            batch.logits[row, :length], alone.logits[0], rtol=1e-5, atol=1e-5
        )
        for site in SITES:
            expected = alone.activations[site][0]
            torch.testing.assert_close(
                batch.activations[site][row, :length], expected, rtol=1e-5, atol=1e-5
            )


@pytest.mark.parametrize("kind", [torch.bool, torch.int64])
def test_a_mask_and_padding_say_the_same(llama: Subject, tokens: Tensor, kind: torch.dtype):
    mask = torch.ones(3, 10, dtype=kind)
    mask[1, 4:] = 0
    padded = torch.where(mask.bool(), tokens, PADDING)
    masked = llama.run(tokens, SITES, attention_mask=mask)
    for site in SITES:
        assert torch.equal(masked.activations[site], llama.run(padded, SITES).activations[site])


@pytest.mark.parametrize("row", [[PADDING, 1, 2], [1, PADDING, 2], [PADDING] * 3])
def test_padding_in_front_and_empty_rows_are_refused(llama: Subject, row: list[int]):
    with pytest.raises(Mismatch, match="is empty or has padding in front of a token"):
        llama.run(torch.tensor([[1, 2, 3], row]), SITES)


def test_what_begins_alike_may_be_read_once(subject: Subject, tokens: Tensor):
    together = torch.cat([tokens[:1, :6].expand(3, -1), tokens[:, 6:]], dim=1)
    whole, after = (
        subject.run(together, SITES),
        subject.run_after(tokens[0, :6], tokens[:, 6:], SITES),
    )
    for site in SITES:
        torch.testing.assert_close(
            after.activations[site], whole.activations[site][:, 6:], rtol=1e-5, atol=1e-5
        )
    with pytest.raises(
        Mismatch, match="sequences of 70 positions: this model takes at most 64; cut them"
    ):
        subject.run_after(tokens[0, :6], torch.zeros(1, 64, dtype=torch.int64), SITES)


def test_a_sequence_that_is_too_long_is_refused(subject: Subject):
    assert subject.context == 64
    with pytest.raises(
        Mismatch, match="sequences of 65 positions: this model takes at most 64; cut them"
    ):
        subject.run(torch.zeros(1, 65, dtype=torch.int64), SITES)


def test_logits_are_those_of_the_model(subject: Subject, tokens: Tensor):
    with torch.no_grad():
        expected = subject.model(tokens, use_cache=False).logits
    assert torch.equal(subject.run(tokens, logits=True).logits, expected)


def test_a_trace_holds_what_was_asked_and_nothing_else(llama: Subject, tokens: Tensor):
    trace = llama.run(tokens, SITES)
    assert list(trace.activations) == SITES
    assert trace.logits is None


def test_runs_keep_no_graph_unless_asked(llama: Subject, tokens: Tensor):
    site = SITES[0]
    assert not llama.run(tokens, [site]).activations[site].requires_grad
    assert llama.run(tokens, [site], grad=True).activations[site].requires_grad


def test_what_a_run_gives_can_be_trained_on(llama: Subject, tokens: Tensor):
    linear = torch.nn.Linear(32, 4)
    linear(llama.run(tokens, [SITES[0]]).activations[SITES[0]]).sum().backward()
    assert linear.weight.grad is not None


def test_gradients_flow_to_an_edit(subject: Subject, tokens: Tensor):
    direction = torch.zeros(32, requires_grad=True)
    trace = subject.run(
        tokens, edits={Site("resid_post", 1): lambda x: x + direction}, logits=True, grad=True
    )
    trace.logits[..., 3].sum().backward()
    small = 1e-2 * direction.grad / direction.grad.norm()

    def logit(shift: Tensor) -> Tensor:
        return (
            subject.run(tokens, edits={Site("resid_post", 1): lambda x: x + shift}, logits=True)
            .logits[..., 3]
            .sum()
        )

    torch.testing.assert_close(
        (logit(small) - logit(-small)) / 2e-2, direction.grad.norm(), rtol=0.05, atol=0.05
    )


def test_a_site_is_found_by_any_name(llama: Subject):
    assert (
        llama.site("blocks.2.hook_resid_post")
        == llama.site("model.layers.2")
        == Site("resid_post", 2)
    )
    with pytest.raises(Mismatch, match="has 3 layers"):
        llama.site("layers.3")
    with pytest.raises(BadInput, match="no such name"):
        llama.site("quartz")


def test_a_subject_describes_itself(subject: Subject):
    assert (subject.layers, subject.config.vocab_size, subject.device.type) == (3, 99, "cpu")
    assert subject.unembedding.shape == (99, 32)
    assert not subject.unembedding.requires_grad
    assert len(subject.vocabulary()) == 99
    assert subject.vocabulary().text(subject.encode("d e f")) == "def"


def test_the_unembedding_reads_the_logits(llama: Subject, tokens: Tensor):
    trace = llama.run(tokens, [Site("resid_post", 2)], logits=True)
    normed = llama.model.get_decoder().norm(trace.activations[Site("resid_post", 2)])
    torch.testing.assert_close(normed @ llama.unembedding.T, trace.logits)


def test_what_sequences_share_is_read_once_and_gives_what_each_gives(subject, tokens, rng):
    rows = torch.full((12, 9), PADDING)
    for row in rows:  # parts of one sequence, as masks make them
        kept = tokens[0, :9][torch.from_numpy(rng.random(9) < 0.6)]
        kept = kept if len(kept) else tokens[0, :1]
        row[: len(kept)] = kept
    ends = (rows != PADDING).sum(1, keepdim=True) - 1
    places = torch.cat([ends, torch.zeros_like(ends)], dim=1)
    expected = subject.logits_at(rows, places)
    torch.testing.assert_close(subject.logits_in_tree(rows, places), expected, rtol=1e-3, atol=1e-4)


def test_a_tree_holds_each_beginning_once(llama: Subject):
    assert llama.reads_trees
    rows = torch.tensor([[5, 6, 7], [5, 6, PADDING], [5, 7, 6], [6, PADDING, PADDING]])
    tree = TokenTree.of(rows)
    assert tree.tokens.tolist() == [5, 6, 7, 7, 6, 6]
    assert tree.positions.tolist() == [0, 1, 2, 1, 2, 0]
    assert tree.places.tolist() == [[0, 1, 2], [0, 1, 0], [0, 3, 4], [5, 0, 0]]
    assert [row.nonzero().flatten().tolist() for row in tree.sees] == [
        [0], [0, 1], [0, 1, 2], [0, 3], [0, 3, 4], [5],
    ]  # fmt: skip
    batches = tree_batches([[5, 6, 7], [6], [5, 7, 6], [5, 6]], 4)
    assert batches == [[3, 0], [2, 1]]


def test_what_stands_in_front_is_no_token_that_opens_a_turn(llama: Subject):
    def front(start: int | None, special: SpecialTokens) -> int:
        tokens = PlainTokenizer(llama.tokens.tokenizer, start, special)
        return Subject(llama.model, tokens, layout=llama.anatomy.layout).front_token

    around = frozenset({2, 3})
    turns = SpecialTokens(around | {4}, frozenset({4}), within=around, around_turns=around)
    assert front(2, SpecialTokens()) == 2
    assert front(2, turns) == 4
    assert front(5, turns) == 5
    assert front(None, turns) == 4
    breaks = SpecialTokens(frozenset({2}), within=frozenset({2}), around_turns=frozenset({2}))
    assert front(2, breaks) == (llama.encode("\n") or llama.encode("."))[-1]


def test_the_start_token_is_the_tokenizer_s_own_or_another(llama: Subject):
    backend = llama.tokens.tokenizer
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="c")
    assert Subject(llama.model, tokenizer).start_token == 2
    assert Subject(llama.model, tokenizer, start_token=None).start_token is None
    assert Subject(llama.model, tokenizer, start_token=9).start_token == 9
    assert Subject(llama.model, Tokenizer.from_str(backend.to_str())).start_token is None


def continue_by_hand(subject: Subject, row: list[int], steps: int) -> list[int]:
    for _ in range(steps):
        with torch.no_grad():
            logits = subject.model(torch.tensor([row]), use_cache=False).logits
        row = [*row, int(logits[0, -1].argmax())]
    return row


def test_the_likeliest_tokens_continue_rows_of_any_length(
    subject: Subject, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
):
    padded = tokens.clone()
    padded[1, 4:] = PADDING
    monkeypatch.setattr(subject.model.generation_config, "eos_token_id", None)
    longer = subject.generate(padded, max_new_tokens=5)
    assert longer[0].tolist() == continue_by_hand(subject, tokens[0].tolist(), 5)
    assert (
        longer[1].tolist() == continue_by_hand(subject, tokens[1, :4].tolist(), 5) + [PADDING] * 6
    )


def test_a_row_ends_after_the_model_s_end_token(make_subject, tokens: Tensor):
    subject = make_subject("llama")
    free = subject.generate(tokens, max_new_tokens=6)
    end = int(free[0, 12])  # what the first row says third
    subject.model.generation_config.eos_token_id = [end]
    ended = subject.generate(tokens, max_new_tokens=6)
    for row in range(3):
        said = free[row, 10:].tolist()
        kept = said[: said.index(end) + 1] if end in said else said
        assert [token for token in ended[row, 10:].tolist() if token != PADDING] == kept


def test_edits_apply_to_every_position_of_every_step(llama: Subject, tokens: Tensor):
    seen: list[int] = []

    def count(x: Tensor) -> Tensor:
        seen.append(x.shape[1])
        return x

    llama.generate(tokens, {Site("resid_post", 0): count}, max_new_tokens=3)
    assert seen == [10, 11, 12]


@pytest.mark.parametrize("seed", [None, 3])
def test_what_was_read_is_kept_and_changes_nothing(make_subject, tokens: Tensor, family, seed):
    subject, ragged = make_subject(family), tokens.clone()
    ragged[1, 4:] = PADDING
    begins = torch.tensor([3, 1, 0])
    site, widths = Site("resid_post", 1), []
    direction = torch.randn(
        subject.unembedding.shape[1], generator=torch.Generator().manual_seed(1)
    )

    def edits(rows: Tensor, first: int):
        def add(x: Tensor) -> Tensor:
            widths.append(x.shape[1])
            chosen = torch.arange(x.shape[1]) + first >= begins[rows][:, None]
            return x + 5 * chosen[..., None] * direction

        return {site: add}

    def said(edits) -> Tensor:
        rng = None if seed is None else np.random.default_rng(seed)
        return subject.generate(ragged, edits, max_new_tokens=6, rng=rng)

    config, whole = subject.model.generation_config, edits(torch.arange(3), 0)
    config.eos_token_id = None
    free = said(edits)
    assert widths[-1] == 1
    assert torch.equal(free, said(whole))
    assert widths[-1] > 1
    config.eos_token_id = [int(free[0, 12])]  # the first row ends before others do
    assert torch.equal(said(edits), said(whole))


def test_a_steered_subject_says_what_it_is_steered_to(llama: Subject, tokens: Tensor):
    wanted = 42
    final = Site("resid_post", 2)
    direction = llama.unembedding[wanted] / llama.model.get_decoder().norm.weight.detach()
    steered = llama.generate(tokens, {final: lambda x: x * 0 + 100 * direction}, max_new_tokens=4)
    best = int((llama.model.get_decoder().norm(direction) @ llama.unembedding.T).argmax())
    assert (steered[:, 10:] == best).all()
    assert not (llama.generate(tokens, max_new_tokens=4)[:, 10:] == best).all()


def test_equal_generators_draw_equal_tokens_and_others_do_not(llama: Subject, tokens: Tensor):
    draws = [
        llama.generate(tokens, max_new_tokens=8, rng=np.random.default_rng(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_a_cold_draw_is_the_likeliest(llama: Subject, tokens: Tensor):
    cold = llama.generate(tokens, max_new_tokens=4, rng=np.random.default_rng(0), temperature=1e-4)
    assert torch.equal(cold, llama.generate(tokens, max_new_tokens=4))


def test_draws_follow_the_model_s_probabilities(llama: Subject):
    start = torch.full((4000, 1), 5)
    drawn = llama.generate(start, max_new_tokens=1, rng=np.random.default_rng(0), temperature=3.0)[
        :, 1
    ]
    expected = (llama.run(start[:1], logits=True).logits[0, 0] / 3).softmax(dim=0)
    share = torch.bincount(drawn, minlength=99) / 4000
    assert (share - expected).abs().max() < 5 * (
        expected.max() * (1 - expected.max()) / 4000
    ).sqrt()


def test_runs_of_growing_length_agree_on_what_they_share(subject: Subject, tokens: Tensor):
    runs = [
        subject.run(tokens[:, :length], SITES[:1]).activations[SITES[0]] for length in (4, 7, 10)
    ]
    for shorter, longer in pairwise(runs):
        torch.testing.assert_close(longer[:, : shorter.shape[1]], shorter, rtol=1e-5, atol=1e-5)


def test_what_comes_next_is_said_for_each_sequence_after_its_last_token(
    subject: Subject, tokens: Tensor
):
    tokens[0, 4:] = PADDING
    edits = {SITES[0]: lambda x: x * 1.5}
    for edited in ({}, edits):
        everywhere = subject.run(tokens, edits=edited, logits=True).logits
        expected = torch.stack([everywhere[0, 3], everywhere[1, -1], everywhere[2, -1]])
        torch.testing.assert_close(
            subject.next_logits(tokens, edited), expected, rtol=1e-5, atol=1e-5
        )


def test_the_unembedding_reads_the_last_layer_through_the_norm_at_the_end(
    subject: Subject, tokens: Tensor
):
    stream = Site("resid_post", subject.layers - 1)
    trace = subject.run(tokens, [stream], logits=True)
    with torch.no_grad():
        logits = subject.anatomy.norm_at_end(trace.activations[stream]) @ subject.unembedding.T
    cap = getattr(subject.config, "final_logit_softcapping", None)
    torch.testing.assert_close(
        cap * torch.tanh(logits / cap) if cap else logits, trace.logits, rtol=1e-4, atol=1e-4
    )


def test_a_token_behind_padding_is_refused_wherever_logits_are_read(
    subject: Subject, tokens: Tensor
):
    holed = tokens[:1].clone()
    holed[0, 3] = PADDING
    for read in (subject.run, lambda each: subject.logits_at(each, torch.tensor([[2]]))):
        with pytest.raises(Mismatch):
            read(holed)
