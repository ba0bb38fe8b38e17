"""A subject and a dictionary so small that collecting takes a moment; the same in every process."""

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from gloss.models.dictionary import SparseCoder, Weights
from gloss.models.pretrained.tokenizer import PlainTokenizer
from gloss.models.sites import Site
from gloss.models.sparse_codes import LargestK
from gloss.models.subject import Subject

WORDS = (
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "under",
    "over",
    "mat",
    "tree",
    "red",
    "blue",
    "big",
    "small",
    "and",
    "then",
    "while",
    "rain",
    "sun",
    "falls",
)
SITE = Site("resid_post", 0)
START = 0


def tiny_tokenizer() -> Tokenizer:
    """Byte-level pairs, trained on the words below."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<start>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 4, trainer)
    return tokenizer


def tiny_subject(start_token: int | None = START, context: int = 64) -> Subject:
    """A random Llama of two layers."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=START,
        eos_token_id=START,
    )
    return Subject(LlamaForCausalLM(config), PlainTokenizer(tiny_tokenizer(), start_token))


def tiny_dictionary(width: int = 48, k: int = 4, scale: float = 1.0, seed: int = 1) -> SparseCoder:
    """A random TopK dictionary of the first layer's output."""
    drawn = torch.from_numpy(
        np.random.default_rng(seed).normal(size=(width, 16)).astype(np.float32)
    )
    weights = Weights(
        drawn * scale, torch.zeros(width), drawn / drawn.norm(dim=1, keepdim=True), torch.zeros(16)
    )
    return SparseCoder(SITE, SITE, weights, LargestK(k))


def sentences(number: int, seed: int = 0) -> list[tuple[str, str]]:
    """Named documents of 1 to 120 words."""
    rng = np.random.default_rng(seed)
    return [
        (f"document {i}", " ".join(rng.choice(WORDS, rng.integers(1, 120)))) for i in range(number)
    ]
