"""Endpoints with a will of their own: a process on loopback, whose behaviour is the first part of
the address.

`with peculiar() as server:` starts it; `server.url("newer")` is a base_url, `server.asked("newer")`
all bodies that it got there.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

LIMITS = ("max_tokens", "max_completion_tokens")
THOUGHT = "I weigh [1, 1, 1].\n[interpretation]: DRAFT of a thought\n"
NEEDED = 300  # tokens of a thought
STREAM = (
    "This model only support stream mode, please enable the stream parameter to access the model."
)
PATIENT = 3  # requests after which "turncoat" does not know max_tokens any more


@dataclass
class Server:
    address: str
    log: Path

    def url(self, who):
        return f"{self.address}/{who}/v1"

    def asked(self, who):
        """Bodies of chats, those that greet left out."""
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [body for name, body in found if name == who and "Say hello" not in json.dumps(body)]


@contextmanager
def peculiar():
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        log.touch()
        with subprocess.Popen(
            [sys.executable, __file__, str(log)], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}", log)
            finally:
                process.kill()


class Refused(Exception):
    def __init__(self, status, content):
        self.status, self.content = status, content


def refuse(words, status=400, param=None):
    raise Refused(
        status, {"error": {"message": words, "type": "invalid_request_error", "param": param}}
    )


def newer(body):
    if "max_tokens" in body:
        refuse(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
            " 'max_completion_tokens'.",
            400,
            "max_tokens",
        )
    if body.get("temperature", 1) != 1:
        refuse(
            "Unsupported value: 'temperature' does not support 0.0 with this model.",
            400,
            "temperature",
        )
    if "logprobs" in body:
        refuse("You are not allowed to request logprobs from this model", 403)


def strict(body):
    for name in ("max_tokens", "logprobs", "top_logprobs", "response_format"):
        if name in body:
            raise Refused(
                422,
                {
                    "detail": [
                        {
                            "type": "extra_forbidden",
                            "loc": ["body", name],
                            "msg": "Extra inputs",
                            "input": body[name],
                        }
                    ]
                },
            )


def silent(body):
    if set(body) - {"model", "messages", "max_completion_tokens"}:
        refuse("参数错误")


def no_system(body):
    if any(turn["role"] == "system" for turn in body["messages"]):
        refuse("System role not supported")
    alternating(body)


def template_falls_over(body):
    if any(turn["role"] == "system" for turn in body["messages"]):
        refuse(
            "raise_exception('Conversation roles must alternate user/assistant/...') at row 19", 500
        )
    alternating(body)


def alternating(body):
    if [turn["role"] for turn in body["messages"]] != (["user", "assistant"] * 99)[
        : len(body["messages"])
    ]:
        refuse("roles must alternate, and yours did not")


def low(body):
    if body.get("max_tokens", 0) > 120:
        refuse(
            f"max_tokens is too large: {body['max_tokens']}. This model supports at most 120"
            " completion tokens.",
            400,
            "max_tokens",
        )


def too_long(body):
    if len(body["messages"]) > 2:
        refuse("the request exceeds the available context size (512 tokens), try increasing it")


REFUSERS = {
    "too_long": too_long,
    "newer": newer,
    "strict": strict,
    "silent": silent,
    "no_system": no_system,
    "template": template_falls_over,
    "low": low,
    "stream": lambda body: refuse(STREAM),
    "impatient": lambda body: refuse("temperature and max_tokens are odd today", 429),
}
THINKERS = {
    "think": ("<think>\n", "\n</think>\n\n"),
    "template_thinks": ("", "</think>"),
    "magistral": ("[THINK]", "[/THINK]"),
    "harmony": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
}
FIELDS = {"field": "reasoning_content", "router": "reasoning"}


def message(who, said, limit, number):
    """The message, why it ended, and tokens of thought."""
    cut = limit is not None and limit < NEEDED
    if who in THINKERS:
        before, after = THINKERS[who]
        return (
            ({"content": before + THOUGHT}, "length", 0)
            if cut
            else ({"content": before + THOUGHT + after + said}, "stop", 0)
        )
    if who in FIELDS:
        beside = {FIELDS[who]: THOUGHT}
        return (
            ({"content": None, **beside}, "length", 0)
            if cut
            else ({"content": said, **beside}, "stop", 0)
        )
    if who == "hidden":
        return ({"content": ""}, "length", limit) if cut else ({"content": said}, "stop", NEEDED)
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]},
        {"type": "text", "text": said},
    ]
    found = {
        "parts": ({"content": parts}, "stop"),
        "null": ({"content": None}, "stop"),
        "tool": (
            {"content": None, "tool_calls": [{"function": {"name": "answer", "arguments": said}}]},
            "tool_calls",
        ),
        "refuses": ({"content": None, "refusal": "I will not."}, "stop"),
        "swallowed": ({"content": None, "reasoning_content": said}, "stop"),
        "cut": ({"content": f"[interpretation]: {said} and"}, "MAX_TOKENS"),
        "babbles": ({"content": "Well, that is hard to say."}, "stop"),
        "half": ({"content": said if number % 2 else "Well."}, "stop"),
    }.get(who, ({"content": said}, "stop"))
    return (*found, 0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    counts, lock, log = Counter(), Lock(), None

    def log_message(self, *_):
        pass

    def send(self, status, content, kind="application/json"):
        payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        who, key = self.path.split("/")[1], self.headers.get("authorization", "")
        if "chat" not in self.path and who != "page":
            return self.send(404, {"error": {"message": "no completions here"}})
        with self.lock:
            self.counts[who] += 1
            number = self.counts[who]
            with self.log.open("a") as log:
                log.write(json.dumps([who, body]) + "\n")
        if who == "locked":
            return self.send(
                401, {"error": {"message": f"wrong key: {key}", "headers": {"Authorization": key}}}
            )
        if who == "page":
            return self.send(
                200, "<!doctype html><html><body><h1>Welcome</h1></body></html>", "text/html"
            )
        if who == "events":
            return self.send(200, 'data: {"choices": []}\n\ndata: [DONE]\n', "text/event-stream")
        try:
            if who == "turncoat" and number > PATIENT and "max_tokens" in body:
                refuse("Unrecognized request argument supplied: max_tokens")
            REFUSERS.get(who, lambda body: None)(body)
        except Refused as problem:
            return self.send(problem.status, problem.content)
        asked = body["messages"][-1]["content"]
        said = f"I was sent {key} for: {asked}" if who == "parrot" else f"echo {asked}"
        limit = next((body[name] for name in LIMITS if name in body), None)
        told, finish, thought = message(who, said, limit, number)
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
        choice = {"index": 0, "message": {"role": "assistant", **told}, "finish_reason": finish}
        return self.send(200, {"choices": [choice], "usage": usage})


if __name__ == "__main__":
    Handler.log = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
