"""Runs of a corpus that was mined: they say what full ones say where all is kept, and say of what
is estimated that it is.
"""

import tomllib
from pathlib import Path

import pytest
from small import SMALL, start

from gloss.errors import BadSettings
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun
from gloss.run.planning import plan_run, read_run

MINED = SMALL.replace("max_tokens = 12000", 'max_tokens = 12000\nstore = "mined"')
FEW = MINED.replace('"mined"', '"mined"\nkept = 4\nstrongest = 3\nbackground = 24')


def ran(folder: Path, experiment: str, *arguments: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "experiment.toml").write_text(experiment)
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def few(made_once) -> Path:
    """A run of a corpus of which little is kept."""
    return made_once("mined_few", lambda folder: ran(folder, FEW, "run", "experiment.toml"))


def rows(run: OpenedRun, verb: str, table: str, *without: str) -> list[dict]:
    return [
        {name: value for name, value in row.items() if name not in without}
        for row in run.rows(verb, table)
    ]


def test_where_all_is_kept_a_mined_run_says_what_a_full_one_says(small_run, tmp_path):
    ran(tmp_path, MINED, "score", "experiment.toml")
    full, mined = read_run(small_run / "out"), read_run(tmp_path / "out")
    assert mined.activations.is_mined
    assert not full.activations.is_mined
    assert mined.corpus.background == len(full.corpus.documents)
    assert [f.index for f in mined.features] == [f.index for f in full.features]
    for verb, table in (("sample", "examples"), ("explain", "explanations")):
        assert rows(mined, verb, table) == rows(full, verb, table) != []
    same, there = (rows(run, "score", "scores") for run in (mined, full))
    for one, other in zip(same, there, strict=True):
        assert one["value"] == pytest.approx(other["value"], nan_ok=True)
        # the bootstrap is drawn another way
        assert one["low"] == pytest.approx(other["low"], abs=0.15, nan_ok=True)


def test_a_run_of_a_sample_tells_that_it_is_one(few):
    run = read_run(few / "out")
    sequences = len(run.corpus.documents)
    full = run.place("collect") / "corpus"
    assert run.corpus.background == 24
    assert sequences > 24
    report = (few / "out" / "report.html").read_text()
    assert "the corpus was mined" in report
    assert "are not counted in a mined corpus" in report
    assert f"{run.activations.tokens:,} tokens" in report
    page = next((few / "out" / "page").rglob("*.html")).read_text()
    assert page
    assert full.is_dir()
    for feature in run.features:
        found = run.activations.feature(feature.index)
        weights = found.known.of_sequences(run.corpus.sequences_in_train)
        assert weights.max() > 1
        assert run.activations.counts[feature.index] >= len(found)


def test_strata_are_asked_for_like_any_table(few):
    said = ran(
        few,
        FEW,
        "query",
        "out",
        "select sum(tokens) as tokens, sum(kept) < sum(sequences) as sampled from strata",
    )
    run = read_run(few / "out")
    assert f"{run.activations.counts.sum()}" in said.replace(",", "")
    assert "true" in said.lower()


def test_each_way_to_store_has_folders_of_its_own(tmp_path):
    def collect_key(text: str) -> str:
        return plan_run(Experiment.of(tomllib.loads(text))).keys["collect"]

    full, mined = collect_key(SMALL), collect_key(MINED)
    unused = SMALL.replace("max_tokens = 12000", "max_tokens = 12000\nkept = 4")
    assert full == collect_key(unused)
    reseeded = MINED.replace("[run]", "[run]\nseed = 1")
    assert len({full, mined, collect_key(FEW), collect_key(reseeded)}) == 4
    for wrong, says in (
        ('store = "some"', "store must be 'full' or 'mined', got 'some'"),
        ("kept = 1", "kept is 1; give 2 or more"),
        ("background = 0", "background is 0; give 2 or more"),
    ):
        with pytest.raises(BadSettings, match=says):
            Experiment.of(tomllib.loads(SMALL.replace("[contexts]", f"{wrong}\n\n[contexts]")))
