"""Vectors of the tokens that count, drawn from all batches of a text."""

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from gloss.errors import BadInput
from gloss.evaluate.dictionary_check import text_positions
from gloss.evaluate.measure import Material
from gloss.models.sites import Site


@torch.no_grad()
def draw_token_vectors(
    material: Material, site: Site, number: int, rng: np.random.Generator
) -> Float32[Tensor, "token d"]:
    """So many vectors, or all where there are fewer, of different tokens in random order.

    Raises BadInput where there is no text.
    """
    texts = [
        text_positions(tokens, material.subject.start_token, material.left_out)
        for tokens in material.batches
    ]
    total = sum(int(text.sum()) for text in texts)
    if not total:
        raise BadInput("there is no text to read vectors of; give at least one sequence")
    chosen = np.sort(rng.permutation(total)[:number])
    found, first = list[Tensor](), 0
    for tokens, text in zip(material.batches, texts, strict=True):
        here = chosen[(chosen >= first) & (chosen < first + int(text.sum()))] - first
        if len(here):
            x = material.subject.run(tokens, read=(site,)).activations[site]
            found.append(x[text.to(x.device)][torch.from_numpy(here)].float().cpu())
        first += int(text.sum())
    every = torch.cat(found)
    return every[torch.from_numpy(rng.permutation(len(every)))]
