"""Methods that compute and do not train: what each finds where it must win, and what it misses
where it must fail.

Bounds lie outside what seeds 0 to 4 gave, which a comment beside each states.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from planted_vectors import Planted, draw_directions, superposed, unexplained

from gloss.decompose.difference_of_means import means_apart
from gloss.decompose.local_interaction_basis import interaction_basis
from gloss.decompose.pca import PrincipalComponents
from gloss.decompose.semi_nmf import SemiNMF
from gloss.decompose.supervised import Supervised, label_means
from gloss.errors import BadInput, BadSettings
from gloss.models.sites import Site

SITE = Site("resid_post", 0)
SEED = 0


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def noise(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def fitted(method, planted: Planted):
    return method.fit(iter(planted), SITE, np.random.default_rng(SEED + 100))


def cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(left, right, dim=0))


def labelled(rng: np.random.Generator, number: int = 400) -> tuple[torch.Tensor, ...]:
    """Vectors with a label that moves them by 1 along one direction, and a spurious direction along
    which they vary five times as much.
    """
    label, spurious = draw_directions(rng, 2, 64)
    positive = torch.from_numpy(rng.random(number) < 0.5)
    x = 0.1 * noise(rng, number, 64) + positive[:, None] * label
    return x + 5 * noise(rng, number, 1) * spurious, positive, label


def test_difference_of_means_finds_a_label_beside_a_spurious_variance_that_pca_finds(rng) -> None:
    x, positive, label = labelled(rng, 4000)
    found = means_apart(x, positive, SITE)
    first = PrincipalComponents(1, tokens=4000).fit(iter([x]), SITE, rng, massive=0.0)
    assert cosine(found.decoder_directions[0], label) > 0.9  # .964 to 1
    assert abs(cosine(first.decoder_directions[0], label)) < 0.4  # .04 to .18
    codes = found.encode(x).dense(2)
    assert bool((codes.min(1).values == 0).all())


def test_difference_of_means_misses_a_label_that_moves_no_mean(rng) -> None:
    direction = draw_directions(rng, 1, 64)[0]
    positive = torch.from_numpy(rng.random(4000) < 0.5)
    side = torch.from_numpy(np.where(rng.random(4000) < 0.5, 1.0, -1.0).astype(np.float32))
    x = 0.1 * noise(rng, 4000, 64) + (side * positive)[:, None] * direction
    found = means_apart(x, positive, SITE)
    values = found.encode(x).dense(2)[:, 0]
    right = float(((values > 0) == positive).float().mean())
    assert right < 0.7
    with pytest.raises(BadInput, match="the same mean"):
        means_apart(torch.ones(4, 8), torch.tensor([True, True, False, False]), SITE)


def test_supervised_takes_labels_apart_whose_means_overlap(rng) -> None:
    shared, *own = draw_directions(rng, 5, 32)
    names = ["ant", "bee", "cat", "dog"]
    numbers = rng.integers(0, 4, 2000)
    # bee is half of what ant is, and something else
    means = torch.stack([own[0], 0.6 * own[0] + own[1], own[2] + shared, own[3] - shared])
    x = means[torch.from_numpy(numbers)] + 0.05 * noise(rng, 2000, 32) + 3 * shared
    found = label_means(x, [names[number] for number in numbers], SITE)
    codes = found.encode(x)
    assert bool((codes.used.sum(1) == 1).all())
    assert bool((codes.dense(4).argmax(1).numpy() == numbers).all())
    torch.testing.assert_close(
        found.encode(means + 3 * shared).dense(4), torch.eye(4), atol=0.05, rtol=0
    )
    assert unexplained(found, x) < 0.1


def test_supervised_refuses_labels_that_are_made_of_others(rng) -> None:
    line = torch.outer(torch.tensor([0.0, 1.0, 2.0, 3.0]), draw_directions(rng, 1, 8)[0])
    with pytest.raises(BadInput, match="lie in fewer than 3 dimensions"):
        label_means(line, ["a", "b", "c", "d"], SITE)


def test_pca_explains_the_most_that_so_many_directions_can(rng) -> None:
    basis = torch.linalg.qr(noise(rng, 32, 32)).Q
    x = noise(rng, 4000, 32) * torch.linspace(4, 0.5, 32) @ basis.T
    found = PrincipalComponents(8, tokens=4000).fit(iter([x]), SITE, rng, massive=0.0)
    values = torch.linalg.svdvals(x - x.mean(0)).square()
    assert unexplained(found, x) == pytest.approx(float(values[8:].sum() / values.sum()), rel=1e-3)
    assert bool((found.decoder_directions.reshape(8, 2, 32).sum(1).abs() < 1e-6).all())
    fewer = PrincipalComponents(8, keep=2, tokens=4000).fit(iter([x]), SITE, rng, massive=0.0)
    assert fewer.encode(x).indices.shape[1] == 2


def test_pca_finds_no_direction_of_a_superposition(rng) -> None:
    planted = superposed(rng, 64, 32, 4)
    assert planted.recovered(fitted(PrincipalComponents(32), planted)) < 0.05


def test_a_local_interaction_basis_holds_no_more_directions_than_dimensions(rng) -> None:
    """Also where the next module reads each of them by a neuron of its own."""
    planted = superposed(rng, 64, 32, 4)
    x = planted.sample().double()
    active = (x @ planted.directions.double().T > 0.5).double().mean(0)  # of relu(d x - 1/2)
    effects = (planted.directions.T.double() * active) @ planted.directions.double()
    found = interaction_basis(x, effects, SITE, 64)
    assert found.width == 2 * 32
    assert unexplained(found, x.float()) < 1e-4
    read = torch.nn.functional.normalize(found.encoder, dim=1)
    assert float(((planted.directions @ read.T).amax(1) > 0.9).float().mean()) < 0.05  # 0
    with pytest.raises(BadInput, match="has an effect"):
        interaction_basis(x, torch.zeros_like(effects), SITE, 64)


def groups(rng: np.random.Generator) -> Planted:
    """Ten groups of 8 of 256 neurons, of either sign, and nonnegative mixtures of them."""
    directions = np.zeros((10, 256), np.float32)
    for row in directions:
        row[rng.choice(256, 8, replace=False)] = rng.uniform(0.5, 1.5, 8) * rng.choice([-1, 1], 8)

    def strengths() -> np.ndarray:
        return (rng.random((512, 10)) < 0.2) * rng.uniform(0.5, 1.5, (512, 10))

    return Planted(torch.from_numpy(directions), strengths)


def test_semi_nmf_finds_groups_of_neurons_that_mix(rng) -> None:
    planted = groups(rng)
    method = SemiNMF(10, kept=8 / 256, tokens=1024, iterations=200)
    found = fitted(method, planted)
    truth = torch.nn.functional.normalize(planted.directions, dim=1)
    cosines = (truth @ found.decoder_directions.T).amax(1)
    components = fitted(PrincipalComponents(10), planted).decoder_directions
    # .909 to 1: at times two directions share a group, and one is missed; PCA .71 to .81
    assert float(cosines.mean()) > 0.87
    assert unexplained(found, planted.sample()) < 0.2  # 0 to .118
    assert float((truth @ components.T).amax(1).mean()) < 0.84
    assert bool(((found.decoder_directions != 0).sum(1) <= 8).all())


def test_semi_nmf_misses_more_directions_than_dimensions(rng) -> None:
    planted = superposed(rng, 64, 32, 4)
    found = fitted(SemiNMF(32, kept=1.0, tokens=1024, iterations=100), planted)
    assert planted.recovered(found) < 0.2
    with pytest.raises(BadSettings, match="width=64 directions of vectors of 32 numbers"):
        fitted(SemiNMF(64), planted)


@pytest.mark.parametrize(
    "text,message",
    [
        ('{"text": "a", "label": 1}', "1 texts and 1 labels"),
        ("a, 1", "line 1 must be an object"),
        ('{"text": "a"}', "line 1 must be an object"),
        ('{"text": "", "label": 1}', "give a text, and label"),
        ('{"text": "a", "label": ["b"]}', "give a text and one label"),
    ],
)
def test_files_without_labelled_texts_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text(text)
    with pytest.raises(BadInput, match=message):
        Supervised(texts=str(tmp_path / "texts.jsonl")).require_files()
    with pytest.raises(BadInput, match="no file here"):
        Supervised(texts=str(tmp_path / "none.jsonl")).require_files()


@pytest.mark.parametrize(
    "kind,settings,message",
    [
        (PrincipalComponents, {"components": 4, "keep": 5}, "keep=5 of components=4"),
        (SemiNMF, {"kept": 0.0}, "a share above 0"),
        (Supervised, {"at": "first"}, '"last" or "mean"'),
    ],
)
def test_settings_that_cannot_be_are_refused(kind, settings, message) -> None:
    with pytest.raises(BadSettings, match=message):
        kind(**settings)
