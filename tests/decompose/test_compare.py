"""Shared features: all of a permuted copy, none of a random one, and whoever agrees on one side
only is not shared.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from gloss.decompose.all_pairs import AllPairs
from gloss.decompose.feature_matching import Hungarian, UnitDirections, match_features
from gloss.decompose.partner_search import assign, mutual_nearest
from gloss.errors import BadSettings, Mismatch
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.formats import save_dictionary
from gloss.models.sites import Site
from gloss.models.sparse_codes import LargestK
from gloss.run.commands.compare import print_dictionary_comparison

SITE = Site("resid_post", 0)


def dictionary(rng: np.random.Generator, width: int = 48, d: int = 32) -> SparseCoder:
    encoder, decoder_directions = (
        torch.from_numpy(rng.standard_normal((width, d), dtype=np.float32)) for _ in range(2)
    )
    return SparseCoder(
        SITE,
        SITE,
        Weights(encoder, torch.zeros(width), decoder_directions, torch.zeros(d)),
        LargestK(4),
    )


def rearranged(
    one: SparseCoder, encoder: np.ndarray, decoder_directions: np.ndarray
) -> SparseCoder:
    """The same features in another order; lengths do not matter."""
    rows, decoder_directions = (
        3 * one.weights.encoder[encoder],
        one.weights.decoder_directions[decoder_directions] / 2,
    )
    return replace(
        one, weights=Weights(rows, torch.zeros(len(rows)), decoder_directions, one.weights.bias)
    )


def test_a_permuted_copy_shares_every_feature_and_each_finds_itself(rng):
    one, order = dictionary(rng), rng.permutation(48)
    found = match_features(UnitDirections.of(one), UnitDirections.of(rearranged(one, order, order)))
    assert found.shared(0.999).all()
    assert (order[found.by_reading] == np.arange(48)).all()


def test_a_random_one_shares_nothing(rng):
    one = UnitDirections.of(dictionary(rng))
    assert not match_features(one, UnitDirections.of(dictionary(rng))).shared().any()
    assert not match_features(one, one.random_twin(rng)).shared().any()


def test_features_that_write_alike_and_read_elsewhere_are_not_shared(rng):
    one, order = dictionary(rng), rng.permutation(48)
    moved = np.flatnonzero(order != np.roll(order, 1))
    found = match_features(
        UnitDirections.of(one), UnitDirections.of(rearranged(one, np.roll(order, 1), order))
    )
    assert np.allclose(found.writing, 1, atol=1e-5)
    assert not found.shared()[order[moved]].any()


def test_a_smaller_dictionary_leaves_features_without_a_partner(rng):
    one = dictionary(rng)
    found = match_features(
        UnitDirections.of(one), UnitDirections.of(rearranged(one, np.arange(20), np.arange(20)))
    )
    assert found.shared().sum() == 20
    assert (found.by_reading[20:] == -1).all()
    assert np.isnan(found.writing[20:]).all()


def test_partners_are_one_to_one_where_the_nearest_is_wanted_twice():
    rows = np.array([[1, 0], [0.9, np.sqrt(1 - 0.81)]], np.float32)
    other = np.array([[1, 0], [0, 1]], np.float32)
    found = match_features(UnitDirections(rows, rows), UnitDirections(other, other))
    assert found.by_reading.tolist() == [0, 1]
    assert found.shared().tolist() == [True, False]


def test_dictionaries_of_other_widths_of_sites_are_refused(rng):
    with pytest.raises(Mismatch, match="read vectors of 32 numbers and the other's of 16"):
        match_features(UnitDirections.of(dictionary(rng)), UnitDirections.of(dictionary(rng, d=16)))


def test_features_too_many_to_hold_all_pairs_have_the_same_partners_and_a_gap_is_stated(rng):
    one, order = dictionary(rng), rng.permutation(48)
    noisy = rearranged(one, order, order)
    noise = torch.from_numpy(rng.standard_normal((48, 32), dtype=np.float32))
    noisy.weights.decoder_directions.add_(noise, alpha=0.1)
    sides = UnitDirections.of(one), UnitDirections.of(noisy)
    exactly = match_features(*sides)
    found = match_features(*sides, Hungarian(exact=10))
    assert exactly.gap == 0
    assert 0 <= found.gap < 0.001
    assert (found.by_writing == exactly.by_writing).all()
    assert (found.by_reading == exactly.by_reading).all()
    assert found.shared().all()
    with pytest.raises(ValueError, match="gap is a share, at least 0 and below 1, got 2"):
        Hungarian(gap=2.0)


def test_the_report_tells_what_is_shared_beside_chance(rng, tmp_path, capsys):
    one = dictionary(rng)
    for name, each in {
        "a": one,
        "b": rearranged(one, np.arange(48), np.arange(48)),
        "c": dictionary(rng),
    }.items():
        save_dictionary(each, tmp_path / name)
    print_dictionary_comparison([str(tmp_path / name) for name in "abc"], "", 0)
    told = capsys.readouterr().out
    assert told.count("≥ 0.7") == 3
    assert "1.000" in told
    with pytest.raises(BadSettings, match="was given 1 dictionary"):
        print_dictionary_comparison([str(tmp_path / "a")], "", 0)


def test_partners_are_the_same_however_many_pairs_are_computed_at_a_time(rng):
    one, other = (UnitDirections.of(dictionary(rng, width)).writes for width in (48, 40))
    for left, right in ((one, other), (other, one)):
        cosines = left @ right.T
        for tile in ((256, 2048), (5, 7)):
            pairs = replace(AllPairs.of_directions(left, right), tile=tile)
            rows, columns = linear_sum_assignment(cosines, maximize=True)
            found = assign(pairs)
            partner, close = found.of_left, found.closeness
            assert partner[rows].tolist() == columns.tolist()
            assert np.allclose(close[rows], cosines[rows, columns], atol=1e-6)
            assert (partner >= 0).sum() == 40
            found = mutual_nearest(pairs)
            partner, close = found.of_left, found.closeness
            nearest, back = cosines.argmax(1), cosines.argmax(0)
            mutual = back[nearest] == np.arange(len(left))
            assert partner.tolist() == np.where(mutual, nearest, -1).tolist()
            assert np.allclose(close[mutual], cosines.max(1)[mutual], atol=1e-6)
            assert np.isnan(close[~mutual]).all()
            square = cosines[np.ix_(rows, columns)]
            assert np.allclose(pairs.some(rows, columns), square, atol=1e-6)


@pytest.mark.parametrize("matcher", ["mutual_nearest", ""])
def test_half_of_the_features_are_shared_whoever_finds_them(
    rng, tmp_path, monkeypatch, capsys, matcher
):
    """By who is nearest to each other, and by an assignment of what does not fit into memory."""
    if not matcher:
        monkeypatch.setattr("gloss.run.alignment.build_method", lambda *_: Hungarian(exact=40))
    one, order = dictionary(rng), rng.permutation(48)
    half = np.where(np.arange(48) < 24, 1, -1)[:, None]  # the others point elsewhere
    rows = (one.weights.encoder * torch.from_numpy(half).float())[order]
    other = replace(one, weights=Weights(rows, torch.zeros(48), rows, one.weights.bias))
    same = replace(one, weights=replace(one.weights, decoder_directions=one.weights.encoder))
    for name, each in {"a": same, "b": other, "c": dictionary(rng)}.items():
        save_dictionary(each, tmp_path / name)
    page = tmp_path / "page.html"
    print_dictionary_comparison([str(tmp_path / name) for name in "abc"], "", 0, matcher, page=page)
    told = " ".join(capsys.readouterr().out.split())
    said = "mutual_nearest: partners are each" if matcher else "reach at least 99.9"
    assert said in told
    (pair, *others) = json.loads(page.with_suffix(".json").read_text())["pairs"]
    [found] = pair["alignments"]
    assert (found["matcher"], found["features"]) == (matcher or "hungarian", 48)
    assert (found["gap"] is None) == (matcher == "mutual_nearest")
    assert found["shared"]["0.9"]["value"] == 0.5
    shared = {each["left"]: each["right"] for each in found["partners"] if each["shared"]}
    assert {order[right] for left, right in shared.items()} == set(range(24)) == set(shared)
    assert all(each["alignments"][0]["shared"]["0.7"]["value"] == 0 for each in others)


NEAREST = """
from dataclasses import dataclass
from gloss.decompose.feature_matching import FeaturePartners

@dataclass(frozen=True)
class Nearest:
    def match(self, left, right):
        found = []
        for side in ("reads", "writes"):
            cosines = getattr(left, side) @ getattr(right, side).T
            found.append((cosines.argmax(1), cosines.max(1)))
        (by_reading, reading), (by_writing, writing) = found
        return FeaturePartners(by_reading, by_writing, reading, writing)
"""


def test_a_matcher_of_another_package_finds_the_partners(rng, tmp_path, install, capsys):
    """Here one that gives two features the same partner, which an assignment never does."""
    install("nearest", NEAREST, "gloss.match", nearest="nearest:Nearest")
    one = dictionary(rng)
    save_dictionary(one, tmp_path / "a")
    save_dictionary(rearranged(one, np.arange(24), np.arange(24)), tmp_path / "b")
    folders = [str(tmp_path / "b"), str(tmp_path / "a")]
    print_dictionary_comparison(folders, "", 0, "nearest")
    by_nearest = capsys.readouterr().out
    assert "1.000" in by_nearest
    print_dictionary_comparison(folders, "", 0)
    assert capsys.readouterr().out != by_nearest  # chance is smaller where partners may not repeat
    with pytest.raises(BadSettings, match="no method 'nearst'; did you mean 'nearest'"):
        print_dictionary_comparison(folders, "", 0, "nearst")
    install("torn", "import nothing_of_that_name", "gloss.match", torn="torn:Torn")
    with pytest.raises(
        BadSettings, match=r"torn \(gloss.match\) of the package torn cannot be imp"
    ):
        print_dictionary_comparison(folders, "", 0, "torn")
