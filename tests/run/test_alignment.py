"""Features of two runs go together by where they fire and by what is said of them: all of a
permuted copy do, and independent ones no more than chance.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csc_matrix
from small import ran, reseal

from gloss.decompose.all_pairs import AllPairs
from gloss.decompose.coactivation import SharedTokens, activation_correlations, moved_in_time
from gloss.errors import BadInput, Mismatch
from gloss.run.alignment import (
    COACTIVATION,
    DECODER,
    MEASURES,
    Alignment,
    Closeness,
    Side,
    align_by,
    by_coactivation,
    partner_closeness,
)
from gloss.run.commands.compare import compare_pair
from gloss.run.sources import NamedDictionary
from gloss.store.sealed_json import read_sealed_json, seal_json
from models.servers import serve

TOKENS, FEATURES = 4000, 60


def firing(rng: np.random.Generator, features: int = FEATURES) -> csc_matrix:
    """Features that fire at one token in fifty, each by itself."""
    fires = rng.random((TOKENS, features)) < 0.02
    return csc_matrix((fires * rng.uniform(0.5, 2, fires.shape)).astype(np.float32))


def values(pairs: AllPairs) -> np.ndarray:
    return pairs.some(slice(None), slice(None))


def measured(left: csc_matrix, right: csc_matrix):
    found = Closeness(
        np.arange(left.shape[1]),
        np.arange(right.shape[1]),
        activation_correlations(left, right),
    )
    return found, lambda rng: activation_correlations(left, moved_in_time(right, rng))


def side(folder: Path | str, explainer: str = "") -> Side:
    return Side(str(folder), NamedDictionary.of(str(folder)), explainer)


def test_correlations_are_those_of_numpy(rng):
    left, right = firing(rng, 5), firing(rng, 7)
    wanted = np.corrcoef(left.toarray().T, right.toarray().T)[:5, 5:]
    assert np.allclose(values(activation_correlations(left, right)), wanted, atol=1e-5)
    silent = csc_matrix((TOKENS, 2), dtype=np.float32)
    assert (values(activation_correlations(left, silent)) == 0).all()


def test_a_permuted_copy_that_fires_somewhat_otherwise_is_aligned_whole(rng):
    left, order = firing(rng), rng.permutation(FEATURES)
    right = csc_matrix(left[:, order].multiply(rng.uniform(0.8, 1.2, (TOKENS, 1))))
    found = align_by(COACTIVATION, measured(left, right), rng)
    assert (order[found.right] == found.left).all()
    assert found.share(0.9).value == 1
    assert found.share_by_chance(0.5) == 0


def test_features_that_fire_independently_share_what_chance_shares(rng):
    found = align_by(COACTIVATION, measured(firing(rng), firing(rng, 80)), rng)
    assert len(found) == FEATURES
    assert found.share(0.5).value == found.share_by_chance(0.5) == 0
    assert found.closeness.mean() == pytest.approx(found.by_chance.mean(), abs=0.02)


def test_what_is_moved_in_time_fires_as_often_elsewhere(rng):
    one = firing(rng)
    moved = moved_in_time(one, rng)
    assert (np.diff(moved.indptr) == np.diff(one.indptr)).all()
    assert values(activation_correlations(one, moved)).max() < 0.2
    assert one.has_canonical_format


def partners(left: np.ndarray, right: np.ndarray) -> Alignment:
    ones = np.ones(len(left), np.float32)
    none = ones[:0], ones[:0], left[:0]
    return Alignment(DECODER, "hungarian", len(left), left, right, ones, ones, *none)


def test_matched_pairs_are_closer_than_shuffled_ones_where_they_mean_the_same(rng):
    meaning, noise = rng.normal(size=(2, 50, 20))
    left = np.arange(50) * 3  # features' indices are not rows
    order = rng.permutation(50)
    unit = [
        (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        for rows in (meaning, meaning + noise)
    ]
    cosines = Closeness(left, left + 1, AllPairs.of_directions(*unit))
    same = partner_closeness(partners(left[order], left[order] + 1), cosines, rng)
    assert (same.pairs, same.matched.value) == (50, pytest.approx(0.7, abs=0.08))
    assert same.shuffled.low < 0.02 < same.matched.low
    assert same.difference.low > 0.5
    wrong = partner_closeness(partners(left, np.roll(left, 7) + 1), cosines, rng)
    assert wrong.difference.low < 0 < wrong.difference.high
    few = partner_closeness(partners(left[:9], left[:9] + 1), cosines, rng)
    assert few.pairs == 9
    assert np.isnan(few.matched.value)


def test_features_keep_their_numbers_whatever_the_order(small_run, rng):
    left, right = side(small_run / "out"), side(small_run / "out")
    live = left.run.live
    assert len(live) > 100
    right.run.__dict__["live"] = rng.permutation(live)
    found = align_by(COACTIVATION, by_coactivation(left, right), rng)
    assert found.left.tolist() == live.tolist()
    alike = found.closeness > 0.999
    assert alike.mean() > 0.95
    twins = found.left != found.right  # features that fire at the same tokens as another
    assert twins.mean() < 0.05


def test_runs_of_which_one_read_more_of_the_same_text_are_compared_on_what_both_read(small_run):
    corpus = side(small_run / "out").run.corpus
    half = len(corpus) // 2
    shorter = replace(corpus, tokens=corpus.tokens[:half], left_out=np.array([3, half - 1]))
    assert len(SharedTokens.of(corpus, shorter)) == corpus.counted[:half].sum() - 2
    other = shorter.tokens.copy()
    other[7] = (other[7] + 1) % len(corpus.vocabulary)
    with pytest.raises(Mismatch, match=r"token 7 of [\d,]+ is the first that differs"):
        SharedTokens.of(corpus, replace(shorter, tokens=other))
    order = np.random.default_rng(0).permutation(len(corpus.vocabulary))
    renumbered = replace(
        shorter,
        tokens=order[shorter.tokens].astype(np.int32),
        vocabulary=replace(
            corpus.vocabulary,
            pieces=tuple(corpus.vocabulary.pieces[i] for i in np.argsort(order)),
        ),
    )
    assert len(SharedTokens.of(corpus, renumbered)) == len(SharedTokens.of(corpus, shorter))


@pytest.fixture
def layers(small_run, tmp_path) -> list[Path]:
    """The small run as if it had been read at three layers."""
    folders = [tmp_path / f"layer{layer}" for layer in range(3)]
    for layer, folder in enumerate(folders):
        shutil.copytree(small_run / "out", folder)
        manifest = next(folder.glob("collect/*/activations/manifest.json"))
        made_from = read_sealed_json(manifest)["made_from"]
        reseal(manifest, made_from=made_from | {"site": f"resid_post.{layer}"})
    return folders


def test_the_command_compares_runs_in_every_way_and_by_distance(layers, tmp_path):
    with serve() as server:
        for folder in layers:
            written = read_sealed_json(folder / "experiment.json")
            written["experiment"]["embeddings"] |= {"model": "m", "base_url": server.base_url}
            (folder / "experiment.json").write_bytes(seal_json(written))
        status, out, err = ran(tmp_path, "compare", *map(str, layers), "--out", "shared.html")
    assert status == 0, err
    assert "Overlap by distance" in out
    told = " ".join(out.split())
    explained = len(side(layers[0]).texts)
    assert f"of the {explained} and {explained} that are explained" in told
    assert "(≥ 0.5) both are explained in" in told
    assert "does not tell partners from others" not in told  # they are the same
    record = json.loads((tmp_path / "shared.json").read_text())["pairs"]
    assert len(record) == 3
    for pair in record:
        assert pair["impossible"] == {}
        by = {found["by"]: found for found in pair["alignments"]}
        assert by["weights"]["shared"]["0.9"]["value"] == 1
        assert by["coactivation"]["shared"]["0.9"]["value"] == 1
        assert by["coactivation"]["by_chance"]["0.5"] < 0.05
        assert by["explanations"]["shared"]["0.9"]["value"] == 1
    page = (tmp_path / "shared.html").read_text()
    for said in ("Overlap by distance", "Partners by other measures", "cosine of explanations"):
        assert said in page


def test_what_cannot_be_compared_says_why_and_the_rest_is(small_run, tmp_path):
    shutil.copytree(small_run / "out", tmp_path / "other")
    for part in (tmp_path / "other").glob("explain/*"):
        shutil.rmtree(part)
    one, other = side(small_run / "out"), side(tmp_path / "other")
    found = compare_pair(one, other, (), "", np.random.default_rng(0))
    assert [each.way for each in found.alignments] == ["weights", "coactivation"]
    assert "has no explanation by rule" in str(found.impossible["explanations"])
    with pytest.raises(BadInput, match="has no explanation by rule"):
        compare_pair(one, other, ("explanations",), "", np.random.default_rng(0))
    with pytest.raises(BadInput, match="embedded is no run, so nobody knows where"):
        MEASURES["coactivation"](one, side("embedded"))


def test_a_way_that_there_is_not_is_refused_with_what_was_meant(small_run, tmp_path):
    run = str(small_run / "out")
    status, _, err = ran(tmp_path, "compare", run, run, "--by", "coactivations")
    assert status == 2
    assert "cannot be compared by 'coactivations'; did you mean 'coactivation'?" in err
