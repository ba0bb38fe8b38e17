"""What an endpoint sent, read as an answer, as a fault worth another attempt, or as a reason to stop the run."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import accumulate
from typing import Any

from gloss.errors import BadSettings, Unreachable
from gloss.models.manner import Refusal
from gloss.models.prices import Prices
from gloss.models.prompts import Answer, TokenLogprob
from gloss.models.thoughts import spoken
from gloss.records import Reason

PASSING_STATUSES = frozenset({408, 409, 425, 429})  # and 500 and above: worth another attempt
FAULTY_PROMPT_STATUSES = frozenset({400, 413, 422})
OUT_OF_CREDIT = ("insufficient_quota", "exceeded your current quota", "billing")
TOO_LONG = ("context_length", "context length", "maximum context", "too long", "too many tokens")
FILTERED = ("content_filter", "content management policy", "moderation", "flagged")
OUT_OF_ROOM = ("output limit was reached", "could not finish the message")  # an error where others say that it was cut
STREAMS = re.compile(
    r"only support\w* stream|stream\w* (?:mode )?(?:only|is required|must)|enable the stream|non-?stream", re.IGNORECASE
)
CUT = frozenset({"length", "max_tokens", "model_length", "max_output_tokens", "token_limit"})  # reasons to finish, in lower case
STOPPED_BY_FILTER = frozenset({"content_filter", "safety", "recitation", "prohibited_content"})
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")  # fields of a message, beside its content
THOUGHT_PARTS = frozenset({"thinking", "reasoning", "redacted_thinking", "thought"})
ATTEMPTS_AT_NOTHING = 3  # an empty message may be the model's last word


@dataclass(frozen=True, slots=True)
class Fault:
    """A passing failure of one attempt."""

    detail: str
    disconnected: bool = False  # nothing answered at the address
    retry_after_seconds: float | None = None
    broken: bool = False  # the server fell over this request, and may do so again
    empty: bool = False  # the message was there, and nothing in it
    unknown: bool = False  # whether it was paid for


@dataclass(frozen=True, slots=True)
class Choice:
    """The first choice of a reply, and what the reply says was used."""

    content: Mapping[str, Any]
    usage: Any

    def spent(self, prices: Prices) -> tuple[int, int, float | None]:
        """Prompt tokens, generated tokens, and money where a price and the tokens are known.

        Some servers leave tokens of thoughts out of the generated ones, and count them in the total.
        """
        used: Mapping[str, Any] = self.usage if isinstance(self.usage, dict) else {}
        prompt_tokens, completion_tokens, total = (
            whole(used.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        )
        completion_tokens = max(completion_tokens, total - prompt_tokens)
        cost = used.get("cost")
        if isinstance(cost, int | float) and not isinstance(cost, bool):
            return prompt_tokens, completion_tokens, float(cost)
        told = prompt_tokens > 0 or completion_tokens > 0
        return prompt_tokens, completion_tokens, prices.of(prompt_tokens, completion_tokens) if told or prices.free else None

    @property
    def thought_tokens(self) -> int:
        """How many tokens the reply says were thought."""
        used: Mapping[str, Any] = self.usage if isinstance(self.usage, dict) else {}
        details = used.get("completion_tokens_details")
        return max(whole(of.get("reasoning_tokens")) for of in (used, details if isinstance(details, dict) else {}))


def read_reply(content: bytes, prices: Prices) -> Answer | Fault:
    """The answer in a response body; anything that is not a whole chat completion is a fault."""
    choice = read_choice(content)
    if not isinstance(choice, Choice):
        return choice
    message = choice.content.get("message")
    return read_message(choice, message, prices) if isinstance(message, dict) else Fault("the reply held no message")


def read_choice(content: bytes) -> Choice | Answer | Fault:
    """The first choice in a response body. Raises BadSettings for a stream."""
    if not content.strip():
        return Fault("the reply was empty")
    if content.lstrip().startswith((b"data:", b"event:")):
        raise BadSettings("the endpoint gives its answers in streams alone; use a server or a model that gives them whole")
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
    """The answer in one choice, without its thoughts, and what it cost. An answer that was cut off says so."""
    choice = reply.content
    content, thought = text_of(message.get("content"))
    said = spoken(content)
    beside = next(filter(None, (text_of(message.get(name))[0] for name in THOUGHTS)), "")
    finish = str(choice.get("finish_reason") or "").lower()
    cut = finish in CUT
    hidden = cut and not message.get("content") and not read_logprobs(choice.get("logprobs"))  # blanks are no thoughts
    thought = thought or said.thought or bool(beside) or reply.thought_tokens > 0 or hidden

    def answer(text: str | None, reason: Reason | None = None, detail: str = "") -> Answer:
        logprobs = beginning_at(text, read_logprobs(choice.get("logprobs"))) if text else None
        return Answer(text, reason, detail, logprobs, *reply.spent(prices), cut=cut, thought=thought)

    if refusal := message.get("refusal") or refused_in(message.get("content")):
        return answer(None, Reason.REFUSED, shortened(refusal))
    if finish in STOPPED_BY_FILTER:
        return answer(None, Reason.REFUSED, "stopped by the provider's content filter")
    if said.text:
        return answer(said.text)
    if cut:
        return answer(None, Reason.UNPARSABLE, "all tokens were used up before the answer began; allow more of them")
    if message.get("tool_calls") or message.get("function_call"):
        return answer(None, Reason.UNPARSABLE, "it called a tool and answered nothing")
    if is_document(beside):
        return answer(beside)  # put there by a server that took all of it for a thought
    if thought:
        return answer(None, Reason.UNPARSABLE, "it thought and answered nothing")
    return Fault("the message was empty", empty=True)


def cut_off(answer: Answer) -> Answer:
    """An answer that ended because its tokens were used up, as the failure that it is."""
    said = f"cut off after {answer.completion_tokens or 'all its'} tokens"
    return replace(answer, text=None, reason=Reason.UNPARSABLE, detail=said, logprobs=None)


def is_document(text: str) -> bool:
    """Whether a text is a JSON object from its first to its last character, which no thought is."""
    try:
        return isinstance(json.loads(text), dict)
    except json.JSONDecodeError:
        return False


def beginning_at(text: str, tokens: tuple[TokenLogprob, ...] | None) -> tuple[TokenLogprob, ...] | None:
    """The log-probabilities of an answer without those of the thoughts before it."""
    start = "".join(one.token for one in tokens or ()).rfind(text)
    if tokens is None or start <= 0:
        return tokens
    ends = list(accumulate(len(one.token) for one in tokens))
    return tokens[sum(end <= start for end in ends) :]


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


def read_refusal(refusal: Refusal, *, proven: bool, where: str, key: str) -> Answer | Fault:
    """What an error status means for one prompt. `proven`: the endpoint has answered in this run, so the settings are right.

    Raises BadSettings or Unreachable where no prompt would be answered.
    """
    status, lowered, said = refusal.status, refusal.text.lower(), shortened(refusal.text)
    if status == 402 or (status == 429 and any(words in lowered for words in OUT_OF_CREDIT)):
        raise Unreachable(f"{where} wants to be paid (status {status}): {said}; add credit or use another endpoint")
    if status in {400, 422} and STREAMS.search(refusal.text):
        raise BadSettings(f"{where} gives its answers in streams alone ({said}); use a server or a model that gives them whole")
    if status in PASSING_STATUSES or status >= 500:
        return Fault(f"status {status}: {said}", retry_after_seconds=retry_after(refusal.headers), broken=status == 500)
    if status in {400, 403} and any(words in lowered for words in FILTERED):
        return Answer(None, Reason.REFUSED, said)
    if status == 400 and any(words in lowered for words in OUT_OF_ROOM):
        return Answer(None, Reason.UNPARSABLE, f"all tokens were used up: {said}", cut=True, thought=True)
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


def text_of(content: Any) -> tuple[str, bool]:
    """A message's text, which some servers send in parts, and whether some of the parts are thoughts."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict)]
        said = [part for part in parts if part.get("type") not in THOUGHT_PARTS]
        texts = [part["text"] for part in said if isinstance(part.get("text"), str)]
        texts += [part for part in content if isinstance(part, str)]
        return "".join(texts).strip(), len(said) < len(parts)
    return (content.strip() if isinstance(content, str) else ""), False


def refused_in(content: Any) -> str | None:
    """The refusal among the parts of a message, if there is one."""
    parts = content if isinstance(content, list) else []
    return next((str(part["refusal"]) for part in parts if isinstance(part, dict) and part.get("refusal")), None)


def whole(value: Any) -> int:
    """A count of tokens; 0 where the server does not tell."""
    return int(value) if isinstance(value, int | float) else 0


def shortened(text: Any) -> str:
    """The first words of what a server said, on one line."""
    words = " ".join(str(text).split())
    return words if len(words) <= 200 else words[:200] + "…"
