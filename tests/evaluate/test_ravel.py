"""The measure `ravel`: features of one attribute each move that attribute alone, whole vectors move
all of them, and random directions none; a mask finds features that no rank finds, and none of an
attribute that is not there.
"""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from gloss.decompose.random_dictionary import RandomDirections
from gloss.errors import BadInput, BadSettings
from gloss.evaluate.asked_facts import AskedFacts, EntityFacts
from gloss.evaluate.measure import Material
from gloss.evaluate.ravel import Ravel
from gloss.evaluate.saebench import saebench_result
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.sites import Site
from gloss.models.sparse_codes import AboveThreshold
from gloss.models.subject import Subject
from gloss.records import Estimate

SITE = Site("resid_pre", 0)
CITIES, PETS = ("Paris", "Rome", "Oslo", "Lima"), ("cat", "dog", "fish", "bird")
PEOPLE = (
    *("Mary", "John", "Tom", "James", "Alice", "Robert", "Anna", "Paul"),
    *("Mark", "Peter", "David", "Sarah", "Laura", "Kate", "Simon", "Julia"),
)
FACTS = {
    name: {"city": city, "pet": pet, "age": "old"}
    for name, (city, pet) in zip(PEOPLE, product(CITIES, PETS), strict=True)
}
TEMPLATES = {
    "city": ["So %s lives in", "Here %s lives in", "So %s lives {"],
    "pet": ["So %s keeps a", "Here %s keeps a"],
}


def trained_subject() -> Subject:
    """A small transformer that learned these facts, and nothing else."""
    rows = [
        f"{template.replace('%s', name)} {FACTS[name][attribute]}"
        for attribute, templates in TEMPLATES.items()
        for template in templates[:2]
        for name in FACTS
    ]
    splitter = pre_tokenizers.Split(" ", "merged_with_next")
    words = sorted({word for row in rows for word, _ in splitter.pre_tokenize_str(row)})
    names = {name: token for token, name in enumerate(["<start>", *words])}
    tokenizer = Tokenizer(models.WordLevel(names, unk_token="<start>"))
    tokenizer.pre_tokenizer = splitter
    config = LlamaConfig(
        vocab_size=len(names),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    tokens = torch.tensor([[0, *tokenizer.encode(row).ids] for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.1)
    for _ in range(150):
        logits = model(input_ids=tokens[:, :-1]).logits[:, -1]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, tokens[:, -1]).backward()
        optimizer.step()
    return Subject(model.requires_grad_(requires_grad=False), tokenizer, start_token=0)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return trained_subject()


@pytest.fixture
def method(tmp_path: Path) -> Callable[..., Ravel]:
    (tmp_path / "entities.json").write_text(json.dumps(FACTS))
    (tmp_path / "templates.json").write_text(json.dumps(TEMPLATES))

    def made(**settings) -> Ravel:
        files = (str(tmp_path / "entities.json"), str(tmp_path / "templates.json"))
        return Ravel(*files, **{"pairs": 48, "edited": (8,), "select": "rank", **settings})

    return made


def vectors(subject: Subject) -> torch.Tensor:
    """At each person's name, behind either beginning."""
    rows = torch.tensor(
        [[0, *subject.encode(f"{begin} {name}")] for begin in ("So", "Here") for name in PEOPLE]
    )
    return subject.run(rows, read=[SITE])[SITE][:, -1]


def values_told(subject: Subject) -> SparseCoder:
    """A feature for each city and each pet."""
    x = vectors(subject)
    told = torch.tensor(
        [[*(FACTS[name]["city"] == c for c in CITIES), *(FACTS[name]["pet"] == p for p in PETS)]
         for _ in range(2) for name in PEOPLE]
    ).double()  # fmt: skip
    added = torch.linalg.pinv(told - told.mean(0)) @ (x - x.mean(0)).double()
    reads = torch.linalg.pinv(added, rtol=1e-4).T.float()
    # a value's own reader sees 3/4 of it, because the values of an attribute add up to nothing
    weights = Weights(reads, torch.zeros(8), added.float() / 0.75, x.mean(0))
    return SparseCoder(SITE, SITE, weights, AboveThreshold(torch.full((8,), 0.4)))


def among(told: SparseCoder, features: list[int], written: torch.Tensor) -> SparseCoder:
    """Features that fire where these do, and write something else."""
    weights = Weights(
        told.weights.encoder[features], torch.zeros(len(features)), written, told.weights.bias
    )
    return SparseCoder(SITE, SITE, weights, AboveThreshold(torch.full((len(features),), 0.4)))


def test_features_of_one_attribute_move_it_alone_and_whole_vectors_move_all(
    subject: Subject, method
) -> None:
    measured = method().measure(values_told(subject), Material(subject), np.random.default_rng(0))
    for attribute in ("city", "pet"):
        assert measured.value("cause_of_vector", attribute) > 0.9
        assert measured.value("isolation_of_vector", attribute) < 0.1
    # all eight features are as much as a vector: they move the other attribute, too
    assert measured.value("isolation_of_8", "city") < 0.4
    four = method(edited=(4,)).measure(
        values_told(subject), Material(subject), np.random.default_rng(0)
    )
    for attribute in ("city", "pet"):
        assert four.value("cause_of_4", attribute) > 0.8
        assert four.value("isolation_of_4", attribute) > 0.8
    assert four.value("disentanglement_of_4") > 0.8
    assert four.value("disentanglement_supervised") > 0.8
    assert four.value("cause_raw_of_4", "city") < four.value("cause_of_4", "city")
    assert four.value("task_accuracy", "pet") > 0.9
    assert not four.failures


def test_random_directions_move_nothing(subject: Subject, method) -> None:
    random = RandomDirections(32, 4).fit(iter([vectors(subject)]), SITE, np.random.default_rng(0))
    measured = method(edited=(1,)).measure(random, Material(subject), np.random.default_rng(0))
    assert measured.value("cause_of_1") < 0.3
    assert measured.value("disentanglement_of_1") < 0.75


def test_a_mask_finds_an_attribute_that_is_spread_among_features_of_another_one(
    subject: Subject, method
) -> None:
    told = values_told(subject)
    cities, pets = told.decoder_directions.split(4)
    # each city in three features; where it is, one more writes a pet that three others take back
    hidden = [2 * pets, *[-2 * pets / 3] * 3]
    written = torch.cat([*[cities / 3] * 3, pets, *hidden])
    spread = among(told, [*range(4)] * 3 + [*range(4, 8)] + [*range(4)] * 4, written)
    by = {
        select: method(select=select, edited=(4, 16)).measure(
            spread, Material(subject), np.random.default_rng(0)
        )
        for select in ("mask", "rank")
    }
    for number in (4, 16):
        assert by["rank"].value(f"disentanglement_of_{number}", "city") < 0.55
    found = by["mask"]
    assert found.value("disentanglement_by_mask", "city") > 0.7
    assert found.value("cause_by_mask", "city") > 0.8
    assert found.value("chosen_by_mask", "city") >= 12
    assert found.value("disentanglement_supervised_by_mask", "city") > 0.9
    assert found.value("chosen_supervised_by_mask", "city") == 4
    # what is exchanged in vain: the reconstruction alone, and a whole vector
    assert found.value("disentanglement_of_none", "city") == 0.5
    assert found.value("disentanglement_of_vector", "city") < 0.55
    results = {
        select: saebench_result(each, spread, {}, {"model_name": "small", "name": "spread"})
        for select, each in by.items()
    }
    assert results["rank"] is None
    other = {"select": "mask_with_error"}  # SAEBench leaves the error out
    assert saebench_result(found, spread, other, {"model_name": "small", "name": "spread"}) is None
    assert results["mask"]["eval_type_id"] == "ravel"
    means = results["mask"]["eval_result_metrics"]["ravel"]
    assert means["cause_score"] == pytest.approx(found.value("cause_by_mask"))
    assert means["disentanglement_score"] == pytest.approx(
        (means["cause_score"] + means["isolation_score"]) / 2
    )


def test_no_mask_finds_an_attribute_that_is_not_there(subject: Subject, method) -> None:
    told, rng = values_told(subject), np.random.default_rng(0)
    pets = among(told, [4, 5, 6, 7], told.decoder_directions[4:])
    random = RandomDirections(24, 6).fit(iter([vectors(subject)]), SITE, rng)
    found, chance, kept = (
        method(**{"select": "mask", **settings}).measure(
            each, Material(subject), np.random.default_rng(0)
        )
        for each, settings in (
            (pets, {"learned": 96}),
            (random, {"learned": 96}),
            (pets, {"select": "mask_with_error", "learned": 32}),
        )
    )
    assert found.value("cause_by_mask", "city") < 0.3
    assert found.value("isolation_by_mask", "city") == 1
    assert found.value("disentanglement_by_mask", "city") < (
        chance.value("disentanglement_by_mask", "city") + 0.1
    )
    assert chance.value("disentanglement_by_mask", "city") < 0.7
    # of the same pairs, with the same mask, what is told its values is found
    assert found.value("disentanglement_supervised_by_mask", "city") > 0.9
    # without its error the vector has no city, and what is said of cities goes
    assert found.value("isolation_of_none", "pet") < 0.5
    assert kept.value("isolation_of_none", "pet") == 1


def test_masks_that_are_kept_for_the_next_dictionary_are_those_that_it_would_learn(
    subject: Subject, method, tmp_path: Path
) -> None:
    """Those of the vector's numbers and of the supervised one, which are the same for all."""
    told, kept = values_told(subject), Material(subject, scratch=tmp_path)

    def rows(material: Material, learned: int) -> object:
        rng = np.random.default_rng(0)
        return method(select="mask", learned=learned).measure(told, material, rng).rows

    once = rows(Material(subject), 24)
    assert rows(kept, 24) == once
    masks = len(list(tmp_path.glob("*.npy")))
    assert masks >= 4  # of two attributes
    assert rows(kept, 16) != once
    assert len(list(tmp_path.glob("*.npy"))) == 2 * masks
    assert rows(kept, 24) == once


def test_a_mask_learns_from_other_pairs_than_are_measured_and_of_both_aims(
    subject: Subject, method
) -> None:
    measure, rng = method(select="mask", learned=60), np.random.default_rng(0)
    facts = EntityFacts.read(measure.entities, measure.templates).drawn(64, 2, rng)
    asked = AskedFacts.of(facts, subject, values_told(subject))
    pairs = measure.split_pairs(asked, "city", rng)
    told = [*pairs.cause, *pairs.isolation]
    assert not set(told) & set(pairs.taught)
    assert [pair.base.attribute for pair in pairs.taught] == ["city"] * 60 + ["pet"] * 60
    assert {pair.base.attribute for pair in pairs.cause} == {"city"}
    assert {pair.base.attribute for pair in pairs.isolation} == {"pet"}
    for pair in pairs.taught:
        goal = pair.source if pair.base.attribute == "city" else pair.base
        assert pairs.wanted(pair) == goal
    few = method(select="mask", pairs=10**6).split_pairs(asked, "city", rng)
    each = [pair.base.attribute for pair in few.taught]
    assert each.count("city") == each.count("pet") > 0
    assert 2 * len(few.cause) <= len(asked.pairs("city", "city", rng)) - len(few.cause)


def test_what_the_subject_does_not_know_is_a_failure(subject: Subject, method) -> None:
    one = method(most=2).measure(values_told(subject), Material(subject), np.random.default_rng(0))
    assert not one.rows
    assert {each.of for each in one.failures} == {"city", "pet"}


def test_the_mean_of_two_attributes_that_differ_stays_a_share(
    subject: Subject, method, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {"city": Estimate(0.9, 0.8, 1.0), "pet": Estimate(0.4, 0.3, 0.5)}
    monkeypatch.setattr(
        "gloss.evaluate.ravel.shares_of_edits",
        lambda asked, pairs, *rest: [("cause_of_8", shares[pairs.attribute], 48)],
    )
    found = method().measure(values_told(subject), Material(subject), np.random.default_rng(0))
    [mean] = [row.estimate for row in found.rows if row.unit == "attributes"]
    assert (mean.low, mean.value, mean.high) == (0, pytest.approx(0.65), 1)


def test_who_lacks_the_attribute_that_is_exchanged_is_in_no_pair(subject: Subject) -> None:
    values = FACTS | {"Mary": {"city": "Paris"}}
    facts = EntityFacts(values, {name: each[:2] for name, each in TEMPLATES.items()})
    asked = AskedFacts.of(facts, subject, values_told(subject))
    for exchanged, there in (("city", True), ("pet", False)):
        pairs = asked.pairs(exchanged, "city", np.random.default_rng(0))
        assert ("Mary" in {pair.base.entity for pair in pairs}) == there


def test_files_that_hold_none_are_refused(tmp_path: Path, method) -> None:
    Ravel().require_files()  # those that come with gloss
    cities = EntityFacts.read("cities", "cities")
    assert cities.values["Kyoto"] == {
        "country": "Japan",
        "language": "Japanese",
        "continent": "Asia",
    }
    assert set(cities.templates) == {"country", "language", "continent"}
    method().require_files()
    facts = EntityFacts.read(method().entities, method().templates)
    assert facts.templates["city"] == ["So %s lives in", "Here %s lives in"]
    assert facts.values["Mary"] == {"city": "Paris", "pet": "cat"}
    other = tmp_path / "other.json"
    for text in ("{}", "[1]", "nothing", '{"city": ["%s is"]}'):
        other.write_text(text)
        with pytest.raises(BadInput):
            EntityFacts.read(method().entities, str(other))
    for settings in ({"edited": ()}, {"learning_rate": 0.0}, {"learned": 0}):
        with pytest.raises(BadSettings):
            Ravel(**settings)
