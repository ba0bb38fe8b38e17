"""Which tokens become likelier when a feature is amplified: evidence of what it does, for explainers (Paulo et al., 2024)."""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from gloss.intervene.baseline import Baseline
from gloss.intervene.edits import Intervention
from gloss.records import RankedToken


def token_change(baseline: Baseline, intervention: Intervention, strength: float, number: int = 10) -> tuple[RankedToken, ...]:
    """The tokens whose log-probability rises most, by its mean over the prompts in nats, highest first.

    Give the prompts that an explainer may see: a score has to be measured on others. Fewer come back where fewer rise.
    """
    edited = baseline.edited(intervention, strength)
    strings = baseline.subject.vocabulary().strings
    mean = (edited - baseline.clean).mean(0)
    chosen = most_moved(baseline.clean, edited, number, rising=True)
    return tuple(RankedToken(token, strings[token], float(mean[token])) for token in chosen.tolist())


def most_moved(
    clean: Float64[Tensor, "prompt vocabulary"], edited: Float64[Tensor, "prompt vocabulary"], number: int, *, rising: bool
) -> Int64[Tensor, " chosen"]:
    """The tokens whose mean log-probability rises, or falls, most; fewer where fewer do.

    Rare tokens may rise: a weak edit that says one word lifts it from 1e-8 to 1e-6, and nothing else as far. Only tokens likelier
    than 1 / vocabulary can fall: of those that would not be read anyway there are always some that fall further.
    """
    change = (edited - clean).mean(0)
    if not rising:
        change = torch.where(clean.exp().mean(0) > 1 / clean.shape[1], -change, 0.0)
    order = change.argsort(descending=True, stable=True)[:number]
    return order[change[order] > 0]


def output_tokens(ranked: tuple[RankedToken, ...]) -> tuple[str, ...]:
    """The tokens' texts alone, as examples carry them to explainers."""
    return tuple(token.text for token in ranked)
