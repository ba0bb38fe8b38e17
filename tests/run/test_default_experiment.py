"""The README's experiment with only the model, the text and the sizes changed runs to pages,
whatever the tokenizer.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small import start
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from gloss.run.planning import read_run
from gloss.store.results import read_rows

EXPERIMENT = """
[run]
folder = "out"
features = 6
processes = 1

[subject]
model = "{model}"

[collect]
texts = ["{texts}"]
context_length = 64
max_tokens = 20000

[decompose]
method = "topk"
site = "resid_post.1"
width = 64
k = 8
tokens = 20000

[explain]
method = "rule"

[score]
method = "execution"
"""
WORDS = (
    "the", "a", "Anna", "dog's", "house", "ran", "to", "and", "über", "naïve", "12", "7", "said.",
    "went,", "up\n", "Tim,", '"Hello"', "she", "it's", "日本", "λ😀", "tree", "trees", "running",
)  # fmt: skip
SPECIAL = ["<s>", "<unk>"]


def byte_level() -> tuple[Tokenizer, trainers.Trainer]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return tokenizer, trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False
    )


def word_pieces() -> tuple[Tokenizer, trainers.Trainer]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = (
        pre_tokenizers.BertPreTokenizer(),
        decoders.WordPiece(),
    )
    return tokenizer, trainers.WordPieceTrainer(
        vocab_size=120, special_tokens=SPECIAL, show_progress=False
    )


def byte_fallback() -> tuple[Tokenizer, trainers.Trainer]:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    return tokenizer, trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=tokens,
        limit_alphabet=30,
        max_token_length=8,
        show_progress=False,
    )


def metaspace() -> tuple[Tokenizer, trainers.Trainer]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return tokenizer, trainers.UnigramTrainer(
        vocab_size=90, unk_token="<unk>", special_tokens=SPECIAL, show_progress=False
    )


def written(folder: Path, rng: np.random.Generator) -> list[str]:
    """Stories of words that follow each other by chance, as JSON lines."""
    stories = [" ".join(rng.choice(WORDS, 150)) for _ in range(60)]
    (folder / "stories.jsonl").write_text(
        "".join(f"{json.dumps({'text': story})}\n" for story in stories)
    )
    return stories


def saved(folder: Path, tokenizer: Tokenizer) -> None:
    """A random model of two layers with this tokenizer."""
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "unk_token": "<unk>"}')


def ends_with_pages(folder: Path, model: str, texts: str) -> None:
    """Run it as a user does; every feature is an explanation or a failure that is no error."""
    (folder / "experiment.toml").write_text(EXPERIMENT.format(model=model, texts=texts))
    process = start(folder, "run", "experiment.toml")
    _, err = process.communicate(timeout=800)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert (folder / "out" / "page" / "index.html").exists()
    plan = read_run(folder / "out")
    failures = read_rows([plan.place(stage) for stage in plan.keys], "failures")
    explained = read_rows([plan.place("explain.rule")], "explanations")
    assert {row["feature"] for row in (*failures, *explained)} == {
        feature.index for feature in plan.features
    }
    assert "error" not in {row["reason"] for row in failures}
    assert not (folder / "out" / "log").exists()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [byte_level, word_pieces, byte_fallback, metaspace])
def test_it_runs_on_tokenizers_of_every_kind(
    kind: Callable, tmp_path: Path, rng: np.random.Generator
) -> None:
    stories = written(tmp_path, rng)
    tokenizer, trainer = kind()
    tokenizer.train_from_iterator(stories, trainer)
    (tmp_path / "model").mkdir()
    saved(tmp_path / "model", tokenizer)
    ends_with_pages(tmp_path, "model", "stories.jsonl#text")


@pytest.mark.data
@pytest.mark.timeout(900)
def test_it_runs_on_a_model_that_tells_stories(data_folder: Path, tmp_path: Path) -> None:
    stories = data_folder / "tinystories-text" / "tinystories_1000.json"
    ends_with_pages(tmp_path, str(data_folder / "tinystories-656k"), str(stories))
