"""Evidence about a feature that fires at `a` and at `b`, and a judge who takes an explanation's
words in backticks at theirs.
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace

import numpy as np

from gloss.models.chat_models.prompts import Answer, Conversation
from gloss.records import Contexts, Examples, Explanation, Failure, FeatureId, Reason
from gloss.store.corpus import Corpus
from gloss.store.evidence import NO_ACTIVATIONS, Evidence
from gloss.store.vocabulary import Vocabulary

FEATURE = FeatureId("toy", 3)
VOCABULARY = Vocabulary((b" a", b" b", *(b" w%d" % i for i in range(200))))


def contexts(rng: np.random.Generator, number: int, first: int, *, firing: bool) -> Contexts:
    """Contexts of twelve tokens; a firing one holds `a` or `b` in the middle, in turns."""
    tokens = rng.integers(2, len(VOCABULARY), size=(number, 12)).astype(np.int32)
    activations = np.zeros(tokens.shape, np.float32)
    if firing:
        tokens[:, 6], activations[:, 6] = np.arange(number) % 2, 2.0
    documents = np.arange(first, first + number)
    return Contexts(
        documents * 100, documents, np.full(number, 0 if firing else -1), tokens, activations
    )


def evidence(rng: np.random.Generator, number: int = 20) -> Evidence:
    """So many contexts of each kind in either split."""
    sides = [contexts(rng, number, 1000 * i, firing=i < 2) for i in range(4)]
    examples = Examples(FEATURE, *sides, strongest=2.0, share_train=0.5, share_held_out=0.5)
    corpus = Corpus(
        np.zeros(1, np.int32),
        np.array([0, 1]),
        np.array([0]),
        np.zeros(1, np.uint64),
        ("one",),
        VOCABULARY,
    )
    return Evidence(examples, corpus, NO_ACTIVATIONS)


@dataclass(frozen=True)
class Labels:
    """An explainer that gives its texts in turn, or one drawn at random; None is a lost request."""

    texts: tuple[str | None, ...] = ()

    def explain(self, examples, vocabulary, rng):
        yield from ()
        assert len(examples.held_out) == len(examples.inactive_held_out) == 0
        text = (
            self.texts[rng.integers(len(self.texts))]
            if self.texts
            else f"label {rng.integers(10**9)}"
        )
        if text is None:
            return Failure(examples.feature, "explain", Reason.REQUEST_ERROR, "lost")
        return Explanation(examples.feature, text, "labels")


def judged(prompt) -> Answer:
    """Yes where a word in backticks stands in the context.

    A label without any is a coin of its own for each context.
    """
    asked = prompt.messages[-1].text
    label = re.search(r"(?m)^Explanation: (.*)$", asked)[1]
    words = set(re.findall("`(.*?)`", label))
    texts = [json.loads(text) for text in re.findall(r'(?m)^\d+: (".*")$', asked)]
    answers = [
        (
            bool(words & set(text.split()))
            if words
            else hashlib.sha256(f"{label}{text}".encode()).digest()[0] % 2
        )
        for text in texts
    ]
    return Answer(json.dumps({"answers": [int(answer) for answer in answers]}))


def finished(conversation: Conversation, reviser: str | None = None, asked: list | None = None):
    """What a conversation returns with this judge, and with a reviser who always says the same."""
    try:
        prompts = next(conversation)
        while True:
            revising = [
                prompt.messages[-1].text.startswith("Explanation:")
                and "\nClaimed:" in prompt.messages[-1].text
                for prompt in prompts
            ]
            if asked is not None:
                asked += [
                    prompt.messages[-1].text
                    for prompt, is_one in zip(prompts, revising, strict=True)
                    if is_one
                ]
            revised = (
                Answer(None, Reason.REQUEST_ERROR, "lost")
                if reviser is None
                else Answer(f"[interpretation]: {reviser}")
            )
            prompts = conversation.send(
                [
                    revised if is_one else judged(prompt)
                    for prompt, is_one in zip(prompts, revising, strict=True)
                ]
            )
    except StopIteration as over:
        return over.value


def elsewhere(given: Evidence, rng: np.random.Generator, number: int) -> Evidence:
    """The same feature on contexts that nobody has seen."""
    fresh = evidence(rng, number).examples
    return replace(
        given,
        examples=replace(
            given.examples, held_out=fresh.held_out, inactive_held_out=fresh.inactive_held_out
        ),
    )
