"""The measure `control`: what is told of a dictionary whose features are a task's attributes, of
one that splits them, and of chance.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gloss.decompose.random_dictionary import RandomDirections
from gloss.errors import BadSettings
from gloss.evaluate.attribute_means import AttributeMeans
from gloss.evaluate.control import TaskControl
from gloss.evaluate.feature_exchange import FeatureExchange, f1_of_features
from gloss.evaluate.measure import Material
from gloss.evaluate.prompt_reader import PromptReader, PromptVectors
from gloss.evaluate.task_subject import train_task_subject
from gloss.evaluate.tasks import TASKS, TaskPrompt, agreement, indirect_object
from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.sites import Site
from gloss.models.sparse_codes import AboveThreshold, LargestK
from gloss.models.subject import Subject, untrained_subject
from gloss.records import Evaluation

SITE = Site("resid_post", 1)
IO = "indirect_object: io"
TASK = "indirect_object"


@pytest.fixture(scope="module")
def subject(task_folder: Path) -> Subject:
    """As every command would load it."""
    return Subject.load(task_folder)


def measured(dictionary: SparseCoder, subject: Subject, **settings: Any) -> Evaluation:
    given = {"tasks": (TASK,), "prompts": 48, "seen": 96, "edited": (2, 4)} | settings
    method = TaskControl(**given)
    return method.measure(dictionary, Material(subject), np.random.default_rng(0))


def names_told(subject: Subject, parts: int) -> SparseCoder:
    """A feature for each name that is to be said, or so many that share its work."""
    prompts = TASKS[TASK](400, np.random.default_rng(1))
    vectors = PromptReader(subject, SITE, SITE, prompts.answers).read(prompts.prompts).given
    means = AttributeMeans.of(prompts.prompts, vectors)
    told = means.vectors["io"]
    # along the other names a name's reader sees nothing
    reads = torch.linalg.pinv(told.double(), rtol=1e-4).T.float()
    every = told.repeat_interleave(parts, 0) / parts
    weights = Weights(
        reads.repeat_interleave(parts, 0), torch.zeros(len(every)), every, means.centre
    )
    return SparseCoder(SITE, SITE, weights, AboveThreshold(torch.full((len(every),), 0.5)))


def test_features_that_are_the_attribute_turn_the_answer_two_at_a_time(subject: Subject) -> None:
    found = measured(names_told(subject, 1), subject)
    assert found.value("task_accuracy", TASK) > 0.97
    assert found.value("edit_accuracy_of_none", IO) == 0
    assert found.value("edit_accuracy_of_vector", IO) == 1
    for name in ("_supervised", "_of_2", "_by_f1_of_2"):
        assert found.value(f"edit_accuracy{name}", IO) > 0.95, name
    assert found.value("f1_of_best_feature", IO) > 0.95
    assert found.value("sufficiency", TASK) > 0.9
    assert found.value("edit_weight_of_2", IO) > 0.8


def test_features_that_share_the_work_reconstruct_as_well_and_turn_less(subject: Subject) -> None:
    whole, split = (measured(names_told(subject, parts), subject) for parts in (1, 6))
    assert split.value("fvu", TASK) == pytest.approx(whole.value("fvu", TASK), abs=1e-3)
    assert split.value("sufficiency", TASK) == pytest.approx(
        whole.value("sufficiency", TASK), abs=1e-2
    )
    assert split.value("edit_accuracy_of_2", IO) < 0.3


def test_chance_turns_nothing_and_other_attributes_leave_the_answer(subject: Subject) -> None:
    found = measured(random_dictionary(SITE), subject)
    assert found.value("edit_accuracy_of_4", IO) < 0.2
    assert found.value("edit_accuracy_raw_of_4", IO) < 0.5
    assert found.value("edit_accuracy_supervised", "indirect_object: subject") > 0.95
    assert np.isnan(found.value("edit_weight_of_2", "indirect_object: order"))


def random_dictionary(site: Site) -> SparseCoder:
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(0))
    return RandomDirections(64, 8).fit(iter([x]), site, np.random.default_rng(0))


def test_where_the_answer_does_not_rest_on_the_last_token_it_is_turned_at_the_one_that_changes(
    subject: Subject,
) -> None:
    """Before the first layer a noun is at its own token and nowhere else."""
    first, number = Site("resid_pre", 0), "agreement: number"
    asked = {"tasks": ("agreement",), "prompts": 64}
    last = measured(random_dictionary(first), subject, **asked)
    assert last.value("edit_accuracy_of_vector", number) == 0
    assert np.isnan(last.value("edit_accuracy_of_2", number))
    [failure] = [each for each in last.failures if each.of == number]
    assert "turns none of" in failure.reason
    assert "by control.at" in failure.reason
    prompts = TASKS["agreement"](400, np.random.default_rng(1)).prompts
    vectors = PromptReader(subject, first, first, (" is", " are"))
    nouns = torch.full((len(prompts),), 2)  # behind the start and "The"
    x = vectors.read(prompts, nouns).given
    words = torch.stack(list({tuple(row.tolist()): row for row in x}.values()))
    weights = Weights(torch.linalg.pinv(words).T, torch.zeros(len(words)), words, torch.zeros(64))
    each_noun = SparseCoder(first, first, weights, AboveThreshold(torch.full((len(words),), 0.5)))
    found = measured(each_noun, subject, **asked, at="changed")
    assert found.value("edit_accuracy_of_none", number) == 0
    for name in ("_of_vector", "_of_2"):
        assert found.value(f"edit_accuracy{name}", number) > 0.95, name
    assert found.value("edit_accuracy_of_2", "agreement: other number") > 0.95
    chance = measured(random_dictionary(first), subject, **asked, at="changed")
    assert chance.value("edit_accuracy_of_vector", number) > 0.95
    assert chance.value("edit_accuracy_of_2", number) < 0.5
    assert chance.value("edit_accuracy_raw_of_2", number) < 0.5
    # what stands elsewhere costs nothing, and no share of it is kept
    assert np.isnan(chance.value("sufficiency", "agreement: other number"))


def test_twins_that_differ_in_several_tokens_are_a_failure(subject: Subject) -> None:
    first = random_dictionary(Site("resid_pre", 0))
    found = measured(first, subject, at="changed", edited=(2,))
    assert {each.of for each in found.failures} == {f"{TASK}: subject", f"{TASK}: order"}
    assert "more than one token" in found.failures[0].reason
    assert found.value("task_accuracy", TASK) > 0.97
    assert not np.isnan(found.value("edit_accuracy_supervised", IO))


def test_a_subject_that_does_not_know_the_task_is_a_failure(subject: Subject) -> None:
    blank = untrained_subject(subject, np.random.default_rng(0))
    found = measured(names_told(subject, 1), blank)
    assert not found.rows
    assert "that knows this task" in found.failures[0].reason


def test_a_subject_that_answers_by_chance_is_a_failure_of_either_task() -> None:
    beginner = train_task_subject(steps=1)
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    random = RandomDirections(64, 4).fit(iter([x]), SITE, np.random.default_rng(0))
    found = TaskControl().measure(random, Material(beginner), np.random.default_rng(0))
    assert not found.rows
    assert {each.of for each in found.failures} == set(TASKS)
    [said] = [each.reason for each in found.failures if each.of == "agreement"]
    assert "which is no more than chance among 2 answers" in said


@pytest.mark.parametrize(
    "given", [{"tasks": ("chess",)}, {"edited": (1,)}, {"prompts": 2}, {"at": "x"}]
)
def test_settings_that_cannot_be_are_refused(given) -> None:
    with pytest.raises(BadSettings):
        TaskControl(**given)


def test_exchanged_features_are_the_ones_that_bring_the_vector_nearest_to_its_twin() -> None:
    directions = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    weights = Weights(directions, torch.zeros(3), directions, torch.zeros(3))
    dictionary = SparseCoder(SITE, SITE, weights, LargestK(3))
    own, twin = torch.tensor([[5.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 1.0]])
    rest = (torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64))
    exchange = FeatureExchange.of(
        dictionary, PromptVectors(own, own, *rest), PromptVectors(twin, twin, *rest)
    )
    chosen = exchange.greedy((1, 2, 9))
    assert exchange.moved(chosen[1]).tolist() == [[-5.0, 0.0, 0.0]]
    # one unit along the second is encoded as 2, and written as 4: nothing is gained by it
    assert exchange.moved(chosen[9]).tolist() == [[-5.0, 0.0, 0.0]]
    assert float(exchange.weight(chosen[1])) == pytest.approx(25 / 26)


def test_vectors_of_attributes_are_those_that_made_them() -> None:
    rng = np.random.default_rng(0)
    many = torch.tensor([[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0]])
    prompts = TASKS["agreement"](64, rng).prompts
    several = [p.attributes["number"] == "several" for p in prompts]
    x = many[torch.tensor(several).long()] + torch.tensor([0.0, 1.0, 0.0])
    means = AttributeMeans.of(prompts, x)
    apart = means.vectors["number"][1] - means.vectors["number"][0]
    assert torch.allclose(apart, torch.tensor([-6.0, 0.0, 0.0]), atol=1e-4)
    assert torch.allclose(means.reconstruct(prompts), x, atol=1e-4)
    stranger = TaskPrompt("", "", "", {"number": "many", "other number": "one"})
    assert means.added([stranger], "number").tolist() == [[0.0, 0.0, 0.0]]


def test_f1_sees_a_feature_that_fires_too_often() -> None:
    fires = torch.tensor([[True, True], [True, False], [False, False], [False, True]])
    f1 = f1_of_features(fires, torch.tensor([0, 0, 1, 1]), 2)
    assert f1.tolist() == [[1.0, 0.5], [0.0, 0.5]]


def test_twins_differ_in_one_attribute_alone() -> None:
    for task in TASKS.values():
        drawn = task(32, np.random.default_rng(3))
        for attribute, twins in drawn.twins.items():
            for prompt, twin in zip(drawn.prompts, twins, strict=True):
                differing = {
                    name
                    for name, value in prompt.attributes.items()
                    if twin.attributes[name] != value
                }
                assert differing == {attribute}
                assert prompt.text != twin.text
    assert indirect_object("Anna", "Mark", "subject first", "park", "ball").answer == " Anna"
    assert agreement("child", "several", "dog", "one", "near").text == "The children near the dog"
