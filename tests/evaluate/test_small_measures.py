"""The smaller measures of the literature: each has a planted case in which it must see, and one in
which it must not.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from collect.tiny import SITE, START, tiny_subject
from gloss.errors import BadInput, BadSettings
from gloss.evaluate.attributor_agreement import AttributorAgreement, OrderAgreement
from gloss.evaluate.function_benchmark import (
    DOMAIN,
    Formula,
    PlantedFunction,
    draw_function,
    judge_formula,
    normalised_error,
)
from gloss.evaluate.inherent_interpretability import (
    InherentInterpretability,
    area,
    right_at_sparsities,
    strongest,
)
from gloss.evaluate.intrinsic_dimension import IntrinsicDimension, local_dimensions
from gloss.evaluate.measure import Material
from gloss.evaluate.odd_one_out import OddOneOut, odd_one_out, read_triplets
from gloss.evaluate.probe_sets import LabelPair, ProbeSets, ReadTexts, average_precision_at
from gloss.evaluate.variance_importance import VarianceImportance
from gloss.models.compiled_subject import CompiledSide, CompiledSubject, compile_subject
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.labelled_texts import LabelledTexts
from gloss.models.sparse_codes import AboveThreshold, LargestK, Positive
from gloss.records import Evaluation

D = 16


def signs() -> SparseCoder:
    """Each number's two signs as two features: nothing is lost."""
    both = torch.cat([torch.eye(D), -torch.eye(D)])
    return SparseCoder(
        SITE, SITE, Weights(both, torch.zeros(2 * D), both, torch.zeros(D)), LargestK(D)
    )


def dead() -> SparseCoder:
    """Features that never fire."""
    never = AboveThreshold(torch.full((2 * D,), torch.inf))
    return SparseCoder(SITE, SITE, signs().weights, never)


@pytest.fixture(scope="module")
def material() -> Material:
    """Drawn tokens of a tiny subject, and labelled texts."""
    rng = np.random.default_rng(3)
    drawn = torch.from_numpy(rng.integers(1, 320, (12, 20)))
    drawn[:, 0] = START
    subject = tiny_subject()
    words = subject.vocabulary().strings
    texts = tuple("".join(words[token] for token in row[1:8]) for row in drawn.tolist()) * 3
    labels = tuple("ab"[number % 2] for number in range(len(texts)))
    return Material(subject, list(drawn.split(4)), labelled={"set": LabelledTexts(texts, labels)})


# local intrinsic dimension


@pytest.mark.parametrize("rank", [2, 4])
def test_vectors_of_few_dimensions_are_seen_to_be_such_in_any_basis(rank, rng) -> None:
    x = torch.from_numpy(rng.standard_normal((1500, rank)))
    turned = torch.linalg.qr(torch.from_numpy(rng.standard_normal((24, 24))))[0][:rank]
    found = local_dimensions(5 * x @ turned, 100, 64).mean()
    assert 0.75 * rank < found < 1.2 * rank
    whole = local_dimensions(torch.from_numpy(rng.standard_normal((1500, 24))), 100, 64).mean()
    assert whole > 2 * rank


def test_equal_vectors_are_no_neighbours(rng) -> None:
    x = torch.from_numpy(rng.standard_normal((400, 2)))
    once, twice = (local_dimensions(each, 50, 32) for each in (x, torch.cat([x, x])))
    assert np.allclose(once, twice)
    with pytest.raises(BadInput, match="more text"):
        local_dimensions(x[:20], 8, 32)


def test_reconstructions_that_are_all_alike_leave_the_dimension_of_the_vectors(material) -> None:
    found = IntrinsicDimension(vectors=300, points=32, neighbourhood=16).measure(
        dead(), material, np.random.default_rng(0)
    )
    assert [row.name for row in found.rows] == ["local_dimension"]
    assert [each.of for each in found.failures] == ["reconstructions"]


def test_what_reconstructs_everything_has_the_same_dimension(material) -> None:
    found = IntrinsicDimension(vectors=300, points=32, neighbourhood=16).measure(
        signs(), material, np.random.default_rng(0)
    )
    assert found.value("local_dimension") == pytest.approx(
        found.value("local_dimension_of_reconstructions"), rel=1e-2
    )


# inherent interpretability


def labelled_values(rng, turned: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Four labels, each with a concept of its own among twelve; the rest is weak noise."""
    labels = torch.from_numpy(rng.integers(0, 4, 400))
    values = torch.from_numpy(rng.standard_normal((400, 12))) * 0.2
    values[torch.arange(400), labels] += 2
    basis = torch.linalg.qr(torch.from_numpy(rng.standard_normal((12, 12))))[0]
    return (values @ basis if turned else values), labels


def test_labels_that_rest_on_one_concept_each_score_higher_than_turned_ones(rng) -> None:
    scores = []
    for turned in (False, True):
        values, labels = labelled_values(rng, turned)
        right = right_at_sparsities(values, labels, torch.arange(400) < 200)
        assert right[0].mean() > 0.95
        scores.append(area(right, rng))
    assert scores[0].value > 0.97
    assert scores[1].high < scores[0].low


def test_the_strongest_of_those_that_are_active_are_kept() -> None:
    values = torch.tensor([[4.0, 0.0, -3.0, 2.0, 1.0, 0.0]])
    half, whole, least = strongest(values, (0.5, 1.0, 0.02))
    assert half.tolist() == [[4.0, 0.0, -3.0, 0.0, 0.0, 0.0]]
    assert torch.equal(whole, values)
    assert least.tolist() == [[4.0, 0.0, 0.0, 0.0, 0.0, 0.0]]


def test_labels_that_are_chance_are_told_by_chance(material) -> None:
    rng = np.random.default_rng(4)
    words = material.subject.vocabulary().strings
    drawn = rng.integers(1, 320, (160, 7))
    texts = tuple("".join(words[token] for token in row) for row in drawn.tolist())
    labels = tuple("ab"[number] for number in rng.integers(0, 2, len(texts)))
    chance = Material(material.subject, labelled={"chance": LabelledTexts(texts, labels)})
    found = InherentInterpretability().measure(signs(), chance, np.random.default_rng(0))
    for row in found.rows:
        if row.name.startswith("accuracy"):
            assert row.n == 80
            assert row.estimate.low < 0.5 < row.estimate.high
            assert float(row.note.split(": ")[1]) == pytest.approx(0.5, abs=0.15)
    assert {row.name for row in found.rows} == {
        f"{name}{kind}"
        for name in ("inherent_interpretability", "accuracy")
        for kind in ("", "_of_vectors")
    }
    few = Material(material.subject, labelled={"few": LabelledTexts(("a b", "c d"), ("x", "y"))})
    failed = InherentInterpretability().measure(signs(), few, np.random.default_rng(0))
    assert "give 16 or more" in failed.failures[0].reason


# probe sets


def read_texts(rng, along: int, number: int = 60) -> ReadTexts:
    """A label that shows along one of eight directions, and fires the feature of its number."""
    has = np.arange(number) % 2 == 0
    vectors = rng.standard_normal((number, 8)).astype(np.float32) * 0.5
    vectors[has, along] += 3
    return ReadTexts(
        torch.from_numpy(vectors),
        torch.from_numpy(vectors > 1.5),
        tuple(["no", "yes"][int(each)] for each in has),
    )


def test_texts_of_one_kind_give_one_direction_and_one_feature(rng) -> None:
    [pair] = read_texts(rng, 2).labels_beside(read_texts(rng, 2))
    assert pair.cosine > 0.95
    assert pair.transferred > 0.9
    assert pair.same_feature
    assert pair.f1_of_others == pair.f1_of_own > 0.9
    assert pair.learnability(0.1) > 0.9


def test_texts_in_which_the_label_means_something_else_give_another(rng) -> None:
    [pair] = read_texts(rng, 2).labels_beside(read_texts(rng, 5))
    assert abs(pair.cosine) < 0.3
    assert pair.transferred < 0.7 < pair.own
    assert not pair.same_feature
    assert pair.f1_of_others < 0.3 < pair.f1_of_own
    assert isinstance(pair, LabelPair)


def test_features_that_never_fire_are_not_the_same_choice(rng) -> None:
    one, other = (
        replace(each, fires=torch.zeros_like(each.fires))
        for each in (read_texts(rng, 2), read_texts(rng, 2))
    )
    [pair] = one.labels_beside(other)
    assert pair.f1_of_own == 0
    assert not pair.same_feature


def test_precision_is_that_of_the_base_rate() -> None:
    scores, has = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([False, True, False])
    assert average_precision_at(scores, has, 0.5) == pytest.approx(0.5 / (0.5 + 0.25))
    assert average_precision_at(scores, has, 0.01) == pytest.approx(0.01 / (0.01 + 0.495))


def test_sets_of_the_same_labels_stand_beside_each_other(material) -> None:
    two = Material(
        material.subject,
        labelled={"one": material.labelled["set"], "other": material.labelled["set"]},
    )
    found = ProbeSets(splits=2).measure(signs(), two, np.random.default_rng(0))
    assert {row.of for row in found.rows} == {"one", "other", "one, other"}
    assert found.value("cosine_of_directions", "one, other") == pytest.approx(1, abs=1e-5)
    assert found.value("same_feature", "one, other") == 1
    with pytest.raises(BadSettings):
        ProbeSets(base_rate=1.0)


# odd one out


def test_the_odd_one_of_clusters_is_found_and_that_of_shuffled_ones_by_chance(rng) -> None:
    centres = np.repeat(np.eye(6), 20, axis=0) * 4
    x = torch.from_numpy(centres + rng.standard_normal(centres.shape))
    triplets, odd = [], []
    for _ in range(300):
        one, other = rng.choice(6, 2, replace=False)
        three = [*(20 * one + rng.choice(20, 2, replace=False)), 20 * other + rng.integers(20)]
        order = rng.permutation(3)
        triplets.append([int(three[place]) for place in order])
        odd.append(int(np.flatnonzero(order == 2)[0]))
    asked, wanted = torch.tensor(triplets), torch.tensor(odd)
    assert (odd_one_out(x, asked) == wanted).float().mean() > 0.9
    shuffled = x[torch.from_numpy(rng.permutation(len(x)))]
    assert 0.2 < (odd_one_out(shuffled, asked) == wanted).float().mean() < 0.5


def test_triplets_are_read_and_what_is_none_is_refused(tmp_path: Path, material) -> None:
    file = tmp_path / "triplets.jsonl"
    texts = material.labelled["set"].texts
    rows = [{"texts": list(texts[n : n + 3]), "odd": n % 3} for n in range(6)]
    file.write_text("\n".join(map(json.dumps, rows)))
    method = OddOneOut(str(file))
    method.require_files()
    found = method.measure(signs(), material, np.random.default_rng(0))
    assert [row.n for row in found.rows] == [6, 6, 6]
    assert found.value("accuracy_of_vectors") == found.value("accuracy_of_reconstructions")
    nothing = method.measure(dead(), material, np.random.default_rng(0))
    assert nothing.value("accuracy_of_vectors") == found.value("accuracy_of_vectors")
    assert nothing.value("accuracy_of_codes") == 0
    assert nothing.value("accuracy_of_reconstructions") == 0
    for line in (
        '{"texts": ["a", "b"], "odd": 0}',
        '{"texts": ["a", "b", "c"], "odd": 3}',
        '{"texts": ["a", "b", "c"], "odd": true}',
        '{"texts": ["a", "b", 3], "odd": 0}',
        '{"texts": "abc", "odd": 0}',
        "[]",
    ):
        file.write_text(line)
        with pytest.raises(BadInput, match="line 1"):
            read_triplets(str(file))
    file.write_text("")
    with pytest.raises(BadInput, match="no triplets"):
        method.require_files()


# variance and importance


@pytest.fixture(scope="module")
def compiled() -> CompiledSubject:
    return compile_subject(np.random.default_rng(0), each=6)


def on_compiled(compiled: CompiledSubject, method, dictionary: SparseCoder) -> Evaluation:
    rng = np.random.default_rng(1)
    tokens = torch.from_numpy(compiled.random_text(24 * 64, rng)).reshape(24, 64)
    tokens[:, 0] = 0
    return method.measure(dictionary, Material(compiled.subject, [tokens]), rng)


def test_features_that_vary_and_do_nothing_are_told_from_those_that_matter(compiled) -> None:
    found = on_compiled(compiled, VarianceImportance(features=18, sequences=4), compiled.dictionary)
    effects = dict(zip(found.details["features"], found.details["effects"], strict=True))
    of = {side: [effects[f] for f in effects if compiled.sides[f] is side] for side in CompiledSide}
    assert max(of[CompiledSide.INPUT]) < 0.01 * min(of[CompiledSide.BOTH])
    assert found.value("variance_without_effect") > 0.15
    every = [row.estimate for row in found.rows]
    assert all(0 < each.high - each.low < 2 for each in every)
    assert all(each.low <= each.value <= each.high for each in every)


def test_where_every_feature_matters_no_variance_is_idle(compiled) -> None:
    keep = torch.tensor([side is not CompiledSide.INPUT for side in compiled.sides])
    w = compiled.dictionary.weights
    own = Weights(w.encoder[keep], w.encoder_bias[keep], w.decoder_directions[keep], w.bias)
    dictionary = SparseCoder(compiled.dictionary.reads, compiled.dictionary.writes, own, Positive())
    found = on_compiled(compiled, VarianceImportance(features=12, sequences=4), dictionary)
    assert found.value("variance_without_effect") < 0.01


def test_where_nothing_matters_nothing_is_ranked(compiled) -> None:
    idle = [n for n, side in enumerate(compiled.sides) if side is CompiledSide.INPUT] * 2
    w = compiled.dictionary.weights
    own = Weights(w.encoder[idle], w.encoder_bias[idle], w.decoder_directions[idle], w.bias)
    dictionary = SparseCoder(compiled.dictionary.reads, compiled.dictionary.writes, own, Positive())
    found = on_compiled(compiled, VarianceImportance(features=12, sequences=4), dictionary)
    assert found.details["effects"] == [0] * 12
    assert found.value("variance_without_effect") == 1
    assert found.value("top_shared") == 0
    assert np.isnan(found.value("spearman_of_variance_and_effect"))


# agreement of attributors


def test_agreement_sees_order_size_and_sign_apart() -> None:
    values = np.array([5.0, -4.0, 3.0, 2.0, -1.0])
    assert OrderAgreement.of(values, 2 * values) == OrderAgreement(1.0, 1.0, 1.0)
    turned = OrderAgreement.of(values, -values)
    assert (turned.kendall_tau, turned.top_shared, turned.same_sign) == (-1.0, 1.0, 0.0)
    assert OrderAgreement.of(values, np.ones(5)).kendall_tau == 0
    # the same order by value, other ones largest by size
    moved = OrderAgreement.of(values, values - 6)
    assert moved.kendall_tau == 1
    assert moved.same_sign == 0.4


def test_unrelated_attributions_agree_by_chance(rng) -> None:
    taus = [OrderAgreement.of(*rng.standard_normal((2, 12))).kendall_tau for _ in range(300)]
    assert abs(np.mean(taus)) < 0.05


def test_what_is_written_on_a_subject_that_is_all_but_linear_is_attributed_alike(material) -> None:
    small = signs()
    found = AttributorAgreement(tokens=6, most=6, masks=16).measure(
        small, material, np.random.default_rng(0)
    )
    assert found.rows[0].n == 6
    assert found.value("r2_of_removal") > 0.3
    assert found.value("kendall_tau") > 0.3


def test_the_search_for_tokens_with_features_ends(material) -> None:
    with pytest.raises(BadInput, match="0 of 32 tokens that were tried"):
        AttributorAgreement(tokens=2).measure(dead(), material, np.random.default_rng(0))


# functions


def test_a_formula_of_the_whole_is_right_and_its_corruption_is_seen_apart() -> None:
    planted = PlantedFunction(Formula("3 * x + 2"), Formula("0"), 10.0, 30.0)
    told = judge_formula(Formula("2 + 3*x"), planted)
    assert told.value("right") == 1
    assert 0.001 < told.value("normalised_error") < 0.02
    assert told.value("right_where_corrupted") == 0
    # beside it nothing but the mean, which is right on a constant interval and nowhere else
    assert told.value("right_of_mean") == 0
    assert told.value("normalised_error_of_mean") > 0.9
    plain = judge_formula(Formula("2 + 3*x"), PlantedFunction(Formula("3 * x + 2")))
    assert plain.value("normalised_error") == 0
    assert np.isnan(plain.value("right_where_corrupted"))


def test_a_formula_of_something_else_is_wrong() -> None:
    assert judge_formula(Formula("x**2"), PlantedFunction(Formula("sin(x)"))).value("right") == 0
    assert judge_formula(Formula("log(x)"), PlantedFunction(Formula("x"))).value("right") == 0
    assert normalised_error(np.zeros(3), np.zeros(3)) == 0
    beyond = Formula("9" * 400)  # what no float holds
    assert np.isposinf(beyond.values(DOMAIN)).all()
    told = judge_formula(beyond, PlantedFunction(Formula("x")))
    assert told.value("right") == 0
    assert told.value("normalised_error") == np.inf


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "x.real", "open(x)", "[x]", "lambda: x", "x if x else 1", "sin", "'a'",
     "3 +", "y", "sin(x, x)", "x" * 500, "True", "x < 3"],
)  # fmt: skip
def test_what_is_no_formula_is_refused_and_never_run(text) -> None:
    with pytest.raises(BadInput):
        Formula(text).values(DOMAIN)


def test_drawn_functions_have_values_everywhere_and_a_corruption_where_asked(rng) -> None:
    for number in range(60):
        function = draw_function(rng, corrupted=number % 2 == 0, noise=0.1)
        values = function.values(DOMAIN)
        assert np.isfinite(values).all()
        changed = values != function.formula.values(DOMAIN)
        assert changed.any() == (number % 2 == 0)
        assert judge_formula(function.formula, function).value("normalised_error") >= 0
        told = function.tell(DOMAIN, rng)
        assert 0 < np.abs(told - values).mean() < values.std()
