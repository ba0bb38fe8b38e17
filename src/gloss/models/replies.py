"""What an endpoint sent, read as an answer, as a fault worth another attempt, or as a reason to stop the run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from gloss.errors import BadSettings, Unreachable
from gloss.models.prices import Prices
from gloss.models.prompts import Answer, TokenLogprob
from gloss.records import Reason

PASSING_STATUSES = frozenset({408, 409, 425, 429})  # and 500 and above: worth another attempt
FAULTY_PROMPT_STATUSES = frozenset({400, 413, 422})
OUT_OF_CREDIT = ("insufficient_quota", "exceeded your current quota", "billing")
TOO_LONG = ("context_length", "context length", "maximum context", "too long", "too many tokens")
FILTERED = ("content_filter", "content management policy", "moderation", "flagged")


@dataclass(frozen=True, slots=True)
class Fault:
    """A passing failure of one attempt."""

    detail: str
    disconnected: bool = False  # nothing answered at the address
    retry_after_seconds: float | None = None
    broken: bool = False  # the server fell over this request, and may do so again


@dataclass(frozen=True, slots=True)
class Choice:
    """The first choice of a reply, and what the reply says was used."""

    content: Mapping[str, Any]
    usage: Any

    def spent(self, prices: Prices) -> tuple[int, int, float | None]:
        """Prompt tokens, generated tokens, and money where a price is known."""
        used: Mapping[str, Any] = self.usage if isinstance(self.usage, dict) else {}
        prompt_tokens, completion_tokens = (whole(used.get(name)) for name in ("prompt_tokens", "completion_tokens"))
        cost = used.get("cost")
        money = float(cost) if isinstance(cost, int | float) else prices.of(prompt_tokens, completion_tokens)
        return prompt_tokens, completion_tokens, money


def read_reply(content: bytes, prices: Prices) -> Answer | Fault:
    """The answer in a response body; anything that is not a whole chat completion is a fault."""
    choice = read_choice(content)
    if not isinstance(choice, Choice):
        return choice
    message = choice.content.get("message")
    return read_message(choice, message, prices) if isinstance(message, dict) else Fault("the reply held no message")


def read_choice(content: bytes) -> Choice | Answer | Fault:
    """The first choice in a response body."""
    if not content.strip():
        return Fault("the reply was empty")
    try:
        reply = json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        return Fault(f"the reply was not JSON: {error}")
    if not isinstance(reply, dict):
        return Fault("the reply was not a JSON object")
    if problem := reply.get("error"):
        return read_inner_error(problem)
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return Choice(choice, reply.get("usage")) if isinstance(choice, dict) else Fault("the reply held no message")


def read_message(reply: Choice, message: Mapping[str, Any], prices: Prices) -> Answer | Fault:
    """The answer in one choice, with what it cost."""
    choice = reply.content
    prompt_tokens, completion_tokens, money = reply.spent(prices)

    def answer(text: str | None, reason: Reason | None = None, detail: str = "") -> Answer:
        logprobs = read_logprobs(choice.get("logprobs"))
        return Answer(text, reason, detail, logprobs, prompt_tokens, completion_tokens, money)

    text, refusal, finish = text_of(message.get("content")), message.get("refusal"), choice.get("finish_reason")
    if refusal:
        return answer(None, Reason.REFUSED, str(refusal))
    if finish == "content_filter":
        return answer(None, Reason.REFUSED, "stopped by the provider's content filter")
    if text:
        return answer(text)
    if finish == "length":
        return answer(None, Reason.UNPARSABLE, "all tokens were used up before the answer began; allow more of them")
    return Fault("the message was empty")


def read_logprobs(logprobs: Any) -> tuple[TokenLogprob, ...] | None:
    """Log-probabilities of the generated tokens; None where the server gave none, asked for or not."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list) or not content:
        return None
    try:
        return tuple(
            TokenLogprob(
                one["token"],
                float(one["logprob"]),
                tuple((other["token"], float(other["logprob"])) for other in one.get("top_logprobs") or ()),
            )
            for one in content
        )
    except (KeyError, TypeError, ValueError):
        return None


def read_inner_error(problem: Any) -> Answer | Fault:
    """An error that came with status 200, as gateways send it when their provider fails."""
    code = problem.get("code") if isinstance(problem, dict) else None
    text = shortened(problem.get("message") if isinstance(problem, dict) else problem)
    if any(word in f"{code} {text}".lower() for word in FILTERED):
        return Answer(None, Reason.REFUSED, text)
    if isinstance(code, int) and code in FAULTY_PROMPT_STATUSES:
        return Answer(None, Reason.REQUEST_ERROR, text)
    return Fault(f"the provider failed: {text}")


def read_status(status: int, text: str, headers: Mapping[str, str], *, proven: bool, where: str, key: str) -> Answer | Fault:
    """What an error status means for one prompt. `proven`: the endpoint has answered in this run, so the settings are right.

    Raises BadSettings or Unreachable where no prompt would be answered.
    """
    said = shortened(text)
    lowered = text.lower()
    if status == 402 or (status == 429 and any(words in lowered for words in OUT_OF_CREDIT)):
        raise Unreachable(f"{where} wants to be paid (status {status}): {said}; add credit or use another endpoint")
    if status in PASSING_STATUSES or status >= 500:
        return Fault(f"status {status}: {said}", retry_after_seconds=retry_after(headers), broken=status == 500)
    if status in {400, 403} and any(words in lowered for words in FILTERED):
        return Answer(None, Reason.REFUSED, said)
    if status in FAULTY_PROMPT_STATUSES and (proven or any(words in lowered for words in TOO_LONG)):
        return Answer(None, Reason.REQUEST_ERROR, f"status {status}: {said}")
    if status in {401, 403}:
        raise BadSettings(f"{where} refuses the key (status {status}): {said}; put a valid key into the variable {key}")
    if status == 404:
        raise BadSettings(f"{where} is not there (status 404): {said}; check base_url, which often ends in /v1, and model")
    raise BadSettings(f"{where} does not take such requests (status {status}): {said}; check model and extra")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks us to wait: a number, or a date, which is read by the server's own clock."""
    if (milliseconds := number(headers.get("retry-after-ms"))) is not None:
        return max(0.0, milliseconds / 1000)
    text = headers.get("retry-after")
    if (seconds := number(text)) is not None:
        return max(0.0, seconds)
    then, now = date(text), date(headers.get("date"))
    return None if then is None else max(0.0, (then - (now or datetime.now(UTC))).total_seconds())


def number(text: str | None) -> float | None:
    """A header's number, if it is a finite one."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def date(text: str | None) -> datetime | None:
    """A header's date, if it is one; in UTC where it names no zone."""
    try:
        value = parsedate_to_datetime(text or "")
    except (TypeError, ValueError):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def text_of(content: Any) -> str:
    """A message's text, which some servers send in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict)).strip()
    return content.strip() if isinstance(content, str) else ""


def whole(value: Any) -> int:
    """A count of tokens; 0 where the server does not tell."""
    return int(value) if isinstance(value, int | float) else 0


def shortened(text: Any) -> str:
    """The first words of what a server said, on one line."""
    words = " ".join(str(text).split())
    return words if len(words) <= 200 else words[:200] + "…"
