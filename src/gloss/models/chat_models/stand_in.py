"""What stands in for a language model where the cost of a conversation is counted before anybody is
asked: answers of ordinary length that a method can read, and that say nothing.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import numpy as np

from gloss.models.chat_models.prompts import Answer, Prompt
from gloss.records import Reason

SENTENCE = (
    "names of functions and classes that are defined in the lines before, especially in error"
    " messages"
)
TEXTS = 20  # of a list, or pairs; methods take as many as they asked for
TEXT = "She looked at the old map for a while and then wrote a few words beside the river"


def stand_in_answer(prompt: Prompt) -> Answer:
    """An answer that the method can read; a judge's is a coin for each context, the same for the
    same prompt. A refusal where none can be made.

        >>> from gloss.models.chat_models.prompts import Message
        >>> prompt = Prompt((Message("user", "Does it fit? Yes or No."),), cut_short=True)
        >>> stand_in_answer(prompt).text in ("Yes", "No")
        True
    """
    said = "\n".join(message.text for message in prompt.messages)
    coins = np.random.default_rng(int(sha256(said.encode()).hexdigest()[:16], 16))
    for text in plausible_answers(prompt, coins):
        if prompt.reads is None or prompt.reads(text) is not None:
            return Answer(text)
    return Answer(None, Reason.REFUSED, "nobody was asked")


def plausible_answers(prompt: Prompt, coins: np.random.Generator) -> Iterator[str]:
    """Answers of every form that gloss asks for."""
    if prompt.schema is not None:
        yield json.dumps(value_of_schema(json.loads(prompt.schema), coins))
    if prompt.cut_short:
        yield ("Yes", "No")[coins.integers(2)]
    said = f"{SENTENCE} ({coins.integers(10**6)})"
    yield f"[interpretation]: {said}"
    texts = [f"{TEXT} {number}" for number in range(2 * TEXTS)]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    yield json.dumps({"explanation": said, "pairs": pairs})
    yield json.dumps({"texts": texts[:TEXTS]})
    yield json.dumps({"activations": {}})


def value_of_schema(schema: dict[str, Any], coins: np.random.Generator) -> Any:
    """A value that a schema of gloss allows, drawn at random."""
    if "properties" in schema:
        fields = schema["properties"].items()
        return {name: value_of_schema(each, coins) for name, each in fields}
    if schema.get("type") == "array":
        return [value_of_schema(schema["items"], coins) for _ in range(schema.get("minItems", 1))]
    allowed = schema.get("enum", [0])
    return allowed[coins.integers(len(allowed))]
