"""What `gloss cost` foretells of time, disk and memory, from two small runs of an experiment."""

import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import SMALL

from gloss.collect.texts import measure_texts, open_texts
from gloss.errors import Stopped
from gloss.run.commands.forecast import (
    TIME,
    Amounts,
    Forecast,
    Taken,
    bytes_text,
    carry_on,
    folder_bytes,
    pilot_tables,
    pilots,
    print_forecast,
    run_apart,
    without_asking,
)
from gloss.run.experiment import Experiment

FREE = Experiment.of(tomllib.loads(SMALL))
STEPS = {"collect": "tokens", "explain.rule": "features"}


def taken(amounts: Amounts, values: dict[str, float]) -> Taken:
    return Taken(amounts, values, {}, 0, np.ones(3), 4.0)


@given(
    begin=st.floats(0, 100),
    each=st.floats(1e-6, 1),
    tokens=st.integers(1000, 10**7),
    features=st.integers(50, 10**6),
)
def test_what_grows_with_tokens_or_with_features_is_carried_on_exactly(
    begin, each, tokens, features
):
    def cost(amounts: Amounts) -> dict[str, float]:
        return {step: begin + each * getattr(amounts, of) for step, of in STEPS.items()}

    small, large, whole = Amounts(500, 10), Amounts(1000, 30), Amounts(tokens, features)
    pair = [taken(one, cost(one)) for one in (small, large)]
    assert carry_on(FREE, whole, *pair, TIME) == pytest.approx(cost(whole))


def test_controls_are_runs_of_their_own():
    tables = tomllib.loads(SMALL) | {"controls": {"random_dictionary": True, "features": 5}}
    small, large, whole = Amounts(500, 10), Amounts(1000, 30), Amounts(1000, 10)
    same = dict.fromkeys(STEPS, 6.0)
    pair = [taken(one, same) for one in (small, large)]
    found = carry_on(Experiment.of(tables), whole, *pair, TIME)
    assert found == {"collect": 12.0, "explain.rule": 9.0}


def test_a_pilot_asks_nobody():
    explain = [{"method": "rule"}, {"method": "max_activating"}]
    score = [{"method": "execution"}, {"method": "detection", "of": ["max_activating"]}]
    chat = {"model": "m", "base_url": "http://127.0.0.1:1"}
    asked = Experiment.of(tomllib.loads(SMALL) | {"explain": explain, "score": score, "chat": chat})
    free = without_asking(pilot_tables(asked, "out", Amounts(100, 4)))
    assert [one["method"] for one in free["explain"]] == ["rule"]
    assert [one["method"] for one in free["score"]] == ["execution"]


def test_a_pilot_trains_a_batch_at_least_and_needs_no_cluster(monkeypatch):
    trained = {"method": "topk", "site": "resid_post.0", "width": 64, "k": 4}
    tables = tomllib.loads(SMALL) | {"decompose": trained}
    tables["run"] |= {"executor": "slurm"}
    made = []
    monkeypatch.setattr("gloss.run.commands.forecast.run_apart", lambda *of: made.append(of))
    with pilots(Experiment.of(tables)) as (_, _, large):
        assert large.run.executor == "processes"
    assert [amounts.training for _, amounts in made] == [3000, 6000]
    made.clear()
    tables["collect"] = {"max_tokens": 2000}
    with pilots(Experiment.of(tables)) as (_, _, large):
        assert large.decompose["tokens"] == 2048
    assert [amounts.training for _, amounts in made] == [2048, 2048]


def test_a_pilot_that_breaks_is_not_told_to_have_been_killed(tmp_path):
    tables = pilot_tables(FREE, str(tmp_path / "out"), Amounts(100, 4))
    with pytest.raises(Stopped, match="ended by the error that it printed above"):
        run_apart({"run": tables["run"]}, Amounts(100, 4))


def test_texts_are_counted_until_it_is_enough(tmp_path):
    for name, length in (("a", 10), ("b", 20), ("c", 30)):
        (tmp_path / f"{name}.txt").write_text(name * length)
    texts = open_texts(str(tmp_path))
    whole, part = measure_texts(texts, 1e9, 60.0), measure_texts(texts, 25, 60.0)
    assert (whole.characters, whole.whole) == (60, True)
    assert (part.characters, part.whole) == (30, False)


def test_a_pilot_foretells_the_disk_of_a_whole_run(small_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pilots(FREE) as (small, large, piloted):
        found = Forecast.of(FREE, small, large)
        assert piloted.folder.is_dir()
    assert not piloted.folder.exists()
    assert not any(tmp_path.iterdir())
    assert found.amounts == Amounts(12_000, 12)
    assert not found.at_least
    assert set(found.seconds) >= {
        "decompose",
        "collect",
        "sample",
        "explain.rule",
        "score.execution",
    }
    assert found.seconds_until("collect") < found.seconds_until("score")
    assert 2**27 < large.memory < found.memory < 2**33
    print_forecast(FREE, found)
    said = capsys.readouterr().out
    assert "12,000 tokens, 12 features" in " ".join(said.split())
    assert bytes_text(sum(found.disk.values())) in said
    there = folder_bytes(small_run / "out")
    assert sum(found.disk.values()) == pytest.approx(there, rel=0.2)
