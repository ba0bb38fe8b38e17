"""What a language model can do is seen before anything is spent, told, and kept with the run."""

import json
import re
import shutil
from pathlib import Path

import pytest
from small import SMALL, start

from gloss.models.bundled import embedded_folder
from gloss.records import Ability, needs_of
from gloss.run.methods import build_method
from models.text_server import serve_texts

SCORED = """
[[score]]
method = "{method}"

[chat]
model = "m"
base_url = "{url}"
max_attempts = 2
"""


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def ran(folder: Path, verb: str, method: str, url: str, more: str = "") -> tuple[int, str, str]:
    (folder / "experiment.toml").write_text(SMALL + SCORED.format(method=method, url=url) + more)
    process = start(folder, verb, "experiment.toml")
    out, err = process.communicate(timeout=200)
    assert "Traceback" not in err
    return process.returncode, " ".join(re.sub("[│┃]", " ", out).split()), err


def test_a_score_that_needs_what_lacks_is_refused_before_anything_is_done(tmp_path):
    with serve_texts("simulator") as address:
        code, _, err = ran(tmp_path, "run", "simulation", f"{address}/dropped/v1")
        assert code == 2, err
        assert "score.simulation cannot be had of 'm' at " in err
        assert "which gives no log-probabilities of a prompt's own text" in err
        assert "or a score that needs none (simulation_json" in err
        left = {path.name for path in (tmp_path / "out").iterdir()}
        assert left == {
            ".lock",
            "experiment.json",
            "status.json",
            "capabilities.json",
            "answers.sqlite",
        }
        code, told, err = ran(tmp_path, "probe", "simulation", f"{address}/both/v1")
    assert code == 0, err
    assert "of a prompt's own text yes, by prompt_logprobs score.simulation" in told
    assert "keeps to a JSON schema yes" in told
    kept = json.loads((tmp_path / "out" / "capabilities.json").read_text())
    assert kept["of"]["base_url"].endswith("/both/v1")
    assert kept["found"]["own_text"] == {"form": "prompt_logprobs", "aligned": True}


def test_an_endpoint_is_held_against_the_weights_that_it_should_have(tmp_path):
    shutil.copytree(embedded_folder("subject"), tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 100.0}))
    with serve_texts("subject", folder=embedded_folder("subject"), start=0) as address:
        code, told, err = ran(
            tmp_path, "probe", "surprisal", f"{address}/vllm/v1", 'weights = "embedded"'
        )
        assert code == 0, err
        assert re.search(
            r"weights that are here yes: median \S+ nats apart, \S+ at most, over \d+ tokens", told
        )
        for verb in ("probe", "run"):
            code, _, err = ran(
                tmp_path, verb, "surprisal", f"{address}/vllm/v1", 'weights = "other"'
            )
            assert code == 2
            assert "gives other log-probabilities than the weights in other" in err


def test_an_endpoint_that_does_nothing_at_all_is_refused_with_its_own_words(tmp_path):
    with serve_texts("subject", folder=embedded_folder("subject"), start=0) as address:
        code, _, err = ran(tmp_path, "run", "detection", f"{address}/vllm/v2")
    assert code == 2, err
    assert "answers no chats (status 404: Not Found)" in err
    assert "check base_url, which often ends in /v1, and model" in err


def test_what_a_method_needs_includes_what_the_methods_that_it_wraps_need():
    def needs(verb: str, **settings: object) -> set[Ability]:
        return set(needs_of(build_method(verb, settings)).asks)

    assert needs("score", method="detection") == {Ability.CHAT}
    assert (
        needs("score", method="surprisal")
        == needs("score", method="intervention")
        == {Ability.OWN_TEXT}
    )
    assert needs("explain", method="best_of", explainer="rule", scorer="surprisal") == {
        Ability.OWN_TEXT
    }
    assert needs("explain", method="repair", explainer="rule", scorer="execution") == {Ability.CHAT}
    assert needs("explain", method="best_of", explainer="rule", scorer="execution") == set()
