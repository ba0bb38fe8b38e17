"""What several dictionaries share, and what one subject has of another: planted through the command
that a user types.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small import ran

from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.formats import save_dictionary
from gloss.models.sites import Site
from gloss.models.sparse_codes import LargestK
from gloss.run.alignment import Side
from gloss.run.commands.compare import print_dictionary_comparison
from gloss.run.sources import NamedDictionary

SITE = Site("resid_post", 0)
WIDTH, D, COMMON = 60, 40, 24


def dictionary(rows: np.ndarray) -> SparseCoder:
    weights = torch.from_numpy(rows.astype(np.float32))
    zeros = torch.zeros(len(rows)), torch.zeros(rows.shape[1])
    return SparseCoder(SITE, SITE, Weights(weights, zeros[0], weights, zeros[1]), LargestK(4))


@pytest.fixture
def seeds(tmp_path, rng) -> list[str]:
    """Four dictionaries that have some features in common, with noise, in orders of their own, and
    three of which have more.
    """
    common, more = rng.standard_normal((2, COMMON, D))
    for name in "abcd":
        rows = rng.standard_normal((WIDTH, D))
        rows[:COMMON] = common + 0.2 * rows[:COMMON]
        if name != "d":
            rows[COMMON : COMMON + 10] = more[:10]
        save_dictionary(dictionary(rows[rng.permutation(WIDTH)]), tmp_path / name)
    return [str(tmp_path / name) for name in "abcd"]


def compared(tmp_path: Path, *arguments: str) -> tuple[dict, str]:
    status, out, err = ran(tmp_path, "compare", *arguments, "--out", "found.html")
    assert status == 0, err
    return json.loads((tmp_path / "found.json").read_text()), " ".join(out.split())


def test_features_that_all_seeds_have_are_told_from_those_of_some(seeds, tmp_path):
    found, told = compared(tmp_path, *seeds)
    assert "Found in all of them" in told
    by_name = {Path(each["dictionary"]).name: each for each in found["universality"]}
    for name, each in by_name.items():
        in_others = np.array(each["in_others"])
        assert (in_others == 3).sum() == each["agreed"] == COMMON
        assert (in_others == 2).sum() == (0 if name == "d" else 10)
    assert by_name["a"]["by_chance"] == 0
    page = (tmp_path / "found.html").read_text()
    assert 'class="matrix"' in page  # each with each other one


def test_random_dictionaries_share_what_chance_gives(tmp_path, rng):
    for name in "abc":
        save_dictionary(dictionary(rng.standard_normal((WIDTH, D))), tmp_path / name)
    found, _ = compared(tmp_path, *(str(tmp_path / name) for name in "abc"))
    assert all(sum(each["in_others"]) == 0 for each in found["universality"])
    for pair in found["pairs"]:
        [by_weights] = pair["alignments"]
        assert by_weights["shared"]["0.7"]["value"] == by_weights["by_chance"]["0.7"] == 0
        assert max(pair["nearest"]["left_closeness"]) < 0.7


def test_a_turned_dictionary_is_another_and_its_halves_are_wanted_by_one(tmp_path, rng):
    """By weights a rotation hides everything; a feature that two of the other side resemble is
    said to be wanted by several.
    """
    rows = rng.standard_normal((WIDTH, D))
    turn = np.linalg.qr(rng.standard_normal((D, D)))[0]
    twins = np.concatenate([rows + 0.3 * rng.standard_normal(rows.shape) for _ in range(2)])
    for name, each in {"a": rows, "turned": rows @ turn, "twins": twins}.items():
        save_dictionary(dictionary(each), tmp_path / name)
    _, told = compared(tmp_path, str(tmp_path / "a"), str(tmp_path / "turned"))
    assert "│ a in turned │ 0.000" in told
    found, told = compared(tmp_path, str(tmp_path / "a"), str(tmp_path / "twins"))
    near = found["pairs"][0]["nearest"]
    assert near["right"] == [*range(WIDTH), *range(WIDTH)]
    assert "│ a in twins │ 1.000 (0.940 to 1.000) │ 1.000" in told


def test_two_runs_of_one_dictionary_and_subject_show_nothing_that_moved(
    small_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("gloss.decompose.moved_features.FEWEST_DOCUMENTS", 2)
    shutil.copytree(small_run / "out", tmp_path / "again")
    runs, page = [str(small_run / "out"), str(tmp_path / "again")], tmp_path / "found.html"
    print_dictionary_comparison(runs, "", 0, ways=("coactivation",), page=page)
    found = json.loads(page.with_suffix(".json").read_text())
    assert "Features that moved" in capsys.readouterr().out
    for moved in found["moved"]:
        assert moved["tested"] > 20
        assert moved["moved"] == 0
        assert sum(moved["moved_by_chance"]) == 0
    fates = [each["fate"] for side in found["divided"] for each in side["features"]]
    assert set(fates) == {"one"}


def test_two_features_stand_side_by_side_on_the_text_that_both_read(small_run, tmp_path):
    run = "one"
    shutil.copytree(small_run / "out", tmp_path / run)
    one, other = Side(run, NamedDictionary.of(str(tmp_path / run))).run.live[[3, 7]].tolist()
    names = f"{run}@{one}", f"{run}@{other}"
    status, out, err = ran(tmp_path, "compare", names[0], names[0], "--out", "pair.html")
    assert status == 0, err
    told = " ".join(out.split())
    assert "correlation of activations │ 1.000" in told
    assert "cosine of what they write │ 1.000" in told
    page = (tmp_path / "pair.html").read_text()
    assert "Where both fire" in page
    assert "fires alone" not in page  # it is the same feature
    status, out, err = ran(tmp_path, "compare", *names, "--out", "pair.html")
    assert status == 0, err
    assert "correlation of activations │ 1.000" not in " ".join(out.split())
    page = (tmp_path / "pair.html").read_text()
    assert page.count("fires alone") == 2
    rows = page.count('<div class="context')
    assert rows > 4
    assert rows % 2 == 0  # each context stands on both sides
    status, _, err = ran(tmp_path, "compare", names[0], f"{run}@99999999")
    assert status == 2
    assert "is not there: the dictionary of" in err
