"""`gloss init` on models and texts of many kinds: what it writes reads as an experiment and fits
them, and runs as it is.
"""

import json
import random
from pathlib import Path

import pytest
import torch
from harmed import gloss as typed
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

import gloss
from collect.tiny import START, WORDS, sentences, tiny_tokenizer
from gloss.errors import BadInput, Mismatch
from gloss.run.commands.init import InitSettings, write_first_experiment
from gloss.run.experiment import Experiment
from gloss.run.sources import NamedModel

FAMILIES = {
    "neox": lambda: GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=320,
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            max_position_embeddings=48,
            bos_token_id=START,
            eos_token_id=START,
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=320,
            n_embd=16,
            n_layer=1,
            n_head=2,
            n_positions=24,
            bos_token_id=START,
            eos_token_id=START,
        )
    ),
}
SITES = {"neox": "resid_post.1", "gpt2": "resid_post.0", "embedded": "resid_post.1"}


def save(family: str, folder: Path) -> Path:
    torch.manual_seed(0)
    FAMILIES[family]().save_pretrained(folder)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<start>"}))
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> dict[str, str]:
    """The embedded model, and two of other families with random weights."""
    root = tmp_path_factory.mktemp("models")
    return {"embedded": "embedded"} | {name: str(save(name, root / name)) for name in FAMILIES}


@pytest.fixture(scope="session")
def texts(tmp_path_factory) -> dict[str, str]:
    """The same text as a file of blank lines, a file of lines, a folder, and rows with columns."""
    root = tmp_path_factory.mktemp("te xt's")
    said = [text for _, text in sentences(80)]
    (root / "blank.txt").write_text("\n\n".join(said))
    (root / "lines.txt").write_text("\n".join(said))
    (root / 'a "quoted" é.jsonl').write_text(
        "\n".join(json.dumps({"story": text, "id": 3}) for text in said)
    )
    (root / "folder").mkdir()
    for number, text in enumerate(said):
        (root / "folder" / f"{number}.txt").write_text(text)
    return {
        "blank": str(root / "blank.txt"),
        "lines": str(root / "lines.txt"),
        "rows": str(root / 'a "quoted" é.jsonl') + "#story",
        "folder": str(root / "folder"),
    }


def written(model: str, text: str, path: Path, **asked: object) -> Experiment:
    write_first_experiment(NamedModel.of(model), (text,), path, InitSettings(**asked))
    return Experiment.read(path)


@pytest.mark.parametrize("text", ["blank", "lines", "rows", "folder"])
@pytest.mark.parametrize("model", ["embedded", *FAMILIES])
def test_the_file_reads_as_an_experiment_that_fits_its_model_and_its_text(
    models, texts, model, text, tmp_path
):
    found = written(models[model], texts[text], tmp_path / "x.toml", tokens=2000)
    subject = NamedModel.of(models[model]).load()
    assert found.subject.model == models[model]
    assert found.collect.texts == (texts[text],)
    assert found.collect.split == {"blank": "\n\n", "lines": "\n"}.get(text, "auto")
    assert found.collect.context_length == min(256, subject.context)
    assert found.decompose["site"] == SITES[model]
    subject.site(found.decompose["site"])
    assert 1 <= found.decompose["k"] <= found.decompose["width"]
    assert found.decompose["batch"] <= found.decompose["tokens"]
    lines = (tmp_path / "x.toml").read_text().splitlines()
    assert max(len(line) for line in lines if models[model] not in line) < 160
    settings = [line for line in lines if " = " in line and not line.startswith("#")]
    assert sum("#" in line for line in settings) >= len(settings) - 4  # nearly each is explained


def test_equal_input_makes_equal_bytes(models, texts, tmp_path):
    for name in "ab":
        written(models["neox"], texts["rows"], tmp_path / f"{name}.toml")
    assert (tmp_path / "a.toml").read_bytes() == (tmp_path / "b.toml").read_bytes()


def test_what_is_decided_already_is_written_as_it_was_said(models, texts, tmp_path):
    found = written(
        "embedded", texts["rows"], tmp_path / "x.toml", dictionary="embedded", features=7
    )
    assert found.decompose == {"dictionary": "embedded"}
    assert found.run.features == 7
    other = written(
        models["neox"], texts["rows"], tmp_path / "y.toml", site="mlp_out.0", folder="kept"
    )
    assert (other.decompose["site"], other.run.folder) == ("mlp_out.0", "kept")


def test_what_cannot_be_run_is_refused_and_nothing_is_written(models, texts, tmp_path):
    alone = tmp_path / "one.txt"
    alone.write_text("a cat sat on the mat")
    path = tmp_path / "x.toml"
    for text, asked, kind, said in (
        (str(alone), {}, BadInput, "the texts are one document"),
        ("nothing.txt", {}, BadInput, "nothing.txt does not exist"),
        (texts["rows"].removesuffix("#story"), {}, BadInput, "story"),  # the columns are named
        (texts["rows"], {"site": "resid_post.9"}, Mismatch, "resid_post.9"),
        (texts["rows"], {"dictionary": "embedded"}, Mismatch, "resid_post.2|256"),
    ):
        with pytest.raises(kind, match=said):
            written(models["gpt2"], text, path, **asked)
        assert not path.exists()


def test_a_stranger_is_explained_by_two_commands(models, tmp_path):
    """A file of its own text, then `init`, `run`, and what was found, as a person types it."""
    draw = random.Random(0)
    stories = [" ".join(draw.choices(WORDS, k=60)) for _ in range(120)]
    (tmp_path / "stories.jsonl").write_text("\n".join(json.dumps({"text": x}) for x in stories))
    code, said = typed(
        tmp_path, "init", models["neox"], "stories.jsonl", "--tokens", "6000", "--features", "8"
    )
    assert code == 0, said
    assert "now run: gloss run experiment.toml" in said
    kept = (tmp_path / "experiment.toml").read_bytes()
    code, said = typed(tmp_path, "init", models["neox"], "stories.jsonl")
    assert (code, said.count("gloss: ")) == (2, 1)
    assert "experiment.toml exists already" in said
    assert (tmp_path / "experiment.toml").read_bytes() == kept

    code, said = typed(tmp_path, "run", "experiment.toml")
    assert code == 0, said
    run = gloss.open(tmp_path / "runs" / "neox")
    explained = [feature.index for feature in run if feature.explanation]
    assert explained
    assert "the dictionary lies in runs/neox/decompose/" in said
    name = f"runs/neox@{explained[0]}"
    code, said = typed(tmp_path, "steer", name, "the cat", "--strength", "3", "--tokens", "2")
    assert code == 0, said
    assert f"add feature {explained[0]} at resid_post.1" in " ".join(said.split())

    words = ("init", models["neox"], "stories.jsonl", "--dictionary", "runs/neox")
    code, said = typed(tmp_path, *words, "-o", "again.toml")
    assert code == 0, said
    again = Experiment.read(tmp_path / "again.toml").decompose
    assert again["dictionary"].startswith("runs/neox/decompose/")
    assert again["site"] == "resid_post.1"
