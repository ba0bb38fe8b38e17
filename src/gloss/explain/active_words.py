"""A language model's part of active explaining: it writes pairs of texts that put its explanation
to the test, is told what the feature did, and explains anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int32
from numpy import ndarray

from gloss.explain.max_activating import draw_rows
from gloss.models.chat_models.json_in_text import json_values
from gloss.models.chat_models.prompts import Answer, Conversation, Prompt, prompt_file
from gloss.models.chat_models.token_marks import (
    json_string,
    spell_contexts,
    suitable_marks,
    where_above,
)
from gloss.records import Explanation, Failure, Reason
from gloss.store.evidence import Evidence, NewTextReader

METHOD = "active"
TOKENS_A_TEXT = 60
TOKENS_AROUND = 200
SHOWN = 10  # contexts
THRESHOLD = 0.3  # of a text's maximum, above which a token is marked

Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class TriedText:
    """A text that the subject has read."""

    tokens: Int32[ndarray, " token"]
    activations: Float32[ndarray, " token"]
    expected: bool
    said: str  # what came of it, in words

    @property
    def fired(self) -> bool:
        return bool((self.activations > 0).any())


@dataclass(frozen=True)
class Proposal:
    """An explanation, and pairs of texts that put it to the test."""

    explanation: str
    pairs: tuple[Pair, ...]


@dataclass(eq=False)
class WordTrials:
    """What was written and read of one feature so far."""

    evidence: Evidence
    reader: NewTextReader | None  # None: nothing is read
    pairs: int  # in a round
    own_prompt: str = ""  # the path of a user's file
    tried: list[TriedText] = field(default_factory=list[TriedText])
    # how far an explanation's own texts did as it said, from -1 to 1
    borne_out: dict[str, float] = field(default_factory=dict[str, float])

    def propose(
        self, supposed: Explanation, rng: np.random.Generator
    ) -> Conversation[Explanation | Failure]:
        """Ask once for a better explanation and for texts, and have these read."""
        prompt, sha256 = self.prompt(supposed, rng)
        [answer] = yield [prompt]
        proposal = read_proposal(answer)
        if proposal is None:
            detail = answer.detail or f"no explanation in {(answer.text or '')[-200:]!r}"
            return Failure(supposed.feature, METHOD, answer.reason or Reason.UNPARSABLE, detail)
        self.borne_out[proposal.explanation] = self.read(proposal.pairs[: self.pairs])
        return Explanation(supposed.feature, proposal.explanation, METHOD, prompt_hash=sha256)

    def prompt(self, supposed: Explanation, rng: np.random.Generator) -> tuple[Prompt, str]:
        """The request, and the hash of the file that it is made of."""
        examples, vocabulary = self.evidence.examples, self.evidence.corpus.vocabulary
        rows = draw_rows(len(examples.train), SHOWN, rng)
        spelled = spell_contexts(examples.train[rows], vocabulary)
        shown = [(one.pieces, where_above(one, THRESHOLD)) for one in spelled]
        told = [
            (vocabulary.texts(one.tokens.tolist()), marked_tokens(one.activations))
            for one in self.tried
        ]
        marks = suitable_marks([*shown, *told])
        file = prompt_file("gloss.explain", METHOD, self.own_prompt)
        messages = file.fill(
            open=marks.open,
            close=marks.close,
            contexts=[json_string(marks.wrap(*one)) for one in shown],
            explanation=json_string(supposed.text),
            tried=[
                {"text": json_string(marks.wrap(*one)), "said": tried.said}
                for one, tried in zip(told, self.tried, strict=True)
            ],
            pairs=self.pairs,
        )
        room = TOKENS_AROUND + 2 * self.pairs * TOKENS_A_TEXT
        return Prompt(messages, room, reads=parse_proposal), file.sha256

    def read(self, pairs: Sequence[Pair]) -> float:
        """Have the subject read the texts: the share that fired of those that should, less the
        share of those that should not.
        """
        if self.reader is None:
            return 0.0
        texts = [(text, text is pair[0]) for pair in pairs for text in pair]
        encoded = [(self.reader.encode(text), expected) for text, expected in texts]
        encoded = [(tokens, expected) for tokens, expected in encoded if len(tokens)]
        feature = self.evidence.examples.feature.index
        values = self.reader.read([tokens for tokens, _ in encoded], feature)
        found = [
            TriedText(tokens, value, expected, outcome(expected, bool((value > 0).any())))
            for (tokens, expected), value in zip(encoded, values, strict=True)
        ]
        self.tried += found
        sides = [[one.fired for one in found if one.expected is side] for side in (True, False)]
        return float(np.mean(sides[0]) - np.mean(sides[1])) if all(sides) else 0.0


def marked_tokens(activations: Float32[ndarray, " token"]) -> ndarray:
    """Which tokens are shown as active."""
    return (activations > 0) & (activations > THRESHOLD * activations.max(initial=0.0))


def outcome(expected: bool, fired: bool) -> str:
    """What came of a text, as the prompt says it."""
    measured = "active" if fired else "silent"
    if expected is fired:
        return f"({measured}, as expected)"
    return f"({measured}, though it was expected to be {'active' if expected else 'silent'})"


def read_proposal(answer: Answer) -> Proposal | None:
    """What an answer proposes; None where it cannot be had or read."""
    return None if answer.text is None else parse_proposal(answer.text)


def parse_proposal(text: str) -> Proposal | None:
    """The last object with an explanation in an answer, with those of its pairs that are two
    texts.
    """
    found: Proposal | None = None
    for value in json_values(text):
        said = value.get("explanation") if isinstance(value, dict) else None
        if isinstance(said, str) and said.strip():
            listed = value.get("pairs")
            pairs = tuple(
                (one[0], one[1])
                for one in (listed if isinstance(listed, list) else [])
                if isinstance(one, list)
                and len(one) == 2
                and all(isinstance(each, str) and each for each in one)
            )
            found = Proposal(" ".join(said.split()), pairs)
    return found
