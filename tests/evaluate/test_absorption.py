"""Absorption of planted letters: one dictionary has a feature a letter that always fires, another
one leaves some words to features of their own.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from collect.tiny import SITE, tiny_dictionary, tiny_subject
from gloss import load_model
from gloss.errors import BadInput, BadSettings
from gloss.evaluate.absorption import FirstLetterAbsorption, LetterAbsorption, draw_words
from gloss.evaluate.measure import Material
from gloss.evaluate.saebench import saebench_result
from gloss.models.dictionary import Normalisation, SparseCoder, Weights
from gloss.models.sites import Site
from gloss.models.sparse_codes import AboveThreshold
from gloss.records import Evaluation, EvaluationRow
from gloss.statistics.logistic import fit_lasso

LETTERS, KINDS, WORDS, D = 4, 3, 240, 20
TEST = np.random.default_rng(1).permutation(WORDS) < WORDS // 4


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The letter and the kind of each word, and its vector: along an axis for its letter and one
    for its kind, with noise. Kinds say nothing of letters.
    """
    rng = np.random.default_rng(0)
    letters, kinds = np.arange(WORDS) % LETTERS, rng.integers(0, KINDS, WORDS)
    vectors = 0.05 * rng.normal(size=(WORDS, D))
    vectors[np.arange(WORDS), letters] += 3.0
    vectors[np.arange(WORDS), LETTERS + kinds] += 2.0
    return letters, kinds, vectors.astype(np.float32)


def dictionary(absorbing: bool) -> SparseCoder:
    """A feature for each letter, and one for each letter with the first kind. Where these absorb,
    they write the letter, too, and the letter's own feature is silent with them.
    """
    read, written = torch.zeros(2 * LETTERS, D), torch.zeros(2 * LETTERS, D)
    for letter in range(LETTERS):
        pair = LETTERS + letter
        read[letter, letter] = written[letter, letter] = 1.0
        read[pair, letter] = read[pair, LETTERS] = 1.0  # 5 where both are there
        written[pair, LETTERS] = 0.4
        if absorbing:
            read[letter, LETTERS] = -3.0
            written[pair, letter] = 0.6
    weights = Weights(read, torch.zeros(2 * LETTERS), written, torch.zeros(D))
    threshold = AboveThreshold(torch.tensor([0.5] * LETTERS + [4.0] * LETTERS))
    return SparseCoder(SITE, SITE, weights, threshold, subtracts_bias=False)


def found(absorbing: bool, most_features: int) -> list[LetterAbsorption]:
    letters, _, vectors = planted()
    method = FirstLetterAbsorption(words=WORDS, most_features=most_features)
    named = np.array(list("abcd"))[letters]
    return list(method.of_vectors(dictionary(absorbing), vectors, named, ~TEST))


def test_letters_whose_features_always_fire_are_not_absorbed() -> None:
    for number, each in enumerate(found(absorbing=False, most_features=10)):
        assert each.probe_f1 > 0.95
        assert each.features.tolist() == [number]
        assert each.fractions.max() == 0
        assert not each.full.any()


def test_words_that_a_feature_of_their_own_takes_are_absorbed() -> None:
    letters, kinds, _ = planted()
    for number, each in enumerate(found(absorbing=True, most_features=1)):
        assert each.features.tolist() == [number]
        share = float((kinds[TEST & (letters == number)] == 0).mean())
        assert 0.1 < share < 0.6
        assert each.full.mean() == pytest.approx(share)
        assert each.fractions.mean() == pytest.approx(share)


def test_what_tells_the_letter_besides_is_its_own_feature_and_absorbs_nothing() -> None:
    for number, each in enumerate(found(absorbing=True, most_features=10)):
        assert set(each.features.tolist()) == {number, LETTERS + number}
        assert not each.full.any()
        assert each.fractions.max() == 0


def test_a_subject_that_has_no_words_says_nothing() -> None:
    material, rng = Material(tiny_subject()), np.random.default_rng(0)
    with pytest.raises(BadInput, match="vocabulary is too small"):
        FirstLetterAbsorption().measure(tiny_dictionary(), material, rng)


def test_codes_count_in_the_scale_in_which_they_are_written() -> None:
    """Vectors ten times as long, which the dictionary normalises: absorption stays what it was."""
    letters, _, vectors = planted()
    named = np.array(list("abcd"))[letters]
    method = FirstLetterAbsorption(words=WORDS, most_features=1)
    normal = Normalisation.CONSTANT_NORM
    normalised = replace(dictionary(absorbing=True), normalisation=normal)
    short, long = (
        list(method.of_vectors(normalised, by * vectors, named, ~TEST)) for by in (1.0, 10.0)
    )
    assert any(each.full.any() for each in short)
    for one, other in zip(short, long, strict=True):
        assert other.full.tolist() == one.full.tolist()
        assert other.fractions == pytest.approx(one.fractions, abs=1e-3)


def test_a_transcoder_is_refused() -> None:
    transcoder = replace(tiny_dictionary(), writes=Site("resid_post", 1))
    material, rng = Material(tiny_subject()), np.random.default_rng(0)
    with pytest.raises(BadInput, match=r"reads resid_post\.0 and writes resid_post\.1"):
        FirstLetterAbsorption().measure(transcoder, material, rng)


def test_one_letter_has_no_spread() -> None:
    with pytest.raises(BadSettings, match="least_letters is 1; give 2 or more"):
        FirstLetterAbsorption(least_letters=1)


def test_a_real_subject_is_asked_about_the_words_of_its_vocabulary() -> None:
    subject = load_model("embedded")
    site = subject.site("resid_post.0")
    rng = np.random.default_rng(0)
    tokens, names = draw_words(subject, 120, rng)
    assert len(tokens) == len(names) == 120
    assert all(name.startswith(" ") and name.strip().isalpha() for name in names)
    d = subject.width_at(site)
    drawn = torch.from_numpy(rng.normal(size=(64, d)).astype(np.float32))
    drawn /= drawn.norm(dim=1, keepdim=True)
    weights = Weights(drawn, torch.zeros(64), drawn, torch.zeros(d))
    random = SparseCoder(site, site, weights, AboveThreshold(torch.zeros(64)))
    method = FirstLetterAbsorption(words=120, examples=2, least_f1=0.0, least_letters=2)
    said = method.measure(random, Material(subject), rng)
    assert 0 <= said.value("absorption_fraction") <= 1
    strict = FirstLetterAbsorption(words=120, examples=2, least_f1=0.999)
    assert "hardly knows first letters" in (
        strict.measure(random, Material(subject), rng).failures[0].reason
    )


def test_saebenchs_names() -> None:
    one = {
        "probe_f1": 0.9,
        "features": [3],
        "words": 10,
        "fraction": 0.2,
        "full": 1,
        "counts": True,
    }
    details = {"a": one, "b": one | {"fraction": 0.4}, "c": one | {"counts": False}}
    kept = Evaluation("absorption", (EvaluationRow.exact("n", 1.0, 1, "letters"),), (), details)
    about = {"model_name": "m", "name": "d"}
    result = saebench_result(kept, dictionary(False), {}, about)
    assert result is not None
    assert result["eval_result_metrics"]["mean"]["mean_absorption_fraction_score"] == (
        pytest.approx(0.3)
    )
    assert [each["first_letter"] for each in result["eval_result_details"]] == ["a", "b"]


def test_a_sparse_regression_leaves_out_what_says_nothing() -> None:
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    x = (rng.random((500, 50)) < 0.1) * rng.gamma(2.0, 10.0, (500, 50))
    positive = (x[:, 3] > 0) | (x[:, 8] > 0)
    weights = fit_lasso(csr_array(x), positive, 0.02)
    assert set(np.argsort(-weights)[:2]) == {3, 8}
    assert (np.abs(weights) > 1e-6).sum() < 20
    assert np.abs(np.delete(weights, [3, 8])).max() < weights[[3, 8]].min() / 5
