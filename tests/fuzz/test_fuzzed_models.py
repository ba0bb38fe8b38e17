"""A model's folder that is wrong anywhere is read rightly or refused in one sentence, and nothing
else comes to the terminal.
"""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from amount import tries
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from gloss.errors import GlossError
from gloss.models.subject import Subject

LETTERS = "abcdefghijklmnopqrstuvwxyzĠ"
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 7, 64, 10**6, 10**12, 2**63, -0.5, 1e30, float("nan"), float("inf"),
    "", "x", "auto", [], [1], ["a"], {}, {"content": "a"}, {"type": "x"}, [[["deep"]]], "é\ud7ff",
    "../../../../etc/passwd",
)  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a byte-level tokenizer that has a special token."""
    folder = tmp_path_factory.mktemp("models") / "sound"
    shape = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = LlamaConfig(
        vocab_size=32, max_position_embeddings=128, bos_token_id=0, eos_token_id=0, **shape
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer = Tokenizer(
        models.BPE({letter: n + 1 for n, letter in enumerate(LETTERS)} | {"th": 28}, [("t", "h")])
    )
    tokenizer.pre_tokenizer, tokenizer.decoder = (
        pre_tokenizers.ByteLevel(False),
        decoders.ByteLevel(),
    )
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {
        "bos_token": "<|endoftext|>",
        "eos_token": {"content": "<|endoftext|>"},
        "model_max_length": 128,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def places(content: Any, depth: int = 4) -> list[tuple[str | int, ...]]:
    """Every path inside a JSON value, down to a depth; of lists and large objects the first few."""
    if depth == 0 or not isinstance(content, dict | list):
        return []
    inside = list(content.items() if isinstance(content, dict) else enumerate(content))[:12]
    return [(name, *rest) for name, each in inside for rest in ((), *places(each, depth - 1))]


def change(content: Any, place: tuple[str | int, ...], value: Any, way: str) -> Any:
    """The JSON value with one thing in it replaced, removed or added beside."""
    content = copy.deepcopy(content)
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    if way == "remove":
        del inner[place[-1]]
    elif way == "add" and isinstance(inner, dict):
        inner[str(value)[:20]] = value
    else:
        inner[place[-1]] = value
    return content


@st.composite
def wrong_json(draw: st.DrawFn, name: str) -> Callable[[Path], None]:
    where, value = draw(st.integers(0, 10_000)), draw(st.sampled_from(ODD))
    way = draw(st.sampled_from(("replace", "replace", "remove", "add")))

    def spoil(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        known = places(content)
        (folder / name).write_text(
            json.dumps(change(content, known[where % len(known)], value, way))
        )

    return spoil


@st.composite
def wrong_bytes(draw: st.DrawFn) -> Callable[[Path], None]:
    name = draw(
        st.sampled_from(
            ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
        )
    )
    at, way = (
        draw(st.floats(0, 1)),
        draw(st.sampled_from(("cut", "flip", "empty", "gone", "nested", "digits", "pickle"))),
    )
    byte = draw(st.integers(1, 255))

    def spoil(folder: Path) -> None:
        file = folder / name
        content = bytearray(file.read_bytes())
        place = min(int(at * len(content)), len(content) - 1)
        if way == "gone":
            return file.unlink()
        content[place] ^= byte
        made = {
            "cut": content[:place],
            "empty": b"",
            "nested": b'{"a":' * 100_000,
            "digits": b'{"a": ' + b"9" * 5000 + b"}",
        }
        made["pickle"] = b"\x80\x04cos\nsystem\n(S'true'\ntR."
        file.write_bytes(bytes(made.get(way, content)))
        return None

    return spoil


@st.composite
def wrong_weights(draw: st.DrawFn) -> Callable[[Path], None]:
    where = draw(st.integers(0, 100))
    way = draw(
        st.sampled_from(
            ("drop", "rename", "turn", "whole", "nan", "inf", "layer", "head", "narrow", "huge")
        )
    )

    def spoil(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        name = sorted(weights)[where % len(weights)]
        old = weights.pop(name)
        new = {
            "drop": {},
            "rename": {name + "s": old},
            "turn": {name: old.t().contiguous()},
            "whole": {name: (old * 100).int()},
            "nan": {name: old.index_fill(0, torch.tensor(0), float("nan"))},
            "inf": {name: old / 0},
            "huge": {name: old * 1e38},
            "layer": {name: old, name.replace(".0.", ".9."): old.clone()},
            "head": {name: old, "v_head.weight": torch.ones(2)},
            "narrow": {name: old[:-1].contiguous()},
        }[way]
        save_file(weights | new, folder / "model.safetensors", {"format": "pt"})

    return spoil


SPOILT = st.one_of(
    *(
        wrong_json(name)
        for name in ("config.json", "config.json", "tokenizer.json", "tokenizer_config.json")
    ),
    wrong_bytes(),
    wrong_weights(),
)


@given(spoil=SPOILT)
@tries(100)
def test_a_spoilt_model_works_or_is_refused_in_one_sentence(
    spoil: Callable[[Path], None], sound: Path, capfd
):
    folder = sound.with_name("spoilt")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder)
    spoil(folder)
    said = ""
    try:
        subject = Subject.load(folder, device="cpu")
        tokens = subject.encode("the cat sat")
        subject.run(torch.tensor([[0, *tokens]]), logits=True)
        subject.vocabulary().texts(tokens)
    except GlossError as refused:
        said = str(refused)
    assert "\n" not in said
    assert len(said) < 700
    assert capfd.readouterr() == ("", "")
