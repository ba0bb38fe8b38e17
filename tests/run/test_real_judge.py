"""SmolLM2-135M-Instruct behind llama.cpp's server as a judge: weaker than any that one would
choose, and so a run has to say.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from small import ran

from gloss.models.chat_models.ledger import Ledger
from gloss.models.chat_models.prices import (
    TOKENS_A_MESSAGE,
    foreseen_prompts,
    prompt_token_count,
)
from gloss.run.chat_capabilities import ledger_path
from gloss.run.commands.cost import sampled_conversations
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.opened_run import OpenedRun
from gloss.run.planning import read_run
from gloss.store.results import read_rows
from models.llama_cpp import serve_file

pytestmark = pytest.mark.timeout(900)  # a minute where nobody else computes
# contexts of a feature or a rule, half of them firing: one request
FEATURES, EACH, RULES = 10, 8, 2

EXPERIMENT = f"""
[run]
folder = "out"
features = {FEATURES}
processes = 1

[contexts]
context_length = 16
train = 40
inactive_train = 1000
held_out = {EACH // 2}
inactive_held_out = {EACH // 2}
minimum = 4

[[score]]
method = "detection"
contexts_per_question = {EACH}

[judge]
calibration_items = {RULES * EACH}
rules = {RULES}

[chat]
base_url = "ADDRESS/v1"
model = "m"
max_concurrent_requests = 1
"""
STORIES = """
[subject]
model = "DATA/tinystories-656k"

[collect]
texts = ["DATA/tinystories-text/tinystories_1000.json"]
max_tokens = 40000

[decompose]
method = "topk"
site = "resid_post.1"
width = 128
k = 8
tokens = 40000
"""
EMBEDDED = """
[collect]
max_tokens = 12000
"""
CANNOT_TELL = "The judge of detection cannot tell explanations from other features"


@pytest.fixture(scope="module")
def address(smollm2: Path) -> Iterator[str]:
    with serve_file(smollm2, 8192) as address:
        yield address


@pytest.fixture(scope="module")
def subject(request: pytest.FixtureRequest) -> str:
    """Stories and a model of them where they are, or else what comes with gloss."""
    try:
        return STORIES.replace("DATA", str(request.getfixturevalue("data_folder")))
    except pytest.skip.Exception:
        return EMBEDDED


@pytest.fixture(scope="module")
def judged(
    address: str, subject: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[OpenedRun, str]:
    """A run that this judge has judged to its end, and what it said in the terminal."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "e.toml").write_text(subject + EXPERIMENT.replace("ADDRESS", address))
    code, _, said = ran(folder, "run", "e.toml", seconds=800)
    assert code == 0, said
    assert "Traceback" not in said
    return read_run(folder / "out"), " ".join(said.split())


def tokens_of(address: str, texts: list[str]) -> int:
    """How many the server's own tokenizer finds."""
    asked = Request(f"{address}/tokenize", json.dumps({"content": "\n\n".join(texts)}).encode())
    with urlopen(asked) as answer:
        return len(json.load(answer)["tokens"])


@pytest.mark.parametrize(
    "method", ["explain.max_activating", "score.detection", "score.simulation"]
)
def test_foretold_prompt_tokens_are_within_a_tenth_of_those_of_a_real_tokenizer(
    judged: tuple[OpenedRun, str], address: str, method: str
):
    run, (verb, name) = judged[0], method.split(".")
    guard = FeatureGuard(run, "cost", 0, size=len(run.features))
    talks = sampled_conversations(guard, verb, {"method": name})
    prompts = [prompt for talk in talks for prompt in foreseen_prompts(talk, None)]
    assert len(prompts) >= 3
    texts = [message.text for prompt in prompts for message in prompt.messages]
    found = tokens_of(address, texts) + TOKENS_A_MESSAGE * len(texts)
    assert sum(map(prompt_token_count, prompts)) == pytest.approx(found, rel=0.1)


def scores(plan: OpenedRun) -> list[dict]:
    return read_rows(plan.places("score"), "scores")


def test_a_real_judge_is_asked_by_what_its_server_can_do_and_most_of_its_answers_are_read(
    judged: tuple[OpenedRun, str],
):
    plan, _ = judged
    found = json.loads((plan.folder / "capabilities.json").read_text())["found"]
    assert (found["chat"], found["logprobs"], found["json_schema"]) == (True, True, True)
    assert not found["manner"]["thinks"]
    explained = read_rows([plan.place("explain.rule")], "explanations")
    assert len(explained) >= 3
    verdicts = read_rows(plan.places("score"), "verdicts")
    assert len(verdicts) == 3 * EACH * len(explained)
    assert sum(row["answer"] is None for row in verdicts) < 0.1 * len(verdicts)
    assert all(0 <= row["probability"] <= 1 for row in verdicts if row["answer"] is not None)
    with Ledger(ledger_path(plan.folder)) as ledger:
        [spent] = ledger.spending_by_model()
    assert spent.requests <= 3 * len(explained) + 4 + RULES


def test_its_errors_are_measured_and_scores_corrected_for_them_reach_chance(
    judged: tuple[OpenedRun, str],
):
    plan, _ = judged
    note = plan.part("judge.detection", 0).note()
    skill = note["sensitivity"][0] - note["false_positive_rate"][0]
    for score in scores(plan):
        found = {estimate["metric"]: estimate for estimate in score["estimates"]}
        corrected = found["balanced_accuracy_corrected"]
        if skill > 0:
            assert corrected["low"] <= 0.5 <= corrected["high"], score
        else:  # it says yes no more often where it should: nothing can be made of its answers
            assert corrected["value"] is None or math.isnan(corrected["value"])


def test_that_it_cannot_tell_explanations_apart_is_said_wherever_its_scores_are(
    judged: tuple[OpenedRun, str],
):
    plan, said = judged
    doubt = re.search(rf"take care: ({CANNOT_TELL}[^;]*)", said)
    assert doubt, said
    assert float(re.search(r"\(([-+.\d]+) to", doubt[1])[1]) <= 0
    pages = [plan.folder / "report.html", *(plan.folder / "page").rglob("*.html")]
    assert len(pages) > 3
    for page in pages:
        assert page.read_text().count(CANNOT_TELL) == 1, page
