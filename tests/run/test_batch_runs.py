"""Runs whose language model is asked in batches: by files that a process answers offline, and by
the Files and Batches API of a real server.
"""

import json
import re
import shutil
import time
from pathlib import Path

import pytest
from small import SMALL, contents, ran, start

from gloss.models.chat_models.ledger import Ledger
from gloss.run.planning import read_run
from gloss.store.results import read_rows
from models.batch_server import answer_offline, batches, serve_batches
from models.servers import serve

ASKING = """
[[explain]]
method = "max_activating"

[[score]]
method = "detection"
controls = 3

[[score]]
method = "fuzzing"
controls = 3

[chat]
model = "m"
base_url = "URL"
max_attempts = 4

[chat.prices]
prompt_per_million = 1.0
completion_per_million = 2.0
batch = 0.5

[judge]
packing = 0
calibration_items = 0
"""
WAITS = re.compile(r"gloss: round (\d+) waits for answers to (\d+) requests in (\S+?)[;,]")


def write(folder: Path, url: str, *, batch: str = "", more: str = "") -> None:
    asking = ASKING.replace("URL", url)
    if batch:
        asking = asking.replace("[chat]", f'[chat]\nbatch = "{batch}"\n{more}')
    (folder / "experiment.toml").write_text(SMALL + asking)


def records(folder: Path) -> dict[str, str]:
    """What the methods that ask brought, by hash, wherever their server was."""
    asks = re.compile(r"(explain/max_activating|score/detection|score/fuzzing)-\w+(/.*\.parquet)")
    every = contents(folder / "out")
    found = {asks.fullmatch(name): mark for name, mark in every.items()}
    return {match[1] + match[2]: mark for match, mark in found.items() if match}


def asked(folder: Path) -> tuple[int, int]:
    """How many answers the ledger holds, and how many requests it counted."""
    with Ledger(folder / "out" / "answers.sqlite") as ledger:
        return len(ledger), ledger.spending()[0]


@pytest.fixture(scope="module")
def live(small_run, tmp_path_factory) -> Path:
    """A run that asked at once."""
    folder = tmp_path_factory.mktemp("live")
    shutil.copytree(small_run / "out", folder / "out")
    with serve(answer="reader") as server:
        write(folder, server.base_url)
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 0, err
        (folder / "url").write_text(server.base_url)
    return folder


def answer_rounds(folder: Path, rounds: int = 9) -> list[int]:
    """Run and have the files answered, until nothing waits: how many requests each round held."""
    held: list[int] = []
    for _ in range(rounds):
        code, _, err = ran(folder, "run", "experiment.toml")
        assert "Traceback" not in err, err
        if code == 0:
            return held
        waits = WAITS.search(err)
        assert waits, err
        assert int(waits[1]) == len(held) + 1
        file = folder / waits[3]
        assert f"vllm run-batch -i {waits[3]} -o" in err
        held.append(answer_offline(file, file.with_suffix(".output.jsonl"), answer="reader"))
        assert held[-1] == int(waits[2])
    raise AssertionError(f"{held} and no end")


def test_files_that_are_answered_offline_give_the_records_of_a_live_run(live, folder):
    shutil.copy(live / "out" / "capabilities.json", folder / "out")  # what a probe found
    write(folder, (live / "url").read_text(), batch="files")
    held = answer_rounds(folder)
    assert len(held) == 2  # explanations, then both scores at once
    assert records(folder) == records(live)
    assert sum(held) == asked(live)[0] == asked(folder)[0] == asked(folder)[1]
    # nothing is left to ask, by any way
    for name in ("explain", "score"):
        shutil.rmtree(folder / "out" / name)
    assert answer_rounds(folder) == []
    assert records(folder) == records(live)


def test_a_run_that_was_begun_live_is_finished_by_batches_and_the_other_way_round(live, folder):
    with serve_batches(answer="reader") as server:
        write(folder, server.base_url)
        assert ran(folder, "explain", "experiment.toml")[0] == 0
        explained = len(server.requests())
        assert explained > 4
        write(folder, server.base_url, batch="openai")
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 0, err
        [batch] = batches(server)  # both scores
        assert batch["requests"] == asked(live)[0] - explained
        assert re.search(r"round-1.jsonl: \d+ requests are batch batch_1", err), err
        assert records(folder) == records(live)
        shutil.rmtree(folder / "out" / "explain")
        shutil.rmtree(folder / "out" / "score")
        write(folder, server.base_url)
        assert ran(folder, "run", "experiment.toml")[0] == 0
        assert len(server.requests()) == asked(live)[0]
        assert records(folder) == records(live)


def test_what_a_batch_leaves_out_is_asked_in_another_and_costs_what_batches_cost(live, folder):
    scripts = [{"end": "expired", "answers": 4, "errors": 1, "missing": 1}, {"errors": 2}]
    with serve_batches(answer="reader", scripts=scripts) as server:
        write(folder, server.base_url, batch="openai", more="batch_requests = 20")
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 0, err
        first, second, third, *scores = batches(server)
        assert second["requests"] == first["requests"] - 2
        assert set(second["ids"]) < set(first["ids"])
        assert set(third["ids"]) == set(second["ids"][:2])
        assert max(each["requests"] for each in scores) == 20
        assert "round-1.output.jsonl: 1 of" in err
        assert "requests have no line (the batch expired); asked again" in err
    assert records(folder) == records(live)
    with (
        Ledger(folder / "out" / "answers.sqlite") as ledger,
        Ledger(live / "out" / "answers.sqlite") as other,
    ):
        assert ledger.spent() == pytest.approx(other.spent() / 2)


def test_a_killed_command_finds_its_batch_again(folder):
    with serve_batches(answer="reader", scripts=[{"seconds": 4}]) as server:
        write(folder, server.base_url, batch="openai")
        command = start(folder, "explain", "experiment.toml")
        for _ in range(600):
            if batches(server):
                break
            time.sleep(0.1)
        command.kill()
        command.communicate()
        # as if it had been killed before the id was kept
        state = folder / "out" / "batches" / "round-1.json"
        state.write_text(json.dumps(json.loads(state.read_text()) | {"begun": True, "batch": None}))
        code, _, err = ran(folder, "explain", "experiment.toml")
        assert code == 0, err
        assert len(batches(server)) == 1
    plan = read_run(folder / "out")
    assert len(read_rows([plan.place("explain.max_activating")], "explanations")) > 4
