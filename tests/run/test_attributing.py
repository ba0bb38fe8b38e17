"""`gloss attribute` on the embedded model, on tables and behind an endpoint: what it prints and
keeps, and what it refuses.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from gloss.attribute.game import Evaluations, FunctionGame
from gloss.attribute.question import AttributionQuestion
from gloss.errors import BadInput, BadSettings
from gloss.run.commands.attribute import AttributionSettings, report_attribution
from models.servers import serve

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPT = "for i in range(10):\n    print("


def record(folder: Path) -> dict:
    [file] = folder.glob("*.json")
    return json.loads(file.read_text())


def test_words_of_a_prompt(tmp_path, capsys):
    report_attribution(
        AttributionQuestion(prompt=PROMPT, answer="i"), AttributionSettings(folder=tmp_path)
    )
    printed = capsys.readouterr().out
    assert "log-probability of 'i' (nats)" in printed
    assert "Known whole: all 32 masks" in " ".join(printed.split())
    kept = record(tmp_path)
    assert kept["players"] == ["for", "i", "in", "range(10):", "print("]
    assert kept["evaluations"] == 36  # four masks are asked about twice
    assert "values were new: 36 for the attribution, 4 of them" in " ".join(printed.split())
    assert len(list(tmp_path.glob("*.html"))) == 1
    report_attribution(
        AttributionQuestion(prompt=PROMPT, answer="i"),
        AttributionSettings(method="exact", folder=tmp_path),
    )
    assert "0 values were new" in capsys.readouterr().out


def test_values_that_the_curves_pay_for_are_counted_as_new(tmp_path, capsys):
    report_attribution(
        AttributionQuestion(prompt="a b c d e f g h", answer="x", components="heads"),
        AttributionSettings(method="occlusion", folder=tmp_path),
    )
    [new] = re.findall(r"([\d,]+) values were new", capsys.readouterr().out)
    [values] = tmp_path.glob("values-*")
    players = tuple(record(tmp_path)["players"])
    kept = len(Evaluations(FunctionGame(players, lambda masks: masks.sum(axis=1)), values))
    assert int(new.replace(",", "")) == kept > record(tmp_path)["evaluations"]


def test_the_likeliest_answer_stands_in_for_one_that_is_left_out(tmp_path, capsys):
    report_attribution(
        AttributionQuestion(prompt="import os\nimport", unit="lines"),
        AttributionSettings(folder=tmp_path, method="exact"),
    )
    assert "log-probability of" in capsys.readouterr().out


@pytest.mark.parametrize("components", ["mlps", "layers"])
def test_parts_of_the_model(tmp_path, components):
    report_attribution(
        AttributionQuestion(prompt=PROMPT, answer="i", other="x", components=components),
        AttributionSettings(folder=tmp_path, method="exact"),
    )
    assert record(tmp_path)["players"][0] == {"mlps": "MLP 0", "layers": "layer 0"}[components]


def test_features_of_a_dictionary_and_the_activation_of_one(tmp_path):
    report_attribution(
        AttributionQuestion(prompt=PROMPT, answer="i", features="embedded@3,17"),
        AttributionSettings(folder=tmp_path / "a", method="exact"),
    )
    assert record(tmp_path / "a")["players"] == ["feature 3", "feature 17"]
    report_attribution(
        AttributionQuestion(prompt="x = 1", feature="embedded@2024", unit="tokens"),
        AttributionSettings(folder=tmp_path / "b", method="exact"),
    )
    assert record(tmp_path / "b")["value"] == "activation of feature 2024"


@pytest.mark.parametrize("players", [{}, {"components": "heads"}, {"removal": "fade"}])
def test_a_silent_feature_is_told_before_anything_is_paid_for(tmp_path, players):
    asked = AttributionQuestion(prompt="x = 1", feature="embedded@3", **players)
    with pytest.raises(BadInput, match="the activation of feature 3 is 0 at the end of this"):
        report_attribution(asked, AttributionSettings(folder=tmp_path))
    assert not list(tmp_path.iterdir())


OTHERS = ["while x in range(99):\n    send(", "for key in names:\n    print(", "import os"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"removal": "resample"}, "words are replaced by those in the same place of 3 other"),
        ({}, "words are replaced by those in the same place of 3 other prompts"),
        ({"unit": "tokens"}, "tokens are replaced by those in the same place of 3 other"),
        ({"components": "mlps"}, "mlps are ablated to their mean over the"),
        ({"components": "mlps", "removal": "resample"}, "to what they give for 3 other prompts"),
        ({"features": "embedded@1907,1624"}, "to what they give for 3 other prompts"),
    ],
)
def test_other_prompts_stand_in_for_what_is_removed(tmp_path, capsys, asked, said):
    file = tmp_path / "others.txt"
    file.write_text("\n".join(json.dumps({"prompt": text}) for text in OTHERS))
    file = file.rename(tmp_path / "others.jsonl")
    question = AttributionQuestion(
        prompt=PROMPT, answer="i", other="x", other_prompts=str(file), **asked
    )
    options = AttributionSettings(method="occlusion", folder=tmp_path / "kept")
    report_attribution(question, options)
    printed = " ".join(capsys.readouterr().out.split())
    assert said in printed
    assert said in " ".join(record(tmp_path / "kept")["told"])
    # other prompts, other values
    file.write_text(json.dumps({"prompt": "class A(B):\n    def f("}))
    report_attribution(question, options)
    assert len(list((tmp_path / "kept").glob("values-*"))) == 2


def test_a_file_without_other_prompts_is_refused(tmp_path):
    options = AttributionSettings(folder=tmp_path)
    for content, said in (("", "holds no prompts"), ("{}\n", "cannot be read"), ("3", "read")):
        (tmp_path / "o.jsonl").write_text(content)
        asked = AttributionQuestion(prompt="a b", other_prompts=str(tmp_path / "o.jsonl"))
        with pytest.raises(BadInput, match=said):
            report_attribution(asked, options)


def test_a_gradient(tmp_path, capsys):
    report_attribution(
        AttributionQuestion(prompt="for i in", answer=" range"),
        AttributionSettings(folder=tmp_path, method="gradient"),
    )
    assert record(tmp_path)["method"] == "gradient"


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_a_table_of_masks_and_values(tmp_path, rng, kind):
    masks = rng.random((400, 12)) < 0.5
    values = 2.0 * masks[:, 3] + 1.5 * masks[:, [5, 8]].all(axis=1)
    file = tmp_path / f"table.{kind}"
    if kind == "npz":
        np.savez(file, masks=masks, values=values)
    else:
        rows = [
            ",".join([*map(str, row.astype(int)), str(value)])
            for row, value in zip(masks, values, strict=True)
        ]
        file.write_text("\n".join([",".join([*map(str, range(12)), "value"]), *rows]))
    report_attribution(
        AttributionQuestion(data=str(file)),
        AttributionSettings(folder=tmp_path),
    )
    kept = record(tmp_path)
    assert kept["held_out_r2"]["low"] > 0.99
    strongest = [tuple(row["players"]) for row in kept["coefficients"]["mobius"][:2]]
    assert strongest == [(3,), (5, 8)]
    assert kept["question"]["model"] == ""
    [page] = tmp_path.glob("*.html")
    assert "embedded" not in page.read_text()


def test_behind_an_endpoint_nothing_is_asked_twice(tmp_path, capsys):
    with serve(answer="parrot") as server:
        asked = AttributionQuestion(
            model="m", prompt="the red fox", answer="fox", base_url=server.base_url
        )
        report_attribution(asked, AttributionSettings(method="exact", folder=tmp_path))
        before = sum(request["prompt"].count("fox") for request in server.requests())
        (next(tmp_path.glob("values-*"))).unlink()
        report_attribution(asked, AttributionSettings(method="exact", folder=tmp_path))
        assert sum(request["prompt"].count("fox") for request in server.requests()) == before
    assert tuple(record(tmp_path)["coefficients"]["mobius"][0]["players"]) == (2,)


def test_a_proxy_proposes_and_what_it_gave_is_said(tmp_path, capsys):
    """The embedded model is its own proxy: nothing is nearer."""
    text = "import os\nfor name in os.listdir(path):\n    if name and print("
    asked = AttributionQuestion(prompt=text, answer="name", other="path", unit="words")
    options = AttributionSettings(budget=72, folder=tmp_path, proxy="embedded", seed=1)
    report_attribution(asked, options)
    printed = " ".join(capsys.readouterr().out.split())
    assert "auto asks for up to 72 values" in printed
    assert "The proxy embedded is asked for up to 2,048 values" in printed
    [values] = re.findall(
        r"([\d,]+) new values of the proxy took [\d.]+ CPU seconds, (\d+) of", printed
    )
    kept = record(tmp_path)
    assert int(values[1]) >= kept["evaluations"]
    assert kept["evaluations"] <= 72
    assert kept["proxy"]["correlation"] == pytest.approx(1.0)
    assert kept["proxy"]["used"]
    lacks, lacked = (1 - kept["proxy"][name][0]["value"] for name in ("with_r2", "without_r2"))
    assert lacks < 0.4 * lacked
    assert "From the same values R2 is" in printed
    assert kept["proxy"]["name"] in next(tmp_path.glob("*.html")).read_text()
    report_attribution(asked, options)
    printed = " ".join(capsys.readouterr().out.split())
    assert "0 values were new" in printed
    assert "0 new values of the proxy" in printed
    assert record(tmp_path) == kept
    report_attribution(asked, AttributionSettings(budget=72, folder=tmp_path, seed=1))
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_an_endpoint_has_a_proxy_here_and_is_asked_no_more_than_the_budget(tmp_path, capsys):
    text = "the red fox and the old dog saw a cat"
    with serve(answer="parrot") as server:
        asked = AttributionQuestion(model="m", prompt=text, answer="fox", base_url=server.base_url)
        options = AttributionSettings(budget=64, folder=tmp_path, proxy="embedded", proxy_budget=64)
        report_attribution(asked, options)
    assert record(tmp_path)["evaluations"] <= 64
    assert len(list(tmp_path.glob("values-*"))) == 1
    assert "the curves" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "method", "said"),
    [
        ({"components": "heads"}, "auto", "these players are not"),
        ({"unit": "tokens"}, "auto", "has other tokens"),
        ({"answer": ""}, "auto", "give --answer, or leave --proxy out"),
        ({}, "lasso", "choose that, or leave --proxy out"),
    ],
)
def test_a_proxy_that_cannot_play_is_refused(tmp_path, given, method, said):
    asked = AttributionQuestion(**({"prompt": PROMPT, "answer": "i"} | given))
    with pytest.raises(BadSettings, match=said):
        report_attribution(
            asked, AttributionSettings(method=method, folder=tmp_path, proxy="embedded")
        )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: AttributionQuestion(), "nothing to attribute"),
        (lambda: AttributionQuestion(prompt="a", value="surprise"), "no such choice"),
        (lambda: AttributionQuestion(prompt="a", removal="resample"), "give --other-prompts FILE"),
        (
            lambda: AttributionQuestion(prompt="a", removal="resample", components="heads"),
            "give --other-prompts FILE",
        ),
        (
            lambda: AttributionQuestion(prompt="a", removal="mask", other_prompts="f"),
            "the removal mask does not read it",
        ),
        (
            lambda: AttributionQuestion(prompt="a", value="difference", answer="b"),
            "needs --answer and --other",
        ),
        (lambda: AttributionQuestion(prompt="a", value="activation"), "needs --feature"),
        (
            lambda: AttributionQuestion(prompt="a", base_url="http://x/v1"),
            "an endpoint tells how likely an answer is",
        ),
        *(
            (
                lambda given=given: AttributionQuestion(
                    prompt="a", feature="embedded@1", base_url="http://x/v1", **given
                ),
                said,
            )
            for given, said in (
                ({}, "for --feature embedded@1 run the model here"),
                ({"answer": "b"}, "for --feature embedded@1 run the model here"),
                ({"value": "activation"}, "for --value activation run the model here"),
                ({"answer": "b", "value": "log_odds"}, "--feature 'embedded@1': an endpoint tells"),
            )
        ),
        (lambda: AttributionQuestion(prompt="a", unit="letters"), "no such choice"),
        (
            lambda: AttributionQuestion(prompt="a", components="heads", data="x.csv"),
            "different players",
        ),
    ],
)
def test_a_wrong_question_is_refused_before_anything_is_loaded(wrong, said):
    with pytest.raises(BadSettings, match=said):
        wrong()


def test_what_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,0\n")
    with pytest.raises(BadInput, match="no column 'value'"):
        report_attribution(
            AttributionQuestion(data=str(tmp_path / "bad.csv")),
            AttributionSettings(folder=tmp_path),
        )
    (tmp_path / "two.csv").write_text("a,value\n2,0\n")
    with pytest.raises(BadInput, match="write 1 for a player"):
        report_attribution(
            AttributionQuestion(data=str(tmp_path / "two.csv")),
            AttributionSettings(folder=tmp_path),
        )
    with pytest.raises(BadSettings, match="names no feature"):
        report_attribution(
            AttributionQuestion(prompt="a", feature="embedded"),
            AttributionSettings(folder=tmp_path),
        )
    with pytest.raises(BadInput, match="takes no --budget"):
        report_attribution(
            AttributionQuestion(prompt="a b"),
            AttributionSettings(folder=tmp_path, method="exact", budget=10),
        )
