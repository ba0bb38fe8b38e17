"""What an endpoint is seen to do, because servers drop what they do not know without a word."""

import json
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

from gloss.models.completions import ASKED, Form, in_form
from gloss.models.prompts import Answer, PromptToken, TokenLogprob

SAMPLE = "The keeper of the old lighthouse wrote down the names of all ships, one line each:\n\ndef names(ships):\n    return"
GENERATED_TOKENS = 12
FEWEST_COMPARED = 3  # tokens, or else nothing can be said
LARGEST_DIFFERENCE_NATS = 0.25  # between two forward passes of the same weights, in low precision and other batches

T = TypeVar("T")
Probe = Generator[dict[str, Any], Answer | None, T]
"""Yields requests, is sent their answers or None where they were refused: asks nothing itself."""


@dataclass(frozen=True, slots=True)
class OwnText:
    """How log-probabilities of a prompt's own text are had."""

    form: Form | None  # None where there are none
    aligned: bool | None  # whether they agree with what the server generates; None where that could not be compared

    @property
    def missing(self) -> str | None:
        """Why scores that need them cannot be had here, if so."""
        if self.form is None:
            return "gives no log-probabilities of a prompt's own text, asked by prompt_logprobs and by echo"
        if self.aligned is False:
            return "gives wrong log-probabilities of a prompt's own text, other than those it generates by"
        return None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an endpoint gave when it was asked; what it promises does not count."""

    logprobs: bool  # of tokens that it generates in a chat
    own_text: OwnText
    json: bool  # whether it keeps to JSON where it is told to by `response_format`


def probe(model: str) -> Probe[Capabilities]:
    """Everything that is worth knowing of an endpoint, in five short requests at most."""
    own_text = yield from probe_own_text(model)
    asked: dict[str, Any] = {"model": model, "temperature": 1.0, "top_p": 1.0}
    hello = [{"role": "user", "content": "Say hello in three languages, in plain words, please. Not as json."}]
    answer = yield asked | {"messages": hello, "max_tokens": 20, "logprobs": True, "top_logprobs": 2}
    logprobs = answer is not None and bool(answer.logprobs and answer.logprobs[0].alternatives)
    answer = yield asked | {"messages": hello, "max_tokens": 200, "response_format": {"type": "json_object"}}
    return Capabilities(logprobs, own_text, answer is not None and is_object(answer.text))


def probe_own_text(model: str) -> Probe[OwnText]:
    """How log-probabilities of a prompt's own text are had, and whether they stand at the right tokens.

    The server continues a text and says how likely each new token was; asked about the longer text, it must say the same
    of its end. The comparison needs no second copy of the model.
    """
    asked: dict[str, Any] = {"model": model, "temperature": 1.0, "top_p": 1.0}
    answer = yield asked | {"prompt": SAMPLE, "max_tokens": GENERATED_TOKENS, "logprobs": 1}
    generated = answer.logprobs if answer is not None and answer.logprobs else ()
    whole = SAMPLE + "".join(one.token for one in generated)
    for form in Form:
        answer = yield in_form(asked | {"prompt": whole, "max_tokens": 1, ASKED: 1}, form)
        if answer is not None and answer.prompt_logprobs:
            return OwnText(form, agree(generated, answer.prompt_logprobs))
    return OwnText(None, None)


def agree(generated: Sequence[TokenLogprob], own: Sequence[PromptToken]) -> bool | None:
    """Whether tokens are as likely in the prompt as they were when they were generated; None where too few are the same."""
    by_place = {(one.start, one.token): one.logprob for one in own}
    differences: list[float] = []
    start = len(SAMPLE)
    for one in generated:
        value = by_place.get((start, one.token))
        if value is not None and math.isfinite(value):
            differences.append(abs(value - one.logprob))
        start += len(one.token)
    return median(differences) <= LARGEST_DIFFERENCE_NATS if len(differences) >= FEWEST_COMPARED else None


def is_object(text: str | None) -> bool:
    """Whether a text is a JSON object and nothing else."""
    try:
        return isinstance(json.loads(text or ""), Mapping)
    except json.JSONDecodeError:
        return False
