"""A control: the same architecture with weights as its family draws them before any training."""

import numpy as np
import torch

from gloss.models.subject import Subject


def reinitialised(subject: Subject, rng: np.random.Generator) -> Subject:
    """A subject with this one's tokenizer and configuration, every weight drawn anew, embeddings included.

    The model's own initialisation draws them, from torch's global state, which is put back afterwards.
    """
    before = torch.random.get_rng_state()
    try:
        torch.random.set_rng_state(torch.Generator().manual_seed(int(rng.integers(2**63))).get_state())
        model = type(subject.model)(subject.model.config)
    finally:
        torch.random.set_rng_state(before)
    torch.nn.Module.to(model, device=subject.device, dtype=subject.model.dtype)
    return Subject(model, subject.tokens, subject.start_token, subject.anatomy.layout)
