"""Prompts out of a feature's own contexts, each cut behind the first token at which the feature fires (Paulo et al., 2024)."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gloss.errors import BadSettings
from gloss.models.subject import Subject
from gloss.records import PADDING, Contexts


def prompts_of(
    contexts: Contexts, number: int, subject: Subject, new_tokens: int, rng: np.random.Generator
) -> Int64[Tensor, "prompt position"]:
    """So many of the contexts, or all, behind the start token and padded at the end.

    A prompt keeps its last tokens where the whole of it and `new_tokens` after it are more than the subject takes.
    Raises BadSettings where the subject does not take even one.
    """
    rows = np.sort(rng.choice(len(contexts), min(number, len(contexts)), replace=False))
    front = [] if subject.start_token is None else [subject.start_token]
    room = None if subject.context is None else subject.context + 1 - new_tokens - len(front)
    if room is not None and room < 1:
        raise BadSettings(
            f"[intervene] new_tokens = {new_tokens} leaves no room for a prompt: "
            f"the subject takes {subject.context} tokens in all"
        )
    texts = [up_to_firing(contexts, row)[-room:] if room else up_to_firing(contexts, row) for row in rows.tolist()]
    whole = torch.full((len(texts), max(map(len, texts), default=0) + len(front)), PADDING)
    for row, text in zip(whole, texts, strict=True):
        row[: len(front) + len(text)] = torch.tensor([*front, *text])
    return whole


def up_to_firing(contexts: Contexts, row: int) -> list[int]:
    """The tokens of one context, up to the first at which the feature fires."""
    end = int(np.flatnonzero(contexts.activations[row])[0]) + 1
    tokens = contexts.tokens[row, :end]
    return tokens[tokens != PADDING].tolist()
