"""In which module of which family each site lies: the one table that knows how models are built."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from gloss.errors import BadInput, Mismatch
from gloss.models.sites import Site


class Side(StrEnum):
    """Whether a site is what a module gets or what it gives."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Family:
    """How one kind of model names its parts. Paths are relative to a layer; "" is the layer itself."""

    layers: str  # the list of layers, relative to the base model
    mlp: str
    mlp_projection: str  # the MLP's last projection: reads the neurons
    attention_projection: str  # the attention's last projection: reads the heads
    norm_before_mlp: str
    norm_at_end: str  # before the unembedding, relative to the base model
    norm_after_mlp: str | None = None  # between the MLP and the residual stream
    norm_after_attention: str | None = None

    def place(self, kind: str) -> tuple[str, Side]:
        """The module that holds a kind of site, and its side."""
        table = {
            "resid_pre": ("", Side.INPUT),
            "resid_mid": (self.norm_before_mlp, Side.INPUT),
            "resid_post": ("", Side.OUTPUT),
            "mlp_in": (self.mlp, Side.INPUT),
            "mlp_act": (self.mlp_projection, Side.INPUT),
            "mlp_raw": (self.mlp, Side.OUTPUT),
            "mlp_out": (self.norm_after_mlp or self.mlp, Side.OUTPUT),
            "z": (self.attention_projection, Side.INPUT),
            "attn_raw": (self.attention_projection, Side.OUTPUT),
            "attn_out": (self.norm_after_attention or self.attention_projection, Side.OUTPUT),
        }
        return table[kind]


GPT2 = Family("h", "mlp", "mlp.c_proj", "attn.c_proj", "ln_2", "ln_f")
GPT_NEO = Family("h", "mlp", "mlp.c_proj", "attn.attention.out_proj", "ln_2", "ln_f")
GPT_NEOX = Family("layers", "mlp", "mlp.dense_4h_to_h", "attention.dense", "post_attention_layernorm", "final_layer_norm")
LLAMA = Family("layers", "mlp", "mlp.down_proj", "self_attn.o_proj", "post_attention_layernorm", "norm")
GEMMA = Family(
    "layers",
    "mlp",
    "mlp.down_proj",
    "self_attn.o_proj",
    norm_before_mlp="pre_feedforward_layernorm",
    norm_at_end="norm",
    norm_after_mlp="post_feedforward_layernorm",
    norm_after_attention="post_attention_layernorm",
)

FAMILIES = MappingProxyType(
    {
        "gpt2": GPT2,
        "gpt_neo": GPT_NEO,
        "gpt_neox": GPT_NEOX,
        "llama": LLAMA,
        "mistral": LLAMA,
        "qwen2": LLAMA,
        "qwen3": LLAMA,
        "gemma2": GEMMA,
        "gemma3_text": GEMMA,
        "gemma3": GEMMA,  # with its image tower, which is never run
    }
)


def family_of(model_type: str, given: str) -> Family:
    """The table's row for a `model_type` of transformers. Raises BadInput where there is none, naming `given`."""
    if model_type not in FAMILIES:
        raise BadInput(f"{given} is a model of type {model_type!r}, whose sites are not known; known are {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


@dataclass(frozen=True, slots=True)
class Point:
    """A site found in a model: two sites at one point are the same place."""

    module: nn.Module
    side: Side


class Anatomy:
    """One model's layers and the points of its sites."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.family = family_of(model.config.model_type, type(model).__name__)
        self.text_config: PreTrainedConfig = model.config.get_text_config()
        self.decoder: nn.Module = model.get_decoder()
        layers = self.decoder.get_submodule(self.family.layers)
        assert isinstance(layers, nn.ModuleList)
        self.layers = layers

    @property
    def norm_at_end(self) -> nn.Module:
        """What the residual stream goes through before the unembedding reads it."""
        return self.decoder.get_submodule(self.family.norm_at_end)

    @property
    def parallel(self) -> bool:
        """Whether attention and MLP both read what enters the layer, so that there is nothing between them."""
        return self.family is GPT_NEOX and bool(self.text_config.use_parallel_residual)

    def check(self, site: Site) -> None:
        """Raises Mismatch for a site that this model does not have."""
        if site.layer >= len(self.layers):
            raise Mismatch(f"site {site}: the model has {len(self.layers)} layers, 0 to {len(self.layers) - 1}")
        if site.kind == "resid_mid" and self.parallel:
            raise Mismatch(
                f"site {site}: attention and MLP of this model run in parallel on resid_pre.{site.layer}, "
                f"so nothing lies between them; use resid_pre.{site.layer} or resid_post.{site.layer}"
            )

    def point(self, site: Site) -> Point:
        """The module and side where a site lies. Raises Mismatch for a site that this model does not have."""
        self.check(site)
        path, side = self.family.place(site.kind)
        return Point(self.layers[site.layer].get_submodule(path), side)

    def canonical(self, site: Site) -> Site:
        """The site's usual name in this model: without post-norms `mlp_raw` is `mlp_out` and `attn_raw` is `attn_out`."""
        for raw, contribution in (("mlp_raw", "mlp_out"), ("attn_raw", "attn_out")):
            if site.kind == raw and self.family.place(raw) == self.family.place(contribution):
                return Site(contribution, site.layer)
        return site

    def width(self, site: Site) -> int:
        """How many numbers the site holds at each position. Raises Mismatch for a site that this model does not have."""
        module = self.point(site).module
        if site.kind not in ("mlp_act", "z"):
            return self.text_config.hidden_size
        weight: Float[Tensor, "a b"] = module.get_parameter("weight")  # [out, in], or the other way round in GPT-2
        return weight.numel() // self.text_config.hidden_size
