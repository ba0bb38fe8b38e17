"""Where a model is computed and in which type: names that are there, and a choice that no noise can
flip.
"""

from pathlib import Path

import pytest
import torch

from gloss.errors import BadSettings
from gloss.models.local_chat import LocalChat
from gloss.models.pretrained.loading import resolve_device, resolve_dtype
from gloss.models.subject import Subject
from gloss.run.experiment import Experiment
from gloss.run.plan import SUBJECT_RECORD
from gloss.run.subject_loading import load_recorded_subject
from gloss.store.atomic import write_bytes
from gloss.store.sealed_json import read_sealed_json, seal_json


@pytest.fixture
def halved(llama: Subject, tmp_path: Path) -> Path:
    """A folder whose weights are stored in 16 bits."""
    llama.model.save_pretrained(tmp_path / "model")
    model = type(llama.model).from_pretrained(tmp_path / "model", dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "model")
    llama.tokens.tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["cuda:99", "xpu:3", "mps:7", "nope", "meta", "cpu:5", ""])
def test_a_device_that_is_not_there_is_refused_in_one_sentence(name: str):
    with pytest.raises(
        BadSettings,
        match=r"^device '.*' is (not there: this machine has|none that computes; give auto, cpu)",
    ):
        resolve_device(name)


def test_auto_is_a_card_where_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_dtype("auto") is None
    assert resolve_dtype("bfloat16") is torch.bfloat16


@pytest.mark.parametrize(
    "setting",
    [{"device": "nope"}, {"device": "meta"}, {"dtype": "int8"}, {"start_token": -1}, {"model": ""}],
)
def test_settings_that_no_machine_knows_are_refused_when_they_are_read(setting: dict[str, object]):
    with pytest.raises(BadSettings, match=next(iter(setting))):
        Experiment.of({"subject": setting})


@pytest.mark.parametrize("setting", [{"device": "nope"}, {"dtype": "int8"}])
def test_a_model_that_answers_knows_the_same_names(setting: dict[str, str]):
    with pytest.raises(ValueError, match=next(iter(setting))):
        LocalChat("m", **setting)


@pytest.mark.parametrize("given, wanted", [("auto", None), ("none", None), (3, 3)])
def test_an_experiment_says_which_token_starts(
    halved: Path, tmp_path: Path, given: str | int, wanted: int | None
):
    asked = Experiment.of({"subject": {"model": str(halved), "start_token": given}}).subject
    assert load_recorded_subject(asked, tmp_path / "run").start_token == wanted


def test_a_start_token_beyond_the_vocabulary_is_refused(halved: Path):
    with pytest.raises(BadSettings, match=r"start_token is 5000, and .* has tokens 0 to 98"):
        Subject.load(halved, start_token=5000)


def test_a_run_computes_in_float32_on_a_cpu_whatever_is_stored_and_keeps_what_it_began_with(
    halved: Path, tmp_path: Path
):
    asked = Experiment.of({"subject": {"model": str(halved), "device": "cpu"}}).subject
    assert load_recorded_subject(asked, tmp_path / "run").model.dtype == torch.float32
    assert read_sealed_json(tmp_path / "run" / SUBJECT_RECORD) == {
        "dtype": "float32",
        "device": "cpu",
    }
    load_recorded_subject.cache_clear()
    write_bytes(
        tmp_path / "card" / SUBJECT_RECORD, seal_json({"dtype": "bfloat16", "device": "cuda:0"})
    )
    assert load_recorded_subject(asked, tmp_path / "card").model.dtype == torch.bfloat16
    assert Subject.load(halved, device="cpu").model.dtype == torch.float32
