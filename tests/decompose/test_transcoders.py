"""What transcoders find where an autoencoder of the output cannot, and what they cannot predict.

Bounds lie outside what seeds 0 to 3 gave, which a comment beside each states.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from planted_vectors import AT_ONCE, draw_directions
from torch import Tensor

from gloss.decompose.topk import TopK
from gloss.decompose.transcoder import SkipTranscoder, Transcoder
from gloss.errors import BadInput, BadSettings, Mismatch
from gloss.models.dictionary import SparseCoder
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.sites import Site

SITE = Site("mlp_out", 0)
CAUSES, D_IN, D_OUT, WIDTH, K = 48, 32, 32, 64, 2
LEARNING = {
    "tokens": 60_000,
    "batch": 512,
    "learning_rate": 2e-2,
    "dead_after_tokens": 10_000,
    "auxiliary_k": 16,
}
RANK = 8
SEED = 0


@dataclass(frozen=True)
class Component:
    """What a planted component reads and writes: causes, and the input and the output of them."""

    rng: np.random.Generator
    read: Callable[[Tensor], Tensor]
    write: Callable[[Tensor], Tensor]
    widths: tuple[int, ...] = (D_IN, D_OUT)

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        return torch.cat(self.draw(AT_ONCE)[1:], dim=1)

    def draw(self, tokens: int) -> tuple[Tensor, Tensor, Tensor]:
        on = self.rng.random((tokens, CAUSES)) < K / CAUSES
        strengths = on * (0.5 + self.rng.random((tokens, CAUSES)))
        causes = torch.from_numpy(strengths.astype(np.float32))
        return causes, self.read(causes), self.write(causes)


def crowded_outputs(seed: int, linear: float = 0.0) -> Component:
    """Causes that write directions in RANK dimensions, where they lie too close to be told apart;
    with something linear in the input besides.
    """
    rng = np.random.default_rng(seed)
    inputs, outputs = draw_directions(rng, CAUSES, D_IN), draw_directions(rng, CAUSES, RANK)
    within = draw_directions(rng, RANK, D_OUT)
    path = torch.from_numpy(rng.standard_normal((D_IN, D_OUT), dtype=np.float32)) * linear

    def write(causes: Tensor) -> Tensor:
        return causes @ outputs @ within + causes @ inputs @ path

    return Component(rng, lambda causes: causes @ inputs, write)


def told_apart(features: Tensor, causes: Tensor) -> float:
    """The share of causes with a feature that correlates with it by more than .8."""
    both = torch.corrcoef(torch.cat([causes, features], dim=1).T).nan_to_num()
    return float((both[:CAUSES, CAUSES:].amax(1) > 0.8).float().mean())


def left_over(dictionary: SparseCoder, x: Tensor, y: Tensor) -> float:
    """FVU of the output."""
    error = dictionary.reconstruct(x) - y
    return float(error.square().sum() / (y - y.mean(0)).square().sum())


def fitted(method, rows) -> SparseCoder:
    return method.fit(iter(rows), SITE, np.random.default_rng(SEED + 100))


def features_of(dictionary: SparseCoder, x: Tensor) -> Tensor:
    return dictionary.encode(x).dense(WIDTH)


def outputs_of(component: Component) -> Iterator[Tensor]:
    """Rows of what the component writes alone."""
    return (row[:, D_IN:] for row in component)


@pytest.mark.parametrize("selection", ["topk", "batch_topk"])
def test_causes_that_the_output_does_not_tell_apart_have_features_of_their_own(selection) -> None:
    component = crowded_outputs(SEED)
    coder = fitted(Transcoder(WIDTH, K, selection_of=selection, **LEARNING), component)
    of_output = fitted(TopK(WIDTH, K, **LEARNING), outputs_of(component))
    causes, x, y = component.draw(4096)
    assert told_apart(features_of(coder, x), causes) > 0.6  # .69 to .88
    assert told_apart(features_of(of_output, y), causes) < 0.1  # 0
    # both reconstruct: .16 to .17 against .10 to .21
    assert left_over(of_output, y, y) < 0.25 > left_over(coder, x, y)


def test_a_skip_path_takes_what_is_linear_and_leaves_the_rest_to_features() -> None:
    component = crowded_outputs(SEED, linear=0.5)
    plain, skip = (
        fitted(kind(WIDTH, K, **LEARNING), component) for kind in (Transcoder, SkipTranscoder)
    )
    _, x, y = component.draw(4096)
    assert left_over(skip, x, y) < 0.2 * left_over(plain, x, y)  # .01 of .17 to .19


def test_a_skip_path_leaves_no_feature_where_all_is_linear() -> None:
    rng = np.random.default_rng(SEED)
    inputs = draw_directions(rng, CAUSES, D_IN)
    path = torch.from_numpy(rng.standard_normal((D_IN, D_OUT), dtype=np.float32))
    component = Component(rng, lambda c: c @ inputs, lambda c: c @ inputs @ path)
    plain, skip = (
        fitted(kind(WIDTH, K, **LEARNING), component) for kind in (Transcoder, SkipTranscoder)
    )
    causes, x, y = component.draw(4096)
    assert left_over(skip, x, y) < 0.01 < left_over(plain, x, y)
    found = [told_apart(features_of(coder, x), causes) for coder in (plain, skip)]
    assert found[1] < 0.3 < found[0]  # 0, and .79 to .92


def test_nothing_that_comes_from_other_positions_is_predicted() -> None:
    rng = np.random.default_rng(SEED)
    inputs, outputs = draw_directions(rng, CAUSES, D_IN), draw_directions(rng, CAUSES, D_OUT)
    component = Component(rng, lambda c: c @ inputs, lambda c: c.roll(1, 0) @ outputs)
    coder = fitted(Transcoder(WIDTH, K, **LEARNING), component)
    of_output = fitted(TopK(WIDTH, K, **LEARNING), outputs_of(component))
    _, x, y = component.draw(4096)
    assert left_over(coder, x, y) > 0.98  # 1.00
    assert left_over(of_output, y, y) < 0.3  # .19


@pytest.mark.parametrize(
    "kind,selection,formats",
    [
        (Transcoder, "topk", ("sparsify", "circuit_tracer")),
        (SkipTranscoder, "topk", ("sparsify", "circuit_tracer")),
        (Transcoder, "batch_topk", ("sae_lens", "circuit_tracer")),
        (SkipTranscoder, "batch_topk", ("sae_lens", "circuit_tracer")),
    ],
)
def test_what_is_trained_is_kept_in_the_formats_of_other_libraries(
    kind, selection, formats, tmp_path
) -> None:
    component = crowded_outputs(SEED)
    short = LEARNING | {"tokens": 4096}
    coder = fitted(kind(WIDTH, K, selection_of=selection, **short), component)
    _, x, _ = component.draw(64)
    for name in formats:
        save_dictionary(coder, tmp_path / name, name)
        for site in (None, SITE):
            again = load_dictionary(tmp_path / name, site)
            assert (again.reads, again.writes) == (Site("mlp_in", 0), SITE)
            torch.testing.assert_close(again.reconstruct(x), coder.reconstruct(x))


@pytest.mark.parametrize(
    "settings,site,message",
    [
        ({"selection_of": "token"}, SITE, 'must be "topk" or "batch_topk"'),
        ({}, Site("attn_out", 1), "reads must name the kind of site"),
        ({"reads": "mlp_out"}, SITE, "is an autoencoder"),
        ({"reads": "resid_mid"}, SITE, 'set selection_of = "batch_topk"'),
    ],
)
def test_sites_that_do_not_make_a_transcoder_are_refused(settings, site, message) -> None:
    with pytest.raises(BadSettings, match=message):
        Transcoder(**settings).sites(site)
    with pytest.raises(BadInput, match="resid_mix"):
        Transcoder(reads="resid_mix")


def test_input_and_output_may_be_of_unequal_length() -> None:
    rng = np.random.default_rng(SEED)
    inputs, outputs = draw_directions(rng, CAUSES, 24), draw_directions(rng, CAUSES, 16)
    component = Component(rng, lambda c: c @ inputs, lambda c: c @ outputs, (24, 16))
    method = SkipTranscoder(
        WIDTH, K, reads="z", selection_of="batch_topk", **LEARNING | {"tokens": 2048}
    )
    coder = method.fit(component, Site("attn_out", 1), rng)
    assert (coder.reads, coder.d_in, coder.d_out) == (Site("z", 1), 24, 16)
    with pytest.raises(Mismatch, match="2 sites side by side"):
        method.fit(iter([torch.randn(4096, 41)]), Site("attn_out", 1), rng)
