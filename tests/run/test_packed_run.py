"""The pages of a run with many features: packed, by any number of processes, gone on with."""

import json
import shutil
from dataclasses import replace

import pytest
from harmed import gloss

from gloss.run.execute.executors import ProcessExecutor, SerialExecutor
from gloss.run.opened_run import OpenedRun
from gloss.run.planning import read_run
from gloss.run.reporting import feature_pages
from gloss.run.reporting.feature_pages import ChunkWriter, RunLinks, write_run_pages
from gloss.run.reporting.run_data import RunData


@pytest.fixture
def run(folder, monkeypatch) -> OpenedRun:
    """The small run of 12 features with its pages in four chunks."""
    monkeypatch.setattr(feature_pages, "CHUNK", 3)
    found = read_run(folder / "out")
    browse = replace(found.experiment.browse, packed_above=11)
    return OpenedRun(replace(found.experiment, browse=browse), found.known)


def pages(run):
    folder = run.folder / "page"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_killed_browse_goes_on_with_the_chunks_that_are_left(run, monkeypatch):
    assert (run.folder / "page" / "features").is_dir()
    write_run_pages(run)
    assert not (run.folder / "page" / "features").exists()
    assert sorted(path.name for path in (run.folder / "page" / "pages").iterdir()) == [
        f"{number:05d}.js" for number in range(4)
    ]
    whole, written, kills = pages(run), [], [2, 1]
    write = ChunkWriter.__call__

    def killed(self, number):
        if kills and number == kills[0]:
            kills.pop(0)
            raise KeyboardInterrupt
        written.append(number)
        write(self, number)

    monkeypatch.setattr(ChunkWriter, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        write_run_pages(run)
    assert pages(run) == whole
    write_run_pages(run)
    assert written == [0, 1, 2, 3]
    assert pages(run) == whole
    # of other results nothing is taken over
    with pytest.raises(KeyboardInterrupt):
        write_run_pages(run)
    marker = run.part("explain.rule", 0).marker
    marker.write_bytes(marker.read_bytes())
    written.clear()
    write_run_pages(run)
    assert written == [0, 1, 2, 3]


def test_a_run_that_is_not_done_has_packed_pages_too(run):
    for step in ("score.execution", "collisions"):
        shutil.rmtree(run.place(step))
    write_run_pages(run)
    assert (run.folder / "page" / "feature.html").is_file()


def test_two_processes_write_the_same_bytes_as_one(run):
    found = []
    for executor in (SerialExecutor(), ProcessExecutor(2)):
        write_run_pages(run, executor)
        found.append(pages(run))
    assert found[0] == found[1]


def test_the_report_and_neighbours_lead_to_packed_pages(run):
    write_run_pages(run)
    feature = run.features[0]
    assert RunData(run).link(feature.index).target == f"page/feature.html#{feature.index}"
    links = RunLinks(run)
    explained = {row["feature"]: row["text"] for row in run.rows("explain", "explanations")}
    for each in run.features:
        text = explained.get(each.index, "Without an explanation.")
        assert links(each).text == text
        assert links(each).path == f"feature.html#{each.index}"
    other = next(i for i in range(10_000) if i not in {each.index for each in run.features})
    assert links(replace(feature, index=other)) is None


def test_an_error_on_one_page_is_told_and_costs_that_page_alone(run, monkeypatch, capsys):
    lost = run.features[4].index

    def compose(run, feature, *given, **named):
        if feature.index == lost:
            raise ZeroDivisionError("nobody divides")
        return whole(run, feature, *given, **named)

    whole = feature_pages.compose_feature_page
    monkeypatch.setattr(feature_pages, "compose_feature_page", compose)
    write_run_pages(run)
    assert "browse: 1 feature failed with ZeroDivisionError" in capsys.readouterr().err
    assert "Traceback" in (run.folder / "log" / "browse.log").read_text()


def test_an_experiment_asks_for_packed_pages(folder):
    text = (folder / "out" / "experiment.json").read_text()
    assert json.loads(text)["experiment"]["browse"]["packed_above"] == 500
    from small import SMALL

    (folder / "experiment.toml").write_text(f"{SMALL}\n[browse]\npacked_above = 11\n")
    code, said = gloss(folder, "run", "experiment.toml")
    assert code == 0, said
    assert (folder / "out" / "page" / "feature.html").is_file()
    assert "page/feature.html#" in (folder / "out" / "report.html").read_text()
    assert gloss(folder, "verify", "out") == (0, "every file holds what was written\n")
