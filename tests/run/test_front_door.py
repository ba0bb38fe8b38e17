"""`import gloss`: few names that cost nothing until they are used, and do what they say."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any

import numpy as np
import pytest
from small import edit_table, ran

import gloss
from gloss.errors import BadInput, BadSettings
from gloss.installed import installed, load_installed
from gloss.models.planted import plant
from gloss.records import NOBODY, Explanation, Failure, Score, needs_of
from gloss.run.methods import build_method
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.store.evidence import Evidence

HEAVY = {"duckdb", "httpx", "importlib.metadata", "jinja2", "numpy", "openai", "pandas", "polars"}
HEAVY |= {"pyarrow", "scipy", "tokenizers", "torch", "transformers", "typer", "yaml"}


def test_the_names_are_few_and_each_is_there():
    assert len(gloss.__all__) <= 20
    assert dir(gloss) == sorted(gloss.__all__)
    for name in gloss.__all__:
        assert getattr(gloss, name) is not None
    with pytest.raises(AttributeError, match="gloss has no 'lod_model'; it has"):
        gloss.lod_model  # noqa: B018


def test_every_name_is_had_without_anything_that_is_heavy():
    names = ", ".join(gloss.__all__)
    code = f"import sys; from gloss import {names}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"gloss.api.runs", "gloss.records", "gloss.run.experiment"} <= loaded
    assert not HEAVY & loaded


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
    assert f"<h4>Feature {feature.index}" in feature._repr_html_()


def test_a_feature_without_contexts_says_so(run):
    bare = next(one for one in run if not one._rows("examples"))
    assert bare.failures
    assert bare.failures[0].detail in repr(bare)
    assert "<h4>" in bare._repr_html_()
    with pytest.raises(BadInput, match="the run has no contexts of feature"):
        bare.examples  # noqa: B018


def test_contexts_say_what_each_token_is_and_which_split_they_are_of(feature):
    contexts = feature.contexts
    assert len(contexts.train) + len(contexts.held_out) == len(contexts)
    assert len(contexts.train) == len(feature.examples.train)
    for text, tokens, activations in zip(
        contexts, contexts.tokens, contexts.activations, strict=True
    ):
        assert "".join(tokens) == text
        assert len(tokens) == len(activations)
    assert contexts[:2] == list(contexts)[:2]
    token, peak = contexts.peaks[0]
    assert peak == contexts.activations[0].max()
    assert token == contexts.tokens[0][contexts.activations[0].argmax()]
    assert 'class="context held"' in contexts.held_out._repr_html_()
    assert 'class="context held"' not in contexts.train._repr_html_()
    assert repr(contexts).count("\n") == min(20, len(contexts))


def test_a_feature_says_what_it_raises_what_is_near_and_where_its_words_are_wrong(run, feature):
    raised, lowered = feature.promoted_tokens, feature.suppressed_tokens
    assert raised[0][1] > 0 > lowered[0][1]
    near, cosine = feature.neighbours[0]
    assert near.index != feature.index
    assert 0 < cosine <= 1
    assert {row["control"] for row in feature.controls} == {
        "random_explanation",
        "shuffled_explanation",
    }
    predicted = sum(one.total for one in feature.mistakes if one.kind == "false_positive")
    missed = sum(one.total for one in feature.mistakes if one.kind == "false_negative")
    score = gloss.score(feature)
    assert (predicted == 0) == (score.estimates["precision"].value == 1)
    assert (missed == 0) == (score.estimates["recall"].value == 1)
    assert "false_" in repr(feature.mistakes) or not predicted + missed
    treated = {one.index for one in run}
    stranger = next(index for index in range(2048) if index not in treated)
    assert "not drawn by this run" in repr(run[stranger])


def test_the_table_of_features_joins_words_scores_controls_and_reasons(run):
    table = run.features
    assert [row["feature"] for row in table] == [feature.index for feature in run]
    for row, feature in zip(table, run, strict=True):
        assert row["explanation"] == (feature.explanation and feature.explanation.text)
        assert (row["failure"] is None) == (not feature.failures)
        if feature.scores:
            assert row["value"] == feature.scores[0]["value"]
            assert row["control"] == max(each["value"] for each in feature.controls)
        counted = run.plan.activations.counts[feature.index]
        assert row["share"] == counted / run.plan.corpus.counted.sum()
    best = table.sort_by("value")
    values = [row["value"] for row in best if row["value"] is not None]
    assert values == sorted(values, reverse=True)
    assert best[0]["value"] == values[0]
    assert [row["value"] for row in best[1:3]] == values[1:3]
    assert best[["feature", "value"]][0] == {"feature": best[0]["feature"], "value": values[0]}
    with pytest.raises(BadInput, match="the table features has no column 'f1'; it has feature"):
        table.sort_by("f1")


def test_the_score_beside_an_explainers_words_is_of_those_words(folder):
    out, projected = folder / "out", {"method": "vocabulary_projection", "rule": None}
    for file in out.glob("explain/*/explanations/*.parquet"):
        edit_table(file, lambda rows: [one for row in rows for one in (row | projected, row)])
    run = gloss.open(out)
    scored = [feature for feature in run if feature.scores]
    assert scored
    for feature in scored:
        assert [said.method for said in feature.explanations] == ["vocabulary_projection", "rule"]
        assert repr(feature) == f"<feature {feature.index}: {feature.explanation.text}>"
    assert not any(row["score"] or row["value"] or row["control"] for row in run.features)
    of_nobody = {"method": "intruder", "explained_by": NOBODY, "value": 0.25}
    for file in out.glob("score/*/scores/*.parquet"):
        edit_table(
            file, lambda rows: rows + [row | of_nobody for row in rows if row["control"] == "none"]
        )
    again = gloss.open(out)
    shown = [row for row in again.features if row["score"]]
    assert [row["feature"] for row in shown] == [feature.index for feature in scored]
    assert {(row["score"], row["value"], row["control"]) for row in shown} == {
        ("intruder f1", 0.25, None)
    }
    assert "execution" not in repr(again[scored[0].index])


def test_what_a_notebook_shows_holds_for_itself_and_leaks_no_style(run, feature):
    shown = [
        run,
        feature,
        feature.contexts,
        feature.mistakes,
        run.features,
        run.table("examples"),
    ]
    for each in shown:
        html = each._repr_html_()
        assert html.startswith('<div class="gloss"><style>')
        style = html.split("<style>")[1].split("</style>")[0]
        rules = [rule for rule in style.split("}") if rule.strip()]
        assert all(part.strip().startswith(".gloss") for r in rules for part in _selectors(r))
        assert len(html) < 60_000
    assert str(len(run)) in run._repr_html_()


def _selectors(rule: str) -> list[str]:
    return rule.split("{")[0].split(",")


def test_strangers_text_in_a_view_stays_text():
    from gloss.pages.notebook_view import table_html

    html = table_html([{"text": "<script>`</b>`", "n": 20_000}], ("text", "n"), 1)
    assert "<script>" not in html
    assert "<code>&lt;/b&gt;</code>" in html
    assert ">20,000<" in html


def test_a_run_knows_its_model_and_dictionary(run, feature):
    assert repr(run.model) == (
        "<subject: LlamaForCausalLM of 4,212,992 parameters, 4 layers of width 256, on cpu>"
    )
    assert repr(run.dictionary).startswith("<dictionary: 2,048 features of resid_post.2")
    effect = feature.steer("def f(", kl=0.5, new_tokens=4)
    direct = gloss.steer(run.model, run.dictionary, feature.index, "def f(", kl=0.5, new_tokens=4)
    assert (effect.kl, effect.completions) == (direct.kl, direct.completions)


def test_a_trace_is_read_by_the_names_of_sites(run):
    import torch

    tokens = torch.tensor([run.model.encode("def f(x):")])
    trace = run.model.run(tokens, ["resid_post.1"])
    assert trace["resid_post.1"].shape == (*tokens.shape, 256)
    with pytest.raises(BadInput, match=r"resid_post.2 was not read; this run read resid_post.1"):
        trace["resid_post.2"]


def test_running_from_python_prints_no_report(small_run, capsys, monkeypatch):
    monkeypatch.chdir(small_run)
    again = gloss.run("experiment.toml")
    assert len(again) == 12
    assert capsys.readouterr().out == ""


def test_tables_are_whole(run):
    assert len(run.explanations) == len(run.explanations.to_pylist()) > 0
    assert run.scores.to_arrow().num_rows == len(run.scores)
    assert "rows of dictionary, feature" in repr(run.failures)
    assert "<table>" in run.scores._repr_html_()
    assert len(list(run.scores)) == len(run.scores)
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


@pytest.fixture(scope="module")
def planted_evidence() -> tuple[Any, Evidence]:
    """Planted features, and what one would put together by hand of the tenth."""
    planted = plant(np.random.default_rng(0), tokens=60_000, features=12)
    one, fires = planted.features[10], planted.activations[10]
    rng = np.random.default_rng(0)
    examples = gather_examples(
        one.feature, fires, planted.corpus, Quantiles(), SamplingSettings(), rng
    )
    return planted.features, Evidence(examples, planted.corpus, fires)


def test_evidence_of_ones_own_is_scored_where_the_truth_is_planted(planted_evidence):
    features, evidence = planted_evidence
    assert gloss.score(evidence, features[10].rule).estimates["f1"].value == 1
    assert gloss.score(evidence, features[0].rule).estimates["f1"].value < 0.1
    with pytest.raises(BadSettings, match="give one as text"):
        gloss.score(evidence)
    with pytest.raises(BadSettings, match="detection asks a language model, and evidence names"):
        gloss.score(evidence, features[10].rule, method="detection")


def said_or_found(call: Callable[[], object]) -> object:
    """What a call gives, or the one sentence of its error, which says what to do."""
    try:
        return call()
    except gloss.GlossError as problem:
        said = str(problem)
        assert "; " in said
        assert ". " not in said.replace("(..., ", "")
        return said


@pytest.mark.parametrize("method", sorted(installed("gloss.score")))
def test_every_scorer_is_given_what_it_needs_or_one_sentence_says_what_lacks(
    method, feature, planted_evidence
):
    features, evidence = planted_evidence
    if method == "given":
        with pytest.raises(BadSettings, match="reads a file; name it"):
            gloss.score(feature, method=method)
        return
    needs = needs_of(load_installed(installed("gloss.score")[method]))
    words = feature.explanation.rule if needs.explanation else None
    found = said_or_found(lambda: gloss.score(feature, words, method=method))
    alone = said_or_found(lambda: gloss.score(evidence, words and features[10].rule, method=method))
    if needs.asks:
        assert f"{method} asks a language model" in str(found)
        assert "[chat]" in str(alone)
    elif needs.effects:
        assert f"{method} needs the effects of interventions, and the run in " in str(found)
        assert "give Evidence(..., effects=...)" in str(alone)
    else:
        assert isinstance(found, Score | Failure) or "no model of sentences" in str(found)
        if needs.texts:
            assert "give Evidence(..., reader=...)" in str(alone)
        else:
            assert isinstance(alone, Score | Failure) or "no model of sentences" in str(alone)
    if not needs.explanation:
        refused = said_or_found(lambda: gloss.score(feature, "words", method=method))
        assert f"{method} scores the feature itself" in str(refused)


@pytest.mark.parametrize("method", sorted(installed("gloss.explain")))
def test_every_explainer_is_given_what_it_needs_or_one_sentence_says_what_lacks(method, feature):
    if method == "given":
        with pytest.raises(BadSettings, match="reads a file; name it"):
            gloss.explain(feature, method)
        return
    needs = needs_of(build_method("explain", {"method": method}))
    found = said_or_found(lambda: gloss.explain(feature, method))
    if needs.asks:
        assert f"{method} asks a language model" in str(found)
    elif needs.effects:
        assert f"{method} needs the effects of interventions" in str(found)
    else:
        assert isinstance(found, Explanation | Failure)


def test_what_is_no_feature_and_no_explanation_is_refused(feature):
    for verb in (gloss.explain, gloss.score):
        with pytest.raises(BadSettings, match="was given int 3; give a feature of a run"):
            verb(3)
    with pytest.raises(BadSettings, match="3 explains nothing; give a text, a rule"):
        gloss.score(feature, 3)


def test_words_want_a_judge(feature):
    with pytest.raises(BadSettings, match="no rule that can be executed"):
        gloss.score(feature, "a keyword argument")
    missing = gloss.score(feature, "a keyword argument", method="execution")
    assert isinstance(missing, Failure)
    with pytest.raises(BadSettings, match="has no method 'rul'"):
        gloss.explain(feature, method="rul")


def in_event_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What the work gives in a loop of its own, whatever runs in this thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


def test_calls_work_where_an_event_loop_runs(feature):
    async def inside() -> object:
        return gloss.score(feature)

    assert isinstance(in_event_loop(inside), Score)


def test_the_embedded_pair_is_had_by_name_and_steered():
    model, dictionary = gloss.load_model(), gloss.load_dictionary("embedded")
    assert dictionary.d_out == model.width_at(model.site(str(dictionary.writes)))
    effect = gloss.steer(model, dictionary, 999, "def f(", kl=0.5, new_tokens=4)
    assert effect.kl.value == pytest.approx(0.5, rel=0.1)
    counted = gloss.steer(model, dictionary, np.int64(999), "def f(", kl=0.5, new_tokens=4)
    assert (counted.feature, counted.kl) == (effect.feature, effect.kl)
    for wrong in ((model, "def f("), (model, dictionary, np.arange(2), "def f(")):
        with pytest.raises(BadSettings, match=f"it was given {len(wrong)} things"):
            gloss.steer(*wrong, kl=0.5)
    with pytest.raises(BadInput, match="is no folder or file here"):
        gloss.load_dictionary("no/such/folder")


def test_an_attribution_is_had_from_python_and_shows_itself(tmp_path):
    model, dictionary = gloss.load_model(), gloss.load_dictionary()

    async def inside() -> object:
        return gloss.attribute("for i in range(10):\n    print(", model=model, answer="i")

    found = in_event_loop(inside)
    assert found.value == "log-probability of 'i' (nats)"
    assert found.players == ("for", "i", "in", "range(10):", "print(")
    rows = found.to_pylist()
    assert len(rows) == len(found.to_pandas()) == len(found.table)
    everybody = np.ones((1, 5), bool)
    without = everybody.copy()
    without[0, found.players.index(rows[0]["players"][0])] = False
    whole, rest = found.evaluations.values(np.concatenate([everybody, without]))
    assert rows[0]["lost"] == pytest.approx(whole - rest)
    assert rows[0]["low"] == pytest.approx(rows[0]["average"])
    assert {row["size"] for row in rows} >= {1, 2}
    assert found._repr_html_().count("<text") >= 5
    page = found.write_page(tmp_path / "page.html").read_text()
    assert unescape(page).count(found.value) >= 2
    fires = gloss.attribute(
        "def f(", model=model, dictionary=dictionary, feature=1019, unit="tokens", method="exact"
    )
    assert fires.value == "activation of feature 1019"
    assert "tokens" in repr(fires)


def test_an_attribution_prints_each_number_as_what_it_is():
    model, asked = gloss.load_model(), ("for i in range(10):\n    print(", "i")
    whole = gloss.attribute(asked[0], answer=asked[1], model=model, method="exact")
    assert repr(whole).startswith(f"<attribution of {whole.value} to 5 words by exact. What ")
    listed = re.search(
        r"What players do on average, and sets beyond their parts, the 3 strongest of \d+: (.*?)\."
        r" Known whole: all 32 masks",
        repr(whole),
    )[1]
    for said, row in zip(listed.split("; "), whole.table, strict=False):
        assert said.endswith(f" {row['average']:+.3g}".replace("-", "−"))
        assert all(f"“{player}”" in said for player in row["players"])
    poor = gloss.attribute(asked[0], answer=asked[1], model=model, method="occlusion")
    assert repr(poor) == (
        f"<attribution of {poor.value} to 5 words by occlusion."
        f" {poor.interactions.summary_sentence()}>"
    )


def test_the_page_of_an_attribution_is_that_of_the_command_with_the_same_seed(tmp_path):
    prompt = "for i in range(10):\n    for j in range(i):\n        print(i,"
    how = ("attribute", "--prompt", prompt, "--answer", " j", "--method", "lasso", "--seed", "5")
    code, _, err = ran(tmp_path, *how, "--budget", "100", "--folder", "kept")
    assert code == 0, err
    (page,) = (tmp_path / "kept").glob("*.html")
    found = gloss.attribute(prompt, answer=" j", method="lasso", seed=5, budget=100)
    assert found.write_page(tmp_path / "own.html").read_bytes() == page.read_bytes()


def test_features_are_given_as_numbers_of_any_kind_or_as_those_of_a_run(run):
    asked = {"model": gloss.load_model(), "method": "exact"}
    embedded = {**asked, "dictionary": gloss.load_dictionary()}
    for zero in (0, np.int64(0)):
        fires = gloss.attribute("x: tuple[int", feature=zero, unit="words", **embedded)
        assert fires.value == "activation of feature 0"
    for numbers in (np.array([3, 7]), range(3, 8, 4), (3, np.int32(7))):
        found = gloss.attribute("def f(", features=numbers, **embedded)
        assert found.players == ("feature 3", "feature 7")
    found = gloss.attribute("def f(", features=[run[3], run[7]], **asked)
    assert found.players == ("feature 3", "feature 7")
    assert found.question.features == f"{run.plan.folder}@3,7"
    with pytest.raises(BadSettings, match="not all of one run; give"):
        gloss.attribute("def f(", features=[run[3], 7], **asked)
    for wrong in (1.5, [0.5], np.zeros((2, 2), int), None):
        with pytest.raises(BadSettings, match="names no feature; give numbers"):
            gloss.attribute("def f(", features=wrong, **embedded)


def test_a_dictionary_that_is_handed_over_takes_the_place_of_no_other():
    dictionary = gloss.load_dictionary()
    with pytest.raises(BadInput, match="nosuchrun"):
        gloss.attribute("def f(", dictionary=dictionary, feature="nosuchrun@1", unit="tokens")


@pytest.mark.parametrize(
    "settings", [{"method": "auto"}, {"method": "gradient", "steps": 64, "prompt": "for i in x"}]
)
def test_a_page_draws_its_curves_from_the_masks_that_were_paid_for(settings, tmp_path):
    asked = {"prompt": "for i in range(len(", "unit": "tokens", "answer": "x"} | settings
    found = gloss.attribute(asked.pop("prompt"), **asked)
    whole = 2 ** len(found.players)
    page = unescape(found.write_page(tmp_path / "page.html").read_text())
    assert whole <= len(found.evaluations) <= whole + 4  # that are asked about twice
    assert "random order" in page


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"anwser": "i"}, "no setting 'anwser'; did you mean 'answer'"),
        ({"answer": 3}, "gloss.attribute.answer must be text"),
        ({"feature": 3}, "give dictionary="),
        ({"feature": 0}, "give dictionary="),
        ({"method": "atuo"}, "has no method 'atuo'"),
        ({"method": "exact", "budget": 3}, "has no setting 'budget'"),
        ({"method": "gradient", "components": "heads"}, "needs tokens that fade"),
    ],
)
def test_wrong_settings_of_an_attribution_are_refused_before_anything_is_loaded(settings, said):
    with pytest.raises(BadSettings, match=said):
        gloss.attribute("for i in", **settings)


def test_packages_stay_packages_and_are_called_by_their_verb(tmp_path):
    import gloss.explain.best_of
    import gloss.run.pipeline

    assert callable(gloss.explain)
    assert callable(gloss.run)
    with pytest.raises(BadInput, match="cannot be read"):
        gloss.run(tmp_path / "none.toml")


def test_a_notebook_shows_an_error_as_its_sentence():
    assert BadInput("give a folder")._render_traceback_() == ["BadInput: give a folder"]
