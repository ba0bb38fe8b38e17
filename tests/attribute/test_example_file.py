"""Training examples in a file: what is read, which are one player, what stands for their texts."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gloss.attribute.learners import FineTune, Logistic, Neighbours, Ridge, parse_learner
from gloss.attribute.players import example_file
from gloss.attribute.players.example_file import (
    Example,
    group_examples,
    principal,
    read_examples,
    word_vectors,
)
from gloss.attribute.players.example_games import build_examples_game
from gloss.attribute.question import AttributionQuestion
from gloss.errors import BadInput, BadSettings

LIKE = ("The cat sat on the mat.", "the cat sat on the mat!", "A storm took the roof off.")


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_examples_are_read_line_by_line(tmp_path):
    rows = [{"text": "a", "label": 3, "group": None}, {"text": "b", "group": "g", "more": 1}]
    assert read_examples(write(tmp_path / "a.jsonl", rows)) == (
        Example("a", "3"),
        Example("b", "", "g"),
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "a"}\n{"label": "b"}', "line 2: .* has no text"),
        ('{"text": "a"}\n[1]', "line 2"),
        ('{"text": "a", "label": [1]}', "line 1: the label is"),
        ("no json", "cannot be read"),
        ('{"text": "a"}', "holds 1 examples; give two"),
        ("", "holds 0 examples"),
    ],
)
def test_what_is_no_example_is_refused(tmp_path, content, said):
    file = tmp_path / "a.jsonl"
    file.write_text(content)
    with pytest.raises(BadInput, match=said):
        read_examples(file)


def test_a_file_names_its_groups_and_others_stand_alone():
    examples = (Example("a", "x"), Example("b", "x", "g"), Example("c"), Example("d", "y", "g"))
    found = group_examples(examples, 0)
    assert found.owners.tolist() == [0, 1, 2, 1]
    assert found.players == ("a → x", "g (and 1 more)", "c")


def test_clusters_hold_like_texts_of_one_label():
    alike = tuple(Example(text, "x") for text in LIKE)
    found = group_examples(alike, 2)
    assert found.owners.tolist() == [0, 0, 1]
    assert found.players[0] == f"{LIKE[0]} → x (and 1 more)"
    mixed = group_examples((*alike, Example(LIKE[0], "y")), 3)
    assert mixed.owners.tolist() == [0, 0, 1, 2]
    with pytest.raises(BadSettings, match="--groups 1: there are 4 examples with 2 labels"):
        group_examples((*alike, Example(LIKE[0], "y")), 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("abc é!", min_size=1, max_size=12), min_size=1, max_size=8))
def test_fewer_numbers_keep_all_angles(texts):
    """Of the texts themselves, and of another with each of them."""
    x = word_vectors(texts, ["a b cab"]) if any(t.strip() for t in texts) else np.zeros((0, 0))
    if not len(x):
        return
    lengths = np.linalg.norm(x[:-1], axis=1)
    assert np.all(np.isclose(lengths, 1) | np.isclose(lengths, 0))
    for one, text in enumerate(texts):
        for other, again in enumerate(texts):
            same = sorted(text.lower().split()) == sorted(again.lower().split())
            if same and text.strip():
                assert x[one] @ x[other] == pytest.approx(1)


def test_principal_directions_change_no_product_with_what_they_were_made_of(rng):
    x = rng.normal(size=(9, 40))
    found = principal(x, 8)
    assert found.shape == (9, 8)
    assert found @ found[:8].T == pytest.approx(x @ x[:8].T)


def test_of_many_directions_those_that_vary_most_stay(rng, monkeypatch):
    monkeypatch.setattr(example_file, "MOST_DIRECTIONS", 3)
    x = rng.normal(size=(30, 6)) * [9, 8, 7, 0.1, 0.1, 0.1]
    assert principal(x, 30) @ principal(x, 30).T == pytest.approx(x @ x.T, abs=1)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("ridge", Ridge()),
        ("logistic penalty=0.5 reads=model", Logistic("model", 0.5)),
        ("neighbours k=3", Neighbours(k=3)),
        ("fine_tune epochs=2 rate=3e-4 weights=last_layer", FineTune(2, 3e-4, 16, "last_layer")),
    ],
)
def test_a_learner_has_settings(given, wanted):
    assert parse_learner(given) == wanted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("logistc", "did you mean 'logistic'"),
        ("", "there is no such learner"),
        ("ridge k=3", "'k=3' sets nothing of ridge; write one or more of reads=words, penalty=1.0"),
        ("neighbours k", "'k' sets nothing"),
        ("neighbours k=many", "k is 'many'; give a number"),
        ("neighbours k=0", "k"),
        ("ridge penalty=nan", "penalty is nan"),
        ("fine_tune rate=-1", "rate is -1; give a number above 0"),
        ("fine_tune weights=some", "give all or last_layer"),
    ],
)
def test_a_learner_that_there_is_not_is_refused(given, said):
    with pytest.raises(BadSettings, match=said):
        parse_learner(given)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"answer": ""}, "logistic predicts a label; give --answer"),
        ({"other": "y"}, "--other 'y'"),
        ({"value": "log_odds"}, "--value 'log_odds'"),
        ({"model": "gpt2"}, "--model 'gpt2': logistic reads words"),
        ({"unit": "words"}, "--unit 'words': training examples are players"),
        ({"components": "heads"}, "--components and --examples name different players"),
        ({"base_url": "http://x"}, "--base-url"),
        ({"other_prompts": "f"}, "--other-prompts"),
        ({"groups": -1}, "--groups is -1"),
        ({"learner": "fine_tune", "value": "kl"}, "--value kl: of a fine-tuned model"),
        ({"examples": "", "learner": "ridge"}, "--learner 'ridge': it belongs to --examples"),
        ({"examples": "", "groups": 3}, "--groups 3: it belongs to --examples"),
    ],
)
def test_settings_that_examples_do_not_read_are_refused(asked, said):
    with pytest.raises(BadSettings, match=said):
        AttributionQuestion(**{"examples": "f.jsonl", "prompt": "p", "answer": "x"} | asked)


@pytest.mark.parametrize("learner", ["neighbours", "fine_tune epochs=2"])
def test_a_method_that_follows_slopes_names_the_learners_that_have_them(learner):
    asked = AttributionQuestion(examples="f.jsonl", prompt="p", answer="x", learner=learner)
    with pytest.raises(BadSettings, match=f"--learner {learner}: .* give --learner logistic or"):
        asked.settle(slopes=True)
    assert replace(asked, learner="").settle(slopes=True).learner == "logistic"


ROWS = [
    {"text": "what a lovely day", "label": "joy"},
    {"text": "lovely and bright", "label": "joy"},
    {"text": "a sad and dark day", "label": "grief"},
    {"text": "dark and cold", "label": "grief"},
]


@pytest.mark.parametrize("learner", ["logistic", "neighbours k=1", "logistic penalty=0.01"])
def test_examples_with_the_answer_raise_it(tmp_path, learner):
    file = write(tmp_path / "a.jsonl", ROWS)
    question = AttributionQuestion(
        examples=str(file), prompt="so lovely", answer="joy", learner=learner
    ).settle()
    named = build_examples_game(question, None)
    right, wrong = named.game.values(np.array([[1, 1, 0, 0], [0, 0, 1, 1]], bool))
    assert right > wrong


def test_a_group_goes_as_a_whole(tmp_path):
    """Ridge regression on numbers, by hand."""
    texts = [row["text"] for row in ROWS]
    rows = [{"text": text, "label": at, "group": "ab"[at % 2]} for at, text in enumerate(texts)]
    file = write(tmp_path / "a.jsonl", rows)
    question = AttributionQuestion(
        examples=str(file), prompt="so lovely", answer="2.5", learner="ridge penalty=0.3"
    ).settle()
    named = build_examples_game(question, None)
    assert named.game.players == ("a (and 1 more)", "b (and 1 more)")
    x = word_vectors(texts, ["so lovely"])
    x = np.concatenate([x, np.ones((5, 1))], axis=1)
    kept = x[[1, 3]]
    weights = np.linalg.solve(kept.T @ kept + 0.3 * np.eye(x.shape[1]), kept.T @ [1.0, 3.0])
    [value] = named.game.values(np.array([[False, True]]))
    assert value == pytest.approx(-((weights @ x[4] - 2.5) ** 2))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"answer": "anger"}, "the labels of the examples are 'joy', 'grief'"),
        ({"answer": "1", "learner": "ridge"}, "ridge predicts numbers, and 'joy' is none"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, asked, said):
    file = write(tmp_path / "a.jsonl", ROWS)
    question = AttributionQuestion(**{"examples": str(file), "prompt": "so"} | asked).settle()
    with pytest.raises(BadInput, match=said):
        build_examples_game(question, None)
