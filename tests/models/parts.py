"""What the authors of each family named its parts: known by hand, so that what is found by
structure can be held against it.
"""

from dataclasses import dataclass

from torch import nn

from gloss.models.subject import Subject


@dataclass(frozen=True)
class Parts:
    """The paths of a family's parts within a layer, as its authors named them."""

    mlp: str
    mlp_projection: str
    attention_projection: str
    norm_before_mlp: str
    norm_after_mlp: str | None = None
    norm_after_attention: str | None = None


NEOX = Parts("mlp", "mlp.dense_4h_to_h", "attention.dense", "post_attention_layernorm")
LLAMA = Parts("mlp", "mlp.down_proj", "self_attn.o_proj", "post_attention_layernorm")
GEMMA = Parts(
    "mlp",
    "mlp.down_proj",
    "self_attn.o_proj",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
    "post_attention_layernorm",
)
PARTS = {
    "gpt2": Parts("mlp", "mlp.c_proj", "attn.c_proj", "ln_2"),
    "gpt_neo": Parts("mlp", "mlp.c_proj", "attn.attention.out_proj", "ln_2"),
    "gpt_neox": NEOX,
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "gemma3": GEMMA,
}


def part(subject: Subject, layer: int, name: str) -> nn.Module:
    """A part of a layer by its author's name; nothing where the family has none."""
    path = getattr(PARTS[subject.config.model_type], name)
    return subject.anatomy.layers[layer].get_submodule(path) if path else nn.Identity()


def parallel(subject: Subject) -> bool:
    """Whether attention and MLP read the same stream."""
    return bool(getattr(subject.config, "use_parallel_residual", False))
