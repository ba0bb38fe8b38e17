import dataclasses

import pytest
import torch

from gloss.errors import BadSettings, Mismatch
from gloss.models import dictionary as module
from gloss.models.dictionary import (
    Dictionary,
    Normalisation,
    Scaled,
    SparseCoder,
    Weights,
    require_fit,
)
from gloss.models.neurons import Neurons
from gloss.models.sites import Site
from gloss.models.sparse_codes import AboveThreshold, Codes, LargestK, LargestOfGroups, Positive

SITE = Site("resid_post", 2)
PRE = torch.tensor([[3.0, -1.0, 2.0, 1.0], [-1.0, -2.0, -3.0, 5.0], [-1.0, -1.0, -1.0, -1.0]])


def coder(selection: object, *, d: int = 3, width: int = 8, **settings: object) -> SparseCoder:
    generator = torch.Generator().manual_seed(0)
    drawn = [
        torch.randn(shape, generator=generator)
        for shape in ((width, d), (width,), (width, d), (d,))
    ]
    return SparseCoder(SITE, SITE, Weights(*drawn), selection, **settings)


@pytest.mark.parametrize(
    "selection,expected",
    [
        (LargestK(2), [[3, 0, 2, 0], [0, 0, 0, 5], [0, 0, 0, 0]]),
        (Positive(), [[3, 0, 2, 1], [0, 0, 0, 5], [0, 0, 0, 0]]),
        (
            AboveThreshold(torch.tensor([3.0, 0.0, 1.0, -9.0])),
            [[0, 0, 2, 1], [0, 0, 0, 5], [0, 0, 0, 0]],
        ),
        (LargestOfGroups(2), [[3, 0, 2, 0], [0, 0, 0, 5], [0, 0, 0, 0]]),
    ],
)
def test_each_selection_keeps_what_it_says(selection: object, expected: list) -> None:
    codes = selection.select(PRE)
    assert codes.dense(4).tolist() == expected
    assert codes.used.sum() == torch.tensor(expected).count_nonzero()


def test_ragged_codes_are_as_wide_as_the_fullest_token_and_at_least_one() -> None:
    assert Positive().select(PRE).indices.shape == (3, 3)
    assert Positive().select(-PRE.abs()).indices.shape == (3, 1)
    assert Positive().select(PRE[:0]).indices.shape == (0, 1)


@pytest.mark.parametrize(
    "selection", [LargestK(3), Positive(), AboveThreshold(torch.full((8,), 0.4))]
)
def test_codes_and_reconstruction_equal_dense_arithmetic(selection: object) -> None:
    dictionary = coder(selection)
    x, w = torch.randn(50, 3, generator=torch.Generator().manual_seed(1)), dictionary.weights
    pre = (x - w.bias) @ w.encoder.T + w.encoder_bias
    dense = selection.select(pre).dense(8)
    torch.testing.assert_close(dictionary.encode(x).dense(8), dense)
    torch.testing.assert_close(dictionary.reconstruct(x), dense @ w.decoder_directions + w.bias)


def test_encoding_in_parts_gives_the_same_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    whole = coder(Positive()).encode(x).dense(8)
    monkeypatch.setattr(module, "ENCODED_AT_ONCE", 8 * 7)
    torch.testing.assert_close(coder(Positive()).encode(x).dense(8), whole)


@pytest.mark.parametrize("block", [2**16, 640])
@pytest.mark.parametrize("kind", ["topk", "relu", "jumprelu"])
def test_an_encoder_in_fewer_bits_gives_nearly_the_same_codes_in_32(
    kind: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    exact = coder(KINDS[kind], width=3000, d=16)
    encoder = exact.weights.encoder.to(torch.bfloat16)
    rounded = dataclasses.replace(
        exact, weights=dataclasses.replace(exact.weights, encoder=encoder)
    )
    x = torch.randn(20, 16, generator=torch.Generator().manual_seed(1))
    wanted, found = exact.encode(x), rounded.encode(x)
    assert found.values.dtype == torch.float32
    some = wanted.dense(3000) - found.dense(3000)
    assert 0 < some.norm() < 0.3 * wanted.dense(3000).norm()
    assert rounded.reconstruct(x).dtype == torch.float32


KINDS = {
    "topk": LargestK(5),
    "relu": Positive(),
    "jumprelu": AboveThreshold(torch.linspace(0, 6, 3000)),
    "batchtopk": AboveThreshold(torch.full((3000,), 4.0)),
    "groupmax": LargestOfGroups(6),
    "groupmax of many": LargestOfGroups(1000),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [64, 640, 1000])
def test_a_wide_dictionary_in_blocks_gives_what_it_gives_at_once(
    kind: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dictionary = coder(KINDS[kind], width=3000)
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    whole = dictionary.encode(x)
    monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(module, "ENCODED_AT_ONCE", 7 * block)
    found = dictionary.encode(x)
    assert torch.equal(found.indices * found.used, whole.indices * whole.used)
    torch.testing.assert_close(found.values, whole.values)
    assert found.values.count_nonzero() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_settle_ties_by_the_same_values(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2)
    weights = (  # few distinct sums, each of which is exact
        torch.randint(-2, 3, shape, generator=generator).float()
        for shape in ((3000, 3), (3000,), (3000, 3), (3,))
    )
    dictionary = SparseCoder(SITE, SITE, Weights(*weights), KINDS[kind])
    x = torch.randint(-2, 3, (50, 3), generator=generator).float()
    w = dictionary.weights
    pre = (x - w.bias) @ w.encoder.T + w.encoder_bias
    whole = dictionary.encode(x)
    monkeypatch.setattr(module, "BLOCK", 640)
    found = dictionary.encode(x)
    assert torch.equal(found.values, whole.values)
    assert torch.equal(pre.gather(1, found.indices)[found.used], found.values[found.used])
    for indices, used in zip(found.indices, found.used, strict=True):
        assert len(indices[used].unique()) == used.sum()
    if kind != "topk":  # which of equal features is among the k largest says nothing of them
        assert torch.equal(found.dense(3000), whole.dense(3000))


def test_no_token_gives_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary = coder(LargestK(3))
    assert dictionary.reconstruct(torch.empty(0, 3)).shape == (0, 3)
    monkeypatch.setattr(module, "BLOCK", 4)
    assert dictionary.reconstruct(torch.empty(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("block", [2**16, 4])
def test_a_codes_gradient_reaches_the_input(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    coder(LargestK(3)).reconstruct(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_all_kinds_are_dictionaries() -> None:
    assert isinstance(coder(LargestK(3)), Dictionary)
    assert isinstance(Neurons(0, torch.eye(2), torch.zeros(2)), Dictionary)


def test_vectors_of_another_length_are_refused_with_both_lengths() -> None:
    with pytest.raises(
        Mismatch, match=r"resid_post.2 reads vectors of 3 numbers and was given \(7, 4\)"
    ):
        coder(LargestK(3)).encode(torch.zeros(7, 4))


def test_settings_that_select_nothing_are_refused() -> None:
    with pytest.raises(BadSettings, match="k=0"):
        LargestK(0)
    with pytest.raises(Mismatch, match="4 features cannot be cut into k=3 equal groups"):
        LargestOfGroups(3).select(PRE)


class Model:
    """A subject's shape: residual vectors of 5 numbers, or of 3."""

    def __init__(self, layers: int, d_model: int) -> None:
        self.layers, self.d_model = layers, d_model

    def width_at(self, site: Site) -> int:
        return self.d_model


def test_a_dictionary_fits_a_subject_of_its_shape() -> None:
    require_fit(coder(LargestK(3)), Model(layers=3, d_model=3))


def test_a_wrong_width_is_refused_with_both_shapes() -> None:
    with pytest.raises(
        Mismatch,
        match=(
            r"reads vectors of 3 numbers \(its decoder directions are 8 x 3\).*resid_post.2 holds"
            r" vectors of 5"
        ),
    ):
        require_fit(coder(LargestK(3)), Model(layers=3, d_model=5))


def test_a_site_beyond_the_last_layer_is_refused() -> None:
    with pytest.raises(Mismatch, match=r"reads resid_post.2, and the subject has 2 layers, 0 to 1"):
        require_fit(coder(LargestK(3)), Model(layers=2, d_model=3))


def test_codes_know_which_slots_are_used() -> None:
    codes = Codes(torch.tensor([[1, 0]]), torch.tensor([[2.0, 0.0]]))
    assert codes.used.tolist() == [[True, False]]
    assert len(codes) == 1


@pytest.mark.parametrize("normalisation", list(Normalisation))
def test_a_unit_of_a_feature_adds_its_atom_in_the_scale_of_the_input(normalisation: Normalisation):
    """Two reconstructions that differ in one feature's bias differ by that many scaled
    decoder_directions.
    """
    drawn = torch.Generator().manual_seed(0)
    encoder, decoder_directions, x = (torch.randn(n, 8, generator=drawn) for n in (5, 5, 30))
    biases = torch.full((5,), 100.0), torch.full((5,), 100.0).index_fill(0, torch.tensor(3), 102.5)
    site = Site("resid_post", 0)
    one, other = (
        SparseCoder(
            site,
            site,
            Weights(encoder, bias, decoder_directions, torch.zeros(8)),
            Positive(),
            normalisation=normalisation,
        )
        for bias in biases
    )
    expected = one.reconstruct(x) + 2.5 * one.output_scale(x) * decoder_directions[3]
    torch.testing.assert_close(other.reconstruct(x), expected, rtol=1e-4, atol=1e-2)
    assert isinstance(one, Scaled)
