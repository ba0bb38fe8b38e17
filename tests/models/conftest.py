"""Tiny random models of every family, with what makes each family different: shared heads,
post-norms, sliding windows.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from gloss.models.subject import Subject

SHAPE = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GATED = SHAPE | {
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
HEADS = GATED | {"head_dim": 12}  # heads that together are wider than the residual stream
SLIDING = HEADS | {
    "sliding_window": 4,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}

CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "gpt2": lambda: GPT2Config(
        vocab_size=99, n_embd=32, n_layer=3, n_head=4, n_positions=64,
        bos_token_id=0, eos_token_id=0,
    ),
    "gpt_neo": lambda: GPTNeoConfig(
        vocab_size=99, hidden_size=32, num_layers=3, num_heads=4, max_position_embeddings=64,
        window_size=4, attention_types=[[["global", "local", "global"], 1]],
        bos_token_id=0, eos_token_id=0,
    ),
    "gpt_neox": lambda: GPTNeoXConfig(**SHAPE, intermediate_size=48),
    "gpt_neox_sequential": lambda: GPTNeoXConfig(
        **SHAPE, intermediate_size=48, use_parallel_residual=False
    ),
    "llama": lambda: LlamaConfig(**GATED),
    "mistral": lambda: MistralConfig(**HEADS, sliding_window=4),
    "qwen2": lambda: Qwen2Config(**GATED),
    "qwen3": lambda: Qwen3Config(**HEADS),
    "gemma2": lambda: Gemma2Config(**SLIDING),
    "gemma3": lambda: Gemma3TextConfig(**SLIDING),
}  # fmt: skip


def make_model(family: str) -> PreTrainedModel:
    """A random model; norms and biases are drawn too, so that a forgotten gain shows."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(CONFIGS[family]())
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += torch.randn_like(parameter) * 0.3
            else:
                parameter.data *= 5
    return model


def plain_tokenizer() -> Tokenizer:
    """Words of one letter, enough for a subject whose tokens nobody reads."""
    tokenizer = Tokenizer(models.WordLevel({chr(97 + n): n for n in range(26)}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.fixture(scope="session")
def make_subject() -> Callable[[str], Subject]:
    """A new subject of a family, to change at will."""
    models = {family: make_model(family) for family in CONFIGS}
    return lambda family: Subject(deepcopy(models[family]), plain_tokenizer())


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are slower on several threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", params=CONFIGS)
def subject(request: pytest.FixtureRequest) -> Subject:
    """One subject of each family, to be left as it is."""
    return Subject(make_model(request.param), plain_tokenizer())


@pytest.fixture(params=CONFIGS)
def family(request: pytest.FixtureRequest) -> str:
    """The name of each family, for `make_subject`."""
    return request.param


@pytest.fixture(scope="session")
def llama() -> Subject:
    """A subject of the plainest family, to be left as it is."""
    return Subject(make_model("llama"), plain_tokenizer())


@pytest.fixture
def tokens() -> torch.Tensor:
    """Three sequences of ten tokens."""
    return torch.randint(99, (3, 10), generator=torch.Generator().manual_seed(1))


def tiny_gemma3_with_images() -> PreTrainedModel:
    """Gemma 3 as it is published: a language model beside an image tower."""
    vision = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 28,
        "patch_size": 14,
    }
    text = SLIDING | {"vocab_size": 99}
    config = AutoConfig.for_model(
        "gemma3", text_config=text, vision_config=vision, mm_tokens_per_image=4
    )
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture(scope="session")
def gemma3_with_images() -> Subject:
    """The same as a subject."""
    return Subject(tiny_gemma3_with_images(), plain_tokenizer())
