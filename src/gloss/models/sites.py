"""Where in a subject something is read or written: one canonical name for each place, and the names
other libraries use.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gloss.errors import BadInput

KINDS = (
    "resid_pre",  # the residual stream that enters the layer
    "resid_mid",  # the residual stream between attention and MLP
    "resid_post",  # the residual stream that leaves the layer
    "mlp_in",  # what the MLP gets: normed, with the norm's gain
    "mlp_act",  # the neurons: what the MLP's last projection gets
    "mlp_raw",  # what the MLP's last projection gives
    # what the MLP adds to the residual stream: mlp_raw, after the post-norm where the family has
    # one
    "mlp_out",
    "z",  # what the heads give, side by side: what the attention's last projection gets
    "attn_raw",  # what the attention's last projection gives
    # what the attention adds to the residual stream: attn_raw, after the post-norm where the family
    # has one
    "attn_out",
)


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """One place in the subject: a kind (one of KINDS) at a layer, counted from 0.

    Written `resid_post.5`.
    """

    kind: str
    layer: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(
                f"site of kind {self.kind!r}: there is none{did_you_mean(self.kind, KINDS)}; the"
                f" kinds are {', '.join(KINDS)}"
            )
        if self.layer < 0:
            raise BadInput(
                f"site {self.kind}.{self.layer}: layers are counted from 0, up from the first"
            )

    def __str__(self) -> str:
        return f"{self.kind}.{self.layer}"


JOINT = "joint"  # the kind of several sites together


@dataclass(frozen=True, slots=True, order=True)
class JointSite(Site):
    """Several sites, whose vectors lie side by side: what a dictionary of several sites reads or
    writes. Its layer is the last of theirs.

    Written `resid_post.0+resid_post.1`. It can be read, and not edited.
    """

    parts: tuple[Site, ...] = ()

    @staticmethod
    def of(parts: Sequence[Site]) -> "JointSite":
        """These sites, in this order."""
        return JointSite(JOINT, max((part.layer for part in parts), default=0), tuple(parts))

    def __post_init__(self) -> None:
        if len(set(self.parts)) < max(2, len(self.parts)):
            given = str(self) or "nothing"
            raise BadInput(
                f"{given} is not several sites together; join two or more that differ,"
                " as in resid_post.0+resid_post.1"
            )

    def __str__(self) -> str:
        return "+".join(map(str, self.parts))


OTHER = "other:"  # what stands before a site of a subject's other model


@dataclass(frozen=True, slots=True, order=True)
class OtherSite(Site):
    """The same place in the other model that a subject reads beside its own, which has the same
    architecture and tokenizer. It can be read, and not edited.

    Written `other:resid_post.5`.
    """

    def __str__(self) -> str:
        return f"{OTHER}{self.kind}.{self.layer}"

    @property
    def there(self) -> Site:
        """The site, as the other model itself calls it."""
        return Site(self.kind, self.layer)


def parts_of(site: Site) -> tuple[Site, ...]:
    """The sites that are joined in one, or the site alone."""
    return site.parts if isinstance(site, JointSite) else (site,)


# What the component that writes a site reads.
INPUTS = {"resid_post": "resid_pre", "mlp_raw": "mlp_in", "mlp_out": "mlp_in"}


def parse_site(name: str) -> Site:
    """The site that a name of any dialect means.

    Understands gloss's own names, TransformerLens hooks (`blocks.5.hook_resid_post`), the module
    paths of transformers and sparsify (`layers.5.mlp`, `model.layers.5`, `h.5`; a path means the
    module's output) and nnterp (`mlps_output[5]`); with + between them, several sites together, and
    behind `other:` a site of the subject's other model. Raises BadInput for a name that means
    nothing, and for one that means different places in different models or versions.
    """
    text = name.strip()
    if "+" in text:
        return JointSite.of([parse_site(part) for part in text.split("+")])
    if text.startswith(OTHER):
        there = parse_site(text.removeprefix(OTHER))
        return OtherSite(there.kind, there.layer)
    for pattern, meanings, trapped in DIALECTS:
        if (found := re.fullmatch(pattern, text)) is None:
            continue
        what, layer = found["what"] or "", int(found["layer"])
        if what in trapped:
            raise BadInput(
                f"site {name!r} is ambiguous or no module's edge:"
                f" {trapped[what].format(layer=layer)}"
            )
        if what in meanings:
            return Site(meanings[what], layer)
    raise BadInput(
        f"site {name!r}: no such name{did_you_mean(text, spellings(layer_in(text)))}; write for"
        " example resid_post.5"
    )


def did_you_mean(given: str, known: tuple[str, ...]) -> str:
    """`, did you mean X?`, or nothing where nothing comes near."""
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def layer_in(text: str) -> int:
    """The first number in the name, as the layer that was probably meant; 0 where there is none."""
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0


def spellings(layer: int) -> tuple[str, ...]:
    """Every name that is understood, at one layer."""
    hooks = [f"blocks.{layer}.{what}" for what in TRANSFORMER_LENS]
    paths = [
        f"{stem}.{layer}.{what}".rstrip(".") for stem in ("layers", "h") for what in MODULE_PATHS
    ]
    return (
        *(f"{what}.{layer}" for what in OWN),
        *hooks,
        *paths,
        *(f"{what}[{layer}]" for what in NNTERP),
    )


# interp-engine calls the contributions `..._post`; its other names are ours.
OWN = {kind: kind for kind in KINDS} | {"mlp_out_post": "mlp_out", "attn_out_post": "attn_out"}

TRANSFORMER_LENS = {
    "hook_resid_pre": "resid_pre",
    "hook_in": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "ln2.hook_in": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_out": "resid_post",
    "mlp.hook_in": "mlp_in",
    "mlp.hook_post": "mlp_act",
    "mlp.hook_out": "mlp_raw",
    "hook_mlp_out": "mlp_out",
    "attn.hook_z": "z",
    "attn.hook_out": "attn_raw",
    "hook_attn_out": "attn_out",
}

TRANSFORMER_LENS_TRAPS = {
    "ln2.hook_normalized": (
        "it is the normed residual before the norm's gain, which no module of the model holds; "
        "mlp_in.{layer} is the same after the gain, and resid_mid.{layer} before the norm"
    ),
    "ln1.hook_normalized": (
        "it is the normed residual before the norm's gain, which no module holds; resid_pre.{layer}"
        " is before the norm"
    ),
    "hook_mlp_in": (
        "TransformerLens has it before the norm in HookedTransformer and after it in"
        " TransformerBridge; write resid_mid.{layer} or mlp_in.{layer}"
    ),
}

MODULE_PATHS = {
    "": "resid_post",
    "mlp": "mlp_raw",
    "mlp.down_proj": "mlp_raw",
    "mlp.c_proj": "mlp_raw",
    "mlp.dense_4h_to_h": "mlp_raw",
    "mlp.act": "mlp_act",  # of ungated MLPs only: `act_fn` of gated ones gives half of the product
    "ln_2": "mlp_in",
    "pre_feedforward_layernorm": "mlp_in",
    "post_feedforward_layernorm": "mlp_out",
    "self_attn": "attn_raw",
    "self_attn.o_proj": "attn_raw",
    "attn": "attn_raw",
    "attn.c_proj": "attn_raw",
    "attn.attention": "attn_raw",
    "attn.attention.out_proj": "attn_raw",
    "attention": "attn_raw",
    "attention.dense": "attn_raw",
}

MODULE_PATH_TRAPS = {
    "post_attention_layernorm": (
        "in Gemma it is the norm after the attention, elsewhere the one before the MLP; write"
        " attn_out.{layer} or mlp_in.{layer}"
    ),
    "mlp.act_fn": (
        "in a gated MLP it is one of the two factors of a neuron; mlp_act.{layer} is their product,"
        " the neurons"
    ),
}

NNTERP = {
    "layers_input": "resid_pre",
    "layers_output": "resid_post",
    "mlps_input": "mlp_in",
    "mlps_output": "mlp_raw",
    "attentions_output": "attn_raw",
}

STEMS = r"(?:(?:model|transformer|gpt_neox|language_model|base_model)\.)*(?:layers|h)"

DIALECTS: tuple[tuple[str, dict[str, str], dict[str, str]], ...] = (
    (r"(?P<what>\w+)\.(?P<layer>\d+)", OWN, {}),
    (r"blocks\.(?P<layer>\d+)\.(?P<what>[\w.]+)", TRANSFORMER_LENS, TRANSFORMER_LENS_TRAPS),
    (STEMS + r"\.(?P<layer>\d+)(?:\.(?P<what>[\w.]+))?", MODULE_PATHS, MODULE_PATH_TRAPS),
    (r"(?P<what>\w+)\[(?P<layer>\d+)\]", NNTERP, {}),
)
