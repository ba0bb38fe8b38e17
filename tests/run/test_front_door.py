"""`import gloss`: few names that cost nothing until they are used, and do what they say."""

import asyncio
import subprocess
import sys

import pytest

import gloss
from gloss.errors import BadInput, BadSettings
from gloss.records import Explanation, Failure, Score

LIGHT = ("GlossError", "explain", "load_dictionary", "load_model", "open", "run", "score", "steer")


def test_the_names_are_few_and_each_is_there():
    assert len(gloss.__all__) <= 20
    assert dir(gloss) == sorted(gloss.__all__)
    for name in gloss.__all__:
        assert getattr(gloss, name) is not None
    with pytest.raises(AttributeError, match="gloss has no 'lod_model'; it has"):
        gloss.lod_model  # noqa: B018


def test_verbs_are_had_without_anything_that_is_heavy():
    code = (
        f"import sys; from gloss import {', '.join(LIGHT)};"
        "heavy = {'torch', 'numpy', 'pyarrow', 'transformers'};"
        "print(sorted(heavy & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def run(small_run) -> gloss.Run:
    return gloss.open(small_run / "out")


@pytest.fixture(scope="module")
def feature(run) -> gloss.Feature:
    return next(one for one in run if one.explanation is not None)


def test_a_run_tells_what_it_holds(run, feature):
    assert repr(run).startswith("<gloss run ")
    assert f"{len(run)} features" in repr(run)
    assert [one.index for one in run] == sorted(one.index for one in run)
    assert run[feature.index] == feature
    assert feature.explanation.text in repr(feature)
    assert "execution f1" in repr(feature)
    with pytest.raises(BadInput, match="the dictionary has features 0 to"):
        run[10**9]
    with pytest.raises(BadInput, match="holds no run"):
        gloss.open("no/such/run")


def test_contexts_are_text_with_activations_strongest_first(feature):
    top = feature.contexts.top(5)
    assert len(top) == len(list(top)) == len(top.activations) == 5
    assert isinstance(top[0], str)
    peaks = [one.max() for one in top.activations]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] == max(one.max() for one in feature.contexts.activations)
    assert "<div" in top._repr_html_()
    assert "<h4>Feature" in feature._repr_html_()


def test_a_feature_without_contexts_says_so(run):
    bare = next(one for one in run if not one._rows("examples"))
    assert bare.failures
    assert bare.failures[0] in repr(bare)
    assert "<h4>" in bare._repr_html_()
    with pytest.raises(BadInput, match="the run has no contexts of feature"):
        bare.examples  # noqa: B018


def test_tables_are_whole(run):
    assert len(run.explanations) == len(run.explanations.to_pylist()) > 0
    assert run.scores.to_arrow().num_rows == len(run.scores)
    assert "rows of dictionary, feature" in repr(run.failures)
    assert "<table>" in run.scores._repr_html_()
    with pytest.raises(BadInput, match="a run has no table 'scroes'"):
        run.table("scroes")


def test_explaining_and_scoring_again_gives_what_the_run_has(feature):
    again = gloss.explain(feature, method="rule")
    assert isinstance(again, Explanation)
    assert again.text == feature.explanation.text
    score = gloss.score(feature)
    assert isinstance(score, Score)
    (stored,) = feature.scores
    assert score.estimates[score.headline].value == stored["value"]
    assert gloss.score(feature, feature.explanation.rule).estimates == score.estimates


def test_words_want_a_judge(feature):
    with pytest.raises(BadSettings, match="no rule that can be executed"):
        gloss.score(feature, "a keyword argument")
    missing = gloss.score(feature, "a keyword argument", method="execution")
    assert isinstance(missing, Failure)
    with pytest.raises(BadSettings, match="has no method 'rul'"):
        gloss.explain(feature, method="rul")


def test_calls_work_where_an_event_loop_runs(feature):
    async def inside() -> object:
        return gloss.score(feature)

    assert isinstance(asyncio.run(inside()), Score)


def test_the_embedded_pair_is_had_by_name_and_steered():
    model, dictionary = gloss.load_model(), gloss.load_dictionary("embedded")
    assert dictionary.d_out == model.width(model.site(str(dictionary.writes)))
    effect = gloss.steer(model, dictionary, 999, "def f(", kl=0.5, new_tokens=4)
    assert effect.kl.value == pytest.approx(0.5, rel=0.1)
    with pytest.raises(BadInput, match="is no folder here"):
        gloss.load_dictionary("no/such/folder")


def test_packages_stay_packages_and_are_called_by_their_verb(tmp_path):
    import gloss.explain.best_of
    import gloss.run.pipeline

    assert callable(gloss.explain)
    assert callable(gloss.run)
    with pytest.raises(BadInput, match="cannot be read"):
        gloss.run(tmp_path / "none.toml")
