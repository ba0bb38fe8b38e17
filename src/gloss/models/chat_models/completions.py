"""Plain text that is continued, and the log-probabilities of the text itself: how they are asked
for and how they are read.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from gloss.models.chat_models.manner import Refusal
from gloss.models.chat_models.prices import Prices
from gloss.models.chat_models.prompts import Answer, Prompt, PromptToken, TokenLogprob
from gloss.models.chat_models.replies import Fault, ReplyChoice, read_choice, read_logprobs

OWN_TEXT_FIELD = "prompt_logprobs"
UNREADABLE = 8  # characters that a token which cannot be read may stand for at most
PART = "\ufffd"  # how part of a character is spelled
FIRST_TOKEN = 40  # characters of a first token that a server says nothing about, at most

# a token, its log-probability, its alternatives
ScoredToken = tuple[str, float | None, tuple[tuple[str, float], ...]]


class OwnTextForm(StrEnum):
    """How a server is asked for the log-probabilities of a prompt's own text."""

    PROMPT_LOGPROBS = "prompt_logprobs"  # vLLM
    ECHO = "echo"  # OpenAI's first completions, and the servers that kept them
    FORWARD_PASS = "forward_pass"  # no request at all: the model is in this process


def completion_body(prompt: Prompt, text: str, model: str) -> dict[str, Any]:
    """The request for a plain text, in the form of no server yet where the text's own
    log-probabilities are wanted.
    """
    body: dict[str, Any] = {
        "model": model,
        "prompt": text,
        "temperature": prompt.temperature,
        "max_tokens": prompt.max_tokens,
    }
    if prompt.top_logprobs:
        body["logprobs"] = prompt.top_logprobs
    if prompt.prompt_logprobs is not None:
        body |= {OWN_TEXT_FIELD: prompt.prompt_logprobs, "max_tokens": 1}
    return body


def request_in_form(body: Mapping[str, Any], form: OwnTextForm) -> dict[str, Any]:
    """The request as this server reads it.

    One token is generated, because few servers take none.
    """
    rest = {name: value for name, value in body.items() if name != OWN_TEXT_FIELD}
    if form is OwnTextForm.ECHO:
        return rest | {"echo": True, "logprobs": max(1, body[OWN_TEXT_FIELD])}
    return rest | {OWN_TEXT_FIELD: body[OWN_TEXT_FIELD]}


def read_completion(
    content: bytes, body: Mapping[str, Any], prices: Prices
) -> Answer | Fault | Refusal:
    """The answer in the response to such a request.

    The continuation is kept to the letter, and may be empty.
    """
    choice = read_choice(content)
    if not isinstance(choice, ReplyChoice):
        return choice
    text = choice.content.get("text")
    if not isinstance(text, str):
        return Fault("the reply held no text")
    asked, generated = str(body["prompt"]), choice.content.get("logprobs")
    spent, own = choice.spent(prices), None
    if body.get("echo"):
        text = text.removeprefix(asked)
        own = align_tokens(asked, legacy_logprobs(generated))
        return Answer(text, None, "", None, *spent, own)
    if OWN_TEXT_FIELD in body:
        own = align_tokens(asked, vllm_logprobs(choice.content.get(OWN_TEXT_FIELD)))
    return Answer(
        text,
        None,
        "",
        read_logprobs(generated) or generated_logprobs(legacy_logprobs(generated)),
        *spent,
        own,
    )


def legacy_logprobs(logprobs: Any) -> list[ScoredToken] | None:
    """The lists `tokens`, `token_logprobs` and `top_logprobs`; None where one is missing."""
    lists = logprobs if isinstance(logprobs, dict) else {}
    tokens, values = lists.get("tokens"), lists.get("token_logprobs")
    if (
        not isinstance(tokens, list)
        or not isinstance(values, list)
        or len(tokens) != len(values)
        or not tokens
    ):
        return None
    others = lists.get("top_logprobs") or [None] * len(tokens)
    try:
        return [
            (
                str(token),
                None if value is None else float(value),
                tuple((str(k), float(v)) for k, v in (other or {}).items()),
            )
            for token, value, other in zip(tokens, values, others, strict=True)
        ]
    except (AttributeError, TypeError, ValueError):
        return None


def vllm_logprobs(positions: Any) -> list[ScoredToken] | None:
    """vLLM's list: nothing for the first token, then objects by token number, the text's own token
    first.
    """
    if not isinstance(positions, list) or len(positions) < 2:
        return None
    scored: list[ScoredToken] = []
    try:
        for position in positions:
            if position is None:
                continue
            found = [
                (str(one["decoded_token"]), float(one["logprob"])) for one in position.values()
            ]
            scored.append((*found[0], tuple(found)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    return scored


def generated_logprobs(tokens: list[ScoredToken] | None) -> tuple[TokenLogprob, ...] | None:
    """Log-probabilities of generated tokens out of the lists."""
    if tokens is None:
        return None
    found = [
        TokenLogprob(token, value, others) for token, value, others in tokens if value is not None
    ]
    return tuple(found) if len(found) == len(tokens) else None


def align_tokens(text: str, tokens: Sequence[ScoredToken] | None) -> tuple[PromptToken, ...] | None:
    """Where each token stands in the text; None where the tokens do not spell it.

    Tokens before the text (a start token) and after it are left out. Tokens that end inside a
    character cannot be read: together they stand for what lies before the next token that can. A
    first token that was not scored is filled in.
    """
    found: list[PromptToken] = []
    unread: list[ScoredToken] = []
    at = 0
    for scored in tokens or ():
        token = scored[0]
        if not token or PART in token or token.startswith("bytes:"):
            unread.append(scored)
            continue
        token = token_as_in_text(text, token, at)
        start = text.find(token, *token_search_range(text, token, at, unread))
        if start < 0 and at == 0:
            continue  # a start token, which the text does not hold
        if start < 0:
            return None
        if start > at and not unread:
            unread = [(text[:start], None, ())]
        found += [PromptToken(at, start, *one) for one in unread]
        unread, at = [], start + len(token)
        found.append(PromptToken(start, at, *scored))
        if at == len(text):
            return tuple(found)
    if 0 < len(text) - at <= UNREADABLE * len(unread):
        return (*found, *(PromptToken(at, len(text), *one) for one in unread))
    return None


def token_search_range(
    text: str, token: str, at: int, unread: Sequence[ScoredToken]
) -> tuple[int, int]:
    """From where to where the token may stand: right here, unless something before it could not be
    read or was left out.
    """
    if text.startswith(token, at) and not any(name for name, *_ in unread):
        return at, at + len(token)
    if not unread:
        return at, at + len(token) + (FIRST_TOKEN if at == 0 else 0)
    end = min(len(text), at + UNREADABLE * len(unread))
    # only such characters have parts
    begin = next((index + 1 for index in range(at, end) if not text[index].isascii()), at)
    return begin, end + len(token)


def token_as_in_text(text: str, token: str, at: int) -> str:
    """The token as it stands in the text: sentencepiece gives a first word a space that the text
    does not have.
    """
    return token[1:] if at == 0 and token.startswith(" ") and text.startswith(token[1:]) else token
