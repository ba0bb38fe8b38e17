"""Training by sparsify and SAELens behind `decompose`: what gloss reads of the result is what the
library itself computes, and it learns what is there.

Bounds lie outside what seeds 0 to 2 gave, which a comment beside each states.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "decompose"))
from planted_vectors import superposed, unexplained

from gloss.decompose import foreign_training
from gloss.decompose.fit import TrainingProgress
from gloss.decompose.foreign_training import ForeignTrainer
from gloss.decompose.sae_lens_trainer import SaeLensTrainer
from gloss.decompose.sparsify_trainer import SparsifyTrainer
from gloss.errors import BadSettings
from gloss.models.dictionary import Card
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.sites import Site

SITE, NUMBER, LENGTH, K, SEED = Site("resid_post", 0), 64, 32, 4, 0
LEARNING = {"batch": 512, "dead_after_tokens": 10_000}


def method(kind: type[ForeignTrainer], tokens: int, **settings: float) -> ForeignTrainer:
    if find_spec(kind.package) is None:
        pytest.skip(f"{kind.package} is not installed; pip install 'gloss-lm[interop]'")
    return kind(NUMBER, K, tokens, **LEARNING, **settings)


@pytest.mark.parametrize(
    "kind,rate", [(SparsifyTrainer, 5e-4), (SaeLensTrainer, 1e-2)], ids=["sparsify", "sae_lens"]
)
def test_what_they_learn_is_read_as_they_compute_it(kind, rate, tmp_path) -> None:
    planted = superposed(np.random.default_rng(SEED), NUMBER, LENGTH, K)
    trainer = method(kind, 60_000, learning_rate=rate)
    told: list[TrainingProgress] = []
    batches, rng = (x + 3 for x in planted), np.random.default_rng(SEED + 100)
    found = trainer.fit(batches, SITE, rng, told.append)
    x = planted.sample() + 3
    drawn = torch.randn(2048, LENGTH, generator=torch.Generator().manual_seed(SEED))
    noise = drawn * x.std() + 3  # which has no sparse structure
    assert unexplained(found, x) < 0.5  # sparsify .34 to .36, SAELens .22 to .23
    assert unexplained(found, noise) > 0.55  # .69 and .67
    assert told[-1].fvu == pytest.approx(unexplained(found, x), rel=0.3)
    assert 0 < told[-1].l0 <= K
    save_dictionary(found, tmp_path / "kept")
    again = load_dictionary(tmp_path / "kept")
    assert again.card.tokens == 60_000 // 512 * 512
    torch.testing.assert_close(again.reconstruct(x), found.reconstruct(x))


@pytest.mark.parametrize("kind", [SparsifyTrainer, SaeLensTrainer])
def test_codes_and_reconstructions_are_the_librarys(kind) -> None:
    planted = superposed(np.random.default_rng(SEED), NUMBER, LENGTH, K)
    trainer = method(kind, 10_000)
    x = planted.sample() + 3
    training = trainer.begin(x, (LENGTH,), np.random.default_rng(1))
    for _ in range(20):
        training.step(planted.sample(1) + 3, 1.0)
    found = trainer.made(training, SITE, Card())
    coder, given = training.coder, x * training.scale
    with torch.no_grad():
        if kind is SparsifyTrainer:
            acts, indices, _ = coder.encode(given)
            codes = torch.zeros(len(x), NUMBER).scatter(1, indices, acts)
            made = coder(given).sae_out
        else:
            codes, made = coder.encode(given), coder(given)
    dense = found.encode(x).dense(NUMBER)
    torch.testing.assert_close(dense * training.scale, codes, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.reconstruct(x), made / training.scale, rtol=1e-4, atol=1e-4)


def test_a_library_that_is_not_there_is_named_with_what_brings_it(monkeypatch) -> None:
    monkeypatch.setattr(foreign_training, "find_spec", lambda _: None)
    for kind in (SparsifyTrainer, SaeLensTrainer):
        with pytest.raises(BadSettings, match=rf"pip install 'gloss-lm\[{kind.extra}\]'"):
            kind().require_library()
