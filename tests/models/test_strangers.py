"""What people have on their disks beside models as transformers saves them: it works, or one
sentence says why not.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from benchmarks.subjects.tiny import letters, tiny_model
from gloss.errors import BadInput, Mismatch
from gloss.models.pretrained import tokenizer
from gloss.models.sites import Site
from gloss.models.subject import Subject

SHAPE = {
    "vocab_size": 26,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 28,
    "patch_size": 14,
}
WIDTHS = {"vocab_size": 26, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}


@pytest.fixture
def save(llama: Subject, tmp_path: Path) -> Callable[[transformers.PreTrainedModel], Path]:
    """Save a model with a tokenizer of letters."""

    def saved(model: transformers.PreTrainedModel) -> Path:
        model.save_pretrained(tmp_path / "model")
        llama.tokens.tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
        return tmp_path / "model"

    return saved


@pytest.fixture
def folder(save: Callable[[transformers.PreTrainedModel], Path]) -> Path:
    return save(transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)))


def configure(folder: Path, **settings: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_pointer_of_git_is_not_the_file(folder: Path, file: str):
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(
        BadInput,
        match=rf"{file} is a pointer of Git LFS and not the file itself; run `git lfs pull`",
    ):
        Subject.load(folder)


def test_a_folder_of_checkpoints_says_where_one_is(folder: Path):
    folder.rename(folder.with_name("checkpoint-500"))
    with pytest.raises(
        BadInput, match=r"holds no config.json: .* or what is inside, as .*/checkpoint-500$"
    ):
        Subject.load(folder.parent)


def test_code_of_its_own_is_not_run(folder: Path):
    (folder / "modeling_mine.py").write_text("raise SystemExit('it ran')")
    configure(folder, auto_map={"AutoModelForCausalLM": "modeling_mine.Mine"})
    [note] = Subject.load(folder).notes
    assert note.endswith(
        "comes with code of its own (modeling_mine.Mine); that of transformers is run in its place"
    )
    configure(folder, model_type="mine")
    with pytest.raises(
        BadInput, match=r"wants code of the model's own \(modeling_mine\.Mine\), which is not run"
    ):
        Subject.load(folder)


@pytest.mark.parametrize(
    "settings, said",
    [
        (
            {"model_type": "llama9"},
            r"names the model_type 'llama9', which transformers .* does not know",
        ),
        (
            {"dtype": "torch.float16"},
            r"states dtype = 'torch\.float16'; wanted a type of torch, as 'bfloat16', or null",
        ),
    ],
)
def test_a_configuration_of_nothing_known_is_refused(
    folder: Path, settings: dict[str, str], said: str
):
    configure(folder, **settings)
    with pytest.raises(BadInput, match=said):
        Subject.load(folder)


def test_a_model_that_is_not_causal_is_refused(
    save: Callable[[transformers.PreTrainedModel], Path],
):
    folder = save(transformers.T5ForConditionalGeneration(transformers.T5Config(**WIDTHS)))
    with pytest.raises(
        BadInput, match=r"\(t5\) has an encoder and a decoder; wanted a causal language model"
    ):
        Subject.load(folder)
    folder = save(transformers.ViTModel(transformers.ViTConfig(**VISION)))
    with pytest.raises(BadInput, match=r"\(vit\) is no causal language model"):
        Subject.load(folder)


def test_the_language_model_of_one_that_also_sees_is_read(
    save: Callable[[transformers.PreTrainedModel], Path],
):
    text, sight = transformers.LlamaConfig(**SHAPE), transformers.CLIPVisionConfig(**VISION)
    whole = transformers.LlavaForConditionalGeneration(
        transformers.LlavaConfig(text_config=text, vision_config=sight, image_token_index=5)
    )
    subject = Subject.load(save(whole), device="cpu")
    rows = torch.arange(12).reshape(2, 6) + 7
    found = subject.run(rows, [Site("resid_post", 0), Site("mlp_out", 1)], logits=True)
    expected = whole.eval()(input_ids=rows, output_hidden_states=True)
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.activations[Site("resid_post", 0)], expected.hidden_states[1])
    assert subject.layers == 2


def test_a_model_without_its_output_embedding_says_so(
    save: Callable[[transformers.PreTrainedModel], Path],
):
    folder = save(transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**SHAPE)))
    with pytest.raises(
        BadInput,
        match=(
            r"the first lm_head\.weight and holds 1 .* score\.weight; give a model that was saved"
            r" with"
        ),
    ):
        Subject.load(folder)


def test_weights_under_other_names_are_named(folder: Path):
    weights = load_file(folder / "model.safetensors")
    save_file(
        {f"module.{name}": weight for name, weight in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(
        BadInput,
        match=r"and holds 21 without a place, the first module\.lm_head\.weight; fetch or save",
    ):
        Subject.load(folder)


def test_tokenizers_of_other_files_are_made_or_refused_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadInput, match=r"holds no tokenizer: wanted a file tokenizer\.json"):
        Subject.load(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
    with pytest.raises(
        BadInput,
        match="a tokenizer of class ByT5Tokenizer: wanted one that the tokenizers library runs",
    ):
        Subject.load(folder)
    monkeypatch.setattr(tokenizer, "is_installed", lambda name: name != "protobuf")
    (folder / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>")
    with pytest.raises(
        BadInput,
        match=(
            r"tokenizer\.model is of SentencePiece, which is not installed whole; run: pip install"
            r" protobuf"
        ),
    ):
        Subject.load(folder)
    (folder / "tokenizer.model").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nwas\n")
    subject = Subject.load(folder)
    assert isinstance(subject.tokens.tokenizer, Tokenizer)
    assert subject.encode("the was") == [5, 6]


@pytest.mark.parametrize(
    "kind, most",
    [("opt", 64), ("gpt2", 64), ("mpt", 64), ("roberta", 63), ("camembert", 63), ("bloom", None)],
)
def test_a_context_is_known_and_can_be_filled(kind: str, most: int | None):
    subject = Subject(tiny_model(kind), letters(), None)
    assert subject.context == most
    last = [Site("resid_post", 1)]
    assert (
        subject.run(torch.arange(most or 90)[None] + 9, last).activations[last[0]].isfinite().all()
    )
    if most is not None:
        with pytest.raises(Mismatch, match=f"this model takes at most {most}"):
            subject.run(torch.arange(most + 1)[None] + 9, last)


def test_a_model_of_few_positions_is_tried_on_as_many(
    save: Callable[[transformers.PreTrainedModel], Path],
):
    shape = {
        "vocab_size": 26,
        "hidden_size": 16,
        "ffn_dim": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = transformers.OPTConfig(**shape, max_position_embeddings=16, word_embed_proj_dim=16)
    assert Subject.load(save(transformers.OPTForCausalLM(config))).context == 16
