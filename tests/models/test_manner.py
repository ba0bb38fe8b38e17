"""What servers refuse, in the words of many of them, and how they are asked after that."""

import json

import pytest

from gloss.models.chat_models.manner import (
    Manner,
    Refusal,
    fold_system_turns,
    learn_manner,
    manner_guesses,
)

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Name the temperature of max_tokens."},
]
PLAINLY = {
    "model": "m",
    "messages": TURNS,
    "temperature": 0.0,
    "max_tokens": 500,
    "logprobs": True,
    "top_logprobs": 5,
}
PLAIN = Manner()
PLAINLY |= {"response_format": {"type": "json_schema"}}


def heeded(text, status=400, manner=PLAIN, extra=None, enough=100):
    extra = extra or {}
    text = text if isinstance(text, str) else json.dumps(text)
    return learn_manner(
        manner, manner.apply(PLAINLY, extra), extra, Refusal(status, text, {}), enough
    )


def openai(message, param=None, code=None):
    return {
        "error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    }


def pydantic(*loc, message="Extra inputs are not permitted"):
    return {
        "detail": [
            {
                "type": "extra_forbidden",
                "loc": ["body", *loc],
                "msg": message,
                "input": {"temperature": 0, "role": "system"},
            }
        ]
    }


LIMIT, COLD, NO_LOGPROBS, FORMAT, TURN = (
    "limit",
    "temperature",
    "logprobs",
    "response_format",
    "system",
)
WORDINGS = [
    (
        400,
        openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
            " 'max_completion_tokens' instead.",
            "max_tokens",
        ),
        LIMIT,
    ),
    (
        400,
        openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
            " 'max_completion_tokens' instead."
        ),
        LIMIT,
    ),
    (400, "max_tokens is not taken by this model; send max_completion_tokens", LIMIT),
    (422, pydantic("max_tokens"), LIMIT),
    (
        400,
        {
            "object": "error",
            "message": (
                "[{'type': 'extra_forbidden', 'loc': ('body', 'max_tokens'), 'msg': 'Extra inputs"
                " are not allowed'}]"
            ),
        },
        LIMIT,
    ),
    (
        400,
        openai(
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default"
            " (1) value is supported.",
            "temperature",
        ),
        COLD,
    ),
    (400, openai("invalid temperature: only 1 is allowed for this model"), COLD),
    (400, openai("`temperature` is deprecated for this model."), COLD),
    (400, "this model has one temperature, 1", COLD),
    (403, openai("You are not allowed to request logprobs from this model"), NO_LOGPROBS),
    (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": (
                        'Invalid JSON payload received. Unknown name "logprobs": Cannot find field.'
                    ),
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        NO_LOGPROBS,
    ),
    (
        400,
        {"error": {"code": 400, "message": "Logprobs is not enabled for models/flash"}},
        NO_LOGPROBS,
    ),
    (422, pydantic("top_logprobs"), NO_LOGPROBS),
    (400, {"error": {"message": "this server does not support log probabilities"}}, NO_LOGPROBS),
    (400, 'Unknown field "max_tokens" in request; did you mean "max_completion_tokens"?', LIMIT),
    (422, openai("`maxTokens` cannot be set for this deployment"), LIMIT),
    (400, {"message": "property 'max_tokens' is unsupported"}, LIMIT),
    (
        400,
        openai("Please set max_completion_tokens, as the older name of the limit is gone"),
        LIMIT,
    ),
    (422, {"errors": [{"path": "temperature", "message": "is read-only"}]}, COLD),
    (400, openai("This response_format type is unavailable now"), FORMAT),
    (
        400,
        openai(
            "'response_format.type' : value is not one of the allowed values ['text','json_object']"
        ),
        FORMAT,
    ),
    (
        422,
        {
            "error": (
                "Failed to deserialize the JSON body into the target type: response_format: unknown"
                " variant `json_schema`"
            )
        },
        FORMAT,
    ),
    (400, openai("Invalid parameter: structured outputs are off", "response_format.type"), FORMAT),
    (400, "the system role is not supported", TURN),
    (400, {"object": "error", "message": "System role not supported", "code": 400}, TURN),
    (400, {"message": "Conversation roles must alternate user/assistant/user/assistant/..."}, TURN),
    (
        500,
        {
            "error": {
                "code": 500,
                "message": "raise_exception('System role not supported') at row 1, column 70",
            }
        },
        TURN,
    ),
    (
        500,
        {
            "error": {
                "code": 500,
                "message": "Only user, assistant and tool roles are supported, got system.",
            }
        },
        TURN,
    ),
    (
        400,
        openai(
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "messages[0].role",
        ),
        TURN,
    ),
    (422, pydantic("messages", 0, "role", message="Input should be 'user' or 'assistant'"), TURN),
    (
        400,
        {"error": {"message": "Developer instruction is not enabled for models/gemma-3-27b-it"}},
        TURN,
    ),
    (400, {"error": "the model does not support system"}, TURN),
    (400, {"error": "该模型不支持system消息"}, TURN),
]


@pytest.mark.parametrize("status, text, what", WORDINGS)
def test_what_is_refused_is_said_otherwise_and_nothing_else_changes(status, text, what):
    found = heeded(text, status)
    assert found is not None
    sent = found.apply(PLAINLY, {})
    changed = {
        LIMIT: {"max_tokens", "max_completion_tokens"},
        COLD: {"temperature"},
        NO_LOGPROBS: {"logprobs", "top_logprobs"},
        FORMAT: {"response_format"},
        TURN: {"messages"},
    }[what]
    assert {
        name for name in PLAINLY.keys() | sent.keys() if PLAINLY.get(name) != sent.get(name)
    } == changed
    again = heeded(text, status, found)
    assert what == LIMIT or again is None or again.apply(PLAINLY, {}) != sent


def test_a_limit_that_is_refused_by_both_names_is_left_out():
    newer = heeded("max_tokens is unknown")
    assert newer.apply(PLAINLY, {})["max_completion_tokens"] == 500
    none = heeded(
        openai("Unrecognized request argument supplied: max_completion_tokens"), manner=newer
    )
    assert not {"max_tokens", "max_completion_tokens"} & none.apply(PLAINLY, {}).keys()
    assert heeded("`maxTokens` cannot be set", manner=newer) == none


@pytest.mark.parametrize(
    "text, field, value",
    [
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 256]", "max_tokens", 256),
        ("`max_tokens` must be less than or equal to `256`", "max_tokens", 256),
        ("max_tokens is too large: 500. This model supports at most 256 completion tokens, you "
         "gave 500.", "max_tokens", 256),
        (openai("'max_tokens' or 'max_completion_tokens' is too large: 500. Its maximum context "
                "length is 1,024 tokens and your request has 724 input tokens"), "max_tokens", 300),
        ("This model's maximum context length is 1024 tokens. You requested 1124 tokens (624 in "
         "the messages, 500 in the completion).", "max_tokens", 400),
        ("Invalid 'max_tokens': integer below minimum value. Expected a value >= 1600, but got 500 "
         "instead.", "max_tokens", 1600),
        ("`temperature` must be strictly positive", "temperature", 0.01),
        ("temperature must be in (0.0, 2.0], got 0.0", "temperature", 0.01),
        ("Sampling temperature out of range: minimum is 0.1, maximum 2.0", "temperature", 0.1),
        ("temperature: ensure this value is greater than or equal to 1", "temperature", 1.0),
        ("`inputs` tokens + `max_new_tokens` must be <= 1024. Given: 624 `inputs` tokens and 500 "
         "`max_new_tokens`", "max_tokens", 400),
        ("Cannot request more than 2 logprobs", "top_logprobs", 2),
        (openai("5 is greater than the maximum of 1 - 'logprobs'", "logprobs"), "top_logprobs", 1),
    ],
)  # fmt: skip
def test_bounds_are_kept(text, field, value):
    assert heeded(text).apply(PLAINLY, {}) == PLAINLY | {field: value}


@pytest.mark.parametrize(
    "status, text",
    [
        (
            400,
            openai(
                "This model's maximum context length is 600 tokens; your request has 590 input"
                " tokens"
            ),
        ),
        (400, "unknown field"),
        (401, openai("Incorrect API key provided; roles are checked")),
        (404, openai("The model `m` does not exist")),
        (429, "temperature limits reached"),
        (500, "max_tokens made it fall over"),
        (403, "your role may not do that"),
        (
            400,
            openai(
                "Could not finish the message because max_tokens or model output limit was reached."
            ),
        ),
        (
            400,
            openai(
                "request (5000 tokens) exceeds the available context size (4096 tokens), try"
                " increasing it"
            ),
        ),
        (
            400,
            openai(
                "The input token count (1200) exceeds the maximum number of tokens allowed (512)."
            ),
        ),
        (
            400,
            openai(
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000,"
                " decrease `max_tokens`"
            ),
        ),
    ],
)
def test_what_names_nothing_that_could_be_said_otherwise_changes_nothing(status, text):
    assert heeded(text, status) is None


def test_fields_of_extra_win_and_nothing_is_said_twice():
    extra = {"max_completion_tokens": 2000, "temperature": 1, "logprobs": False}
    sent = Manner().apply(PLAINLY, extra)
    assert (sent["max_completion_tokens"], sent["temperature"], sent["logprobs"]) == (
        2000,
        1,
        False,
    )
    assert not {"max_tokens", "top_logprobs"} & sent.keys()
    assert (
        heeded("max_completion_tokens must be at most 1000, and the temperature 1", extra=extra)
        is None
    )
    assert "max_completion_tokens" not in Manner(limit="max_completion_tokens").apply(
        PLAINLY, {"max_tokens": 9}
    )


def test_turns_of_the_system_open_those_of_the_user():
    turns = [
        ("system", "a"),
        ("user", "b"),
        ("assistant", "c"),
        ("system", "d"),
        ("user", "e"),
        ("user", "f"),
        ("assistant", "g"),
    ]
    found = fold_system_turns([{"role": role, "content": text} for role, text in turns])
    assert [(turn["role"], turn["content"]) for turn in found] == [
        ("user", "a\n\nb"), ("assistant", "c"), ("user", "d\n\ne\n\nf"), ("assistant", "g"),
    ]  # fmt: skip
    # what was given stays as it was
    assert TURNS[1]["content"] == "Name the temperature of max_tokens."


def test_guesses_are_few_and_the_last_is_the_barest():
    every = list(manner_guesses(Manner()))
    assert len(set(every)) == len(every) < 10
    assert set(every[-1].apply(PLAINLY, {})) == {"model", "messages", "response_format"}
