"""Whether a model's parts belong together: configuration, weights and tokenizer.

What contradicts itself is refused by name.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from gloss.errors import BadInput
from gloss.models.pretrained.tokenizer import PlainTokenizer
from gloss.models.structure.forward_pass import compute_logits, position_limit
from gloss.models.structure.placement import RestingWeights, input_device
from gloss.models.structure.transformers_types import PreTrainedConfig, PreTrainedModel

# that old checkpoints keep and nothing reads
BUFFERS = (".inv_freq", ".masked_bias", ".attn.bias", ".attention.bias")
LARGEST_BUFFERS = 2**31  # numbers that are no weights, such as tables of positions
TRIAL = (
    "It was a quiet morning in the village. The children walked to school along the river, and"
    " their mother called after them to be careful on the bridge. Nobody knew that it would rain"
    " before noon, so they had left their coats at home."
)
TRIED = 64  # tokens of it at most
FEWEST = 8  # tokens that say something about a tokenizer
WORSE = 2.0  # nats above those of a model that knows nothing


def refuse_larger_than_its_weights(
    config: PreTrainedConfig, kind: Any, stored: int, source: str
) -> None:
    """Raises BadInput where a model of this configuration cannot be in `stored` bytes, or can be no
    model at all.

    `kind` is what of transformers makes it. Nothing is allocated, so that a slip of a digit in a
    configuration costs no memory. A weight has one bit at least.
    """
    text = config.get_text_config()
    layers, width = getattr(text, "num_hidden_layers", 1), getattr(text, "hidden_size", 1)
    if (
        not isinstance(layers, int)
        or layers < 1
        or not isinstance(width, int)
        or layers * width**2 > 8 * stored
    ):
        raise BadInput(
            f"{source} contradicts itself: its configuration says {layers} layers of width {width},"
            f" and its files hold {stored:,} bytes; fetch or save the model anew"
        )
    with torch.device("meta"):
        model = kind.from_config(config)
    described = sum(weight.numel() for weight in model.parameters())
    if described > 8 * stored or sum(each.numel() for each in model.buffers()) > LARGEST_BUFFERS:
        raise BadInput(
            f"{source} contradicts itself: its configuration describes {described:,} weights, and"
            f" its files hold {stored:,} bytes; fetch or save the model anew"
        )


def refuse_contradictions(
    found: Mapping[str, Any], model: PreTrainedModel, source: str
) -> tuple[str, ...]:
    """What transformers saw when it put weights into their places, and a note on each thing that
    people should know.

    Raises BadInput for weights that are missing, have another shape, or belong to layers and parts
    that the configuration does not have. Other weights that nothing uses, such as those of another
    head, are noted.
    """
    unused = sorted(key for key in found["unexpected_keys"] if not key.endswith(BUFFERS))
    # which nothing here reads
    if missing := sorted(key for key in found["missing_keys"] if not key.startswith("pooler.")):
        others = (
            f" and holds {len(unused)} without a place, the first {unused[0]}" if unused else ""
        )
        head = model.get_output_embeddings()
        no_head = missing == [
            f"{name}.weight" for name, module in model.named_modules() if module is head
        ]
        remedy = (
            "give a model that was saved with its output embedding"
            if no_head
            else "fetch or save the model anew"
        )
        raise BadInput(
            f"{source} lacks {len(missing)} of the model's weights, the first {missing[0]}{others};"
            f" {remedy}"
        )
    if mismatched := sorted(found["mismatched_keys"], key=str):
        name, stored, described = mismatched[0]
        raise BadInput(
            f"{source} contradicts itself: {name} is {list(stored)} in the weights and"
            f" {list(described)} by the configuration ({len(mismatched)} such in all); fetch or"
            " save the model anew"
        )
    stems = {layer_stem(name) for name in model.state_dict()} - {""}
    if inside := [
        key
        for key in unused
        if any(known.endswith(layer_stem(key)) for known in stems) and layer_stem(key)
    ]:
        raise BadInput(
            f"{source} contradicts itself: the weights hold {len(inside)} that the configuration"
            f" has no place for, the first {inside[0]}; fetch or save the model anew"
        )
    return (
        (f"{source} holds {len(unused)} weights that are not used, the first {unused[0]}",)
        if unused
        else ()
    )


def layer_stem(name: str) -> str:
    """What comes before the number of a layer in a weight's name.

    Empty where there is no number.
    """
    found = re.match(r"(.*?\.)\d+\.", name)
    return found[1] if found else ""


def refuse_not_finite(model: nn.Module, source: str) -> None:
    """Raises BadInput for weights that are no numbers, or without bounds.

    Quantised ones of their own class are not looked at.
    """
    resting = RestingWeights(model)
    for name, weight in model.named_parameters():
        if weight.is_meta:
            weight = nn.Parameter(resting[name], requires_grad=False)
        plain = type(weight) is nn.Parameter and weight.is_floating_point() and weight.itemsize > 1
        if plain and not bool(torch.isfinite(weight).all()):
            wrong = int((~torch.isfinite(weight)).sum())
            raise BadInput(
                f"{source} has weights that are not finite: {wrong} in {name}; fetch or save the"
                " model anew"
            )


@dataclass(frozen=True, slots=True)
class EmbeddingRows:
    """How many tokens the model has a row for, and whose model it is."""

    number: int
    source: str

    def fit_tokenizer(self, tokens: PlainTokenizer) -> tuple[PlainTokenizer, tuple[str, ...]]:
        """The tokenizer without the special tokens that the model has no row for, and a sentence
        that names them.

        Those are read as plain text where a text spells them. Raises BadInput where another token
        has no row.
        """
        beyond = {
            name: n
            for name, n in tokens.tokenizer.get_vocab(with_added_tokens=True).items()
            if n >= self.number
        }
        special = {
            token.content
            for token in tokens.tokenizer.get_added_tokens_decoder().values()
            if token.special
        }
        start = tokens.start_token
        if start is not None and start >= self.number:
            raise BadInput(f"{self.source} starts texts with token {start}, and {self.summary}")
        if ordinary := sorted((n, name) for name, n in beyond.items() if name not in special):
            number, name = ordinary[0]
            raise BadInput(
                f"{self.source} cannot read its tokenizer's token {number}, {name!r}"
                f" ({len(ordinary)} such in all): {self.summary}"
            )
        if not beyond:
            return tokens, ()
        remark = (
            f"{self.source} has no rows for the special tokens {', '.join(sorted(beyond))}: they"
            " are read as plain text"
        )
        return PlainTokenizer(
            remove_added_tokens(tokens.tokenizer, frozenset(beyond)),
            start,
            tokens.special.below(self.number),
        ), (remark,)

    @property
    def summary(self) -> str:
        """What is there, and what to do."""
        return (
            f"its embedding has {self.number} rows; take the tokenizer that it was trained with, or"
            " resize the embedding"
        )


def remove_added_tokens(tokenizer: Tokenizer, names: frozenset[str]) -> Tokenizer:
    """The tokenizer without these added tokens.

    Only text is encoded, so what it would put around a text goes, too.
    """
    described: dict[str, Any] = json.loads(tokenizer.to_str())
    described["added_tokens"] = [
        token for token in described["added_tokens"] if token["content"] not in names
    ]
    described["post_processor"] = None
    return Tokenizer.from_str(json.dumps(described))


def try_on_english(model: PreTrainedModel, tokens: PlainTokenizer, source: str) -> tuple[str, ...]:
    """A note where the model predicts plain English worse than it could by knowing nothing.

    That is what a tokenizer of another model looks like, and so do weights that were drawn at
    random on a large scale: so it is noted and not refused. Raises BadInput where the model
    gives no numbers.
    """
    rows = input_rows(model)
    row = [
        *([] if tokens.start_token is None else [tokens.start_token]),
        *tokens.encode(TRIAL),
    ] or [0]
    row = row[: min(TRIED, position_limit(model) or TRIED)]
    with torch.no_grad():
        logits = (
            compute_logits(model, torch.tensor([row], device=input_device(model)))[0].float().cpu()
        )
    if not bool(torch.isfinite(logits).all()):
        raise BadInput(
            f"{source} gives logits that are not finite; fetch or save the model anew, or give"
            " another dtype"
        )
    if len(set(row)) < FEWEST:
        return ()
    nats = float(nn.functional.cross_entropy(logits[:-1], torch.tensor(row[1:])))
    if nats < math.log(rows) + WORSE:
        return ()
    return (
        (
            f"{source} predicts plain English worse than chance ({nats:.1f} nats a token, and"
            f" {math.log(rows):.1f} by chance): is this tokenizer the one that it was trained with?"
        ),
    )


def input_rows(model: PreTrainedModel) -> int:
    """How many tokens the model has a row for."""
    embedding: Any = model.get_input_embeddings()
    return int(embedding.weight.shape[0])
