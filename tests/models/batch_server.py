"""The scripted endpoint with the Files and Batches API of OpenAI, and the same behind files alone.

`serve_batches(scripts=[...], **settings)` starts it: each batch is ended by the next script, those
after the last without a fault. A script may say `end` (the status in the end), `answers` (how many
requests are answered before), `errors` (how many get an error line, of which `status` and `said`),
`missing` (how many get no line), `gone` (whether the answers are deleted), `code` and `message`
(why a batch is not taken), `seconds` (how long it is in progress). `without`: it has no such API.
`python batch_server.py IN OUT SETTINGS` answers a file as offline engines do.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

if __name__ == "__main__":  # its own folder is where it looks
    from servers import Endpoint, Server, main
else:
    from models.servers import Endpoint, Server, main

STEPS = ("validating", "in_progress", "finalizing")  # one a look


@contextmanager
def serve_batches(**settings):
    """A server process; it ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests.jsonl"
        log.touch()
        command = [sys.executable, __file__, "--serve", str(log), json.dumps(settings)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}/v1", log, process)
            finally:
                process.kill()


def batches(server: Server) -> list[dict]:
    """The batches that were begun."""
    kept = server.log.with_suffix(".batches")
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


def answer_offline(file: Path, output: Path, **settings) -> int:
    """Have a process answer a file; how many requests it held."""
    command = [sys.executable, __file__, str(file), str(output), json.dumps(settings)]
    subprocess.run(command, check=True)
    return len(file.read_text().splitlines())


class BatchingEndpoint(Endpoint):
    """Answers requests one by one, and in batches."""

    def __init__(self, log, settings):
        super().__init__(log, settings)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.scripts = list(settings.get("scripts", ()))

    async def respond(self, head, reader, writer) -> bool:
        method, target = head.split(" ", 2)[:2]
        path, query = urlsplit(target).path.removeprefix("/v1/"), parse_qs(urlsplit(target).query)
        if not path.startswith(("files", "batches")):
            return await super().respond(head, reader, writer)
        length = re.search(r"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        status, payload = self.called(method, path, query, head, body)
        return await self.send(writer, status, payload, "")

    def called(self, method, path, query, head, body):
        """The status and the payload of a call of the API."""
        if self.settings.get("without"):
            return 404, {"detail": "Not Found"}
        if method == "POST" and path == "files":
            return 200, {"id": self.add(uploaded(head, body)), "purpose": "batch"}
        if method == "POST" and path == "batches":
            return 200, self.begin(json.loads(body))
        if path == "batches":
            rows = [public(each) for each in reversed(self.batches.values())]
            after = query.get("after", [None])[0]
            start = next((n + 1 for n, row in enumerate(rows) if row["id"] == after), 0)
            return 200, {"data": rows[start : start + 1], "has_more": start + 1 < len(rows)}
        kind, number, *rest = path.split("/")
        if kind == "batches" and number in self.batches:
            return 200, self.look(self.batches[number])
        if kind == "files" and rest == ["content"] and number in self.files:
            return 200, self.files[number]
        return 404, {"error": {"message": f"no such thing: {path}"}}

    def add(self, content: bytes) -> str:
        name = f"file-{len(self.files) + 1}"
        self.files[name] = content
        return name

    def begin(self, asked: dict) -> dict:
        script = self.scripts.pop(0) if self.scripts else {}
        batch = asked | {
            "id": f"batch_{len(self.batches) + 1}",
            "object": "batch",
            "status": STEPS[0],
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "output_file_id": None,
            "error_file_id": "",
            "script": script,
            "begun": time.time(),
        }
        self.batches[batch["id"]] = batch
        with Path(self.log.name).with_suffix(".batches").open("a") as kept:
            lines = self.files[asked["input_file_id"]].splitlines()
            ids = [json.loads(line)["custom_id"] for line in lines]
            kept.write(json.dumps({"id": batch["id"], "requests": len(lines), "ids": ids}) + "\n")
        return public(batch)

    def look(self, batch: dict) -> dict:
        """What is said of a batch, which is one step further afterwards."""
        said, script = public(batch), batch["script"]
        if batch["status"] in STEPS:
            if script.get("code"):
                errors = [{"code": script["code"], "message": script["message"], "line": 1}]
                batch |= {"status": "failed", "errors": {"object": "list", "data": errors}}
            elif batch["status"] != STEPS[-1]:
                if time.time() - batch["begun"] >= script.get("seconds", 0):
                    batch["status"] = STEPS[STEPS.index(batch["status"]) + 1]
            else:
                self.end(batch)
        return said

    def end(self, batch: dict) -> None:
        script = batch["script"]
        asked = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        answered = asked[: script.get("answers", len(asked))]
        failed = answered[: script.get("errors", 0)]
        answered = answered[len(failed) + script.get("missing", 0) :]
        error = {"message": script.get("said", "the engine fell over")}
        refused = [
            {"custom_id": each["custom_id"], "response": {"status_code": status, "body": body}}
            for each in failed
            for status, body in [(script.get("status", 500), {"error": error})]
        ]
        if script.get("end") == "expired":
            gone = {"code": "batch_expired", "message": "it was not over within the window"}
            late = asked[script.get("answers", len(asked)) :]
            refused += [
                {"custom_id": each["custom_id"], "response": None, "error": gone} for each in late
            ]
        output = [self.line(each) for each in reversed(answered)]  # in any order
        batch["status"] = script.get("end", "completed")
        batch["output_file_id"] = (output and self.add(lines_of(output))) or None
        batch["error_file_id"] = self.add(lines_of(refused)) if refused else ""
        if script.get("gone"):
            self.files.pop(batch["output_file_id"])
        batch["request_counts"] = {
            "total": len(asked),
            "completed": len(output),
            "failed": len(refused),
        }

    def line(self, asked: dict) -> dict:
        """The answer to one request."""
        body = asked["body"]
        prompt = body["messages"][-1]["content"]
        record = {"prompt": prompt, "action": "ok", "at_once": 0, "body": body, "key": "batch"}
        self.log.write(json.dumps(record) + "\n")
        response = {"status_code": 200, "request_id": "r", "body": self.completed(prompt, body)}
        return {
            "id": "b",
            "custom_id": asked["custom_id"],
            "response": response,
            "error": None,
        }


def uploaded(head: str, body: bytes) -> bytes:
    """The file in a form."""
    boundary = re.search(r"(?i)content-type: multipart/form-data; boundary=(\S+)", head)[1].encode()
    parts = [part.partition(b"\r\n\r\n") for part in body.split(b"--" + boundary)]
    assert any(b'name="purpose"' in head and text == b"batch\r\n" for head, _, text in parts)
    [content] = [text[:-2] for head, _, text in parts if b'name="file"; filename=' in head]
    return content


def public(batch: dict) -> dict:
    return {name: value for name, value in batch.items() if name not in ("script", "begun")}


def lines_of(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def answer_file(file: Path, output: Path, settings: dict) -> None:
    """As offline engines do: all at once, in the end."""
    with file.with_suffix(".asked").open("a") as log:
        endpoint = BatchingEndpoint(log, settings)
        rows = [endpoint.line(json.loads(line)) for line in file.read_text().split("\n") if line]
    output.write_bytes(lines_of(rows))


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        import asyncio

        with open(sys.argv[2], "a", buffering=1) as log:  # noqa: PTH123
            asyncio.run(main(log, json.loads(sys.argv[3]), BatchingEndpoint))
    else:
        answer_file(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
