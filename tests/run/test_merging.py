"""Runs over several texts become one, which goes on as any other."""

import json
import sysconfig
import tomllib
from pathlib import Path

import pytest
from small import SMALL, ran

from gloss.errors import BadInput, BadSettings
from gloss.run.commands.merge import experiment_toml, merged_tables
from gloss.run.experiment import Experiment
from gloss.run.planning import plan_run, read_run

MINED = 'max_tokens = 0\nstore = "mined"\nkept = 4\nstrongest = 3\nbackground = 24\n'


def experiment(name: str, texts: str) -> str:
    cut = f"{MINED}texts = {texts}"
    return SMALL.replace('"out"', f'"{name}"').replace("max_tokens = 12000", cut)


@pytest.fixture(scope="module")
def runs(made_once) -> Path:
    """Two runs that have collected, each over modules of its own."""

    def make(folder: Path) -> None:
        files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
        texts = [text for file in files if len(text := file.read_text("utf-8")) < 3000]
        for number, name in enumerate("ab"):
            lines = [json.dumps({"text": text}) for text in texts[number::2]]
            (folder / f"{name}.jsonl").write_text("\n".join(lines))
            (folder / f"{name}.toml").write_text(experiment(name, f'["{name}.jsonl"]'))
            code, _, err = ran(folder, "collect", f"{name}.toml")
            assert code == 0, err

    return made_once("to_merge", make)


@pytest.mark.timeout(300)
def test_a_merge_goes_on_as_a_run(runs, tmp_path):
    for path in runs.iterdir():
        (tmp_path / path.name).symlink_to(path)
    code, out, err = ran(tmp_path, "merge", "a", "b", "--into", "c")
    assert (code, out) == (0, "gloss run c.toml\n"), err
    code, _, err = ran(tmp_path, "score", "c.toml")
    assert code == 0, err
    assert "decompose" not in err  # what is there is found again
    one, other, both = (read_run(tmp_path / name) for name in "abc")
    counts = [run.activations.counts for run in (one, other)]
    assert both.activations.counts.tolist() == sum(counts).tolist()
    assert both.activations.tokens == one.activations.tokens + other.activations.tokens
    assert both.corpus.background == 24
    assert [row["n"] for row in both.rows("score", "scores")]
    code, _, err = ran(tmp_path, "merge", "a", "c", "--into", "d")
    assert code == 2
    assert "names c, which is a merge itself; name the runs that it was merged from: a, b" in err
    (tmp_path / "own.toml").write_text(
        (tmp_path / "c.toml").read_text().replace("kept = 4", "kept = 5").replace('"c"', '"e"')
    )
    code, _, err = ran(tmp_path, "collect", "own.toml")
    assert code == 2
    assert "this experiment and a were collected with another mined.kept (5 and 4)" in err


def test_what_cannot_be_merged_is_refused_before_anything_is_loaded(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(runs)
    with pytest.raises(BadSettings, match="two runs or more"):
        merged_tables([runs / "a"], tmp_path / "c")
    with pytest.raises(BadSettings, match="names one run; give two or more"):
        Experiment.of({"collect": {"merge": ["a"]}})
    asked = Experiment.of({"collect": {"merge": ["a", "nowhere"]}})
    with pytest.raises(BadInput, match="merge names nowhere, which holds no run"):
        plan_run(asked)


def test_another_collect_of_a_run_is_another_merge(runs, monkeypatch):
    monkeypatch.chdir(runs)
    tables = merged_tables([Path("a"), Path("b")], Path("c"))
    keys = plan_run(Experiment.of(tables)).keys
    other = tables | {"collect": tables["collect"] | {"merge": ["b", "a"]}}
    assert plan_run(Experiment.of(other)).keys["collect"] != keys["collect"]
    assert keys["collect"] not in (read_run(Path(name)).keys["collect"] for name in "ab")


def test_an_experiment_is_written_as_it_is_read():
    tables = Experiment.of(
        {
            "run": {"folder": 'a "b"', "executor": {"method": "processes", "processes": 3}},
            "collect": {"leave_out": ["<think>", 0], "massive": 0.0},
            "explain": [{"method": "rule"}, {"method": "rule", "name": "again"}],
            "intervene": {},
            "chat": {"small": {"model": "m", "base_url": "http://127.0.0.1:1/v1"}},
        }
    ).tables()
    written = experiment_toml(tables)
    assert Experiment.of(tomllib.loads(written)).tables() == tables
    assert "features_per_shard" not in written  # a default
