"""The experiments of the founding paper are files that a run takes."""

import re
from pathlib import Path

import pytest

from gloss.run.variants import read_variants

PAPER = Path(__file__).parents[2] / "experiments" / "paper"
FILES = sorted(PAPER.glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_is_one_experiment_or_several(path):
    found = read_variants(path)
    assert found
    assert all(str(one.folder).startswith(f"runs/paper/{path.stem}") for one in found)
    assert all(one.explain and one.score for one in found)


def test_one_explains_from_the_top_and_tests_on_all():
    [asked] = read_variants(PAPER / "samplers.toml")
    assert asked.sampling.held_out_sample == "quantiles"
    assert [one["method"] for one in asked.sample] == ["quantiles", "random", "top"]


def test_explainers_and_judges_are_crossed():
    [asked] = read_variants(PAPER / "explainer_and_judge.toml")
    asks = [one.get("chat") for one in (*asked.explain, *asked.score)]
    assert asks == ["large", "small", None, "large", "small"]


def test_the_page_names_every_file():
    told = (PAPER / "README.md").read_text()
    assert {path.name for path in FILES} <= set(re.findall(r"\w+\.toml", told))
