"""A model of sentences on this machine: the mean of a BERT's last layer over a text's tokens
(Reimers and Gurevych, 2019).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from gloss.errors import Mismatch
from gloss.models.embedder import unit_vectors
from gloss.models.pretrained.loading import read_weights

TEXTS_AT_ONCE = 64
LONGEST = 512  # tokens, where the folder does not say


@dataclass(frozen=True, eq=False)
class SentenceModel:
    """A transformer that reads a text whole, and its tokenizer."""

    model: Any
    tokenizer: Any
    longest: int

    @staticmethod
    def load(folder: Path) -> "SentenceModel":
        """Read a sentence-transformers folder, without that library.

        Raises Mismatch where it takes no mean of tokens.
        """
        from transformers import AutoModel, AutoTokenizer

        pooling = folder / "1_Pooling" / "config.json"
        if pooling.is_file() and not json.loads(pooling.read_text("utf-8")).get(
            "pooling_mode_mean_tokens"
        ):
            raise Mismatch(
                f"{folder} does not embed a text as the mean over its tokens; give another model,"
                " or an endpoint"
            )
        settings = folder / "sentence_bert_config.json"
        longest = (
            json.loads(settings.read_text("utf-8")).get("max_seq_length")
            if settings.is_file()
            else None
        )
        model = read_weights(folder, "main", torch.float32, AutoModel)[0].eval()
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return SentenceModel(model, tokenizer, longest or LONGEST)

    def embed(self, texts: Sequence[str]) -> Float32[ndarray, "text d"]:
        """A vector of length 1 for each text; what lies beyond the model's reach is cut off."""
        # alike lengths together, so that little is padding
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        vectors = np.empty((len(texts), self.model.config.hidden_size), np.float32)
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            rows = order[first : first + TEXTS_AT_ONCE]
            read = self.tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=self.longest,
                return_tensors="pt",
            )
            with torch.no_grad():
                states = self.model(**read).last_hidden_state
            inside = read["attention_mask"][:, :, None].to(states.dtype)
            vectors[rows] = ((states * inside).sum(1) / inside.sum(1)).float().numpy()
        return unit_vectors(vectors)
