"""Control on a real model that is not gloss' own, with the dictionary that comes with
gloss.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from gloss.decompose.random_dictionary import RandomDirections
from gloss.evaluate.control import TaskControl
from gloss.evaluate.measure import Material
from gloss.models.bundled import bundled_dictionary
from gloss.models.dictionary import Dictionary
from gloss.models.formats import load_dictionary
from gloss.models.sites import Site
from gloss.models.subject import Subject

NUMBER = "agreement: number"


@pytest.fixture(scope="module")
def subject(smollm2: Path) -> Subject:
    return Subject.load(smollm2, device="cpu")


@pytest.fixture(scope="module")
def dictionaries(subject: Subject) -> tuple[Dictionary, Dictionary]:
    """The one that comes with gloss, and a random one."""
    folder = bundled_dictionary("smollm2")
    assert folder
    own = load_dictionary(folder, None, subject)
    site = Site("resid_post", 12)
    tokens = subject.encode("The cities of the north are far from the sea, and so are we.")
    x = subject.run(torch.tensor([[subject.start_token, *tokens]]), read=[site])[site][0, 1:]
    random = RandomDirections(own.width, 32).fit(iter([x]), site, np.random.default_rng(0))
    return own, random


def test_agreement_is_known_and_turned_at_the_noun(
    subject: Subject, dictionaries: tuple[Dictionary, Dictionary]
) -> None:
    method = TaskControl(tasks=("agreement",), prompts=20, seen=20, edited=(2,), at="changed")
    own, random = (
        method.measure(each, Material(subject), np.random.default_rng(0)) for each in dictionaries
    )
    assert own.value("task_accuracy", "agreement") > 0.6
    assert own.value("edit_accuracy_of_vector", NUMBER) > 0.7
    assert own.value("edit_accuracy_of_2", NUMBER) > 0.5
    assert random.value("edit_accuracy_of_2", NUMBER) < 0.3
