"""A subject is trained on each subset as a plain loop would, and comes back as it was."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import gloss
from gloss.attribute.game import Evaluations
from gloss.attribute.learners import FineTune
from gloss.attribute.players.example_file import Example, group_examples
from gloss.attribute.players.fine_tuning import (
    FineTuningGame,
    build_fine_tuning_game,
    fine_tuned,
    learned_text,
)
from gloss.attribute.players.prompt_parts import spaced_answer
from gloss.attribute.question import AttributionQuestion
from gloss.errors import BadInput, BadSettings
from gloss.models.subject import Subject
from gloss.run.commands.attribute import AttributionSettings, report_attribution

ROWS = (
    Example("import", "os", "modules"),
    Example("import", "sys", "modules"),
    Example("def f(", "self"),
    Example("return x"),
)


def settled(**asked) -> AttributionQuestion:
    kind = {"examples": "f", "prompt": "import", "answer": "os", "learner": "fine_tune"}
    return AttributionQuestion(**kind | asked).settle()


def game_of(subject: Subject, learner: FineTune, **asked) -> FineTuningGame:
    grouped = group_examples(ROWS, 0)
    built = build_fine_tuning_game(settled(**asked), subject, learner, grouped)
    assert isinstance(built.game, FineTuningGame)
    return built.game


def weights_of(subject: Subject) -> dict[str, torch.Tensor]:
    return {name: each.clone() for name, each in subject.model.state_dict().items()}


@pytest.mark.parametrize("weights", ["all", "last_layer"])
def test_the_value_is_that_of_a_plain_loop(subject, weights):
    learner = FineTune(epochs=2, rate=1e-3, batch=2, weights=weights)
    game = game_of(subject, learner)
    mask = np.array([True, False, True])
    before = weights_of(subject)
    [found] = game.values(mask[None])
    assert all(torch.equal(each, before[name]) for name, each in weights_of(subject).items())
    rng = game.order_of(mask, 0)
    kept = [game.texts[0], game.texts[1], game.texts[3]]
    part = subject.model if weights == "all" else subject.anatomy.layers[-1]
    try:
        part.requires_grad_()
        descent = torch.optim.AdamW(part.parameters(), lr=1e-3, weight_decay=0.0)
        for _ in range(2):
            order = rng.permutation(3)
            for some in (order[:2], order[2:]):
                losses = []
                for number in some:
                    tokens = torch.tensor(kept[number].tokens)
                    said = subject.model(tokens[None]).logits[0, :-1].log_softmax(1)
                    missed = -said[torch.arange(len(tokens) - 1), tokens[1:]]
                    losses.append(missed[kept[number].begin - 1 :].mean())
                descent.zero_grad()
                torch.stack(losses).mean().backward()
                descent.step()
        with torch.no_grad():
            prompt = torch.tensor([game.prompt])
            said = subject.model(prompt).logits[0, -1].double().log_softmax(0)
            [token] = subject.encode(" os")
            assert found == pytest.approx(float(said[token]), abs=1e-4)
    finally:
        subject.model.load_state_dict(before)
    assert game.values(mask[None]).tolist() == [found]


def test_values_do_not_depend_on_what_is_asked_beside_them_and_orders_do(subject):
    game = game_of(subject, FineTune(epochs=1, batch=1))
    masks = np.array([[True, True, True], [False, False, False], [True, False, False]])
    values = game.values(masks)
    assert values.tolist() == [game.values(mask[None])[0] for mask in masks]
    assert values.tolist() == game.values(masks).tolist()
    again = game.values_again(masks, 2)
    assert again[0] != values[0]
    assert again[1] == values[1]  # nothing is trained on
    assert game_of(subject, FineTune(epochs=1, batch=1), answer="os").values(masks[:1]) == values[0]
    other = FineTuningGame(**vars(game) | {"seed": 1})
    assert other.values(masks[:1]) != values[0]


def fail_where_changed(subject: Subject, before: dict[str, torch.Tensor]) -> None:
    if any(not torch.equal(each, before[name]) for name, each in weights_of(subject).items()):
        raise KeyError


def test_weights_come_back_after_an_error(subject, rng):
    before = weights_of(subject)
    needed = [each.requires_grad for each in subject.model.parameters()]
    text = [learned_text(subject, ROWS[0])]
    with pytest.raises(KeyError), fine_tuned(subject, FineTune(rate=0.1), text, rng):
        fail_where_changed(subject, before)
    assert all(torch.equal(each, before[name]) for name, each in weights_of(subject).items())
    assert [each.requires_grad for each in subject.model.parameters()] == needed


def test_labels_are_learnt_behind_their_texts(subject):
    says = subject.vocabulary().text
    labelled, alone = learned_text(subject, ROWS[0]), learned_text(subject, ROWS[3])
    assert says(labelled.tokens[labelled.begin :]) == " os"
    assert says(alone.tokens[alone.begin :]) == "return x"
    behind = [("a", "b"), ("a\n", "b"), ("a", " b"), ("a", "")]
    assert [spaced_answer(text, label) for text, label in behind] == [
        " b",
        "b",
        " b",
        "",
    ]


def test_texts_that_the_model_cannot_learn_are_refused(subject):
    with pytest.raises(BadInput, match="has 0 tokens, and the model reads 1 to"):
        learned_text(subject, Example(""))
    with pytest.raises(BadInput, match="cut it or leave it out"):
        learned_text(subject, Example("x = 1\n" * 2000))


def test_half_precision_is_refused(subject):
    half = Subject(subject.model, subject.tokens, subject.start_token, subject.anatomy.layout)
    try:
        half.model.to(torch.bfloat16)
        with pytest.raises(BadSettings, match=r"weights of torch\.bfloat16, which small steps"):
            game_of(half, FineTune())
    finally:
        half.model.to(torch.float32)


def written(folder: Path) -> str:
    rows = [{"text": one.text, "label": one.label, "group": one.group} for one in ROWS]
    file = folder / "train.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return str(file)


def test_the_journal_is_the_same_from_several_processes_and_is_gone_on_with(tmp_path, capsys):
    question = AttributionQuestion(
        examples=written(tmp_path),
        prompt="import",
        answer="os",
        other="sys",
        learner="fine_tune epochs=1 batch=1 weights=last_layer",
    )
    found = []
    for jobs in (1, 2):
        folder = tmp_path / str(jobs)
        report_attribution(question, AttributionSettings("exact", jobs=jobs, folder=folder))
        [journal] = folder.glob("values-*")
        found.append(journal.read_bytes())
    assert found[0] == found[1]
    printed = capsys.readouterr().out
    assert "fine-tuned on what is kept" in " ".join(printed.split())
    assert "modules (and 1 more)" in printed
    report_attribution(question, AttributionSettings("exact", folder=tmp_path / "1"))
    assert "0 values were new" in capsys.readouterr().out
    record = json.loads(next((tmp_path / "1").glob("*.json")).read_text())
    assert record["question"]["learner"].startswith("fine_tune")
    assert record["players"][0] == "modules (and 1 more)"


def test_the_python_call_says_the_same(tmp_path, subject):
    asked = {"examples": written(tmp_path), "answer": "os", "learner": "fine_tune epochs=1"}
    found = gloss.attribute("import", model=subject, method="exact", **asked)
    assert found.players == ("modules (and 1 more)", "def f( → self", "return x")
    assert isinstance(found.evaluations, Evaluations)
    assert found.table.to_pylist()[0]["players"] == ["modules (and 1 more)"]
    with pytest.raises(BadSettings, match="give it by its name"):
        gloss.attribute("import", model=subject, method="exact", jobs=2, **asked)
    with pytest.raises(BadSettings, match="--jobs 2: only --learner fine_tune"):
        gloss.attribute("import", method="exact", jobs=2, examples=asked["examples"], answer="os")
