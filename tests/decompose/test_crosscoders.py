"""What crosscoders and cross-layer transcoders find in several sites, and what they cannot find.

Bounds lie outside what seeds 0 to 3 gave, which a comment beside each states.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from planted_vectors import AT_ONCE, draw_directions
from torch import Tensor
from torch.nn.functional import normalize

from gloss.decompose.cross_layer_transcoder import CrossLayerTranscoder
from gloss.decompose.crosscoder import Crosscoder
from gloss.decompose.feature_matching import UnitDirections
from gloss.decompose.fit import SparseTrainer
from gloss.decompose.random_dictionary import random_dictionary_like
from gloss.decompose.topk import TopK
from gloss.decompose.transcoder import Transcoder
from gloss.errors import BadInput, BadSettings, Mismatch
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.joint_coder import JointCoder, read_in_blocks
from gloss.models.sites import Site, parse_site

LEARNING = {
    "batch": 512,
    "learning_rate": 2e-2,
    "dead_after_tokens": 10_000,
    "auxiliary_k": 16,
}
TOKENS = 120_000
SEED = 0
TWO = parse_site("resid_post.0+resid_post.1")
SHARED, ALONE = 24, 12  # features of both sites, and of each alone
LENGTHS = (24, 32)
LAYERS = parse_site("mlp_out.0+mlp_out.1+mlp_out.2")
CAUSES, LENGTH = 16, 32  # of each layer


@dataclass(frozen=True)
class Rows:
    """Rows of vectors that lie side by side."""

    draw: Callable[[int], Tensor]
    widths: tuple[int, ...]

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        return self.draw(AT_ONCE)


def causes(rng: np.random.Generator, tokens: int, number: int, active: float) -> Tensor:
    on = rng.random((tokens, number)) < active / number
    return torch.from_numpy((on * (0.5 + rng.random(on.shape))).astype(np.float32))


def two_sites(seed: int, *, together: bool = True) -> tuple[Rows, tuple[Tensor, Tensor]]:
    """Sites with features in common and features of their own, the second ten times as long as the
    first; or, not together, with the same features at tokens of their own.
    """
    rng = np.random.default_rng(seed)
    number = SHARED + 2 * ALONE
    first, second = (draw_directions(rng, number, length) for length in LENGTHS)
    first[SHARED + ALONE :] = second[SHARED : SHARED + ALONE] = 0

    def draw(tokens: int) -> Tensor:
        strengths = causes(rng, tokens, number, 3)
        other = strengths if together else causes(rng, tokens, number, 3)
        return torch.cat([strengths @ first, 10 * other @ second], dim=1)

    return Rows(draw, LENGTHS), (first, second)


def fitted(
    method: type[SparseTrainer], rows: Rows, site: Site, tokens: int = TOKENS, **more
) -> JointCoder:
    trainer = method(tokens=tokens, **LEARNING, **more)
    return trainer.fit(rows, site, np.random.default_rng(SEED + 100))


def crosscoder(rows: Rows, selection: str = "topk", tokens: int = TOKENS) -> JointCoder:
    return fitted(Crosscoder, rows, TWO, tokens, width=96, k=3, selection_of=selection)


def likeness(dictionary: JointCoder, site: int, directions: Tensor) -> Tensor:
    """Cosines of directions with what features write at a site."""
    written = dictionary.decoder_directions.split(dictionary.widths, dim=1)[site]
    return normalize(directions, dim=1) @ normalize(written, dim=1).T


def unexplained(y: Tensor, wanted: Tensor, widths: tuple[int, ...]) -> list[float]:
    """FVU at each site."""
    pairs = zip(y.split(widths, dim=1), wanted.split(widths, dim=1), strict=True)
    return [float((a - b).square().sum() / (b - b.mean(0)).square().sum()) for a, b in pairs]


@pytest.mark.parametrize("selection", ["topk", "batch_topk"])
def test_features_are_found_at_both_sites_and_shares_say_whose_they_are(selection) -> None:
    rows, (first, second) = two_sites(SEED)
    found = crosscoder(rows, selection)
    at_both = torch.minimum(
        likeness(found, 0, first[:SHARED]), likeness(found, 1, second[:SHARED])
    ).max(1)
    assert (at_both.values > 0.9).float().mean() > 0.9  # 1
    shares = found.site_shares
    assert (shares[at_both.indices, 0] - 0.5).abs().max() < 0.1  # .002 to .02
    for site, own in ((0, first[SHARED : SHARED + ALONE]), (1, second[SHARED + ALONE :])):
        best = likeness(found, site, own).max(1)
        recovered = best.values > 0.9
        assert recovered.float().mean() > 0.6  # .67 to 1
        assert shares[best.indices[recovered], site].min() > 0.85  # .92 to .99
    x = rows.draw(4096)
    # topk .11 to .14, batch_topk .00 to .03
    assert max(unexplained(found.reconstruct(x), x, LENGTHS)) < (
        0.2 if selection == "topk" else 0.05
    )


def test_sites_that_have_nothing_to_do_with_each_other_share_no_feature() -> None:
    rows, (first, second) = two_sites(SEED, together=False)
    found = crosscoder(rows)
    at_both = torch.minimum(
        likeness(found, 0, first[:SHARED]), likeness(found, 1, second[:SHARED])
    ).max(1)
    assert (at_both.values > 0.9).float().mean() < 0.1  # 0


def layered(seed: int) -> tuple[Rows, Tensor, Tensor]:
    """Three components, of which the last writes what the first one reads; the rows, the directions
    that it reads and those that it writes.
    """
    rng = np.random.default_rng(seed)
    inputs = [draw_directions(rng, CAUSES, LENGTH) for _ in range(3)]
    outputs = [draw_directions(rng, CAUSES, LENGTH) for _ in range(3)]

    def draw(tokens: int) -> Tensor:
        by_layer = [causes(rng, tokens, CAUSES, 1.5) for _ in range(3)]
        read = [strengths @ own for strengths, own in zip(by_layer, inputs, strict=True)]
        written = [by_layer[0] @ outputs[0], by_layer[1] @ outputs[1], by_layer[0] @ outputs[2]]
        return torch.cat([*read, written[0], 3 * written[1], 10 * written[2]], dim=1)

    return Rows(draw, (LENGTH,) * 6), inputs[0], outputs[2]


@pytest.mark.parametrize("selection", ["topk", "batch_topk"])
def test_what_an_early_layer_reads_and_a_late_one_writes_is_one_feature(selection) -> None:
    rows, inputs, outputs = layered(SEED)
    found = fitted(CrossLayerTranscoder, rows, LAYERS, width=72, k=3, selection_of=selection)
    sample = rows.draw(4096)
    x, y = sample[:, : 3 * LENGTH], sample[:, 3 * LENGTH :]
    assert unexplained(found.reconstruct(x), y, found.widths)[2] < 0.15  # .00 to .07
    own = slice(0, 24)  # of the first layer
    best = likeness(found, 2, outputs)[:, own].max(1)
    assert (best.values > 0.9).float().mean() > 0.9  # 1
    # and each reads, of all inputs, most along that of its own output
    read = found.weights.encoder[best.indices] @ inputs.T
    assert (read.argmax(1) == torch.arange(CAUSES)).float().mean() > 0.9  # 1
    shares = found.site_shares[best.indices]
    assert shares[:, 2].min() > 0.4  # .47 to .50
    assert shares[:, 1].max() < 0.1  # .00 to .05
    # nothing writes an earlier layer
    assert found.site_shares[24:, 0].max() == found.site_shares[48:, 1].max() == 0


def test_a_transcoder_of_one_layer_does_not_see_what_an_earlier_one_reads() -> None:
    rows, *_ = layered(SEED)

    def last(tokens: int) -> Tensor:
        sample = rows.draw(tokens)
        return torch.cat([sample[:, 2 * LENGTH : 3 * LENGTH], sample[:, 5 * LENGTH :]], dim=1)

    own = Rows(last, (LENGTH, LENGTH))
    found = fitted(Transcoder, own, LAYERS.parts[2], width=24, k=3)
    sample = own.draw(4096)
    x, y = sample.split(LENGTH, dim=1)
    assert unexplained(found.reconstruct(x), y, (LENGTH,))[0] > 0.95  # 1.00


def test_nothing_that_a_later_layer_reads_is_written_earlier() -> None:
    rows, *_ = layered(SEED)

    def backwards(tokens: int) -> Tensor:
        sample = rows.draw(tokens)
        first, second, third = sample[:, : 3 * LENGTH].split(LENGTH, dim=1)
        return torch.cat([third, second, first, *sample[:, 3 * LENGTH :].split(LENGTH, 1)[::-1]], 1)

    own = Rows(backwards, rows.widths)
    found = fitted(CrossLayerTranscoder, own, LAYERS, width=72, k=3)
    sample = own.draw(4096)
    x, y = sample[:, : 3 * LENGTH], sample[:, 3 * LENGTH :]
    assert unexplained(found.reconstruct(x), y, found.widths)[0] > 0.95  # .98


@pytest.fixture(scope="module")
def small() -> tuple[Rows, JointCoder]:
    rows, _ = two_sites(SEED)
    return rows, crosscoder(rows, "batch_topk", 4096)


def test_scales_of_the_sites_change_nothing_that_is_learned() -> None:
    rows, _ = two_sites(SEED)
    longer, _ = two_sites(SEED)
    by = torch.cat([torch.full((n,), s) for n, s in zip(LENGTHS, (4.0, 0.25), strict=True)])
    scaled = Rows(lambda tokens: longer.draw(tokens) * by, LENGTHS)
    one, other = crosscoder(rows, tokens=4096), crosscoder(scaled, tokens=4096)
    x = rows.draw(256)
    assert torch.equal(one.encode(x).indices, other.encode(x * by).indices)
    torch.testing.assert_close(one.reconstruct(x) * by, other.reconstruct(x * by))
    torch.testing.assert_close(one.site_shares, other.site_shares)


def test_the_part_at_one_site_is_a_dictionary_that_writes_there(small, tmp_path) -> None:
    rows, found = small
    save_dictionary(found, tmp_path, "joint")
    last = load_dictionary(tmp_path, Site("resid_post", 1))
    x = rows.draw(64)
    assert (last.reads, last.writes) == (TWO, Site("resid_post", 1))
    torch.testing.assert_close(last.reconstruct(x), found.reconstruct(x)[:, LENGTHS[0] :])
    for site in (None, TWO):
        again = load_dictionary(tmp_path, site).encode(x).dense(found.width)
        assert torch.equal(again, found.encode(x).dense(found.width))
    with pytest.raises(Mismatch, match=r"resid_post.2 was asked for; leave the site out, or name"):
        load_dictionary(tmp_path, Site("resid_post", 2))


def test_a_cross_layer_transcoder_of_all_layers_is_written_for_circuit_tracer(tmp_path) -> None:
    rows, *_ = layered(SEED)
    settings = {"width": 72, "k": 3, "tokens": 4096}
    found, unlike = (
        fitted(CrossLayerTranscoder, rows, LAYERS, **settings, selection_of=selection)
        for selection in ("batch_topk", "topk")
    )
    save_dictionary(found, tmp_path / "clt", "circuit_tracer_layers")
    x = rows.draw(64)[:, : 3 * LENGTH]
    again = load_dictionary(tmp_path / "clt")
    assert (again.reads, again.writes) == (found.reads, found.writes)
    torch.testing.assert_close(again.reconstruct(x), found.reconstruct(x))
    last = load_dictionary(tmp_path / "clt", LAYERS.parts[2])
    torch.testing.assert_close(last.reconstruct(x), found.reconstruct(x)[:, 2 * LENGTH :])
    with pytest.raises(BadSettings, match="ReLU or JumpReLU, not LargestK; save as joint"):
        save_dictionary(unlike, tmp_path / "other", "circuit_tracer_layers")
    (tmp_path / "clt" / "W_enc_1.safetensors").unlink()
    with pytest.raises(BadInput, match=r"holds the layers 0, 2 of .*every layer from 0 on"):
        load_dictionary(tmp_path / "clt")


def test_random_directions_stand_beside_it_at_the_same_sites(small) -> None:
    rows, found = small
    x = rows.draw(2048)
    rates = found.encode(x).dense(found.width).bool().double().mean(0).numpy()
    drawn = random_dictionary_like(found, x, rates, np.random.default_rng(0))
    assert (drawn.reads, drawn.writes, drawn.widths) == (TWO, TWO, LENGTHS)
    left, learned = (unexplained(each.reconstruct(x), x, LENGTHS) for each in (drawn, found))
    assert min(left) > 1.2 * max(learned)  # .73 to .77, and .50 to .53
    active = drawn.encode(x).used.float().sum(1).mean()
    assert 0.5 < active / found.encode(x).used.float().sum(1).mean() < 1.5


def test_features_that_read_by_site_are_compared_by_what_they_read(small) -> None:
    found = fitted(CrossLayerTranscoder, layered(SEED)[0], LAYERS, tokens=4096, width=72, k=3)
    whole = found.whole_encoder
    assert whole.shape == (72, 3 * LENGTH)
    x = torch.randn(8, 3 * LENGTH)
    read = read_in_blocks(x, found.weights.encoder, found.weights.encoder_bias)
    torch.testing.assert_close(x @ whole.T + found.weights.encoder_bias, read)
    directions = UnitDirections.of(found)
    assert directions.reads.shape == (72, 3 * LENGTH)
    assert not np.allclose(directions.reads, directions.writes)
    assert small[1].whole_encoder is small[1].weights.encoder


def test_memory_goes_with_what_is_held() -> None:
    widths = [8] * 12 + [8] * 12
    held = CrossLayerTranscoder(width=24, k=4, batch=1).memory(widths)
    assert held == 4 * (4 * 24 * (8 + 96 + 1) + 2 * 24)
    assert Crosscoder(width=24, k=4, batch=1).memory([8, 8]) == 4 * (4 * 24 * (32 + 1) + 2 * 24)
    assert TopK(width=24, k=4, batch=1).memory([8]) == 4 * (4 * 24 * (16 + 1) + 2 * 24)


def test_no_format_of_one_site_takes_it(small, tmp_path) -> None:
    with pytest.raises(BadSettings, match="cross-layer transcoders of every layer from 0 on"):
        save_dictionary(small[1], tmp_path, "circuit_tracer_layers")
    for name in ("sae_lens", "sparsify", "hyperdimensional"):
        with pytest.raises(BadSettings, match=f"cannot be written as {name}, .*choose .*joint"):
            save_dictionary(small[1], tmp_path, name)


@pytest.mark.parametrize(
    "method,site,message",
    [
        (
            Crosscoder(),
            Site("resid_post", 1),
            "is trained on several sites, .* take method = .topk",
        ),
        (CrossLayerTranscoder(), Site("mlp_out", 1), "take method = .transcoder"),
        (CrossLayerTranscoder(), parse_site("mlp_out.1+mlp_out.0"), "the first one first"),
        (CrossLayerTranscoder(width=2047), parse_site("mlp_out.0+mlp_out.1"), "that 2 divides"),
        (CrossLayerTranscoder(), parse_site("attn_out.0+attn_out.1"), "reads must name"),
        (
            CrossLayerTranscoder(reads="mlp_out"),
            parse_site("mlp_out.0+mlp_out.1"),
            "reads what it writes",
        ),
    ],
)
def test_sites_that_do_not_suit_are_refused(method, site, message) -> None:
    with pytest.raises(BadSettings, match=message):
        method.sites(site)


def test_one_site_twice_is_no_joint_site() -> None:
    with pytest.raises(BadInput, match="join two or more that differ"):
        parse_site("resid_post.0+blocks.0.hook_resid_post")
    assert str(parse_site("layers.0 + mlp_out.1")) == "resid_post.0+mlp_out.1"
