"""What an endpoint is seen to do, because servers drop what they do not know without a word."""

import json
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

from gloss.models.chat_models.completions import OWN_TEXT_FIELD, OwnTextForm, request_in_form
from gloss.models.chat_models.manner import Manner
from gloss.models.chat_models.prompts import (
    Answer,
    PromptToken,
    TokenLogprob,
    list_schema,
    response_format,
)
from gloss.records import Ability

SAMPLE = (
    "The keeper of the old lighthouse wrote down the names of all ships, one line each:\n\ndef"
    " names(ships):\n    return"
)
BRIEFLY = "Answer briefly."
HELLO = "Say hello in three languages, in plain words, please. Not as json."
GENERATED_TOKENS = 12
# the last only where the others were used up
GREETING_TOKENS, SCHEMA_TOKENS, THOUGHT_TOKENS = 20, 200, 2048
ROUND = 80  # characters, which nobody repeats by chance
FEWEST_COMPARED = 3  # tokens, or else nothing can be said
# between two forward passes of the same weights, in low precision and other batches
LARGEST_DIFFERENCE_NATS = 0.25
PLAIN_MANNER = Manner()
NOBODYS_ANSWER = (3, (7,))  # three sevens, which nobody says who was asked for a greeting

T = TypeVar("T")
Probe = Generator[dict[str, Any], Answer | None, T]
"""Yields requests, is sent their answers or None where they were refused: asks nothing itself."""
LocalLogprobs = Callable[[str], Sequence[PromptToken]]
"""How likely each token of a text is by weights that are here."""


ABILITY_REMEDIES: Mapping[Ability, str] = {
    Ability.CHAT: (
        "use a model with a chat template, or a score that asks in plain text (simulation,"
        " surprisal)"
    ),
    Ability.LOGPROBS: "use a server that gives them, or simulation_json, which needs none",
    Ability.OWN_TEXT: (
        'use a server that does (vLLM), a model in this process ([chat] backend = "transformers"), '
        "or a score that needs none (simulation_json, detection, fuzzing)"
    ),
}


@dataclass(frozen=True, slots=True)
class OwnText:
    """How log-probabilities of a prompt's own text are had."""

    form: OwnTextForm | None  # None where there are none
    # whether they agree with what the server generates; None where that could not be compared
    aligned: bool | None

    @property
    def lacking(self) -> str | None:
        """Why scores that need them cannot be had here, if so."""
        if self.form is None:
            return (
                "gives no log-probabilities of a prompt's own text, asked by prompt_logprobs and by"
                " echo"
            )
        if self.aligned is False:
            return (
                "gives wrong log-probabilities of a prompt's own text, other than those it"
                " generates by"
            )
        return None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far an endpoint's log-probabilities lie from those of weights that are here, in nats a
    token.
    """

    tokens: int
    median: float
    largest: float

    @property
    def agrees(self) -> bool:
        """Whether the endpoint can be running these weights."""
        return self.median <= LARGEST_DIFFERENCE_NATS


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a language model gave when it was asked; what it promises does not count."""

    chat: bool
    logprobs: bool  # of tokens that it generates in a chat
    own_text: OwnText
    json_schema: bool  # whether it keeps to a schema that `response_format` names
    # None where no weights were given, or too few tokens had log-probabilities
    weights: Agreement | None = None
    manner: Manner = PLAIN_MANNER  # how it wants to be asked

    def lacking(self, ability: Ability) -> str | None:
        """What lacks for this ability and what to do about it, as the end of a sentence; None where
        nothing does.
        """
        lacks = {
            Ability.CHAT: None if self.chat else "answers no chats",
            Ability.LOGPROBS: (
                None if self.logprobs else "gives no log-probabilities of what it generates"
            ),
            Ability.OWN_TEXT: self.own_text.lacking,
        }[ability]
        return lacks and f"{lacks}; {ABILITY_REMEDIES[ability]}"


def probe_endpoint(
    model: str, forward: LocalLogprobs | None = None, thoughts: int = -1
) -> Probe[Capabilities]:
    """Everything that is worth knowing of an endpoint, in a few short requests, that carry what
    real ones do.

    `thoughts`: how many tokens may be thought; below 0 as many as it takes to see a thought end.
    """
    generated = yield from probe_continuation(model)
    own_text = yield from compare_own_text(model, generated)
    weights = (
        None
        if forward is None
        else logprob_agreement(generated, forward(SAMPLE + generated_text(generated)))
    )
    turns = [{"role": "system", "content": BRIEFLY}, {"role": "user", "content": HELLO}]
    asked = {"model": model, "temperature": 0.0, "messages": turns}
    looked_into = {"logprobs": True, "top_logprobs": 2}
    answer = yield asked | {"max_tokens": GREETING_TOKENS} | looked_into
    longest = min(THOUGHT_TOKENS, SCHEMA_TOKENS + thoughts) if thoughts >= 0 else THOUGHT_TOKENS
    # a long greeting, or a thought that nothing marks before its end
    for room in sorted({SCHEMA_TOKENS, longest}):
        if (
            answer is not None
            and answer.cut
            and (room == longest if answer.thought else not is_repetitive(answer.text))
        ):
            answer = (yield asked | {"max_tokens": room} | looked_into) or answer
    if answer is None:
        return Capabilities(
            chat=False, logprobs=False, own_text=own_text, json_schema=False, weights=weights
        )
    logprobs = bool(answer.logprobs and answer.logprobs[0].alternatives)
    room = longest if answer.thought else SCHEMA_TOKENS
    forced = yield asked | {"max_tokens": room} | response_format(list_schema(*NOBODYS_ANSWER))
    return Capabilities(
        True, logprobs, own_text, forced is not None and is_schema_answer(forced.text), weights
    )


def probe_own_text(model: str) -> Probe[OwnText]:
    """How log-probabilities of a prompt's own text are had, and whether they stand at the right
    tokens.

    The server continues a text and says how likely each new token was; asked about the longer text,
    it must say the same of its end. The comparison needs no second copy of the model.
    """
    generated = yield from probe_continuation(model)
    return (yield from compare_own_text(model, generated))


def probe_continuation(model: str) -> Probe[tuple[TokenLogprob, ...]]:
    """Tokens that the server puts after the sample; none where it says nothing of them."""
    answer = yield sampling_fields(model) | {
        "prompt": SAMPLE,
        "max_tokens": GENERATED_TOKENS,
        "logprobs": 1,
    }
    return answer.logprobs if answer is not None and answer.logprobs else ()


def compare_own_text(model: str, generated: Sequence[TokenLogprob]) -> Probe[OwnText]:
    """How the log-probabilities of the sample and these tokens are had."""
    whole = SAMPLE + generated_text(generated)
    for form in (OwnTextForm.PROMPT_LOGPROBS, OwnTextForm.ECHO):
        answer = yield request_in_form(
            sampling_fields(model) | {"prompt": whole, "max_tokens": 1, OWN_TEXT_FIELD: 1}, form
        )
        if answer is not None and answer.prompt_logprobs:
            found = logprob_agreement(generated, answer.prompt_logprobs)
            return OwnText(form, None if found is None else found.agrees)
    return OwnText(None, None)


def sampling_fields(model: str) -> dict[str, Any]:
    """What all requests say: log-probabilities are wanted as the model has them."""
    return {"model": model, "temperature": 1.0, "top_p": 1.0}


def generated_text(tokens: Sequence[TokenLogprob]) -> str:
    """The text of generated tokens."""
    return "".join(one.token for one in tokens)


def logprob_agreement(
    generated: Sequence[TokenLogprob], own: Sequence[PromptToken]
) -> Agreement | None:
    """How far tokens are from being as likely in the text as when they were generated; None where
    too few are the same.
    """
    by_position = {(one.start, one.token): one.logprob for one in own}
    differences: list[float] = []
    start = len(SAMPLE)
    for one in generated:
        value = by_position.get((start, one.token))
        if value is not None and math.isfinite(value):
            differences.append(abs(value - one.logprob))
        start += len(one.token)
    if len(differences) < FEWEST_COMPARED:
        return None
    return Agreement(len(differences), median(differences), max(differences))


def is_repetitive(text: str | None) -> bool:
    """Whether a text says nothing, or ends with what it has said before, as weak models do until
    they are stopped.
    """
    return not text or (len(text) > ROUND and text[-ROUND:] in text[:-1])


def is_schema_answer(text: str | None) -> bool:
    """Whether this is what the schema leaves to say, and no model would by itself."""
    number, [value] = NOBODYS_ANSWER
    try:
        return json.loads(text or "") == {"answers": [value] * number}
    except json.JSONDecodeError:
        return False
