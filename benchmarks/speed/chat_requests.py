"""Processor time of a request to a language model that answers at once: through `Chat`, ledger and
all, beside a bare loop of httpx that sends the same bodies.

    python -m benchmarks.speed.chat_requests [--requests 1000] [--rounds 5] [--in-flight 32]
    python -m benchmarks.speed.chat_requests --memory 100000      # what a long session takes
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from benchmarks.speed.rows import add_json, compared, report, take_turns
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.connection import address_below
from gloss.models.chat_models.prompts import Answer, Conversation, Message, Prompt

BARE = "a bare loop of httpx"
ANSWER = json.dumps({"answers": [1, 0, 1, 0, 1]})
GENERATED = 17  # tokens, each with five alternatives


def main() -> None:
    """Print one line for each way of asking."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--logprobs", action="store_true", help="of the answer, five a token")
    parser.add_argument("--memory", type=int, default=0, metavar="REQUESTS")
    add_json(parser)
    chosen = parser.parse_args()
    if chosen.memory:
        measure_memory(chosen.memory, chosen.in_flight)
        return
    with instant_server(logprobs=chosen.logprobs) as url:
        chat = Chat("m", url, max_concurrent_requests=chosen.in_flight)
        prompts = [
            Prompt(
                (Message("system", "Answer."), Message("user", f"{number} " + "word " * 1200)),
                top_logprobs=5 * chosen.logprobs,
            )
            for number in range(chosen.requests)
        ]
        ways: dict[str, Callable[[], object]] = {
            BARE: lambda: asyncio.run(ask_bare(chat, prompts)),
            "asking through gloss": lambda: ask_chat(chat, prompts),
        }
        taken = take_turns(ways, chosen.rounds)
    unit = "CPU ms a request"
    rows = [compared(name, taken, BARE, 1000 / chosen.requests, unit) for name in ways]
    report(rows, chosen.json)


def measure_memory(requests: int, in_flight: int) -> None:
    """Print what this process holds after a tenth of so many requests, and after all."""

    def talks() -> Iterator[Conversation[None]]:
        for number in range(requests):
            if number in (requests // 10, requests - 1):
                held = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]
                print(f"{number:9,} requests: {int(held) / 1024:.1f} MiB", flush=True)
            yield talk(number)

    def talk(number: int) -> Conversation[None]:
        yield [Prompt((Message("user", f"{number} " + "word " * 100),), top_logprobs=0)]

    with instant_server(logprobs=False) as url, tempfile.TemporaryDirectory() as folder:
        chat = Chat("m", url, max_concurrent_requests=in_flight)
        ledger = Path(folder) / "answers.sqlite"
        begun = time.process_time()
        chat.run(talks(), np.random.default_rng(0), ledger=ledger)
        taken = time.process_time() - begun
        size = sum(each.stat().st_size for each in Path(folder).iterdir())
    print(
        f"{1000 * taken / requests:.2f} ms of processor time and {size / requests:.0f} bytes each"
    )


def ask_chat(chat: Chat, prompts: Sequence[Prompt]) -> None:
    """As a stage of a run asks, into a ledger on disk."""

    def talk(prompt: Prompt) -> Conversation[Answer]:
        [answer] = yield [prompt]
        return answer

    with tempfile.TemporaryDirectory() as folder:
        answers = chat.run(
            map(talk, prompts), np.random.default_rng(0), ledger=Path(folder) / "answers.sqlite"
        )
    assert all(answer.text == ANSWER for answer in answers)


async def ask_bare(chat: Chat, prompts: Sequence[Prompt]) -> None:
    """The same requests, and nothing but them."""
    slots = asyncio.Semaphore(chat.max_concurrent_requests)
    address = address_below(chat.base_url, "chat/completions")

    async with httpx.AsyncClient() as client:

        async def ask(prompt: Prompt) -> str:
            async with slots:
                reply = await client.post(address, json=chat.body(prompt))
                return reply.json()["choices"][0]["message"]["content"]

        assert set(await asyncio.gather(*map(ask, prompts))) == {ANSWER}


@contextmanager
def instant_server(*, logprobs: bool) -> Generator[str]:
    """The address of a process that says the same to everybody, at once."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.speed.chat_requests", "--serve", str(int(logprobs))],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def serve(logprobs: bool) -> None:
    """Answer every request with the same bytes, until killed."""
    alternatives = [{"token": f" t{n}", "logprob": -float(n)} for n in range(5)]
    token = {"token": " t0", "logprob": -0.1, "top_logprobs": alternatives}
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": ANSWER},
        "logprobs": {"content": [token] * GENERATED} if logprobs else None,
    }
    usage = {"prompt_tokens": 1500, "completion_tokens": GENERATED}
    body = json.dumps({"id": "x", "model": "m", "choices": [choice], "usage": usage}).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reply = head.encode() + body

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                lines = asked.decode("latin-1").lower().split("\r\n")
                [length] = [line[15:] for line in lines if line.startswith("content-length:")]
                await reader.readexactly(int(length))
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        print(f"http://{host}:{port}/v1", flush=True)
        await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(logprobs=sys.argv[2] == "1")
    else:
        main()
