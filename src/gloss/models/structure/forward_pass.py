"""One forward pass of any causal model, with those arguments that its signature knows."""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from gloss.models.structure.transformers_types import Cache, PreTrainedModel


def compute_logits(
    model: PreTrainedModel,
    tokens: Int64[Tensor, "sequence position"],
    kept: Int64[Tensor, " kept"] | None = None,
    cache: Cache | None = None,
    seen: tuple[Int64[Tensor, " position"], Bool[Tensor, "position position"]] | None = None,
) -> Float[Tensor, "sequence kept vocabulary"]:
    """The logits of a pass at every position, or at those that are `kept`.

    With a cache the tokens come after what it holds. Where the model cannot leave out positions
    they are computed and dropped. `seen` gives the number of each position, and which others each
    sees; raises TypeError where the model cannot be told that.
    """
    known = inspect.signature(model.forward).parameters
    wanted: dict[str, Any] = (
        {"use_cache": False} if cache is None else {"use_cache": True, "past_key_values": cache}
    )
    if seen is not None:
        if not {"attention_mask", "position_ids"} <= set(known):
            raise TypeError(f"{type(model).__name__} takes no attention mask or no positions")
        positions, sees = seen
        unseen = torch.zeros(sees.shape, dtype=model.dtype, device=tokens.device)
        unseen.masked_fill_(~sees, torch.finfo(model.dtype).min)
        wanted |= {"attention_mask": unseen[None, None], "position_ids": positions[None]}
    if kept is not None:
        wanted["logits_to_keep"] = kept
    output: Any = model(
        input_ids=tokens, **{name: value for name, value in wanted.items() if name in known}
    )
    logits = output.logits if hasattr(output, "logits") else output[0]
    return logits if kept is None or "logits_to_keep" in known else logits[:, kept]


def position_limit(model: PreTrainedModel) -> int | None:
    """The longest sequence that a model takes; None where it names no limit.

    RoBERTa and what comes from it count positions from behind that of padding, so that they have
    fewer than they name.
    """
    config = model.config.get_text_config()
    named = [getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len")]
    for rows in (number for number in named if isinstance(number, int) and number > 0):
        tables = [
            each
            for each in model.modules()
            if isinstance(each, nn.Embedding) and each.num_embeddings == rows
        ]
        taken = [table.padding_idx for table in tables if table is not model.get_input_embeddings()]
        return rows - max((padding + 1 for padding in taken if padding is not None), default=0)
    return None


def first_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int | str, Tensor] | None:
    """The first tensor of numbers with a fraction among a module's arguments, and its position or
    name.
    """
    slots: Iterator[tuple[int | str, Any]] = iter([*enumerate(args), *kwargs.items()])
    return next(((slot, x) for slot, x in slots if is_activation_tensor(x)), None)


def first_output(output: Any) -> Tensor | None:
    """What a module gives, or of several values the first."""
    first: Any = output[0] if isinstance(output, tuple | list) and output else output
    return first if is_activation_tensor(first) else None


def is_activation_tensor(x: Any) -> bool:
    """Whether this is a tensor of numbers with a fraction."""
    return isinstance(x, Tensor) and torch.is_floating_point(x) and x.ndim >= 2
