"""Processor time of a request of scores that ask, with all that belongs to it: prompts, HTTP,
reading, ledger, intervals, records. Beside it a loop of httpx that sends as large a body as often
and reads the same answers, in the same process.

    python -m benchmarks.speed.score_requests EXPERIMENT.toml [--rounds 3]
    python -m benchmarks.speed.score_requests EXPERIMENT.toml --requests 100000 [--delay 0.5]

The experiment has explanations already, and scores that ask its only [chat]; its scores are made
anew in each round, into another folder. With `--requests` they are made once, up to so many
requests, and the memory of this process is printed every ten seconds, with what the server sees in
flight: an instant one sees few, one that waits `--delay` seconds before each answer as many as are
asked at once.
"""

import argparse
import asyncio
import json
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from benchmarks.speed.rows import Row, add_json, compared, report, take_turns
from gloss.models.chat_models.account import Capped
from gloss.models.chat_models.ledger import Ledger
from gloss.run.chat_capabilities import ledger_path
from gloss.run.experiment import Experiment
from gloss.run.pipeline import run_until

BARE, SCORES = "a bare loop of httpx", "scores, with everything"
IN_FLIGHT = 32
SEEN = "/seen"  # where the server says what it saw
SAMPLED_EVERY = 10.0  # seconds
BARE_REQUESTS = 4000  # beside a long run
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
    parser.add_argument("--requests", type=int, help="once, so many at most, with memory")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    add_json(parser)
    chosen = parser.parse_args()
    asked = Experiment.read(chosen.experiment).tables()
    with judge(chosen.delay) as url, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        shutil.copytree(asked["run"]["folder"], folder)
        asked["run"]["folder"] = str(folder)
        asked["chat"] |= {"base_url": url} | ({"max_requests": n} if (n := chosen.requests) else {})
        experiment = Experiment.of(asked)

        def score() -> None:
            shutil.rmtree(folder / "score", ignore_errors=True)
            for each in folder.glob("answers.sqlite*"):
                each.unlink()
            with suppress(Capped):
                run_until(experiment, "score")

        if chosen.requests:
            report(watch_memory(score, url), chosen.json)
            return
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


def watch_memory(score: Callable[[], object], url: str) -> list[Row]:
    """What scores take that are made once, and what this process holds meanwhile."""
    over, begun = threading.Event(), time.monotonic()
    samples: list[tuple[int, float]] = []  # requests, MiB

    def sample() -> None:
        while not over.wait(SAMPLED_EVERY):
            seen = seen_by_server(url)
            samples.append((seen["requests"], memory_mib()))
            print(
                f"{time.monotonic() - begun:6.0f} s {seen['requests']:>8,} requests"
                f" {samples[-1][1]:7.1f} MiB, {seen['now']} in flight",
                flush=True,
            )

    watching = threading.Thread(target=sample, daemon=True)
    watching.start()
    before = time.process_time()
    score()
    taken = time.process_time() - before
    over.set()
    watching.join()
    seen = seen_by_server(url)
    with judge() as instant:
        before = time.process_time()
        asyncio.run(ask_bare(instant, BARE_REQUESTS))
        bare = (time.process_time() - before) / BARE_REQUESTS
    own = taken / seen["requests"]
    # the first tenth of the samples is what the beginning needs
    early = [mib for count, mib in samples if count >= seen["requests"] / 10]
    return [
        Row("requests", seen["requests"], "in all"),
        Row("in flight", seen["most"], f"at most, {seen['mean']:.1f} in the mean"),
        Row(BARE, 1000 * bare, "CPU ms a request"),
        Row(SCORES, 1000 * own, "CPU ms a request", own / bare, BARE),
        *(
            Row(name, mib, "MiB", mib / early[0], "that after a tenth of the requests")
            for name, mib in (("memory, at the most", max(early)), ("memory, last", early[-1]))
            if early
        ),
    ]


def memory_mib() -> float:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def seen_by_server(url: str) -> dict[str, Any]:
    """What the server counted: requests, how many were in flight at most, in the mean, and now."""
    with urllib.request.urlopen(url.removesuffix("/v1") + SEEN) as answer:
        return json.loads(answer.read())


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
def judge(delay: float = 0.0) -> Generator[str]:
    """The address of a process that tosses a coin for each context, at once or after a while."""
    command = [sys.executable, "-m", "benchmarks.speed.score_requests", "--serve", str(delay)]
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


class Flight:
    """What a server has in flight: read, and not answered."""

    def __init__(self) -> None:
        self.requests = self.now = self.most = 0
        self.begun = self.changed = time.monotonic()
        self.held = 0.0  # requests times seconds

    def change(self, by: int) -> None:
        """One more, or one less."""
        at = time.monotonic()
        if not self.requests:
            self.begun = at
        self.held += self.now * (at - self.changed)
        self.now, self.changed = self.now + by, at
        self.requests, self.most = self.requests + (by > 0), max(self.most, self.now)

    def seen(self) -> dict[str, float]:
        """All that was counted, until the last change."""
        mean = self.held / max(self.changed - self.begun, 1e-9)
        return {"requests": self.requests, "most": self.most, "mean": mean, "now": self.now}


def serve(delay: float) -> None:
    """Answer until killed."""
    flight = Flight()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                known = " /v1/chat/completions " in head
                length = re.search(r"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                if known:
                    flight.change(1)
                    if delay:
                        await asyncio.sleep(delay)
                    said = reply(json.loads(body))
                    flight.change(-1)
                else:
                    said = json.dumps(flight.seen()).encode()
                status = b"200 OK" if known or f" {SEEN} " in head else b"404 Not Found"
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (status, len(said), said)
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
        serve(float(sys.argv[2]))
    else:
        main()
