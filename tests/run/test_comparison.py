"""Several runs: what differs is named; scores are paired by feature, or over seeds or features."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from small import edit, edit_table, ran

from gloss.errors import BadSettings, Mismatch
from gloss.pages.report_sections import Grid
from gloss.run.planning import read_run
from gloss.run.reporting.paired_scores import Difference
from gloss.run.reporting.run_comparison import compare_runs
from gloss.score.judge.doubts import SIDES
from gloss.store.sealed_json import read_sealed_json, seal_json

Twin = Callable[..., Path]


@pytest.fixture
def twin(small_run, tmp_path) -> Twin:
    """Makes a run that differs from the small one by its seed, by what its dictionary is called,
    and by its scores.
    """

    def make(seed: int, dictionary: str = "embedded", value: object = 0.5, **tables) -> Path:
        folder = tmp_path / f"{dictionary}-{seed}-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(small_run / "out", folder)
        written = read_sealed_json(folder / "experiment.json")
        written["experiment"]["run"]["seed"] = seed
        written["experiment"]["decompose"] = {"dictionary": dictionary}
        for name, table in tables.items():
            written["experiment"][name] |= table
        (folder / "experiment.json").write_bytes(seal_json(written))
        # another seed draws other features
        drawn = [read_run(each).features for each in (small_run / "out", folder)]
        other = {one.index: two.index for one, two in zip(*drawn, strict=True)}
        for path in folder.glob("*/*/*/*.parquet"):
            if path.parent.name in ("scores", "failures"):
                edit(path, lambda row: row | {"feature": other[row["feature"]]})
        of = value if callable(value) else lambda _: value
        for path in folder.glob("score/*/scores/*.parquet"):
            edit(path, lambda row: row | {"value": of(row["feature"])})
        # as if every feature that was tried had been explained
        rewrite(folder.glob("*/*/failures/*.parquet"), stage="sample")
        return folder

    return make


def rewrite(paths: Iterable[Path], **column) -> None:
    for path in paths:
        edit(path, lambda row: row | column)


def differences(folders: list[Path]) -> list[Difference]:
    [contest] = compare_runs(folders).contests
    return list(contest.differences)


def spread(feature: int) -> float:
    """A score that differs much from feature to feature."""
    return 0.1 + 0.7 * (feature * 7919 % 97) / 97


def test_two_dictionaries_with_two_seeds_each_have_a_difference_with_its_interval(twin):
    runs = [twin(0, "a", 0.8), twin(1, "a", 0.82), twin(0, "b", 0.5), twin(1, "b", 0.52)]
    compared = compare_runs(runs)
    [contest] = compared.contests
    assert [group.name for group in compared.groups] == ["dictionary = a", "dictionary = b"]
    first = contest.medians[0]
    assert first.value == pytest.approx(0.81)
    assert first.high - first.value == pytest.approx(12.706 * 0.01, rel=1e-3)
    [found] = contest.differences
    assert found.over == "2 and 2 seeds"
    assert found.settings == ("decompose.dictionary",)
    for difference in (found.medians, found.means):
        assert difference.value == pytest.approx(0.3)
        # by Welch: two degrees of freedom
        assert difference.high - 0.3 == pytest.approx(4.3027 * 0.01 * 2**0.5, rel=1e-3)
    assert found.shown


def test_seeds_alone_have_an_interval_over_them_and_no_difference(twin):
    compared = compare_runs([twin(0, value=0.5), twin(1, value=0.6)])
    [contest] = compared.contests
    [lines] = contest.blocks()
    assert [line.label for line in lines.lines] == ["all (2 seeds)"]
    assert contest.medians[0].value == pytest.approx(0.55)


def test_a_difference_within_the_spread_over_seeds_is_none(twin):
    runs = [twin(0, "a", 0.8), twin(1, "a", 0.4), twin(0, "b", 0.7), twin(1, "b", 0.3)]
    [found] = differences(runs)
    assert found.medians.low < 0 < found.medians.high
    assert not found.shown
    page = compare_runs(runs).page()
    grids = [b for section in page.sections for b in section.blocks if isinstance(b, Grid)]
    assert any("; no difference is shown" in str(row[0]) for grid in grids for row in grid.rows)


def test_the_same_features_are_paired_so_that_a_small_difference_is_seen_in_a_wide_spread(twin):
    one = twin(0, value=lambda feature: spread(feature) + 0.02 + 0.01 * (feature % 2))
    other = twin(0, value=spread, contexts={"train": 61})
    [found] = differences([one, other])
    assert found.over.endswith("features, paired")
    assert found.means.value == pytest.approx(0.025, abs=0.006)
    assert found.means.low > 0.015
    assert found.shown
    assert found.settings == ("contexts.train",)


def test_a_judge_who_measures_nothing_shows_no_difference_however_large_it_is(twin, monkeypatch):
    folders = [twin(0, value=0.8), twin(0, value=0.4, contexts={"train": 61})]
    assert differences(folders)[0].shown
    yes = {f"rule none {side}": {"yes": 50, "no": 0} for side in SIDES.values()}
    monkeypatch.setattr("gloss.run.judge_doubts.stage_answer_tally", lambda run, stage: yes)
    [found] = differences(folders)
    assert found.means.low > 0
    assert not found.shown
    page = compare_runs(folders).page()
    grids = [b for section in page.sections for b in section.blocks if isinstance(b, Grid)]
    rows = [str(row[0]) for grid in grids for row in grid.rows]
    assert any(row.endswith("; the judge is doubted, so no difference is shown") for row in rows)


def test_features_of_other_dictionaries_are_not_paired_and_it_is_said_what_the_interval_is_over(
    twin,
):
    one, other = twin(0, "a", spread), twin(0, "b", lambda feature: spread(feature) - 0.02)
    [found] = differences([one, other])
    assert "features, not the same; one seed" in found.over
    assert found.means.value == pytest.approx(0.02)
    assert found.means.low < -0.1
    assert not found.shown


def test_an_explainer_that_explained_nothing_there_is_0_there_and_not_left_out(twin):
    one, other = twin(0, value=0.5), twin(0, value=0.5, contexts={"train": 61})
    another = twin(0, contexts={"train": 62})
    for path in (*one.glob("score/*/scores/*.parquet"), *another.glob("score/*/scores/*.parquet")):
        edit_table(path, lambda rows: [])
    compared = compare_runs([one, other])
    [contest] = compared.contests
    assert not compared.left_out
    assert [median.value for median in contest.medians] == [0, 0.5]
    assert contest.differences[0].over.endswith("features, paired")
    with pytest.raises(Mismatch, match="no score in common"):
        compare_runs([one, another])


def test_a_feature_that_one_side_could_not_score_is_0_there_and_still_paired(twin):
    one, other = twin(0, value=0.5), twin(0, value=0.5, contexts={"train": 61})
    dropped = []

    def without_first(rows):
        gone = rows[0]["feature"]
        dropped.append(gone)
        return [row for row in rows if row["feature"] != gone]

    for path in other.glob("score/*/scores/*.parquet"):
        edit_table(path, without_first)
    [contest] = compare_runs([one, other]).contests
    assert len(contest.items[0]) == len(contest.items[1])
    zero = [feature for (_, feature), value in contest.items[1].items() if value == 0]
    assert sorted(zero) == sorted(dropped)
    number = len(contest.items[0])
    assert contest.differences[0].means.value == pytest.approx(0.5 * len(dropped) / number)


def test_settings_that_differ_are_all_named_and_none_is_blamed(twin):
    one, other = (
        twin(0),
        twin(0, contexts={"train": 61}, collect={"max_tokens": 7}, browse={"wrong": 2}),
    )
    compared = compare_runs([one, other])
    assert compared.contests[0].differences[0].settings == ("collect.max_tokens", "contexts.train")
    lead = compared.settings_section().lead
    assert "2 settings differ between these runs: collect.max_tokens, contexts.train" in lead
    assert "cannot be laid to one of them" in lead


def test_explainers_that_runs_do_not_share_are_conditions_and_defaults_are_no_differences(twin):
    one, other = twin(0), twin(0, value=0.2)
    written = read_sealed_json(other / "experiment.json")
    written["experiment"]["explain"] = [
        {"method": "rule", "name": "wide", "beam": 5, "max_terms": 4}
    ]
    written["keys"]["explain.wide"] = written["keys"].pop("explain.rule")
    (other / "experiment.json").write_bytes(seal_json(written))
    rewrite(other.glob("score/*/scores/*.parquet"), explained_by="wide")
    [contest] = compare_runs([one, other]).contests
    assert [each.name for each in contest.conditions] == ["rule", "wide"]
    [found] = contest.differences
    assert found.settings == ("explain.beam",)
    assert found.means.value == pytest.approx(0.3)


def test_methods_of_other_kinds_differ_in_the_method_and_not_in_settings_that_one_has_alone(twin):
    one, other = twin(0), twin(0, value=0.2)
    written = read_sealed_json(other / "experiment.json")
    written["experiment"]["explain"] = [{"method": "max_activating", "name": "rule", "contexts": 9}]
    written["experiment"]["chat"] = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    (other / "experiment.json").write_bytes(seal_json(written))
    assert differences([one, other])[0].settings == ("explain.method",)


def test_a_score_on_which_nothing_that_differs_has_a_bearing_is_left_out(twin):
    one, other = twin(0), twin(0)
    for folder, beam in ((one, 2), (other, 5)):
        written = read_sealed_json(folder / "experiment.json")
        written["experiment"]["explain"] = [
            {"method": "rule"},
            {"method": "rule", "name": "wide", "beam": beam},
        ]
        written["keys"]["explain.wide"] = f"key{beam}"
        (folder / "experiment.json").write_bytes(seal_json(written))
    with pytest.raises(Mismatch, match="execution of rule, on which nothing that differs has a be"):
        compare_runs([one, other])


def test_the_same_run_twice_is_refused(twin):
    with pytest.raises(BadSettings, match="are runs of the same settings with the same seed, 3"):
        compare_runs([twin(3, "a"), twin(3, "a")])


def test_files_that_changed_behind_the_same_names_are_a_difference(twin):
    one, other = twin(0), twin(0, value=0.1)
    written = read_sealed_json(other / "experiment.json")
    written["keys"]["collisions"] = "another"
    (other / "experiment.json").write_bytes(seal_json(written))
    assert list(compare_runs([one, other]).groups[0].values) == ["files behind the names"]


def test_more_than_four_conditions_are_held_against_the_first(twin):
    runs = [twin(0, value=0.1 * number, contexts={"train": 60 + number}) for number in range(6)]
    found = differences(runs)
    assert [each.other for each in found] == ["train = 60"] * 5
    assert [round(each.means.value, 6) for each in found] == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_score_that_is_not_finished_is_left_out_and_said(twin):
    one, other = twin(0), twin(0, contexts={"train": 61})
    next(other.glob("score/*/part-00001.done")).unlink()
    with pytest.raises(Mismatch, match=r"no score in common \(execution of .*is not finished"):
        compare_runs([one, other])


def test_the_command_writes_a_page_and_a_record(twin, tmp_path):
    one, other = twin(0, value=0.9), twin(0, contexts={"train": 61})
    status, out, err = ran(tmp_path, "report", str(one), str(other))
    assert status == 0, err
    assert "One setting differs" not in err
    assert "contexts.train" in out
    page = next(one.glob("beside-*.html"))
    assert "One setting differs between these runs: contexts.train." in page.read_text()
    record = json.loads(page.with_suffix(".json").read_text())
    [difference] = record["scores"][0]["differences"]
    assert difference["means"]["value"] == pytest.approx(0.4)
    assert np.isfinite(difference["means"]["low"])
    status, _, err = ran(tmp_path, "report", str(one), "--out", "x.html")
    assert status == 2
    assert "--out x.html is where the comparison of several runs goes" in err
