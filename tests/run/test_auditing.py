"""`gloss audit`: labels of a file are scored, sorted, and told on a page and in a table."""

import json

import pyarrow.parquet as pq
import pytest
from small import contents, ran

import gloss
from gloss.run.planning import read_run
from gloss.store.results import read_rows
from models.servers import serve

TOKENS = ("--tokens", "12000")


@pytest.fixture
def labelled(folder):
    """The small run, and labels of its features as Neuronpedia publishes them: rules, a quotation
    of what no text holds, words that are read as a rule, a feature that never fires, one beyond the
    dictionary, an empty text.
    """
    run = read_run(folder / "out")
    found = read_rows(run.places("explain"), "explanations")
    texts = {row["feature"]: row["rule"] for row in found[:4]}
    quoting = found[4]["feature"]
    texts[quoting] = "the name 'Zzyzx Road'"
    read = found[6]["feature"]
    texts[read] = "Instances of the word 'self'."
    dead = next(i for i in range(run.activations.width) if run.activations.counts[i] == 0)
    texts |= {dead: "nothing", 10**6: "beyond", found[5]["feature"]: " "}
    lines = (
        {"modelId": "m", "layer": "2-x", "index": str(index), "description": text}
        for index, text in texts.items()
    )
    (folder / "batch-0.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder, quoting, dead, read


def test_an_audit_tells_every_label_and_goes_on_where_it_was(labelled):
    folder, quoting, dead, read = labelled
    command = ("audit", "batch-0.jsonl", "--model", "out", "--out", "au", *TOKENS)
    status, out, err = ran(folder, *command)
    assert status == 0, err
    assert "1 an index beyond the dictionary's width" in err
    assert "1 no text" in err
    assert "cannot be told" in out
    assert "Labels without a rule that nobody judged: 1." in " ".join(out.split())
    rows = {row["feature"]: row for row in pq.read_table(folder / "au/labels.parquet").to_pylist()}
    assert len(rows) == 7
    assert (rows[read]["rule"], rows[read]["read_as"]) == (None, 'word in {"self", "Self", "SELF"}')
    assert rows[read]["scorer"] == "execution"
    assert "Of 3 labels in words 1 were read as rules and run." in " ".join(out.split())
    assert rows[dead]["verdict"] == "cannot be told"
    assert "the feature fires at 0 of" in rows[dead]["reason"]
    assert rows[quoting]["flags"] == ["quotes 'Zzyzx Road', which stands nowhere in the texts"]
    assert rows[quoting]["verdict"] == "cannot be told"
    executed = [row for row in rows.values() if row["scorer"] == "execution"]
    assert len(executed) == 5
    for row in executed:
        low, value, high = (row["recall"][each] for each in ("low", "value", "high"))
        assert 0 <= low <= value <= high <= 1
        assert row["control"] == row["control"]
        assert row["contexts"]
        assert "<<" in row["contexts"][0]["text"]
    page = (folder / "au/audit.html").read_text()
    assert "Zzyzx Road" in page
    assert "read as" in page
    assert "Which labels to believe" in (folder / "au/report.html").read_text()
    before = contents(folder / "au")
    status, _, err = ran(folder, *command)
    assert status == 0, err
    assert contents(folder / "au") == before
    asked = gloss.Experiment.of(json.loads(json.dumps(read_run(folder / "au").experiment.tables())))
    assert isinstance(asked.run.features, tuple)


def test_plain_words_are_judged_where_there_is_an_endpoint(folder):
    run = read_run(folder / "out")
    rows = read_rows(run.places("explain"), "explanations")[:3]
    lines = ["feature,label", *(f"{row['feature']},where `self` is meant" for row in rows)]
    (folder / "labels.csv").write_text("\n".join(lines))
    for answer, decides in (("perfect", "detection"), ("yes", "")):
        with serve(answer=answer) as server:
            flags = ("--chat-url", server.base_url, "--chat-model", "m", "--out", answer)
            command = ("audit", "labels.csv", "--model", "out", *TOKENS, *flags)
            status, _, err = ran(folder, *command)
            asked = [one for one in server.requests() if "is meant" in one["prompt"]]
        assert status == 0, err
        assert bool(asked) == bool(decides)
        found = pq.read_table(folder / answer / "labels.parquet").to_pylist()
        judged = [row for row in found if row["contexts"]]
        assert judged
        assert {row["scorer"] for row in judged} == {decides}
        if answer == "yes":
            assert {row["verdict"] for row in judged} == {"cannot be told"}
            assert "the judge of detection and fuzzing tells nothing" in judged[0]["reason"]
            assert "It was asked about no label" in (folder / answer / "audit.html").read_text()
            assert "measures nothing" in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--model", "embedded"), "a dictionary and texts are needed beside it"),
        (("--model", "out", "--chat-url", "http://localhost:9/v1"), "needs both --chat-url and"),
        (("--model", "out", "--layer", "9"), "the labels are of no layer '9'"),
    ],
)
def test_what_an_audit_lacks_is_said_in_one_sentence(labelled, flags, said):
    folder, *_ = labelled
    status, _, err = ran(folder, "audit", "batch-0.jsonl", *flags)
    assert (status, err.count("\n")) == (2, 1)
    assert said in err


def test_a_model_that_answers_no_chats_says_how_surprising_text_is_and_judges_nothing(folder):
    run = read_run(folder / "out")
    [row] = read_rows(run.places("explain"), "explanations")[:1]
    (folder / "labels.csv").write_text(f"feature,label\n{row['feature']},the word `self`\n")
    command = ("audit", "labels.csv", "--model", "out", "--local", "embedded", "--out", "base")
    status, _, err = ran(folder, *command, *TOKENS)
    assert status == 0, err
    assert "embedded has no chat template: surprisal and simulation" in err
    [found] = pq.read_table(folder / "base/labels.parquet").to_pylist()
    assert found["verdict"] == "cannot be told"
    assert {words.split()[0].strip(":") for words in found["beside"]} >= {"surprisal", "simulation"}
    assert "items has an answer" in " ".join(found["beside"])  # the model takes 256 tokens
    [simulation] = (
        each
        for each in read_run(folder / "base").experiment.score
        if each["method"] == "simulation"
    )
    assert simulation["highest"] == 9  # which every tokenizer can write
