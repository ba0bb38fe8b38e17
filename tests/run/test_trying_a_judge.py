"""`gloss judge`: honest, constant, random and graded judges, asked about labelled texts."""

import json

import pytest
from small import ran

from gloss.errors import BadInput
from gloss.score.judge.labelled_texts import LabelledText, read_labelled_texts
from gloss.store.sealed_json import read_sealed_json
from models.servers import serve


@pytest.fixture
def texts(tmp_path):
    """Sixty texts of three explanations, half of which hold the word; a row of no use."""
    rows = [
        {
            "explanation": f"the word `{word}`",
            "text": f"stone {n} {word if fits else 'glass'} north {word if fits else 'early'}",
            "label": int(fits),
        }
        for word in ("river", "bread", "green")
        for n in range(10)
        for fits in (True, False)
    ]
    lines = [*map(json.dumps, rows), '{"explanation": "x"}', "no JSON"]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    return tmp_path


def tried(folder, answer: str, *flags: str, **settings) -> tuple[str, dict]:
    """What the command says of a judge, and the record that it leaves."""
    with serve(answer=answer, **settings) as server:
        chat = ("--chat-url", server.base_url, "--chat-model", "m", "--out", answer)
        status, _, err = ran(folder, "judge", "texts.jsonl", *chat, *flags)
        assert status == 0, err
        asked = len(server.requests())
        status, again, err = ran(folder, "judge", "texts.jsonl", *chat, *flags)
        assert status == 0, err
        assert len(server.requests()) == asked  # nothing is asked twice
    assert "2 rows passed over" in err
    return " ".join(again.split()), read_sealed_json(folder / answer / "judge.json")


@pytest.mark.parametrize(
    ("answer", "said", "rates"),
    [
        ("perfect", "m tells right from wrong: balanced accuracy 1.00", (1.0, 0.0)),
        ("yes", "m says yes whatever it is shown", (1.0, 1.0)),
        ("random", "m is seen no better than chance", None),
    ],
)
def test_a_judge_is_as_good_as_its_answers(texts, answer, said, rates):
    told, record = tried(texts, answer)
    assert said in told
    found = record["estimates"]
    if rates:
        pair = (found["sensitivity"]["value"], found["false positive rate"]["value"])
        assert pair == rates
    assert found["sensitivity"]["low"] < found["sensitivity"]["high"]
    assert "yes_by_position" in found
    assert record["texts"] == 60
    assert "3 answered" in told or "3 from the ledger" in told


def test_probabilities_are_held_against_the_truth(texts):
    _, record = tried(texts, "graded", "--contexts", "5", separation=3.0)
    found = record["estimates"]
    assert found["AUROC of its probabilities"]["value"] > 0.9
    assert 0 < found["Brier score"]["value"] < 0.2
    error = found["calibration error"]
    assert 0 <= error["low"] <= error["value"] <= error["high"] < 1


def test_tokens_that_are_marked_are_asked_about_as_fuzzing_does(tmp_path):
    rows = [
        {"explanation": "the word `river`", "text": "a river north of a stone", "label": label}
        | {"marked": marked}
        for label, marked in ((1, ["river"]), (0, ["stone"])) * 5
    ]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, [*rows, {}, {}])))
    told, record = tried(tmp_path, "perfect")
    assert "tells right from wrong" in told
    assert record["estimates"]["false positive rate"]["value"] == 0


def test_marks_stand_around_the_first_of_each_string_in_turn():
    text = LabelledText("x", "a cat and a cat", True, ("a", "cat", "cat", "no"))
    assert text.shown == "<<a>> <<cat>> and a <<cat>>"


def test_puzzles_are_read_by_sentence(tmp_path):
    puzzle = {"explanation": "colours", "false_explanations": ["x"], "name": "c"}
    puzzle["sentences"] = [[["Green", 9], " smoke"], ["grey", " not"], [["red", 0], " hot"]]
    (tmp_path / "puzzles.json").write_text(json.dumps({"c": puzzle}))
    found, skipped = read_labelled_texts(tmp_path / "puzzles.json")
    assert [(one.text, one.fits) for one in found] == [
        ("Green smoke", True),
        ("grey not", False),
        ("red hot", False),
    ]
    assert skipped == 0


def test_a_file_of_one_kind_and_a_judge_without_a_name_are_refused(tmp_path):
    (tmp_path / "one.csv").write_text("explanation,text,label\nx,y,1\n")
    with pytest.raises(BadInput, match="1 labelled texts, and not both kinds"):
        read_labelled_texts(tmp_path / "one.csv")
    status, _, err = ran(tmp_path, "judge", "one.csv")
    assert (status, err.count("\n")) == (2, 1)
    assert "no judge is named" in err
