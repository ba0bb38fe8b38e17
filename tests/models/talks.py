"""The smallest conversations."""

import numpy as np

from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Answer, Message, Prompt
from models.servers import Server


def question(text: str, **settings) -> Prompt:
    return Prompt((Message("user", text),), **settings)


def asking(*prompts: Prompt):
    """Asks one round and returns the answers."""
    answers = yield list(prompts)
    return answers


def asking_text(text: str):
    return asking(question(text))


def one(server: Server, rng: np.random.Generator, text="hello", **settings) -> Answer:
    """The answer to a single prompt."""
    [[answer]] = Chat("m", server.base_url, **settings).run([asking_text(text)], rng)
    return answer
