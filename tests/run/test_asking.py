"""Runs that ask a language model: a real process on loopback that explains and judges."""

import json
import re
import shutil

from small import SMALL, ran

from gloss.models.chat_models.account import AT_FIRST
from gloss.run.opened_run import run_explanations
from gloss.run.planning import read_run
from gloss.store.results import read_rows
from models.servers import serve

ASKING = """
[explain]
method = "max_activating"

[[score]]
method = "detection"

[[score]]
method = "fuzzing"

[chat]
model = "m"
base_url = "{url}"
max_attempts = 2

[chat.prices]
prompt_per_million = 1.0
completion_per_million = 2.0

[judge]
packing = 0
"""


def test_a_model_that_is_asked_explains_and_judges_and_is_asked_once(folder):
    with serve(answer="reader") as server:
        (folder / "experiment.toml").write_text(SMALL + ASKING.format(url=server.base_url))
        code, told, err = ran(folder, "cost", "--requests", "experiment.toml")
        assert code == 0, err
        assert server.requests() == []
        predicted = int(re.search(r"all\s*│\s*([\d,]+)", told)[1].replace(",", ""))
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 0, err
        asked = len(server.requests())
        assert 0 < asked <= predicted
        shutil.rmtree(folder / "out" / "explain")
        shutil.rmtree(folder / "out" / "score")
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 0, err
        assert len(server.requests()) == asked
    plan = read_run(folder / "out")
    explained = run_explanations(plan)["explain.max_activating"]
    assert explained
    scores = read_rows(plan.places("score"), "scores")
    assert {row["method"] for row in scores} == {"detection", "fuzzing"}
    assert {row["control"] for row in scores} == {
        "none",
        "random_explanation",
        "shuffled_explanation",
    }
    verdicts = read_rows(plan.places("score"), "verdicts")
    assert len(verdicts) == sum(row["n"] for row in scores)


def test_as_many_requests_are_in_flight_as_may_be_however_few_features_a_shard_has(folder):
    assert "features_per_shard = 3" in SMALL
    chat = "[chat]\nmax_concurrent_requests = 6"
    with serve(answer="reader", seconds=0.3) as server:
        asking = ASKING.format(url=server.base_url).replace("[chat]", chat)
        (folder / "experiment.toml").write_text(SMALL + asking)
        code, _, err = ran(folder, "explain", "experiment.toml")
        assert code == 0, err
        assert max(request["at_once"] for request in server.requests()) == 6
    assert len(run_explanations(read_run(folder / "out"))["explain.max_activating"]) >= 6


def test_requests_that_were_lost_are_asked_again_by_the_next_run_and_nothing_else_is(folder):
    def lost() -> int:
        failures = read_rows([read_run(folder / "out").place("explain.max_activating")], "failures")
        return sum(row["reason"] == "request_error" for row in failures)

    with serve(answer="reader", script=["ok", "ok", "500"]) as server:
        once = ASKING.format(url=server.base_url).replace("max_attempts = 2", "max_attempts = 1")
        (folder / "experiment.toml").write_text(SMALL + once)
        assert ran(folder, "explain", "experiment.toml")[0] == 0
        assert lost() == 1
        asked = len(server.requests())
        assert ran(folder, "explain", "experiment.toml")[0] == 0
        assert lost() == 0
        assert len(server.requests()) == asked + 1


def test_answers_that_cannot_be_read_are_failures_with_a_reason_and_stay_in_the_denominator(folder):
    with serve(answer="fixed", text="Well, that is hard to say.") as server:
        (folder / "experiment.toml").write_text(SMALL + ASKING.format(url=server.base_url))
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 2, err
        assert "answers of" in err
        assert (
            "could not be read, the last one: 'Well, that is hard to say.'; give it more room in"
            " [chat]" in err
        )
        assert AT_FIRST <= len(server.requests()) < 12 + AT_FIRST
        with (folder / "experiment.toml").open("a") as experiment:
            experiment.write("\n[chat.extra]\nseed = 1\n")
        text = (
            (folder / "experiment.toml")
            .read_text()
            .replace('model = "m"', 'model = "m"\nmost_unreadable = 1.0')
        )
        (folder / "experiment.toml").write_text(text)
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 0, err
        assert "answers that cannot be read count as wrong: give it more room in [chat]" in err
    plan = read_run(folder / "out")
    failures = read_rows([plan.place("explain.max_activating")], "failures")
    assert {row["reason"] for row in failures} == {"unparsable"}
    assert run_explanations(plan)["explain.max_activating"] == []


def test_a_cap_ends_a_run_in_one_sentence_and_a_higher_one_goes_on(folder):
    with serve(answer="reader") as server:
        text = SMALL + ASKING.format(url=server.base_url)
        (folder / "experiment.toml").write_text(
            text.replace('model = "m"', 'model = "m"\nmax_requests = 15')
        )
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 2, err
        [said] = [line for line in err.splitlines() if line.startswith("gloss: ")]
        assert re.search(
            r"max_requests = 15 of \[chat\] is reached: 15 sent and 0\.\d+ spent, none left, with"
            r" \d+ of 12 features of",
            said,
        )
        assert said.endswith("left to do; raise it, and the same command goes on")
        before = server.requests()
        assert len(before) <= 15
        (folder / "experiment.toml").write_text(
            text.replace('model = "m"', 'model = "m"\nmax_requests = 1000')
        )
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 0, err
        keys = [json.dumps(request["body"], sort_keys=True) for request in server.requests()]
        assert len(keys) == len(set(keys)) > 15
        assert "is asked without a key" in err


def test_an_endpoint_that_is_not_there_is_told_in_one_sentence(folder):
    (folder / "experiment.toml").write_text(SMALL + ASKING.format(url="http://127.0.0.1:9/v1"))
    code, _, err = ran(folder, "run", "experiment.toml")
    assert code == 2, err
    assert "Traceback" not in err
    assert "127.0.0.1:9" in [line for line in err.splitlines() if line.startswith("gloss: ")][-1]


def test_a_method_that_asks_without_a_model_says_what_to_add(folder):
    (folder / "experiment.toml").write_text(SMALL + '[explain]\nmethod = "max_activating"\n')
    code, _, err = ran(folder, "run", "experiment.toml")
    assert code == 2, err
    assert "add [chat]" in err


RIDDLES = """
[[score]]
method = "odd"

[[score]]
method = "which"

[chat]
model = "m"
base_url = "{url}"
"""


def test_riddles_are_asked_of_hard_contexts_by_a_run_that_finds_the_methods_in_another_package(
    folder, install
):
    """What needs no explanation is asked once a feature.

    What reads near features is handed them; negatives are counted.
    """
    scorers = {
        "odd": "gloss.score.intruder:Intruder",
        "which": "gloss.score.discrimination:Discrimination",
    }
    install("stranger", "", "gloss.score", **scorers)
    with serve(answer="odd one out") as server:
        settings = SMALL.replace("[contexts]", '[contexts]\nnegatives = "hard"') + RIDDLES.format(
            url=server.base_url
        )
        (folder / "experiment.toml").write_text(settings)
        code, told, err = ran(folder, "cost", "--requests", "experiment.toml")
        assert code == 0, err
        assert "odd" in told
        code, _, err = ran(folder, "run", "experiment.toml")
    assert code == 0, err
    plan = read_run(folder / "out")
    scores = read_rows(plan.places("score"), "scores")
    by_nobody = [row for row in scores if row["explained_by"] == "nobody"]
    assert {row["method"] for row in by_nobody} == {"odd"}
    assert {row["control"] for row in by_nobody} == {"none"}
    assert len({row["feature"] for row in by_nobody}) == len(by_nobody) > 4
    controls = {row["control"] for row in scores if row["method"] == "which"}
    assert controls == {"none", "random_explanation", "shuffled_explanation"}
    found = [
        json.loads(plan.part("sample", shard).marker.read_text())["negatives"]
        for shard in range(plan.shards)
    ]
    assert set().union(*found) == {"random", "same_token", "neighbours", "siblings"}
    assert sum(sum(counts.values()) for counts in found) == sum(
        row["role"] == "inactive_held_out" for row in read_rows([plan.place("sample")], "examples")
    )


IN_THIS_PROCESS = """
[[score]]
method = "surprisal"
worked_examples = 0

[chat]
backend = "transformers"
model = "embedded"
"""


def test_a_model_in_this_process_scores_a_run_and_repeats_nothing(folder):
    few = SMALL.replace("[contexts]", "[contexts]\nheld_out = 12\ninactive_held_out = 12")
    (folder / "experiment.toml").write_text(few + IN_THIS_PROCESS)
    code, told, err = ran(folder, "cost", "--requests", "experiment.toml")
    assert code == 0, err
    assert "0.00" in told
    assert "unknown" not in told
    code, _, err = ran(folder, "run", "experiment.toml")
    assert code == 0, err
    asked = int(re.search(r"([\d,]+) answers asked, ", err)[1].replace(",", ""))
    scores = read_rows(read_run(folder / "out").places("score"), "scores")
    assert scores
    assert sum(row["failed"] for row in scores) == 0
    shutil.rmtree(folder / "out" / "score")
    code, _, err = ran(folder, "run", "experiment.toml")
    assert code == 0, err
    assert re.search(r"surprisal.*\n.* 0 answers asked, ", err)
    assert asked > 100
    assert scores == read_rows(read_run(folder / "out").places("score"), "scores")


def test_a_chat_without_a_template_is_refused_in_one_sentence(folder):
    (folder / "experiment.toml").write_text(
        SMALL + IN_THIS_PROCESS.replace('"surprisal"\nworked_examples = 0', '"detection"')
    )
    code, _, err = ran(folder, "run", "experiment.toml")
    assert code == 2, err
    assert "Traceback" not in err
    assert (
        "'embedded' in this process, which answers no chats; use a model with a chat template"
        in err
    )


JUDGED = """
[judge]
calibration_items = 80
rules = 8

[[score]]
method = "detection"
contexts_per_question = 10
precision = 0.12

[[score]]
method = "fuzzing"

[chat]
model = "m"
base_url = "{url}"
"""


def test_judges_are_measured_their_scores_corrected_and_no_more_asked_than_is_needed(folder):
    with serve(answer="first word", wrong=0.1) as server:
        (folder / "experiment.toml").write_text(SMALL + JUDGED.format(url=server.base_url))
        code, told, err = ran(folder, "cost", "--requests", "experiment.toml")
        assert code == 0, err
        assert len(re.findall(r"judge\.(detection|fuzzing)\W", told)) == 2
        predicted = int(re.search(r"all\s*│\s*([\d,]+)", told)[1].replace(",", ""))
        code, _, err = ran(folder, "run", "experiment.toml")
        assert code == 0, err
        asked = server.requests()
        assert len(asked) < predicted
        assert re.search(r"the judge of detection: sensitivity 0\.\d+ \(0\.\d+ to", err)
        assert re.search(
            r"\d+ requests were enough for the precision, instead of \d+ \(\d+% fewer\)", err
        )
        assert "the judge's position biases: yes by position" in err
        assert ran(folder, "run", "experiment.toml")[0] == 0
        assert len(server.requests()) == len(asked)
    plan = read_run(folder / "out")
    note = json.loads(plan.part("judge.detection", 0).marker.read_text())
    assert note["sensitivity"][1] <= 0.9 <= note["sensitivity"][2]
    assert note["false_positive_rate"][1] <= 0.1 <= note["false_positive_rate"][2]
    calibration_items = read_rows([plan.place("judge.detection")], "calibration_items")
    assert sum(row["covered_yes"] + row["covered_no"] for row in calibration_items) == 40
    scores = read_rows(plan.places("score"), "scores")
    for row in scores:
        names = {estimate["metric"] for estimate in row["estimates"]}
        assert {"balanced_accuracy_corrected", "f1_at_base_rate_corrected"} <= names
    assert sum(row["spared"] for row in scores if row["method"] == "detection") > 0
    assert sum(row["spared"] for row in scores if row["method"] == "fuzzing") == 0
    notes = [
        json.loads(plan.part("score.detection", shard).marker.read_text())
        for shard in range(plan.shards)
    ]
    assert sum(one["spared"] for one in notes) == sum(
        row["spared"] for row in scores if row["method"] == "detection"
    )
    code, told, err = ran(folder, "query", "out", "SELECT count(*) AS n FROM calibration_items")
    assert code == 0, err
    assert ran(folder, "status", "out")[0] == 0
