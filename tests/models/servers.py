"""A scripted endpoint that speaks chat completions: a process of its own on loopback, which fails
as it is told to.

`serve(...)` starts it. Its settings: `faults` (share of requests that fail at random), `kinds`
(which faults), `script` (faults for the first requests, in order), `answer` (who replies: "echo",
"parrot", "fixed", a judge), `seconds` (how long a reply takes), `allows` (how many requests at
once; others are turned away with the fault `turns_away_with`), `pauses_after` (how many requests
are answered before the others wait for `go_on`).
"""

import asyncio
import hashlib
import json
import math
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

RANDOM_FAULTS = (
    *("429", "429_date", "500", "503", "garbage", "truncated"),
    *("empty", "drop", "drop_midway", "empty_message", "error_200"),
)


@dataclass
class Server:
    """A running endpoint: where it is, and what it was asked."""

    base_url: str
    log: Path
    process: subprocess.Popen

    def requests(self) -> list[dict]:
        """Every request so far: its prompt, what was done with it, and its whole body."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def go_on(self) -> None:
        """Answer what has waited since `pauses_after`, and all that comes."""
        self.log.with_suffix(".on").touch()

    def tries(self) -> int:
        """How many requests tried the endpoint out; these are none of the others."""
        kept = self.log.with_suffix(".tries")
        return len(kept.read_text().splitlines()) if kept.exists() else 0

    def after(self, number: int) -> list[dict]:
        """Every request, once there are so many: the log is written when the reply has gone out."""
        for _ in range(100):
            if len(found := self.requests()) >= number:
                return found
            time.sleep(0.05)
        raise TimeoutError(f"{len(self.requests())} requests, wanted {number}")

    def answered(self) -> Counter:
        """How often each prompt was answered in full."""
        return Counter(
            request["prompt"] for request in self.requests() if request["action"] == "ok"
        )


@contextmanager
def serve(**settings):
    """A server process; it ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests.jsonl"
        log.touch()
        command = [sys.executable, __file__, str(log), json.dumps(settings)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                port = int(process.stdout.readline())
                yield Server(f"http://127.0.0.1:{port}/v1", log, process)
            finally:
                process.kill()


def completion(text, **changes) -> dict:
    message = {"role": "assistant", "content": text} | changes.pop("message", {})
    choice = {"index": 0, "message": message, "finish_reason": "stop"} | changes.pop("choice", {})
    usage = {"prompt_tokens": 10, "completion_tokens": 5} | changes.pop("usage", {})
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


SPECIAL = {
    "empty_message": completion(""),
    "refusal": completion(None, message={"refusal": "I will not."}),
    "filter": completion(None, choice={"finish_reason": "content_filter"}),
    "length": completion("", choice={"finish_reason": "length"}),
    "no_message": {"choices": []},
    "error_200": {"error": {"code": 502, "message": "provider fell over"}},
    "flagged_200": {"error": {"code": 403, "message": "input was flagged"}},
    "priced": completion("dear", usage={"cost": 0.25}),
    "parts": completion([{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]),
    "logprobs": completion(
        "1",
        choice={
            "logprobs": {
                "content": [
                    {
                        "token": "1",
                        "logprob": -0.1,
                        "top_logprobs": [{"token": "0", "logprob": -2.4}],
                    }
                ]
            }
        },
    ),
}
STATUSES = {
    "400": "unknown field",
    "400_long": "This model's maximum context length is 4096 tokens",
    "400_filter": "content_filter: the prompt was filtered",
    "401": "Incorrect API key provided",
    "402": "Insufficient credits",
    "404": "The model `m` does not exist",
    "429_quota": "insufficient_quota",
    "429_long": "come back tomorrow",
    "500": "internal error",
    "503": "overloaded",
    "429": "slow down",
    "429_1": "slow down",
    "429_date": "slow down",
}


FILLERS = (
    "stone",
    "river",
    "seven",
    "green",
    "often",
    "under",
    "walks",
    "quiet",
    "north",
    "bread",
    "glass",
    "early",
)
PICKERS = {"odd one out", "named", "pick at random"}


class Endpoint:
    """Does with each request what the settings say."""

    def __init__(self, log, settings):
        self.log = log
        self.settings = settings
        self.random = random.Random(settings.get("seed", 0))
        self.script = list(settings.get("script", ()))
        self.at_once = self.taken = 0

    def action(self) -> str:
        if self.script:
            return self.script.pop(0)
        if self.random.random() < self.settings.get("faults", 0):
            return self.random.choice(self.settings.get("kinds", RANDOM_FAULTS))
        return self.settings.get("always", "ok")

    async def connected(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        return await self.respond(head, reader, writer)

    async def respond(self, head, reader, writer) -> bool:
        if head.startswith("GET"):  # is it there?
            return await self.send(writer, 200, {}, "")
        body = json.loads(
            await reader.readexactly(int(re.search(r"(?i)content-length: (\d+)", head)[1]))
        )
        prompt = body["messages"][-1]["content"] if "messages" in body else ""
        # it is tried out: no plain texts here, and plain chats
        if prompt.startswith("Say hello in three") or "prompt" in body:
            with Path(self.log.name).with_suffix(".tries").open("a") as tries:
                tries.write(json.dumps(body) + "\n")
            return await self.reply(writer, "ok" if prompt else "404", body, prompt)
        action = self.action()
        self.at_once += 1
        self.taken += 1
        at_once = self.at_once
        if self.taken > self.settings.get("pauses_after", math.inf):
            while not Path(self.log.name).with_suffix(".on").exists():
                await asyncio.sleep(0.02)
        if at_once > self.settings.get("allows", math.inf):
            action = self.settings["turns_away_with"]
        keep = await self.reply(writer, action, body, prompt)
        record = {
            "prompt": prompt,
            "action": action,
            "at_once": at_once,
            "at": time.time(),
            "body": body,
        }
        record["key"] = re.search(r"(?i)authorization: (.*)", head)[1].strip()
        self.log.write(json.dumps(record) + "\n")
        self.at_once -= 1
        return keep

    async def reply(self, writer, action, body, prompt) -> bool:
        if action != self.settings.get("turns_away_with"):
            await asyncio.sleep(self.settings.get("seconds", 0))
        if action == "hang":
            await asyncio.sleep(self.settings.get("hang_seconds", 30))
        if action == "drop":
            return False
        if action in STATUSES:
            return await self.send(
                writer, int(action[:3]), {"error": {"message": STATUSES[action]}}, waits(action)
            )
        if "top_logprobs" in body and self.settings.get("refuses_logprobs"):
            return await self.send(
                writer, 400, {"error": {"message": "logprobs are not supported by this model"}}, ""
            )
        payload = json.dumps(
            SPECIAL.get(action)
            or (self.embeddings(body) if "input" in body else self.completed(prompt, body))
        )
        payload = payload.encode()
        if action == "garbage":
            payload = b"<html>502 Bad Gateway</html>"
        if action == "truncated":
            payload = payload[: len(payload) // 2]
        if action == "empty":
            payload = b""
        if action == "drop_midway":
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n"
                + payload[:20]
            )
            await writer.drain()
            return False
        return await self.send(writer, 200, payload, "")

    async def send(self, writer, status, payload, headers) -> bool:
        payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        head = (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length:"
            f" {len(payload)}\r\n\r\n"
        )
        writer.write(head.encode() + payload)
        await writer.drain()
        return True

    def completed(self, prompt, body) -> dict:
        """The answer; with the alternatives of each of its tokens where the judge has "separation"
        and is asked for them.
        """
        text = self.answer(prompt)
        if "separation" not in self.settings or "top_logprobs" not in body:
            return completion(text)
        likely = iter(self.likely(prompt))
        tokens = []
        for token in re.findall(r'\{"answers": \[|,? ?\d|\]\}', text):
            before, said = token[:-1], token[-1]
            yes = next(likely) if said.isdecimal() else 1.0
            shares = (
                {before + "1": yes, before + "0": 1 - yes, "\n": 1e-6}
                if said.isdecimal()
                else {token: 1.0}
            )
            top = [{"token": t, "logprob": math.log(p)} for t, p in shares.items() if p > 0]
            tokens.append(
                {
                    "token": token,
                    "logprob": math.log(max(shares[token], 1e-30)),
                    "top_logprobs": top,
                }
            )
        return completion(text, choice={"logprobs": {"content": tokens}})

    def likely(self, prompt) -> list[float]:
        """P(yes) of each context: its log-odds are normal, `separation` apart where the word stands
        and where it does not.
        """
        apart = self.settings["separation"]
        return [
            1
            / (
                1
                + math.exp(
                    -random.Random(text).gauss(
                        apart / 2 if self.holds(prompt, text) else -apart / 2, 1
                    )
                )
            )
            for text in read_texts(prompt)
        ]

    def embeddings(self, body) -> dict:
        """Each text as the sum of a direction for each of its words, last text first."""

        def direction(word):
            drawn = random.Random(word)
            return [drawn.gauss(0, 1) for _ in range(16)]

        rows = [
            [sum(one) for one in zip(*map(direction, text.split() or [""]), strict=True)]
            for text in body["input"]
        ]
        data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
        return {
            "object": "list",
            "model": "m",
            "data": data[::-1],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }

    def answer(self, prompt) -> str:
        who = self.settings.get("answer", "echo")
        if who == "parrot":
            return prompt
        if who == "echo":
            return f"echo {hashlib.sha256(prompt.encode()).hexdigest()[:12]}"
        if who == "fixed":
            return self.settings["text"]
        if who in PICKERS:
            return self.pick(who, prompt)
        if asked := re.search(r"(?m)^Write (\d+) texts\.$", prompt):
            return self.written(who, prompt, int(asked[1]))
        if who == "writer":
            return self.hypothesis(prompt)
        if who == "reader" and not re.search(r"(?m)^Explanation: ", prompt):
            marked = Counter(
                run.strip()
                for run in re.findall(r"<<(.+?)>>", prompt.partition("Contexts:")[2])
                if re.search(r"^[^\\`]*\w[^\\`]*$", run)
            )
            return (
                f"[interpretation]: the token `{marked.most_common(1)[0][0]}`"
                if marked
                else "I cannot say."
            )
        return self.judge("perfect" if who == "reader" else who, prompt)

    def hypothesis(self, prompt) -> str:
        """Says something else to every prompt that asks for an explanation, and judges by its word:
        some contexts that it marks, and some that it does not.
        """
        pairs_wanted = re.search(r"(?m)^Write \d+ pairs\.$", prompt)
        if re.search(r"(?m)^Set \d+:$", prompt):
            return self.pick("odd one out", prompt)
        if "\nTokens:" in prompt:
            return json.dumps({"activations": {}})
        if re.search("(?m)^Explanation: ", prompt) and "\nContexts:" in prompt and not pairs_wanted:
            return self.judge("perfect", prompt)
        number = int(hashlib.sha256(prompt.encode()).hexdigest()[:6], 16)
        words = re.findall(r"<<\W*(\w+)", prompt.split("Contexts:")[-1]) or ["the"]
        said = f"the token `{words[number % len(words)]}`, in case {number}"
        if pairs_wanted:
            pairs = [[f"{word} and so on", "nothing of the kind"] for word in words[:8]]
            return json.dumps({"explanation": said, "pairs": pairs})
        return f"[interpretation]: {said}"

    def written(self, who, prompt, number) -> str:
        """Texts: everybody but "unrelated" puts the word in backticks that the description names
        into each of them.
        """
        word = re.search(r"(?m)^Description: .*?`(.+?)`", prompt)
        texts = []
        for _ in range(number):
            words = self.random.choices(FILLERS, k=12)
            if word and who != "unrelated":
                words.insert(6, json.loads(f'"{word[1]}"').strip())
            texts.append(" ".join(words))
        return json.dumps({"texts": texts})

    def pick(self, who, prompt) -> str:
        """Judges of riddles: "odd one out" picks the candidate whose marked words no other has,
        "named" the one that the explanation's word in backticks marks.
        """
        sets = re.split(r"(?m)^Set \d+:$", prompt)[1:]
        if self.random.random() < self.settings.get("malformed", 0):
            return "It could be any of them."
        word = re.search(r"(?m)^Explanation: .*`(.*?)`", prompt)
        answers = []
        for texts in (re.split(r"(?m)^\d+: ", part)[1:] for part in sets):
            marked = [
                {word for run in re.findall("<<(.*?)>>", text) for word in run.split()}
                for text in texts
            ]
            right = [
                not words & set().union(*(o for o in marked if o is not words)) for words in marked
            ]
            if who == "named":
                right = [word[1] in words for words in marked]
            known = [place for place, is_right in enumerate(right, start=1) if is_right]
            guess = (
                who == "pick at random"
                or not known
                or self.random.random() < self.settings.get("wrong", 0)
            )
            answers.append(
                self.random.randint(1, len(texts)) if guess else self.random.choice(known)
            )
        return json.dumps({"answers": answers})

    def judge(self, who, prompt) -> str:
        """Judges read the prompt as a model would.

        "perfect" looks for the word in backticks that the explanation names.
        """
        texts, chance = (
            read_texts(prompt),
            random.Random(f"{self.settings.get('seed', 0)} {prompt}"),
        )
        if chance.random() < self.settings.get("malformed", 0):
            return chance.choice(
                [
                    "Sorry, I am not sure.",
                    json.dumps({"answers": [1] * (len(texts) + 1)}),
                    '{"answers": [1, 0',
                ]
            )
        if who == "perfect":
            answers = [int(self.holds(prompt, text)) for text in texts]
        elif who == "first word" or (who == "yes in lists" and len(texts) == 1):
            answers = [int(self.holds_any(prompt, text)) for text in texts]
        elif who == "graded":
            answers = [int(yes > 0.5) for yes in self.likely(prompt)]
        elif who == "random":
            answers = [chance.randrange(2) for _ in texts]
        else:
            answers = [int(who in ("yes", "yes in lists"))] * len(texts)
        answers = [1 - a if chance.random() < self.settings.get("wrong", 0) else a for a in answers]
        return json.dumps({"answers": answers})

    def holds_any(self, prompt, text) -> bool:
        """Whether a word in backticks or quotes stands in the text, or between its marks."""
        told = re.search(r"(?m)^Explanation: (\".*\")$", prompt)[1]
        words = {word.strip() for word in re.findall("`+ ?(.+?) ?`+", json.loads(told))}
        if marks := re.search(r"(?m)^Marks: (\S+) and (\S+)$", prompt):
            text = " ".join(
                re.findall(re.escape(marks[1]) + "(.*?)" + re.escape(marks[2]), text, re.DOTALL)
            )
        return bool(words & set(re.findall(r"\w+", text)))

    def holds(self, prompt, text) -> bool:
        word = re.search(r"(?m)^Explanation: .*`(.*?)`", prompt)[1]
        if marks := re.search(r"(?m)^Marks: (\S+) and (\S+)$", prompt):
            marked = re.findall(
                re.escape(marks[1]) + "(.*?)" + re.escape(marks[2]), text, re.DOTALL
            )
            return bool(marked) and all(one == word for run in marked for one in run.split())
        return word in text.split()


def read_texts(prompt) -> list[str]:
    """The numbered contexts."""
    return [json.loads(text) for text in re.findall(r'(?m)^\d+: (".*")$', prompt)]


def waits(action) -> str:
    """The headers that ask for patience."""
    if action == "429":
        return "retry-after: 0.05\r\n"
    if action == "429_1":
        return "retry-after: 1\r\n"
    if action == "429_long":
        return "retry-after: 86400\r\n"
    if action == "429_date":
        return f"date: {formatdate(usegmt=True)}\r\nretry-after: {formatdate(usegmt=True)}\r\n"
    return ""


async def main(log, settings, kind=Endpoint):
    endpoint = kind(log, settings)
    server = await asyncio.start_server(
        endpoint.connected, "127.0.0.1", settings.get("port", 0), limit=1 << 24
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with open(sys.argv[1], "a", buffering=1) as log:  # noqa: PTH123
        asyncio.run(main(log, json.loads(sys.argv[2])))
