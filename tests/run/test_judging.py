"""Runs find out how many contexts their judge can bear, and say what speaks against it, in the terminal and on every page."""

import json
import re
import shutil
from pathlib import Path

import pytest
from small import SMALL, start

from gloss.run.pipeline import plan_of
from gloss.store.results import read
from models.servers import serve

FEW = SMALL.replace("features = 12", "features = 5").replace("[contexts]", "[contexts]\nheld_out = 12\nsilent_held_out = 12")
JUDGED = """
[judge]
packing = 48

[[score]]
method = "detection"

[chat]
model = "m"
base_url = "{url}"
"""


def ran(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


@pytest.fixture
def folder(small_run, tmp_path) -> Path:
    """A folder in which everything that asks nobody has been done."""
    shutil.copytree(small_run / "out", tmp_path / "out")
    return tmp_path


def judged(folder: Path, server) -> str:
    """What a run with this judge says on the way."""
    (folder / "experiment.toml").write_text(FEW + JUDGED.format(url=server.base_url))
    code, _, err = ran(folder, "run", "experiment.toml")
    assert code == 0, err
    return " ".join(err.split())


def packings(folder: Path) -> dict[tuple[int, str], dict]:
    plan = plan_of(folder / "out")
    return {(row["contexts"], row["form"]): row for row in read([plan.place("packing.detection")], "packings")}


def pages(folder: Path) -> list[str]:
    out = folder / "out"
    feature = next((out / "page" / "features").rglob("*.html"))
    return [page.read_text() for page in (out / "page" / "index.html", feature, out / "report.html")]


def test_a_judge_that_says_yes_to_lists_is_asked_one_question_at_a_time_and_is_not_doubted(folder):
    with serve(answer="yes in lists") as server:
        told = judged(folder, server)
        asked = len(server.requests())
        code, cost, err = ran(folder, "cost", "experiment.toml")
        assert code == 0, err
        assert len(server.requests()) == asked
    assert "detection is counted by the packing that was measured: one context a request, asked yes or no." in " ".join(
        cost.split()
    )
    found = packings(folder)
    assert [key for key, row in found.items() if row["chosen"]] == [(1, "single")]
    assert found[1, "single"]["balanced"] == 1
    assert {row["balanced"] for key, row in found.items() if key[0] > 1} == {0.5}
    assert "the judge of detection: one context a request, asked yes or no, balanced accuracy 1.000" in told
    verdicts = read(plan_of(folder / "out").places("score"), "verdicts")
    assert {row["place"] for row in verdicts} == {0}
    assert "take care" not in told
    assert not any("Take care" in page for page in pages(folder))


def test_a_judge_that_says_yes_to_everything_is_named_wherever_its_scores_are_shown(folder):
    with serve(answer="yes") as server:
        told = judged(folder, server)
    [chosen] = [key for key, row in packings(folder).items() if row["chosen"]]
    assert chosen[0] == 25
    said = re.search(r"take care: The judge of detection said yes to all ([\d,]+) contexts", told)
    verdicts = read(plan_of(folder / "out").places("score"), "verdicts")
    assert int(said[1].replace(",", "")) == len(verdicts)
    for page in pages(folder):
        assert f"said yes to all {said[1]} contexts that it was asked about; its scores measure nothing" in page
        assert page.count("Take care.") == 1
    note = json.loads(plan_of(folder / "out").part("packing.detection", 0).marker.read_text())
    assert note["tells"] is False
