"""A model is loaded from its folder, or refused in one sentence, and no network is asked for a
path.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gloss.errors import BadInput, BadSettings
from gloss.models.pretrained.hub import is_local_path
from gloss.models.sites import Site
from gloss.models.subject import Subject


@pytest.fixture
def folder(llama: Subject, tmp_path: Path) -> Path:
    llama.model.save_pretrained(tmp_path / "model")
    llama.tokens.tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    return tmp_path / "model"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_gives_the_model_that_was_saved(
    llama: Subject, folder: Path, tokens: torch.Tensor, kind: type
):
    loaded = Subject.load(kind(folder), device="cpu")
    assert torch.equal(
        loaded.run(tokens, logits=True).logits, llama.run(tokens, logits=True).logits
    )
    assert loaded.encode("c a b") == [2, 0, 1]


def test_stored_half_precision_is_computed_in_full_on_a_cpu(llama: Subject, folder: Path):
    weights = {
        name: weight.half() for name, weight in load_file(folder / "model.safetensors").items()
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    assert Subject.load(folder, device="cpu").model.dtype == torch.float32
    assert Subject.load(folder, device="cpu", dtype=torch.bfloat16).model.dtype == torch.bfloat16


def test_loading_prints_nothing(folder: Path, capfd: pytest.CaptureFixture[str]):
    Subject.load(folder)
    assert capfd.readouterr() == ("", "")


def test_the_start_token_can_be_another_or_none(folder: Path):
    assert Subject.load(folder).start_token is None
    assert Subject.load(folder, start_token=7).start_token == 7


@pytest.mark.parametrize(
    "path", ["/no/such/model", "./model", "~/no-such-model", "a/b/c", "no\\model", Path("gpt2")]
)
def test_what_can_only_be_a_path_and_does_not_exist_is_refused(
    path: str | Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="does not exist: wanted the folder of a transformers model"):
        Subject.load(path)


def test_a_name_of_the_hub_is_no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert not is_local_path("gpt2")
    assert not is_local_path("models/mine")
    (tmp_path / "models").mkdir()
    assert is_local_path("models/mine")


def test_a_name_that_the_hub_does_not_give_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        BadInput,
        match="nobody/nothing-at-all is no folder here, and no model of that name could be had",
    ):
        Subject.load("nobody/nothing-at-all")


def test_a_file_is_refused(folder: Path):
    with pytest.raises(BadInput, match="is a file: wanted the folder"):
        Subject.load(folder / "config.json")


def test_a_folder_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match=r"holds no config\.json"):
        Subject.load(tmp_path)


@pytest.mark.parametrize(
    "config, reason",
    [
        ("{", "cannot be read as JSON"),
        ("{}", "names no model_type"),
    ],
)
def test_a_configuration_that_is_none_is_refused(folder: Path, config: str, reason: str):
    (folder / "config.json").write_text(config)
    with pytest.raises(BadInput, match=reason):
        Subject.load(folder)


def test_a_folder_without_weights_is_refused(folder: Path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"the weights of .* cannot be read"):
        Subject.load(folder)


def test_weights_that_are_cut_off_are_refused(folder: Path):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BadInput, match=r"the weights of .* cannot be read"):
        Subject.load(folder)


def test_weights_that_lack_a_part_are_refused_and_not_drawn_at_random(folder: Path):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        BadInput,
        match=r"lacks 1 of the model's weights, the first model\.layers\.1\.mlp\.down_proj\.weight",
    ):
        Subject.load(folder)


def test_weights_of_another_shape_are_refused(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 40}))
    said = (
        r"down_proj\.weight is \[32, 48\] in the weights and \[32, 40\] by the configuration \(9"
        r" such in all\)"
    )
    with pytest.raises(BadInput, match=said):
        Subject.load(folder)


def test_a_folder_has_no_revisions(folder: Path):
    with pytest.raises(BadSettings, match="only models of the hub have revisions"):
        Subject.load(folder, "main")


@pytest.mark.data
def test_a_real_model_is_read_and_spells_stories(data_folder: Path):
    subject = Subject.load(data_folder / "tinystories-656k", device="cpu")
    vocabulary = subject.vocabulary()
    assert subject.start_token == 1
    assert vocabulary.pieces[1] == b"<|start_story|>"
    ids = subject.encode("Once upon a time, there was a little")
    assert vocabulary.text(ids) == " Once upon a time, there was a little"
    story = subject.generate(torch.tensor([[1, *ids]]), max_new_tokens=30)
    assert " the " in vocabulary.text(story[0].tolist())
    x = subject.run(
        story, [Site(kind, 1) for kind in ("resid_pre", "attn_out", "mlp_out", "resid_post")]
    ).activations.values()
    before, attention, mlp, after = x
    torch.testing.assert_close(before + attention + mlp, after, rtol=1e-5, atol=1e-4)


@pytest.mark.data
def test_a_real_model_predicts_real_stories(data_folder: Path):
    subject = Subject.load(data_folder / "tinystories-656k", device="cpu")
    stories = json.loads((data_folder / "tinystories-text" / "tinystories_1000.json").read_text())
    losses: list[torch.Tensor] = []
    for story in [story for story in stories if story.isascii()][:50]:
        ids = subject.encode(story)[:400]
        logits = subject.run(torch.tensor([[1, *ids]]), logits=True).logits
        assert logits is not None
        losses.append(
            torch.nn.functional.cross_entropy(logits[0, :-1], torch.tensor(ids), reduction="none")
        )
    loss = torch.cat(losses).mean().item()
    assert abs(loss - 2.93) < 0.1, f"{loss} nats per token, measured elsewhere as 2.93"
