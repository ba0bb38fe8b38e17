"""Things that compute the same have one identity, and others have not."""

import dataclasses

import pytest
import torch
from torch import nn

from collect.tiny import tiny_dictionary, tiny_subject
from gloss.models.content_hash import content_hash


def test_equal_subjects_and_dictionaries_have_equal_identities() -> None:
    assert content_hash(tiny_subject().model) == content_hash(tiny_subject().model)
    assert content_hash(tiny_dictionary()) == content_hash(tiny_dictionary())


def test_the_identity_of_a_model_stays_from_version_to_version() -> None:
    """Else what was collected with it would be refused."""
    model = nn.Linear(2, 3)
    with torch.no_grad():
        model.weight.fill_(1)
        model.bias.fill_(0.5)
    assert content_hash(model).startswith("73e075e9a6abd767ef9860def453d303")


def test_one_changed_weight_changes_the_identity() -> None:
    subject = tiny_subject()
    before = content_hash(subject.model)
    with torch.no_grad():
        next(subject.model.parameters())[0, 0] += 1e-6
    assert content_hash(subject.model) != before


def test_each_setting_of_a_dictionary_counts() -> None:
    good = tiny_dictionary()
    others = [
        tiny_dictionary(k=3),
        tiny_dictionary(seed=2),
        dataclasses.replace(good, subtracts_bias=False),
    ]
    assert len({content_hash(dictionary) for dictionary in (good, *others)}) == 4


def test_where_a_model_was_found_does_not_count() -> None:
    subject = tiny_subject()
    before = content_hash(subject.model)
    subject.model.config._name_or_path = "elsewhere"
    assert content_hash(subject.model) == before


def test_what_has_no_content_is_refused() -> None:
    with pytest.raises(TypeError, match="has no content to tell it by"):
        content_hash(object())
