"""Processor time of a request of scores that ask, with all that belongs to it: prompts, HTTP,
reading, ledger, intervals, records. Beside it a loop of httpx that sends as large a body as often
and reads the same answers, in the same process.

    python -m benchmarks.speed.score_requests EXPERIMENT.toml [--rounds 3]

The experiment has explanations already, and scores that ask its only [chat]; its scores are made
anew in each round, into another folder.
"""

import argparse
import asyncio
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.speed.rows import add_json, compared, report, take_turns
from gloss.models.chat_models.ledger import Ledger
from gloss.run.chat_capabilities import ledger_path
from gloss.run.experiment import Experiment
from gloss.run.pipeline import run_until

BARE, SCORES = "a bare loop of httpx", "scores, with everything"
IN_FLIGHT = 32
ALTERNATIVES = ("0", "1", " 0", " 1")
BODY = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "word " * 400},
        {"role": "user", "content": "".join(f'{n}: "{"word " * 40}"\n' for n in range(25))},
    ],
    "logprobs": True,
    "top_logprobs": 5,
}


def main() -> None:
    """Print one line for each way of asking."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    add_json(parser)
    chosen = parser.parse_args()
    asked = Experiment.read(chosen.experiment).tables()
    with judge() as url, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        shutil.copytree(asked["run"]["folder"], folder)
        asked["run"]["folder"] = str(folder)
        asked["chat"] |= {"base_url": url}
        experiment = Experiment.of(asked)

        def score() -> None:
            shutil.rmtree(folder / "score", ignore_errors=True)
            for each in folder.glob("answers.sqlite*"):
                each.unlink()
            run_until(experiment, "score")

        score()  # imports, and tries the judge out
        with Ledger(ledger_path(folder)) as ledger:
            requests = len(ledger)
        ways: dict[str, Callable[[], object]] = {
            BARE: lambda: asyncio.run(ask_bare(url, requests)),
            SCORES: score,
        }
        taken = take_turns(ways, chosen.rounds)
    print(f"{requests:,} requests")
    unit = "CPU ms a request"
    report([compared(name, taken, BARE, 1000 / requests, unit) for name in ways], chosen.json)


async def ask_bare(url: str, requests: int) -> None:
    """So many requests, a client for each that is in flight."""
    body, left = json.dumps(BODY).encode(), iter(range(requests))
    encryption = httpx.create_ssl_context()

    async def ask() -> None:
        async with httpx.AsyncClient(verify=encryption, trust_env=False, timeout=300) as client:
            for _ in left:
                (await client.post(f"{url}/chat/completions", content=body)).json()

    await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))


@contextmanager
def judge() -> Generator[str]:
    """The address of a process that tosses a coin for each context, at once."""
    command = [sys.executable, "-m", "benchmarks.speed.score_requests", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def reply(body: dict[str, Any]) -> bytes:
    """What the judge says, with five alternatives a token."""
    text = body["messages"][-1]["content"] if "messages" in body else ""
    coins = random.Random(text)
    answers = [coins.randrange(2) for _ in re.findall(r'(?m)^\d+: "', text)]
    said = json.dumps({"answers": answers}) if answers else "hello hallo bonjour"
    tokens = re.findall(r'\{"answers": \[|, |\d|\]\}', said) or [said]
    rows = [
        {
            "token": token,
            "logprob": -0.1,
            "top_logprobs": [
                {"token": token, "logprob": -0.1},
                *({"token": each, "logprob": -2.5} for each in ALTERNATIVES),
            ],
        }
        for token in tokens
    ]
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": said},
        "logprobs": {"content": rows} if body.get("logprobs") else None,
    }
    usage = {"prompt_tokens": 1500, "completion_tokens": len(tokens)}
    return json.dumps({"id": "x", "model": "m", "choices": [choice], "usage": usage}).encode()


def serve() -> None:
    """Answer until killed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = re.search(r"content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                said = reply(json.loads(body or b"{}"))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(said), said)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 24)
        host, port = server.sockets[0].getsockname()
        print(f"http://{host}:{port}/v1", flush=True)
        await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve()
    else:
        main()
