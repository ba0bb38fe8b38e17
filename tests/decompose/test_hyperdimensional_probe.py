"""A hyperdimensional probe says what fills each role where a vector holds it, not linearly either,
and nothing where it does not.

Bounds lie outside what seeds 0 to 3 gave, which a comment beside each states.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gloss.decompose.hyperdimensional_probe import HyperdimensionalTrainer, ProbeProgress
from gloss.errors import BadInput, BadSettings
from gloss.models.formats import load_dictionary, save_dictionary
from gloss.models.labelled_texts import RoleTexts
from gloss.models.sites import Site

SITE = Site("resid_post", 0)
ROLES, FILLERS, LENGTH = 3, 12, 64
NAMES = ([f"role {n}" for n in range(ROLES)], [f"filler {n}" for n in range(FILLERS)])
SEED = 0


def planted(rng: np.random.Generator, texts: int = 2000) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors in which a sign that is drawn for each turns all fillers round: no filler moves the
    mean, and what a linear reading sees of one is as often its opposite.
    """
    filled = torch.from_numpy(rng.integers(0, FILLERS, (texts, ROLES)))
    held = torch.from_numpy(rng.standard_normal((ROLES, FILLERS, LENGTH), dtype=np.float32))
    sign = torch.from_numpy(rng.choice(np.float32([-1, 1]), (texts, 1)))
    x = sign * sum(held[role][filled[:, role]] for role in range(ROLES))
    noise = torch.from_numpy(rng.standard_normal((texts, LENGTH), dtype=np.float32))
    return torch.tanh(x) + 0.05 * noise, filled


def linear_share(x: torch.Tensor, filled: torch.Tensor) -> float:
    """How many fillers of every fifth vector least squares of all others name."""
    taught = torch.arange(len(x)) % 5 != 0
    ones = torch.ones(len(x), 1)
    there = torch.nn.functional.one_hot(filled, FILLERS).flatten(1).float()
    readings = torch.linalg.lstsq(torch.cat([x, ones], 1)[taught], there[taught]).solution
    likest = (torch.cat([x, ones], 1) @ readings).view(-1, ROLES, FILLERS).argmax(2)
    return float((likest == filled)[~taught].float().mean())


def test_fillers_are_unbound_from_their_roles_where_no_linear_reading_sees_them(tmp_path) -> None:
    rng = np.random.default_rng(SEED)
    x, filled = planted(rng)
    told: list[ProbeProgress] = []
    method = HyperdimensionalTrainer(texts="-", dimension=512, hidden=256, steps=400)
    probe = method.fit_vectors(x, filled, NAMES, SITE, rng, told.append)
    assert told[-1].found.low > 0.95  # 1.000 of 1,200, from .997 on
    assert linear_share(x, filled) < 0.35  # .21 to .23
    assert "by chance 0.083" in str(told[-1])
    codes = probe.encode(x)
    named = codes.indices - torch.arange(ROLES) * FILLERS
    assert float((named == filled).float().mean()) > 0.95
    save_dictionary(probe, tmp_path / "probe", "hyperdimensional")
    again = load_dictionary(tmp_path / "probe")
    assert again.codebook.role_names == tuple(NAMES[0])
    torch.testing.assert_close(again.reconstruct(x), probe.reconstruct(x))


def test_a_probe_names_no_filler_that_the_vectors_do_not_hold() -> None:
    rng = np.random.default_rng(SEED)
    x, filled = planted(rng)
    filled = torch.stack([filled[:, 0], *torch.from_numpy(rng.integers(0, FILLERS, (2, 2000)))], 1)
    told: list[ProbeProgress] = []
    method = HyperdimensionalTrainer(texts="-", dimension=512, hidden=256, steps=400)
    probe = method.fit_vectors(x, filled, NAMES, SITE, rng, told.append)
    # what it has learned by heart is not said of held-out texts: one role of three, and chance
    assert told[-1].found.value < 0.5  # .38 to .40
    # what no text is behind has fillers, too
    other = torch.from_numpy(rng.standard_normal((500, LENGTH), dtype=np.float32))
    assert float(probe.encode(other).used.float().mean()) > 0.4  # .62 to .65


def test_decoder_directions_are_what_a_filler_adds() -> None:
    rng = np.random.default_rng(SEED)
    filled = torch.from_numpy(rng.integers(0, FILLERS, (1000, ROLES)))
    held = torch.from_numpy(rng.standard_normal((ROLES, FILLERS, LENGTH), dtype=np.float32))
    x = sum(held[role][filled[:, role]] for role in range(ROLES))
    method = HyperdimensionalTrainer(texts="-", dimension=256, hidden=8, steps=1)
    probe = method.fit_vectors(x, filled, NAMES, SITE, rng)
    found = probe.decoder_directions.view(ROLES, FILLERS, LENGTH)
    wanted = held - held.mean(1, keepdim=True)
    torch.testing.assert_close(found - found.mean(1, keepdim=True), wanted, rtol=1e-3, atol=1e-3)


def test_texts_that_come_again_count_once(tmp_path: Path) -> None:
    rows = [{"text": text, "roles": {"who": text, "b": "z"}} for text in ("x", "y", "x")]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = RoleTexts.read(str(tmp_path / "texts.jsonl"))
    assert (given.texts, given.role_names) == (("x", "y"), ("b", "who"))
    assert given.filled.tolist() == [[2, 0], [2, 1]]


@pytest.mark.parametrize(
    "line,message",
    [
        ('{"text": "a", "roles": {}}', "roles"),
        ('{"text": "a", "roles": {"who": 1}}', "roles"),
        ('{"text": "a", "roles": {"where": "b"}}', "the roles"),
        ('{"text": "a"}', "must be an object"),
    ],
)
def test_files_without_roles_are_refused(line: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps({"text": "x", "roles": {"who": "y"}}) + "\n" + line)
    with pytest.raises(BadInput, match=message):
        RoleTexts.read(str(file))
    with pytest.raises(BadSettings, match="dimension"):
        HyperdimensionalTrainer(texts=str(file), dimension=0)
