"""Adapters of PEFT: merged at load they compute what PEFT computes.

Those that do not fit are refused in one sentence.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gloss.errors import BadInput
from gloss.models.subject import Subject
from gloss.run.experiment import Experiment
from gloss.run.planning import plan_run

peft = pytest.importorskip("peft", reason="peft is not installed; pip install 'gloss-lm[real]'")
# by peft itself
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture
def folder(llama: Subject, tmp_path: Path) -> Path:
    llama.model.save_pretrained(tmp_path / "model")
    llama.tokens.tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    return tmp_path / "model"


@pytest.fixture
def save_tied(llama: Subject, folder: Path) -> Path:
    """The same model with its embedding as its head."""
    config = type(llama.model.config).from_dict(
        llama.model.config.to_dict() | {"tie_word_embeddings": True}
    )
    type(llama.model)(config).save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    """A LoRA of random weights, as PEFT saves it."""
    base = Subject.load(folder, device="cpu").model
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    peft.get_peft_model(base, settings).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_merged_adapter_computes_what_peft_computes(
    folder: Path, adapter: Path, tokens: torch.Tensor
):
    base = Subject.load(folder, device="cpu")
    given = Subject.load(folder, device="cpu", adapter=adapter).run(tokens, logits=True).logits
    plain = base.run(tokens, logits=True).logits
    wanted = peft.PeftModel.from_pretrained(base.model, adapter).eval()(input_ids=tokens).logits
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4)
    assert (given - plain).abs().max() > 0.01


def test_adapters_that_do_not_fit_are_refused(folder: Path, adapter: Path, tmp_path: Path):
    with pytest.raises(BadInput, match=r"holds no adapter_config\.json"):
        Subject.load(folder, adapter=tmp_path)
    with pytest.raises(
        BadInput, match="holds an adapter: give it as adapter, and as model the one that it changes"
    ):
        Subject.load(adapter)
    weights = load_file(adapter / "adapter_model.safetensors")
    first = sorted(weights)[0]
    save_file(
        {name: w for name, w in weights.items() if name != first},
        adapter / "adapter_model.safetensors",
    )
    with pytest.raises(BadInput, match=r"does not fit .*model: it lacks"):
        Subject.load(folder, adapter=adapter)
    save_file({name: w[:1] for name, w in weights.items()}, adapter / "adapter_model.safetensors")
    with pytest.raises(BadInput, match=r"cannot be merged into .*model: "):
        Subject.load(folder, adapter=adapter)
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(BadInput, match=r"cannot be merged into .*model: "):
        Subject.load(folder, adapter=adapter)


def test_an_adapter_that_is_no_change_of_weights_or_lacks_some_is_refused(
    folder: Path, tmp_path: Path
):
    base = Subject.load(folder, device="cpu").model
    prompt = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    peft.get_peft_model(base, prompt).save_pretrained(tmp_path / "prompt")
    with pytest.raises(
        BadInput,
        match=(
            r"\(PROMPT_TUNING\) puts vectors before the text; wanted one that changes weights, as"
            r" LoRA"
        ),
    ):
        Subject.load(folder, adapter=tmp_path / "prompt")
    base = Subject.load(folder, device="cpu").model
    saved = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"])
    peft.get_peft_model(base, saved).save_pretrained(tmp_path / "head")
    Subject.load(folder, adapter=tmp_path / "head")
    weights = load_file(tmp_path / "head" / "adapter_model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "lm_head" not in name}
    save_file(kept, tmp_path / "head" / "adapter_model.safetensors")
    with pytest.raises(
        BadInput, match=r"does not fit .*model: it lacks base_model\.model\.lm_head"
    ):
        Subject.load(folder, adapter=tmp_path / "head")


# by peft
@pytest.mark.filterwarnings(
    "ignore:.*tie_word_embeddings:UserWarning", "ignore:.*save_embedding_layers:UserWarning"
)
def test_an_adapter_of_one_use_of_a_matrix_that_has_two_is_refused(save_tied: Path, tmp_path: Path):
    base = Subject.load(save_tied, device="cpu").model
    settings = peft.LoraConfig(
        r=4, lora_alpha=64, target_modules=["embed_tokens"], init_lora_weights=False
    )
    peft.get_peft_model(base, settings).save_pretrained(tmp_path / "embedding")
    with pytest.raises(
        BadInput,
        match=r"computes something else once it is merged \(logits \d+% off\), as where one matrix",
    ):
        Subject.load(save_tied, adapter=tmp_path / "embedding")


def test_an_adapter_that_names_another_model_is_told(folder: Path, adapter: Path):
    assert Subject.load(folder, adapter=adapter).notes == ()
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(
        json.dumps(config | {"base_model_name_or_path": "some/other-7b"})
    )
    [note] = Subject.load(folder, adapter=adapter).notes
    assert note.endswith(f"says that it was trained on some/other-7b, and it is added to {folder}")


def test_an_adapter_counts_by_content(folder: Path, adapter: Path):
    asked = {"subject": {"model": str(folder), "adapter": str(adapter)}}
    before = plan_run(Experiment.of(asked)).keys["decompose"]
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: -w for name, w in weights.items()}, adapter / "adapter_model.safetensors")
    assert plan_run(Experiment.of(asked)).keys["decompose"] != before
