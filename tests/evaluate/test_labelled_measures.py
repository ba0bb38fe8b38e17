"""Sparse probing, targeted perturbation and spurious removal on planted words: dictionaries that
know them apart, and dictionaries that do not.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluate.planted_words import labelled, planted_subject, word_features
from gloss.errors import BadInput, BadSettings
from gloss.evaluate import text_codes
from gloss.evaluate.measure import Material
from gloss.evaluate.saebench import saebench_result
from gloss.evaluate.sparse_probing import SparseProbing, means_over_sets
from gloss.evaluate.spurious_removal import SpuriousRemoval
from gloss.evaluate.targeted_perturbation import LabelProbe, TargetedPerturbation
from gloss.evaluate.text_codes import LabelledItems, pool_texts, split_labelled
from gloss.models.dictionary import Normalisation
from gloss.models.labelled_texts import LabelledTexts
from gloss.models.sparse_codes import AboveThreshold
from gloss.models.subject import Subject
from gloss.records import Estimate, Evaluation, EvaluationRow
from gloss.store.atomic import write_json

APART = (("cat",), ("dog",), ("sun",), ("red",), ("blue",))
ANIMALS = (("cat",), ("dog",), ("sun",))
NUMBER = 80


@pytest.fixture(scope="module")
def subject() -> Subject:
    return planted_subject()


@pytest.fixture
def material(subject: Subject, tmp_path: Path) -> Material:
    """Three labels by three words, and labels that no word tells."""
    words = labelled(ANIMALS, ("a", "b", "c"), NUMBER)
    drawn = np.random.default_rng(5).integers(0, 2, len(words.texts))
    noise = LabelledTexts(words.texts, tuple("xy"[side] for side in drawn))
    return Material(subject, labelled={"words": words, "noise": noise}, scratch=tmp_path)


def measured(method, dictionary, material: Material) -> Evaluation:
    return method.measure(dictionary, material, np.random.default_rng(0))


def test_codes_are_pooled_over_the_tokens_of_each_text(subject: Subject, tmp_path: Path) -> None:
    dictionary = word_features(APART)
    texts = ["the cat and the cat sat", "then the dog ran", "the"]
    for scratch in (None, tmp_path, tmp_path):  # read, written, and read back
        material = Material(subject, scratch=scratch)
        mean = pool_texts(dictionary, material, texts, 64)
        largest = pool_texts(dictionary, material, texts, 64, "max")
        for row, text in enumerate(texts):
            tokens = torch.tensor([[subject.start_token, *subject.encode(text)]])
            x = subject.run(tokens, read=[dictionary.reads])[dictionary.reads][0, 1:]
            dense = dictionary.encode(x).dense(5).numpy()
            assert mean.codes.toarray()[row] == pytest.approx(dense.mean(0), abs=1e-6)
            assert largest.codes.toarray()[row] == pytest.approx(dense.max(0), abs=1e-6)
            assert mean.vectors[row] == pytest.approx(x.mean(0).numpy(), abs=1e-6)
    assert len(list(tmp_path.iterdir())) == 1


def test_texts_are_tokenised_once_where_one_site_is_read_and_written(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    tokenized = text_codes._tokenized

    def counting(material, texts, most):
        asked.append(len(texts))
        return tokenized(material, texts, most)

    monkeypatch.setattr(text_codes, "_tokenized", counting)
    pool_texts(word_features(APART), Material(subject), ["the cat", "the dog ran"], 64)
    assert asked == [2]


def test_features_are_ranked_by_what_they_write(subject: Subject) -> None:
    """Normalised, codes are alike in short and long vectors, and what they write is not."""
    dictionary = replace(
        word_features(APART),
        selection=AboveThreshold(torch.zeros(len(APART))),
        normalisation=Normalisation.CONSTANT_NORM,
    )
    texts = ["cat cat cat the", "the cat the", "the dog sat", "dog on the"]
    pooled = pool_texts(dictionary, Material(subject), texts, 64)
    items = LabelledItems(np.arange(4), np.array([True, True, False, False]))
    directions = dictionary.decoder_directions.numpy()
    more, _ = LabelProbe.fit(pooled, items, items).effects(pooled, directions)
    codes, written = pooled.codes.toarray(), pooled.written.toarray()
    assert more == pytest.approx(written[:2].mean(0) - written[2:].mean(0))
    assert np.abs(more - (codes[:2].mean(0) - codes[2:].mean(0))).max() > 0.1


def test_means_leave_out_sets_that_have_no_number() -> None:
    def rows(values: list[float]) -> list[EvaluationRow]:
        return [
            EvaluationRow("scr_2", Estimate(x, x, x), 40, "texts", f"set {place}")
            for place, x in enumerate(values)
        ]

    nan = float("nan")
    [few] = means_over_sets(rows([0.2, nan, 0.4]))
    assert (few.estimate.value, few.n) == (pytest.approx(0.3), 2)
    assert few.note == "mean; without 1 that have none"
    [many] = means_over_sets(rows([0.1, 0.2, nan, 0.3, 0.4, 0.5]))
    assert (many.estimate.value, many.n) == (pytest.approx(0.3), 5)
    assert many.estimate.low < 0.3 < many.estimate.high
    assert [row.note for row in means_over_sets(rows([0.2, 0.4]))] == ["mean"]
    assert list(means_over_sets(rows([nan, nan]))) == []


def test_what_is_kept_of_no_number_is_0_in_saebenchs_file(tmp_path: Path) -> None:
    nan = float("nan")
    row = EvaluationRow("scr_2", Estimate.missing(), 40, "texts", "a and b")
    found = Evaluation("scr", (row,), (), {"a and b": {"dir1_2": nan, "dir2_2": 0.5}})
    write_json(tmp_path / "kept.json", found.plain())
    kept = Evaluation.from_plain(json.loads((tmp_path / "kept.json").read_text()))
    about = {"model_name": "tiny", "name": "words"}
    for each in (found, kept):
        result = saebench_result(each, word_features(APART), {}, about)
        assert result["eval_result_metrics"]["scr_metrics"] == {
            "scr_dir1_threshold_2": 0.0,
            "scr_dir2_threshold_2": 0.5,
            "scr_metric_threshold_2": 0.0,
        }


def test_taking_features_away_is_ablating_them_at_every_token(subject: Subject) -> None:
    dictionary, texts = word_features(APART), ["the cat and a red cat sat"]
    pooled = pool_texts(dictionary, Material(subject), texts, 64)
    directions = dictionary.decoder_directions.numpy()
    tokens = torch.tensor([[subject.start_token, *subject.encode(texts[0])]])
    x = subject.run(tokens, read=[dictionary.reads])[dictionary.reads][0, 1:]
    codes = dictionary.encode(x)
    without = codes.dense(5)
    without[:, 0] = 0
    ablated = x - dictionary.decode(codes) + without @ dictionary.decoder_directions
    found = pooled.without(np.array([0]), directions)[0]
    assert found == pytest.approx(ablated.mean(0).numpy(), abs=1e-6)


def test_one_feature_knows_a_word_and_none_knows_noise(material: Material) -> None:
    small = SparseProbing(features=(1, 2), train=60, test=40)
    found = measured(small, word_features(APART), material)
    assert found.value("accuracy_of_1", "words") == 1
    assert found.value("auroc_of_1", "words") == 1
    assert found.value("accuracy_all_raw", "words") > 0.95
    row = next(row for row in found.rows if (row.name, row.of) == ("accuracy_of_1", "words"))
    assert row.estimate.low < 0.95  # of 60 texts all are right, which is no certainty
    assert 0.25 < found.value("accuracy_of_2", "noise") < 0.75
    assert found.value("accuracy_majority", "words") == 0.5
    mean = found.value("accuracy_of_1")
    assert mean == pytest.approx((1 + found.value("accuracy_of_1", "noise")) / 2)


def test_features_that_fire_at_other_words_know_nothing(material: Material) -> None:
    small = SparseProbing(features=(1,), train=60, test=40)
    found = measured(small, word_features((("red",), ("blue",))), material)
    assert 0.3 < found.value("accuracy_of_1", "words") < 0.7
    assert found.value("accuracy_all_raw", "words") > 0.95


def test_taking_a_words_feature_away_hurts_its_probe_alone(material: Material) -> None:
    small = TargetedPerturbation(features=(1,), train=60, test=40)
    apart = measured(small, word_features(APART), material)
    assert apart.value("tpp_1", "words") > 0.25
    held = apart.details["words"]
    assert held["intended_1"] > 0.3
    assert held["unintended_1"] < 0.15
    [failure] = apart.failures
    assert (failure.of, "two labels" in failure.reason) == ("noise", True)


def test_measures_learn_from_the_same_texts_which_the_subject_reads_once(
    material: Material, tmp_path: Path
) -> None:
    dictionary = word_features(APART)
    measured(SparseProbing(features=(1,), train=60, test=40), dictionary, material)
    assert len(list(tmp_path.iterdir())) == 2  # words and noise
    measured(TargetedPerturbation(features=(1,), train=60, test=40), dictionary, material)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_feature_that_holds_all_words_perturbs_none_more_than_others(material: Material) -> None:
    small = TargetedPerturbation(features=(1,), train=60, test=40)
    mixed = measured(small, word_features((("cat", "dog", "sun"),)), material)
    row = next(row for row in mixed.rows if row.of == "words")
    assert row.estimate.low <= 0.05
    assert row.estimate.value < 0.1


@pytest.fixture
def pair(subject: Subject) -> Material:
    """Two labels of the same texts: which animal, and which colour."""
    kinds = (("cat", "red"), ("cat", "blue"), ("dog", "red"), ("dog", "blue"))
    texts = labelled(kinds, ("cat red", "cat blue", "dog red", "dog blue"), NUMBER)
    animals, colours = (
        LabelledTexts(texts.texts, tuple(label.split()[side] for label in texts.labels))
        for side in (0, 1)
    )
    return Material(subject, labelled={"animal": animals, "colour": colours})


def test_a_mistake_is_removed_where_features_tell_the_labels_apart(pair: Material) -> None:
    small = SpuriousRemoval(features=(2,), train=120, test=80)
    found = measured(small, word_features(APART), pair)
    assert found.value("scr_2", "animal and colour") > 0.8
    held = found.details["animal and colour"]
    assert held["mistaken_accuracy_dir1"] < 0.9 < held["balanced_accuracy_dir1"]


def test_and_is_not_where_a_feature_holds_both(pair: Material) -> None:
    small = SpuriousRemoval(features=(2,), train=120, test=80)
    mixed = word_features((("cat", "red"), ("dog", "blue")))
    assert measured(small, mixed, pair).value("scr_2", "animal and colour") < 0.3


def test_sets_that_share_no_texts_are_no_pair(material: Material, pair: Material) -> None:
    small = SpuriousRemoval(train=40, test=40)
    both = {"colour": pair.labelled["colour"], "noise": material.labelled["noise"]}
    found = measured(small, word_features(APART), Material(pair.subject, labelled=both))
    assert found.rows == ()
    assert "they share 0 texts" in found.failures[0].reason


def test_a_split_has_as_many_texts_of_each_label_and_no_text_twice() -> None:
    texts = tuple(f"text {i}" for i in range(1000))
    labels = tuple("rare" if i < 20 else "abc"[i % 3] for i in range(1000))
    split = split_labelled(LabelledTexts(texts, labels), (200, 100), 3, np.random.default_rng(0))
    assert split.names == ("a", "b", "c")
    assert len(set(split.texts)) == len(split.texts) == 450
    assert [int((split.labels[split.train] == each).sum()) for each in range(3)] == [100] * 3
    items = split.one_against_all(1, train=False, rng=np.random.default_rng(0))
    assert (len(items.places), int(items.positive.sum())) == (100, 50)
    assert not split.train[items.places].any()
    few = LabelledTexts(texts[:100], tuple("a" if i < 20 else "b" for i in range(100)))
    with pytest.raises(BadInput, match=r"1 of its 2 labels have 50 texts"):
        split_labelled(few, (200, 100), 3, np.random.default_rng(0))


def test_a_way_of_pooling_that_there_is_not_is_refused() -> None:
    with pytest.raises(BadSettings, match='give "mean" or "max"'):
        SparseProbing(pool="last")


def test_saebenchs_names(material: Material, pair: Material) -> None:
    dictionary = word_features(APART)
    about = {"model_name": "tiny", "name": "words"}
    probing = SparseProbing(features=(1, 3), train=40, test=40)
    found = saebench_result(measured(probing, dictionary, material), dictionary, {}, about)
    assert set(found["eval_result_metrics"]["sae"]) == {"sae_top_1_test_accuracy"}
    assert set(found["eval_result_metrics"]["llm"]) == {
        "llm_test_accuracy",
        "llm_top_1_test_accuracy",
    }
    assert [each["dataset_name"] for each in found["eval_result_details"]] == ["words", "noise"]
    tpp = TargetedPerturbation(features=(2,), train=40, test=40)
    found = saebench_result(measured(tpp, dictionary, material), dictionary, {}, about)
    metrics = found["eval_result_metrics"]["tpp_metrics"]
    total = metrics["tpp_threshold_2_total_metric"]
    parts = [metrics[f"tpp_threshold_2_{part}_diff_only"] for part in ("intended", "unintended")]
    assert total == pytest.approx(parts[0] - parts[1])
    scr = SpuriousRemoval(features=(2,), train=40, test=40)
    found = saebench_result(measured(scr, dictionary, pair), dictionary, {}, about)
    assert found["eval_type_id"] == "scr"
    assert set(found["eval_result_metrics"]) == {"scr_metrics"}
    metrics = found["eval_result_metrics"]["scr_metrics"]
    named = {f"scr_{part}_threshold_2" for part in ("dir1", "dir2", "metric")}
    assert set(metrics) == named
    [detail] = found["eval_result_details"]
    assert set(detail) == named | {"dataset_name"}
    assert metrics["scr_metric_threshold_2"] in (
        metrics["scr_dir1_threshold_2"],
        metrics["scr_dir2_threshold_2"],
    )
