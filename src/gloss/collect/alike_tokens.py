"""Which tokens a subject takes for alike: those whose rows of its input embedding point the same
way.
"""

import numpy as np
import torch
from jaxtyping import Int32, Int64
from numpy import ndarray
from torch import nn

from gloss.models.structure.placement import resting_weight
from gloss.models.subject import Subject
from gloss.rules.lexicon import recent_lexicon

AMONG = 8192  # most frequent tokens of the texts that are compared with each other
ALIKE = 24  # tokens that are kept of each
CHUNK = 1024  # rows that are compared at a time


def alike_tokens(
    subject: Subject, counts: Int64[ndarray, " token"]
) -> Int32[ndarray, "token alike"]:
    """For each token those that are most alike, the most alike first; -1 where there is none.

    Similarity is the cosine of two rows of the input embedding, less the mean row. Only the tokens
    that are most frequent by `counts` have any, and are any; of several with one string the first.
    """
    found = np.full((len(counts), ALIKE), -1, np.int32)
    weight = resting_weight(subject.model.get_input_embeddings())
    firsts = recent_lexicon(subject.vocabulary().strings).firsts
    own = (firsts == np.arange(len(counts))) & (np.arange(len(counts)) < len(weight))
    some = np.argsort(-np.where(own, counts, 0), kind="stable")[:AMONG]
    some = np.sort(some[own[some] & (counts[some] > 0)])
    if len(some) <= 1:
        return found
    rows = weight[torch.from_numpy(some).to(weight.device)].float()
    rows = nn.functional.normalize(rows - rows.mean(0), dim=1)
    number = min(ALIKE, len(some) - 1)
    for first in range(0, len(some), CHUNK):
        part = rows[first : first + CHUNK] @ rows.T
        itself = torch.arange(len(part), device=part.device)
        part[itself, itself + first] = -torch.inf
        best = part.topk(number, dim=1).indices.cpu().numpy()
        found[some[first : first + CHUNK], :number] = some[best]
    return found
