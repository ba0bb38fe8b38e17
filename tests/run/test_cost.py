"""What `gloss cost` says before anything is asked is asked then, by every method that asks."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from small import SMALL

from gloss.models.chat_models.prices import prompt_token_count
from gloss.records import Ability, needs_of
from gloss.run.chat_clients import EndpointClient
from gloss.run.commands.cost import method_costs, print_cost_estimate
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.experiment import Experiment
from gloss.run.methods import build_method, installed_methods
from gloss.run.pipeline import run_until
from gloss.run.planning import read_run
from models.servers import serve
from models.text_server import serve_texts

# what a method is made of, or set to, where its defaults ask nobody or ask for long
ASKING = {
    "active": {"explainer": "max_activating", "scorer": "detection", "rounds": 1, "texts": 8},
    "route": {"words": "max_activating", "words_scorer": "detection"},
    "best_of": {"n": 2},
    "repair": {"rounds": 1},
    "simulation": {"contexts": 6},
    "simulation_by_token": {"contexts": 2},
    "simulation_json": {"contexts": 8},
    "discrimination": {"trials": 10},
    "generation": {"texts": 4},
    "intervention": {"of": ["given"]},  # which by itself is asked of explanations of outputs
}


KNOWN: dict[str, str] = {}  # capabilities of the endpoints, by address
# half of the run's features, so that its corpus is found again
FEW = tomllib.loads(SMALL) | {"run": tomllib.loads(SMALL)["run"] | {"features": 6}}


def asking_methods():
    for verb in ("explain", "score"):
        for name, point in installed_methods(verb).items():
            if point.value.startswith("gloss.") and not needs_of(point.load()).files:
                settings = {"method": name} | ASKING.get(name, {})
                if needs_of(build_method(verb, settings)).asks:
                    yield pytest.param(verb, settings, id=name)


@pytest.fixture(scope="module")
def endpoints():
    """Where chats are answered, and where texts are."""
    with serve(answer="writer") as chats, serve_texts("surprised") as texts:
        yield chats.base_url, f"{texts}/both/v1"


@pytest.fixture
def asked(monkeypatch):
    """Every prompt of a run that was asked, once."""
    prompts = {}
    usual = EndpointClient.run

    def noted(conversation):
        answers = None
        while True:
            try:
                said = next(conversation) if answers is None else conversation.send(answers)
            except StopIteration as over:
                return over.value
            prompts.update(dict.fromkeys(said))
            answers = yield said

    monkeypatch.setattr(
        EndpointClient, "run", lambda self, talks: usual(self, (noted(talk) for talk in talks))
    )
    return prompts


@pytest.mark.parametrize("verb, settings", [*asking_methods()])
def test_what_was_counted_is_what_is_asked(
    verb, settings, small_run, tmp_path, monkeypatch, endpoints, asked, one_thread
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_run / "out", "out")
    needs = needs_of(build_method(verb, settings))
    said = "names of things and of those who own them, mostly in lists that follow a colon, as in"
    labels = {str(index): f"{said} `word{index}`" for index in read_run(Path("out")).live.tolist()}
    Path("labels.json").write_text(json.dumps(labels))
    url = endpoints[needs.asks != (Ability.CHAT,)]
    if url in KNOWN:  # found out once
        Path("out/capabilities.json").write_text(KNOWN[url])
    # controls are counted alike for all scores: of one, and there among all features
    with_controls = settings["method"] == "detection"
    if verb == "score" and needs.controls and needs.explanation and not with_controls:
        settings = settings | {"controls": 0}
    tables = (tomllib.loads(SMALL) if with_controls else FEW) | {
        "explain": [{"method": "given", "path": "labels.json"}],
        "chat": {"model": "m", "base_url": url},
        "contexts": {"train": 60, "inactive_train": 150, "minimum": 4, "context_length": 16}
        | {"held_out": 6, "inactive_held_out": 6},
        "judge": {"packing": 0},
        "collisions": {"by": "none"},
    }
    if needs.effects:
        tables["intervene"] = {"prompts": 3, "completions": 2, "kl": [1.0]}
    experiment = Experiment.of(tables | {verb: [settings]})
    run = run_until(experiment, "intervene" if needs.effects else "sample")
    guard = FeatureGuard(run, "cost", 0, size=len(run.features))
    [row] = [row for row in method_costs(run, guard).values() if row[0]]
    assert not guard.taken
    assert not asked
    run_until(experiment, verb)
    KNOWN[url] = Path("out/capabilities.json").read_text()
    assert asked
    tokens = sum(prompt_token_count(prompt) for prompt in asked)
    assert row[0] == pytest.approx(len(asked), rel=0.1)
    assert row[1] == pytest.approx(tokens, rel=0.1)


def test_very_many_requests_are_warned_of_with_what_asks_most(
    monkeypatch, capsys, small_run, tmp_path
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_run / "out", "out")
    scores = [{"method": "detection"}, {"method": "simulation_by_token", "contexts": 2}]
    experiment = Experiment.of(
        FEW | {"score": scores, "chat": {"model": "m"}, "judge": {"packing": 0}}
    )
    print_cost_estimate(experiment, only_requests=True)
    assert "more than" not in capsys.readouterr().out
    monkeypatch.setattr("gloss.run.commands.cost.MOST_REQUESTS", 500)
    print_cost_estimate(experiment, only_requests=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "more than 500 requests" in said
    assert "by score.simulation_by_token" in said
    assert "lower [run] features" in said
    assert "in [[score]]" in said
