"""`gloss report` on a run: what the page states, and what is refused."""

import shutil

from small import start

from gloss.records import Control
from gloss.run.planning import read_run
from gloss.run.reporting.report import FIRST, LAST, write_run_report
from gloss.run.reporting.run_data import RunData, headline_values


def test_the_page_states_settings_scores_controls_failures_and_time(small_run, tmp_path):
    shutil.copytree(small_run / "out", tmp_path / "out")
    process = start(tmp_path, "report", "out")
    told, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "F1 by execution of rule" in told
    page = (tmp_path / "out" / "report.html").read_text()
    for said in (
        "resid_post.2",
        "quantiles",
        "asked for: random",
        "no language model was asked",
        "seed",
        "cannot see it",
        "of a random feature",
    ):
        assert said in page
    for feature in read_run(tmp_path / "out").features[:3]:
        assert (
            tmp_path / "out" / "page" / "features" / feature.dictionary / f"{feature.index}.html"
        ).exists()


def test_links_lead_to_pages_that_exist(small_run):
    plan = read_run(small_run / "out")
    found = RunData(plan)
    linked = [found.link(feature.index).target for feature in plan.features]
    assert all(target and (plan.folder / target).is_file() for target in linked)
    assert found.link(10**6).target == ""


def test_what_failed_counts_as_0_beside_the_score(small_run):
    found = RunData(read_run(small_run / "out"))
    report = write_run_report(found.run)
    scores = next(section for section in report.sections if section.title == "Scores")
    own, padded, *controls = scores.blocks[0].lines
    rows = found.scores["execution", "rule"]
    assert own.values.tolist() == headline_values(rows, Control.NONE).tolist()
    assert len(padded.values) == found.examined >= len(own.values)
    assert [line.control for line in controls] == [True, True]


def test_a_section_without_records_is_left_out(small_run):
    found = RunData(read_run(small_run / "out"))
    object.__setattr__(found, "scores", {})
    assert sum(section(found) is None for section in (*FIRST, *LAST)) >= 3


def test_a_folder_without_a_run_is_refused(tmp_path):
    process = start(tmp_path, "report", "nowhere")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "nowhere holds no run" in err
