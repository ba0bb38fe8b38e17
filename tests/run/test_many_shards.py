"""A run of many shards leaves few files, however often it is killed and by whatever is read."""

import shutil
import time
from pathlib import Path

import pytest
from harmed import gloss, harm
from small import SMALL, contents, start

MANY = SMALL.replace("features = 12", "features = 34").replace("shard = 3", "shard = 1")
STEPS = (
    "directions",
    "sample",
    "sample/quantiles",
    "explain/rule",
    "score/execution",
    "collisions",
)


def begun(small_run: Path, folder: Path, processes: int) -> Path:
    """A run of many shards whose text has been read already."""
    for stage in ("decompose", "collect"):
        shutil.copytree(small_run / "out" / stage, folder / "out" / stage)
    text = MANY.replace("processes = 1", f"processes = {processes}")
    (folder / "experiment.toml").write_text(text)
    return folder


def results(folder: Path) -> dict[str, str]:
    return {
        name: content
        for name, content in contents(folder / "out").items()
        if name.split("/")[0] in {"sample", "explain", "score", "collisions", "page"}
    }


@pytest.fixture(scope="module")
def many(small_run, tmp_path_factory) -> Path:
    folder = begun(small_run, tmp_path_factory.mktemp("many"), 1)
    code, said = gloss(folder, "run", "experiment.toml")
    assert code == 0, said
    return folder


def test_shards_lie_together_and_every_command_reads_them(many):
    stages = {path.parent for path in (many / "out").glob("*/*/group-00000.done")}
    assert len(stages) == len(STEPS)
    for folder in stages:
        alone = [path.name for path in folder.glob("part-*.done")]
        assert alone == (["part-00034.done"] if folder.parent.name == "collisions" else [])
        assert all(len([*table.iterdir()]) == 1 for table in folder.iterdir() if table.is_dir())
    code, said = gloss(many, "status", "out")
    assert (code, said.count("34 of 34")) == (0, len(STEPS)), said
    counts = ("count(DISTINCT feature) FROM explanations", "count(*) FROM scores")
    sql = " UNION ALL ".join(f"SELECT {each}" for each in counts)
    code, said = gloss(many, "query", "out", sql, "--format", "csv")
    explained, scores = map(int, said.splitlines()[1:])
    assert code == 0
    assert 25 < explained <= 34
    assert scores == 3 * explained  # its own words, and two controls
    assert gloss(many, "verify", "out") == (0, "every file holds what was written\n")


def test_two_processes_that_are_killed_again_and_again_make_the_same_bytes(
    many, small_run, tmp_path, rng
):
    folder = begun(small_run, tmp_path, 2)
    for _ in range(3):
        process = start(folder, "run", "experiment.toml")
        time.sleep(rng.uniform(1.0, 5.0))
        process.kill()
        process.communicate()
    code, said = gloss(folder, "run", "experiment.toml")
    assert code == 0, said
    assert results(folder) == results(many)


def test_a_damaged_group_is_made_again(many, tmp_path):
    folder = Path(shutil.copytree(many, tmp_path / "run"))
    [rules] = (folder / "out").glob("explain/rule-*/explanations/group-00000.parquet")
    harm(rules, "flipped")
    for verb, *more in (("status",), ("query", "SELECT 1"), ("verify",)):
        code, said = gloss(folder, verb, "out", *more)
        assert code == (0 if verb == "status" else 2)
        assert "explanations/group-00000.parquet" in said
    code, said = gloss(folder, "run", "experiment.toml")
    assert code == 0, said
    assert "group-00000.parquet is damaged" in said
    assert results(folder) == results(many)
