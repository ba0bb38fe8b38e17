"""A tiny random model of any causal architecture: the configuration that transformers would make,
with every size small.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from tokenizers import Tokenizer, models
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

D, HEADS, LAYERS, VOCABULARY = 32, 4, 4, 128

SIZES: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "unpadded_vocab_size"), VOCABULARY)
    | dict.fromkeys(("hidden_size", "d_model", "n_embd", "emb_dim", "embedding_size", "n_embed"), D)
    | dict.fromkeys(
        (
            "num_hidden_layers",
            "n_layer",
            "n_layers",
            "num_layers",
            "decoder_layers",
            "num_decoder_layers",
        ),
        LAYERS,
    )
    | dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), HEADS
    )
    | dict.fromkeys(
        (
            "num_decoder_attention_heads",
            "attention_heads",
            "swa_num_attention_heads",
            "num_encoder_attention_heads",
        ),
        HEADS,
    )
    | dict.fromkeys(("encoder_attention_heads",), HEADS)
    | dict.fromkeys(("encoder_layers", "num_encoder_layers"), 1)
    | dict.fromkeys(
        ("num_key_value_heads", "swa_num_key_value_heads", "encoder_num_key_value_heads"), 2
    )
    | dict.fromkeys(
        (
            "head_dim",
            "dim_head",
            "kv_channels",
            "v_head_dim",
            "swa_head_dim",
            "global_head_dim",
            "attention_head_size",
        ),
        8,
    )
    | dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "rotary_dim", "index_head_dim"), 8)
    | dict.fromkeys(
        (
            "intermediate_size",
            "n_inner",
            "ffn_dim",
            "decoder_ffn_dim",
            "encoder_ffn_dim",
            "dim_ff",
            "dff",
        ),
        48,
    )
    | dict.fromkeys(
        (
            "d_inner",
            "feed_forward_size",
            "intermediate_size_mlp",
            "ffn_hidden_size",
            "dense_intermediate_size",
        ),
        48,
    )
    | dict.fromkeys(
        (
            "shared_intermediate_size",
            "shared_expert_intermediate_size",
            "shared_experts_intermediate_size",
        ),
        24,
    )
    | dict.fromkeys(
        ("moe_intermediate_size", "moe_shared_expert_intermediate_size", "expert_ffn_hidden_size"),
        16,
    )
    | dict.fromkeys(
        (
            "max_position_embeddings",
            "n_positions",
            "n_ctx",
            "max_seq_len",
            "max_target_positions",
            "context_length",
        ),
        64,
    )
    | dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4)
    | dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2)
    | dict.fromkeys(
        (
            "n_group",
            "topk_group",
            "num_shared_experts",
            "n_shared_experts",
            "moe_num_shared_experts",
        ),
        1,
    )
    | dict.fromkeys(
        ("kv_lora_rank", "q_lora_rank", "o_lora_rank", "hc_lowrank", "laurel_rank", "adapter_rank"),
        16,
    )
    | dict.fromkeys(("index_n_heads",), HEADS)
    | dict.fromkeys(("first_k_dense_replace", "num_dense_layers"), 1)
    | dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), 8)
    | dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"), HEADS)
    | dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads", "linear_num_heads"), HEADS)
    | dict.fromkeys(
        (
            "linear_key_head_dim",
            "linear_value_head_dim",
            "linear_head_dim",
            "hidden_size_per_layer_input",
        ),
        8,
    )
    | dict.fromkeys(
        ("chunk_size", "mamba_chunk_size", "sliding_window", "window_size", "local_attention"), 4
    )
    | dict.fromkeys(("sliding_window_size", "attention_window_size", "attention_chunk_size"), 4)
    | {"num_kv_shared_layers": 0}
)

DECODERS = (
    "bert", "big_bird", "bert-generation", "camembert", "data2vec-text", "electra", "ernie",
    "megatron-bert", "reformer", "rembert", "roberta", "roberta-prelayernorm", "roc_bert",
    "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod",
)  # fmt: skip
HYBRID = ["linear_attention", "full_attention"] * 2
FIXES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {name: {"is_decoder": True} for name in DECODERS}
    | {
        "bamba": {"attn_layer_indices": [1, 3]},
        "cohere_compass_text": {
            "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}
        },
        "dbrx": {
            "attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0},
            "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
        },
        "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
        "granite": {"residual_multiplier": 0.22},
        "granitemoehybrid": {"layer_types": HYBRID},
        "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
        "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
        "lfm3": {"layer_types": ["conv", "full_attention"] * 2},
        "mamba2": {"head_dim": 16, "n_groups": 2},
        "nemotron_h": {"n_groups": 2, "mamba_head_dim": 16},
        "reformer": {
            "is_decoder": True,
            "axial_pos_embds": False,
            "attn_layers": ["local", "local", "local", "local"],
        },
        "zamba2": {"layers_block_type": ["linear_attention", "hybrid"] * 2},
        "zaya": {"num_experts_per_tok": 1},
        "xmod": {"is_decoder": True, "languages": ("en_XX",), "default_language": "en_XX"},
    }
)


def settings(kind: type[PreTrainedConfig]) -> dict[str, Any]:
    """What a configuration takes, with its defaults."""
    if dataclasses.is_dataclass(kind):
        return {each.name: each.default for each in dataclasses.fields(kind) if each.init}
    return {
        name: each.default for name, each in inspect.signature(kind.__init__).parameters.items()
    }


def tiny_config(kind: type[PreTrainedConfig]) -> PreTrainedConfig:
    """A configuration of this class whose every size is small."""
    given: dict[str, Any] = {}
    for name, default in settings(kind).items():
        if name in SIZES:
            given[name] = SIZES[name]
        elif name.endswith("_token_id") and isinstance(default, int | list):
            given[name] = {"pad": 0, "bos": 1, "eos": 2}.get(name.removesuffix("_token_id"), 3)
    if {"kv_lora_rank", "qk_nope_head_dim", "linear_num_key_heads"} & settings(kind).keys():
        given["num_key_value_heads"] = HEADS
    for name, sub in kind.sub_configs.items():
        if name not in FIXES.get(kind.model_type, {}):
            of = type(getattr(kind(), name)) if sub is AutoConfig else sub
            given[name] = tiny_config(of) if of is not type(None) else None
    given |= FIXES.get(kind.model_type, {})
    return kind(**given)


def kinds() -> dict[str, type[PreTrainedConfig]]:
    """The configuration of every architecture that transformers lists as causal, by its
    `model_type`.
    """
    return {kind.model_type: kind for kind in MODEL_FOR_CAUSAL_LM_MAPPING}


def tiny_model(model_type: str) -> PreTrainedModel:
    """A random model; norms and biases are drawn too, so that a forgotten gain shows."""
    kind = kinds()[model_type]
    config = tiny_config(kind)
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        made = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.ndim == 1:
                    parameter += torch.randn_like(parameter) * 0.3
    return made.eval()


def letters() -> Tokenizer:
    """A tokenizer for models whose text nobody reads."""
    return Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
