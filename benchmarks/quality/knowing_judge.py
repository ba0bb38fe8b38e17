"""A judge who knows what planted labels mean and errs at a known rate: a process of its own that
answers chats over a socket, as a language model's server does.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

import numpy as np

from benchmarks.quality.reader import QUOTED, Reader, explanation
from gloss.rules.reading import read_label


@dataclass(frozen=True)
class KnowingJudge:
    """Answers by running what a label means, and says the opposite of so many contexts."""

    meanings: Mapping[str, str]  # the rule of each label in words
    strings: tuple[str, ...]  # of the vocabulary
    wrong: float  # the share of its answers, of either kind

    def answer(self, asked: str) -> str:
        """What it says to a prompt of `detection` or `fuzzing`."""
        reader = Reader({text: at for at, text in enumerate(self.strings)}, np.random.default_rng())
        label, texts = explanation(asked), [json.loads(found) for found in QUOTED.findall(asked)]
        rule = self.meanings.get(label) or str(getattr(read_label(label), "rule", ""))
        shares = reader.marked_shares(rule, texts, asked)
        said = [
            int((share > 0.5) != (drawn_share(label, text) < self.wrong))
            for share, text in zip(shares, texts, strict=True)
        ]
        return json.dumps({"answers": said})


def drawn_share(*about: str) -> float:
    """A number from 0 to 1 that these texts decide."""
    return int(hashlib.sha256("\n".join(about).encode()).hexdigest()[:8], 16) / 16**8


@contextmanager
def serve_judge(judge: KnowingJudge) -> Iterator[str]:
    """The address of the judge's process, which ends with the block."""
    spawning = multiprocessing.get_context("spawn")
    receiving, sending = spawning.Pipe(duplex=False)
    process = spawning.Process(target=be_judge, args=(judge, sending), daemon=True)
    process.start()
    sending.close()
    try:
        yield f"http://127.0.0.1:{receiving.recv()}/v1"
    finally:
        process.kill()
        process.join()


def be_judge(judge: KnowingJudge, sending: Connection) -> None:
    """Serve on a port that is told first, until killed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            messages = body.get("messages")
            said = judge.answer(messages[-1]["content"]) if messages else ""
            message = {"role": "assistant", "content": said}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            reply = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            payload = json.dumps(reply | {"choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *args: object) -> None:
            """Nothing: the terminal is the benchmark's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sending.send(server.server_port)
    server.serve_forever()
