"""Rounds that an endpoint answers itself: the Files and Batches API of OpenAI, as others have it,
too.
"""

import hashlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from gloss.errors import BadSettings, Stopped, Unreachable
from gloss.models.chat_models.batch_rounds import ADDRESS, ERRORS, OUTPUT, BatchFile
from gloss.models.chat_models.connection import (
    LOOPBACK,
    address_below,
    encryption,
    hide_key,
    read_api_key,
    request_headers,
)
from gloss.models.chat_models.endpoint import Endpoint
from gloss.models.chat_models.manner import Refusal
from gloss.models.chat_models.replies import Fault, error_message, read_refusal
from gloss.store.atomic import write_atomically

WINDOW = "24h"  # the only one that there is
PURPOSE, TYPE = "batch", "application/jsonl"
MARK = "gloss_requests"  # in the metadata of a batch: which file it is
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS, SLOWER = 0.5, 60.0, 1.5
LONGEST_WAIT_SECONDS = 60.0
ENDED = frozenset({"completed", "expired", "cancelled", "failed"})
NO_ROOM = ("token_limit_exceeded", "enqueued token")  # until others have ended
LISTED = 100  # batches a page
SHOWN_ERRORS = 3
UNKNOWN = frozenset({404, 405, 501})

Told = Callable[[int, int], None]  # requests that are done, of how many
Say = Callable[[str], None]


class BatchEndpoint:
    """The batches of one endpoint, from `with` to its end."""

    def __init__(self, chat: Endpoint, say: Say) -> None:
        self.chat, self.say = chat, say
        self.key = read_api_key(chat.api_key_env)
        self.client = httpx.Client(
            headers={
                name: value
                for name, value in request_headers(self.key).items()
                if name != "Content-Type"
            },
            timeout=chat.timeout_seconds,
            follow_redirects=True,
            verify=encryption(),
            trust_env=urlsplit(chat.base_url).hostname not in LOOPBACK,
        )

    def __enter__(self) -> "BatchEndpoint":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()

    def answer(self, files: Sequence[BatchFile], told: Told) -> None:
        """Have the files answered, each by a batch of its own, and wait for them.

        A batch that was begun is found again, by what lies beside its file. Raises Stopped where
        one was cancelled or is not taken, Unreachable where nobody answers.
        """
        pause, left, later = FIRST_POLL_SECONDS, list(files), list[BatchFile]()
        counts: dict[Path, tuple[int, int]] = {}
        for each in left:
            self.submit(each)
        while left:
            for each in list(left):
                found = self.get(each)
                counts[each.path] = batch_counts(found, each)
                if (status := str(found.get("status"))) not in ENDED:
                    continue
                left.remove(each)
                if status == "failed" and has_no_room(found) and left:
                    each.remember(batch=None)
                    later.append(each)
                    continue
                self.collect(each, status, found)
                for waiting in later:
                    self.submit(waiting)
                left, later, pause = left + later, [], FIRST_POLL_SECONDS
            told(*(sum(column) for column in zip(*counts.values(), strict=True)))
            if left:
                time.sleep(pause)
                pause = min(LONGEST_POLL_SECONDS, pause * SLOWER)

    def submit(self, file: BatchFile) -> None:
        """Begin a file's batch, unless that was done. What is not known to have been begun is
        looked for, so that nothing is paid twice.
        """
        if file.known.get("batch"):
            return
        content = file.path.read_bytes()
        # its name, too: a round that asks all again has the content of the one before
        digest = hashlib.sha256(file.path.name.encode() + b"\n" + content).hexdigest()
        found = self.find(digest) if file.known.get("begun") else None
        if found is None:
            form = {"file": (file.path.name, content, TYPE)}
            sent = self.call("POST", "files", data={"purpose": PURPOSE}, files=form)
            file.remember(file=sent["id"], begun=True)
            found = self.create(file.known["file"], digest)
        file.remember(batch=found, batches=[*file.known.get("batches", []), found])
        self.say(f"{file.path.name}: {file.known.get('requests', 0):,} requests are batch {found}")

    def create(self, uploaded: str, digest: str) -> str:
        """Begin the batch of an uploaded file; its id."""
        asked = {
            "input_file_id": uploaded,
            "endpoint": ADDRESS,
            "completion_window": WINDOW,
            "metadata": {MARK: digest},
        }
        begun = self.call("POST", "batches", json=asked, again=lambda: self.find(digest))
        return str(begun["id"])

    def find(self, digest: str) -> str | None:
        """The batch of a file with this hash that goes on or has ended with answers, if there is
        one.
        """
        after: dict[str, str] = {}
        while True:
            page = self.call("GET", "batches", params={"limit": str(LISTED)} | after)
            rows = [row for row in page.get("data") or () if isinstance(row, dict)]
            for row in rows:
                marked = (row.get("metadata") or {}).get(MARK) == digest
                if marked and row.get("status") not in ("failed", "cancelled"):
                    return str(row["id"])
            if not rows or not page.get("has_more"):
                return None
            after = {"after": str(rows[-1]["id"])}

    def get(self, file: BatchFile) -> Mapping[str, Any]:
        """A file's batch as it is now. Raises Stopped where it is gone."""
        try:
            return self.call("GET", f"batches/{file.known['batch']}")
        except MissingThere as problem:
            self.forget(file)
            raise Stopped(
                f"{self.chat.base_url} knows the batch of {file.path} no more ({problem}); the same"
                " command asks its requests anew"
            ) from problem

    def collect(self, file: BatchFile, status: str, found: Mapping[str, Any]) -> None:
        """Fetch what came of a batch; that it ended is remembered last."""
        if status == "failed":
            self.forget(file)
            remedy = (
                "set batch_requests lower, or wait until other batches have ended"
                if has_no_room(found)
                else "mend that"
            )
            raise Stopped(
                f"{self.chat.base_url} does not take the batch of {file.path}:"
                f" {failure_words(found)}; {remedy}, and the same command asks anew"
            )
        for what in (ERRORS, OUTPUT):  # some send "" for a file that there is none of
            if there := found.get(f"{'error' if what == ERRORS else what}_file_id"):
                try:
                    self.download(str(there), file.beside(what))
                except MissingThere as problem:
                    self.forget(file)
                    raise Stopped(
                        f"{self.chat.base_url} has the file {there}, which holds what came of"
                        f" {file.path}, no more ({problem}); the same command asks for what is"
                        " missing anew"
                    ) from problem
        file.remember(ended=status)
        if status == "cancelled":
            raise Stopped(
                f"the batch {file.known['batch']} was cancelled; what it answered is kept, and the"
                " same command asks the rest anew"
            )

    def forget(self, file: BatchFile) -> None:
        """Close a file of which no answers come, so that its requests are asked in another."""
        file.remember(closed=True, batch=None)

    def download(self, uploaded: str, place: Path) -> None:
        """Put a file of the endpoint in its place, whole or not at all."""
        content = self.send("GET", f"files/{uploaded}/content").content
        with suppress(UnicodeDecodeError):
            content = hide_key(content.decode(), self.key).encode()
        write_atomically(place, lambda temporary: temporary.write_bytes(content))

    def call(
        self,
        method: str,
        path: str,
        *,
        again: Callable[[], str | None] = lambda: None,
        **sent: Any,
    ) -> Mapping[str, Any]:
        """What the endpoint says to a request. `again`: looks, before another attempt, for what the
        last one made all the same.
        """
        reply = self.send(method, path, again=again, **sent)
        try:
            said = reply.json()
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise BadSettings(
                f"{self.chat.base_url} answers {path} with no JSON object; check base_url, or leave"
                " batch out of [chat]"
            )
        return said

    def send(
        self,
        method: str,
        path: str,
        *,
        again: Callable[[], str | None] = lambda: None,
        **sent: Any,
    ) -> httpx.Response:
        """A reply with a status of success, after some attempts where it takes them.

        Raises MissingThere, BadSettings, Unreachable.
        """
        fault = Fault("")
        for attempt in range(self.chat.max_attempts):
            if attempt:
                seconds = min(LONGEST_WAIT_SECONDS, FIRST_POLL_SECONDS * 2**attempt)
                time.sleep((fault.retry_after_seconds or 0.0) + random.uniform(0, seconds))
                if found := again():
                    return httpx.Response(200, json={"id": found})
            try:
                reply = self.client.request(method, address_below(self.chat.base_url, path), **sent)
            except httpx.HTTPError as error:
                fault = Fault(hide_key(str(error) or type(error).__name__, self.key))
                continue
            if reply.is_success:
                return reply
            fault = self.refused(path, reply)
        raise Unreachable(
            f"{self.chat.base_url} does not answer {path} ({fault.detail}); the same command goes"
            " on where it was"
        )

    def refused(self, path: str, reply: httpx.Response) -> Fault:
        """A passing failure; anything else is raised."""
        text = hide_key(reply.text, self.key)
        if reply.status_code in UNKNOWN:
            if "/" in path:
                raise MissingThere(f"status {reply.status_code}: {error_message(text)}")
            raise BadSettings(
                f"{self.chat.base_url} has no batches (status {reply.status_code} at {path}:"
                f" {error_message(text)}); leave batch out of [chat], or write files for another to"
                ' answer: batch = "files"'
            )
        refusal = Refusal(reply.status_code, text, dict(reply.headers))
        where, key = self.chat.base_url, self.chat.api_key_env
        found = read_refusal(refusal, proven=False, where=where, key=key)
        return found if isinstance(found, Fault) else Fault(found.detail)


class MissingThere(Exception):
    """The endpoint knows no such batch, or file."""


def batch_counts(found: Mapping[str, Any], file: BatchFile) -> tuple[int, int]:
    """How many requests of a batch are done, and how many there are."""
    counts = found.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    done = sum(int(counts.get(name) or 0) for name in ("completed", "failed"))
    return done, int(counts.get("total") or file.known.get("requests", 0))


def failure_rows(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What an endpoint finds wrong with a file."""
    errors = found.get("errors")
    rows = errors.get("data") if isinstance(errors, dict) else errors
    return [row for row in rows or () if isinstance(row, dict)]


def failure_words(found: Mapping[str, Any]) -> str:
    """The same in words."""
    said: list[str] = []
    for row in failure_rows(found)[:SHOWN_ERRORS]:
        line = f"line {row['line']}: " if row.get("line") else ""
        said.append(f"{line}{row.get('message') or row.get('code')}")
    return " / ".join(said) or "it says no reason"


def has_no_room(found: Mapping[str, Any]) -> bool:
    """Whether a batch was not taken because of others that are in the queue."""
    said = " ".join(f"{row.get('code')} {row.get('message')}" for row in failure_rows(found))
    return any(words in said.lower() for words in NO_ROOM)
