"""What an endpoint sent, read as an answer, as a fault worth another attempt, or as a reason to
stop the run.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import accumulate
from typing import Any

import orjson

from gloss.errors import BadSettings, Unreachable
from gloss.models.chat_models.manner import OUT_OF_ROOM, Refusal
from gloss.models.chat_models.prices import Prices
from gloss.models.chat_models.prompts import Answer, TokenLogprob
from gloss.models.chat_models.thoughts import strip_thoughts
from gloss.records import Reason

PASSING_STATUSES = frozenset({408, 409, 425, 429})  # and 500 and above: worth another attempt
BUSY_STATUSES = frozenset({429, 503, 529})  # fewer requests at once are worth an attempt too
FAULTY_PROMPT_STATUSES = frozenset({400, 413, 422})
SHOWN_OF_CUT = 80  # characters of the end of an answer that was cut off
OUT_OF_CREDIT = ("insufficient_quota", "exceeded your current quota", "billing")
TOO_LONG = re.compile(
    r"context[_ ](?:length|size|window|limit)|too long|too many (?:input )?tokens|token"
    r" limit|reduce the length"
    r"|(?:prompt|inputs?|request)\b[^.]{0,60}(?:exceed|too large)|inputs?\b[^.]{0,60}must (?:have"
    r" less than|be <=) \d+",
    re.IGNORECASE,
)
FILTERED = ("content_filter", "content management policy", "moderation", "flagged")
STREAMS = re.compile(
    r"(?:only|must) support\w* stream|support\w* stream\w* only|stream\w*\W{0,3}(?:mode"
    r" )?(?:only|is required|must|to true)"
    r"|enable the stream|non-?stream|stream\W{0,3}(?:=|:)\W?true",
    re.IGNORECASE,
)
EVENTS = re.compile(rb"(?:\s|:[^\n]*\n)*(?:data|event|id|retry):")  # how a stream begins
PAGE = re.compile(r"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
UNSEEN = re.compile(
    r"<(style|script|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL
)
# Reasons to finish, in lower case.
CUT = frozenset(
    {
        "length",
        "max_tokens",
        "model_length",
        "max_output_tokens",
        "token_limit",
        "model_context_window_exceeded",
    }
)
STOPPED_BY_FILTER = frozenset(
    {
        "content_filter",
        "safety",
        "recitation",
        "prohibited_content",
        "refusal",
        "sensitive",
        "blocklist",
        "spii",
    }
)
BROKEN_OFF = frozenset(
    {
        "error",
        "abort",
        "aborted",
        "cancelled",
        "canceled",
        "network_error",
        "insufficient_system_resource",
        "malformed_response",
    }
)
FINISHES = ("finish_reason", "native_finish_reason", "stop_reason", "done_reason")
# in the names of a message's fields, and of its parts
THOUGHTS = re.compile("think|thought|reasoning", re.IGNORECASE)
ATTEMPTS_AT_NOTHING = 3  # an empty message may be the model's last word
SOON = re.compile(
    r"(?:again|retry|wait)\D{0,24}?(\d+(?:\.\d+)?) ?(ms|s|sec|seconds|m|min|minutes)\b",
    re.IGNORECASE,
)
UNITS = {"ms": 0.001, "s": 1, "m": 60}


@dataclass(frozen=True, slots=True)
class Fault:
    """A passing failure of one attempt."""

    detail: str
    disconnected: bool = False  # nothing answered at the address
    retry_after_seconds: float | None = None
    broken: bool = False  # the server fell over this request, and may do so again
    empty: bool = False  # the message was there, and nothing in it
    unknown: bool = False  # whether it was paid for
    foreign: bool = False  # no reply of such an endpoint: a web page
    busy: bool = False  # the server has too much to do, or is asked too often
    late: bool = False  # no reply came in time

    @property
    def lasting(self) -> bool:
        """Whether waiting is not likely to help."""
        return self.disconnected or self.broken or self.empty or self.foreign


@dataclass(frozen=True, slots=True)
class ReplyChoice:
    """The first choice of a reply, and what the reply says was used."""

    content: Mapping[str, Any]
    usage: Any

    def spent(self, prices: Prices) -> tuple[int, int, float | None]:
        """Prompt tokens, generated tokens, and money where a price and the tokens are known.

        Some servers leave tokens of thoughts out of the generated ones, and count them in the
        total.
        """
        used: Mapping[str, Any] = self.usage if isinstance(self.usage, dict) else {}
        prompt_tokens, completion_tokens, total = (
            token_count(used.get(name))
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        )
        completion_tokens = max(completion_tokens, total - prompt_tokens)
        cost = used.get("cost")
        if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < math.inf:
            return prompt_tokens, completion_tokens, float(cost)
        known = prompt_tokens > 0 or completion_tokens > 0
        return (
            prompt_tokens,
            completion_tokens,
            prices.money(prompt_tokens, completion_tokens) if known or prices.free else None,
        )

    @property
    def thought_tokens(self) -> int:
        """How many tokens the reply says were thought."""
        used: Mapping[str, Any] = self.usage if isinstance(self.usage, dict) else {}
        details = used.get("completion_tokens_details")
        return max(
            token_count(of.get("reasoning_tokens"))
            for of in (used, details if isinstance(details, dict) else {})
        )


def read_reply(content: bytes, prices: Prices, limit: int = 0) -> Answer | Fault | Refusal:
    """The answer in a response body; anything that is not a whole chat completion is a fault.

    `limit`: tokens it was allowed.
    """
    choice = read_choice(content)
    return read_message(choice, prices, limit) if isinstance(choice, ReplyChoice) else choice


def read_choice(content: bytes) -> ReplyChoice | Fault | Refusal:
    """The first choice in a response body. Raises BadSettings for a stream."""
    if not content.strip():
        return Fault("the reply was empty")
    if EVENTS.match(content):
        raise BadSettings(
            "the endpoint gives its answers in streams alone; use a server or a model that gives"
            " them whole"
        )
    try:
        reply = parse_reply_json(content)
    except (ValueError, RecursionError) as error:
        text = content.decode(errors="replace")
        if PAGE.match(text):
            return Fault(f"the reply was a web page: {shorten_reply(text)}", foreign=True)
        return Fault(f"the reply was not JSON: {error}")
    if not isinstance(reply, dict):
        return Fault("the reply was not a JSON object")
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    for part in (reply, choice):
        if isinstance(part, dict) and part.get("error"):
            return read_inner_error(part["error"])
    if not isinstance(choice, dict):
        return Fault(f"the reply held no answer: {shorten_reply(json.dumps(reply))}", empty=True)
    return ReplyChoice(choice, reply.get("usage"))


def parse_reply_json(content: bytes) -> Any:
    """What JSON holds, also where it holds what the standard does not know: numbers that are none,
    halves of characters. Raises ValueError and RecursionError.
    """
    try:
        return orjson.loads(content)
    except ValueError:
        return json.loads(content)


def read_message(reply: ReplyChoice, prices: Prices, limit: int = 0) -> Answer | Fault:
    """The answer in one choice, without its thoughts, and what it cost.

    An answer that was cut off says so.
    """
    choice = reply.content
    message = choice.get("message")
    message = message if isinstance(message, dict) else {"content": choice.get("text")}
    content, thought = message_text(message.get("content"))
    said = strip_thoughts(content)
    besides = [
        message_text(inner) for name, inner in message.items() if THOUGHTS.search(name) and inner
    ]
    spent = reply.spent(prices)
    finish = {str(choice[name]).lower() for name in FINISHES if choice.get(name)}
    cut = bool(finish & CUT) or (not finish and 0 < limit <= spent[1])
    generated = read_logprobs(choice.get("logprobs"))
    # blanks are no thoughts
    hidden = cut and not message.get("content") and not generated
    thought = thought or said.thought or bool(besides) or reply.thought_tokens > 0 or hidden

    def answer(text: str | None, reason: Reason | None = None, detail: str = "") -> Answer:
        logprobs = drop_thought_logprobs(text, generated) if text else None
        return Answer(text, reason, detail, logprobs, *spent, cut=cut, thought=thought)

    if refusal := message.get("refusal") or refusal_part(message.get("content")):
        return answer(None, Reason.REFUSED, shorten_reply(refusal))
    if finish & STOPPED_BY_FILTER:
        return answer(None, Reason.REFUSED, "stopped by the provider's content filter")
    if broken := finish & BROKEN_OFF:
        return Fault(f"the answer broke off: {min(broken)}", unknown=True)
    if said.text:
        return answer(said.text)
    if cut:
        return answer(
            None,
            Reason.UNPARSABLE,
            "all tokens were used up before the answer began; allow more of them",
        )
    elsewhere = [text for text, _ in besides] + tool_arguments(message)
    if misplaced := next(filter(None, map(misplaced_answer, elsewhere)), None):
        return answer(misplaced)
    if message.get("tool_calls") or message.get("function_call"):
        return answer(None, Reason.UNPARSABLE, "it called a tool and answered nothing")
    if thought:
        return answer(None, Reason.UNPARSABLE, "it thought and answered nothing")
    return Fault("the message was empty", empty=True)


def cut_off_failure(answer: Answer) -> Answer:
    """An answer that ended because its tokens were used up, as the failure that it is."""
    said = f"cut off after {answer.completion_tokens or 'all its'} tokens"
    end = repr((answer.text or "")[-SHOWN_OF_CUT:])
    return replace(
        answer, text=None, reason=Reason.UNPARSABLE, detail=f"{said}, ...{end}", logprobs=None
    )


def misplaced_answer(text: str) -> str | None:
    """The answer that a server put where none belongs: behind a thought that ends there, or JSON,
    which no thought is.
    """
    said = strip_thoughts(text)
    return said.text if said.text and (said.thought or is_json_document(text)) else None


def is_json_document(text: str) -> bool:
    """Whether a text is a JSON object from its first to its last character."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def tool_arguments(message: Mapping[str, Any]) -> list[str]:
    """What the only tool that a message calls is given; nothing where it calls none, or several."""
    calls = message.get("tool_calls")
    functions = (
        [call.get("function") for call in calls if isinstance(call, dict)]
        if isinstance(calls, list)
        else []
    )
    given = [
        message_text(one.get("arguments"))[0]
        for one in functions or [message.get("function_call")]
        if isinstance(one, dict)
    ]
    return given if len(given) == 1 else []


def drop_thought_logprobs(
    text: str, tokens: tuple[TokenLogprob, ...] | None
) -> tuple[TokenLogprob, ...] | None:
    """The log-probabilities of an answer without those of the thoughts before it."""
    start = "".join(one.token for one in tokens or ()).rfind(text)
    if tokens is None or start <= 0:
        return tokens
    ends = list(accumulate(len(one.token) for one in tokens))
    return tokens[sum(end <= start for end in ends) :]


def read_logprobs(logprobs: Any) -> tuple[TokenLogprob, ...] | None:
    """Log-probabilities of the generated tokens; None where the server gave none."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list) or not content:
        return None
    try:
        return tuple(
            [
                TokenLogprob(
                    one["token"],
                    float(one["logprob"]),
                    tuple(
                        [
                            (other["token"], float(other["logprob"]))
                            for other in one.get("top_logprobs") or ()
                        ]
                    ),
                )
                for one in content
            ]
        )
    except (KeyError, TypeError, ValueError):
        return None


def read_inner_error(problem: Any) -> Refusal | Fault:
    """An error that came with status 200, as gateways send it: a refusal with the status that it
    names, or else a fault.
    """
    fields = problem if isinstance(problem, dict) else {"message": problem}
    named = " ".join(str(fields.get(name, "")) for name in ("code", "status", "type"))
    status = re.search(r"\b[45]\d\d\b", named)
    if status or "invalid_request" in named.lower():
        return Refusal(int(status[0]) if status else 400, json.dumps({"error": problem}), {})
    if any(word in f"{named} {fields.get('message')}".lower() for word in FILTERED):
        return Refusal(400, json.dumps({"error": problem}), {})
    return Fault(f"the provider failed: {shorten_reply(fields.get('message'))}")


def read_refusal(refusal: Refusal, *, proven: bool, where: str, key: str) -> Answer | Fault:
    """What an error status means for one prompt.

    `proven`: the endpoint has answered in this run, so the settings are right.

    Raises BadSettings or Unreachable where no prompt would be answered.
    """
    status, lowered, said = refusal.status, refusal.text.lower(), error_message(refusal.text)
    wait = retry_after(refusal.headers)
    wait = wait_in_words(refusal.text) if wait is None else wait
    if status == 402 or (
        status == 429 and wait is None and any(words in lowered for words in OUT_OF_CREDIT)
    ):
        raise Unreachable(
            f"{where} wants to be paid (status {status}): {said}; add credit or use another"
            " endpoint"
        )
    if status in {400, 422} and STREAMS.search(refusal.text):
        raise BadSettings(
            f"{where} gives such answers in streams alone ({said}); use a server or a model that"
            " gives them whole, or set what it asks for in extra"
        )
    if status in PASSING_STATUSES or status >= 500:
        return Fault(
            f"status {status}: {said}",
            retry_after_seconds=wait,
            broken=status == 500,
            busy=status in BUSY_STATUSES,
        )
    if status in {400, 403} and any(words in lowered for words in FILTERED):
        return Answer(None, Reason.REFUSED, said)
    if status == 400 and OUT_OF_ROOM.search(refusal.text):
        return Answer(
            None, Reason.UNPARSABLE, f"all tokens were used up: {said}", cut=True, thought=True
        )
    if status in FAULTY_PROMPT_STATUSES and (proven or TOO_LONG.search(refusal.text)):
        return Answer(None, Reason.REQUEST_ERROR, f"status {status}: {said}")
    if status == 401:
        raise BadSettings(
            f"{where} refuses the key (status 401): {said}; put a valid key into the variable {key}"
        )
    if status == 403:
        raise BadSettings(
            f"{where} lets nobody in (status 403): {said}; check base_url, model and the key in the"
            f" variable {key}"
        )
    if status == 404:
        raise BadSettings(
            f"{where} is not there (status 404): {said}; check base_url, which often ends in /v1,"
            " and model"
        )
    raise BadSettings(
        f"{where} does not take such requests (status {status}): {said}; check base_url, model and"
        " extra"
    )


def error_message(text: str) -> str:
    """What an error says, without what is put around it."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return shorten_reply(text)
    said = said[0] if isinstance(said, list) and said else said
    while isinstance(said, dict):
        said = next(
            (said[name] for name in ("error", "message", "detail", "msg") if said.get(name)),
            str(said),
        )
    return shorten_reply(said)


def wait_in_words(text: str) -> float | None:
    """Seconds that the words of an error ask us to wait."""
    found = SOON.search(text)
    return (
        float(found[1]) * UNITS.get(found[2].lower(), UNITS[found[2][0].lower()]) if found else None
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks us to wait: a number, or a date, which is read by the server's
    own clock.
    """
    if (milliseconds := header_number(headers.get("retry-after-ms"))) is not None:
        return max(0.0, milliseconds / 1000)
    text = headers.get("retry-after")
    if (seconds := header_number(text)) is not None:
        return max(0.0, seconds)
    then, now = header_date(text), header_date(headers.get("date"))
    return None if then is None else max(0.0, (then - (now or datetime.now(UTC))).total_seconds())


def header_number(text: str | None) -> float | None:
    """A header's number, if it is a finite one."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def header_date(text: str | None) -> datetime | None:
    """A header's date, if it is one; in UTC where it names no zone."""
    try:
        value = parsedate_to_datetime(text or "")
    except (TypeError, ValueError):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def message_text(content: Any) -> tuple[str, bool]:
    """A message's text, which some servers send in parts or as read JSON, and whether some of the
    parts are thoughts.
    """
    if isinstance(content, str):
        return content.strip(), False
    parts = [content] if isinstance(content, dict) and "text" in content else content
    if isinstance(parts, list) and any(isinstance(part, dict | str) for part in parts):
        found = [
            part if isinstance(part, dict) else {"text": part}
            for part in parts
            if isinstance(part, dict | str)
        ]
        said = [
            part
            for part in found
            if not (THOUGHTS.search(str(part.get("type"))) or part.get("thought"))
        ]
        texts = [part["text"] for part in said if isinstance(part.get("text"), str)]
        return "".join(texts).strip(), len(said) < len(found)
    return ("" if content is None else json.dumps(content)), False


def refusal_part(content: Any) -> str | None:
    """The refusal among the parts of a message, if there is one."""
    parts = content if isinstance(content, list) else []
    return next(
        (str(part["refusal"]) for part in parts if isinstance(part, dict) and part.get("refusal")),
        None,
    )


def token_count(value: Any) -> int:
    """A count of tokens; 0 where the server does not tell."""
    return int(value) if isinstance(value, int | float) and 0 <= value < math.inf else 0


def shorten_reply(text: Any) -> str:
    """The first words of what a server said, on one line; of a web page what is seen of it."""
    said = str(text)
    words = " ".join((UNSEEN.sub(" ", said) if PAGE.match(said) else said).split())
    return words if len(words) <= 200 else words[:200] + "…"
