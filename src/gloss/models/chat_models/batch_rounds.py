"""Requests that are answered as files: rounds of JSON lines in OpenAI's form, and what came back of
them.

A round is what all conversations ask before one of them can go on. Its file `round-1.jsonl` is
answered by whoever can, into `round-1.output.jsonl` beside it; `round-1.json` says what is known of
it. The number of a request, its `custom_id`, is the key of its answer in the ledger, the tokens
that the answer may have, and a hash of the request.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from gloss.errors import BadInput, GlossError
from gloss.store.atomic import disk_errors, flush_to_disk, partial_path, write_json

ADDRESS = "/v1/chat/completions"  # as batches call it, wherever the endpoint has it
MOST_BYTES = 200_000_000  # of a file, as OpenAI takes it
KEY_DIGITS = 32
OUTPUT, ERRORS = "output", "errors"
NUMBER = re.compile(rb'\{"custom_id":"([0-9a-f]{32}-\d+-[0-9a-f]{8})"')
ROUND = re.compile(r"round-(\d+)(?:-part-\d+)?\.jsonl$")
# line ends to some readers, which JSON allows within a text
LINE_ENDS = {
    mark.encode(): json.dumps(mark)[1:-1].encode() for mark in ("\u0085", "\u2028", "\u2029")
}


@dataclass
class BatchFile:
    """One file of requests, and what is known of it."""

    path: Path
    known: dict[str, Any] = field(default_factory=dict[str, Any])
    wanted: bool = False  # whether something that it asks was looked for

    @classmethod
    def read(cls, path: Path) -> "BatchFile":
        """A file that lies there."""
        try:
            known = json.loads(path.with_suffix(".json").read_text("utf-8"))
        except (OSError, ValueError):
            known = {}
        return cls(path, known if isinstance(known, dict) else {})

    def remember(self, **known: Any) -> None:
        """Keep what is known of it from now on. Raises Unwritable."""
        self.known |= known
        write_json(self.path.with_suffix(".json"), self.known)

    def beside(self, what: str) -> Path:
        """Where its answers lie, or its errors.

        >>> BatchFile(Path("round-1.jsonl")).beside("output")
        PosixPath('round-1.output.jsonl')
        """
        return self.path.with_suffix(f".{what}.jsonl")

    @property
    def round(self) -> int:
        """The number of its round."""
        found = ROUND.search(self.path.name)
        return int(found[1]) if found else 0

    @property
    def answered(self) -> bool:
        """Whether all came back that will."""
        if self.known.get("batch"):
            return bool(self.known.get("ended"))
        return any(
            place.exists() and place.stat().st_size > 0
            for place in map(self.beside, (OUTPUT, ERRORS))
        )

    def numbers(self) -> Iterator[str]:
        """What its requests are called."""
        with self.path.open("rb") as lines:
            for line in lines:
                if found := NUMBER.match(line):
                    yield found[1].decode()


@dataclass(frozen=True, slots=True)
class BatchLine:
    """What came back for one request: where it lies, or nothing where it is missing."""

    number: str
    of: BatchFile
    place: Path | None = None
    start: int = 0

    @property
    def room(self) -> int:
        """How many tokens the answer was allowed."""
        return int(self.number.split("-")[1])

    def content(self) -> Mapping[str, Any] | None:
        """The line, read."""
        if self.place is None:
            return None
        with self.place.open("rb") as file:
            file.seek(self.start)
            return orjson.loads(file.readline())


@dataclass
class Outgoing:
    """A file of requests that is being written."""

    place: Path  # under a name that nobody else has
    file: BinaryIO
    requests: int = 0
    size: int = 0
    tokens: int = 0
    worst: float = 0.0


class BatchRounds:
    """All rounds of one language model in a folder, and the next one as it is written.

    Rounds that are closed have been read into the ledger, and count no more. `name` is that of the
    language model where an experiment has several. Raises BadInput for answers to something else.
    """

    def __init__(self, folder: Path, name: str = "", most_requests: int = 50_000) -> None:
        self.folder, self.most_requests = folder, most_requests
        self.prefix = f"{name}-" if name else ""
        own = re.compile(re.escape(self.prefix) + ROUND.pattern)
        every = [BatchFile.read(path) for path in folder.glob("*.jsonl") if own.match(path.name)]
        self.next_round = 1 + max((each.round for each in every), default=0)
        self.open = sorted(
            (each for each in every if not each.known.get("closed")),
            key=lambda each: (each.round, each.path.name),
        )
        self.lines: dict[str, list[BatchLine]] = defaultdict(list)  # by the key of the answer
        self.out: dict[str, BatchFile] = {}  # by the same, what is not answered yet
        self.going: list[Outgoing] = []
        self.full: GlossError | None = None  # what kept a request from being asked
        self.blocked: GlossError | None = None  # why a line is no answer, and others will not be
        self.taken = 0  # answers, since the last round was written
        self.notes: list[str] = []
        self.sent = 0.0  # what may be spent on files that are not answered yet
        for each in self.open:
            self.find_answers(each)
            self.sent += 0.0 if each.answered else each.known.get("worst", 0.0)

    # what came back

    def find_answers(self, of: BatchFile) -> None:
        """Note where the answers to a file's requests lie."""
        if not of.answered:
            self.out |= {number[:KEY_DIGITS]: of for number in of.numbers()}
            return
        found: dict[str, tuple[Path, int]] = {}
        broken, strange = 0, list[str]()
        asked = dict.fromkeys(of.numbers())
        for place in (of.beside(ERRORS), of.beside(OUTPUT)):
            for start, number in answer_lines(place):
                if number is None:
                    broken += 1
                elif number in asked:
                    found[number] = place, start
                else:
                    strange.append(number)
        name = of.beside(OUTPUT)
        if strange and not found:
            raise BadInput(
                f"{name} answers nothing that {of.path.name} asks (its first custom_id is"
                f" {strange[0]!r}); put the answers to that file there, or delete it"
            )
        for number in asked:
            self.lines[number[:KEY_DIGITS]].append(
                BatchLine(number, of, *found.get(number, (None, 0)))
            )
        self.notes += batch_notes(of, len(asked), len(found), broken, strange)

    def answers_to(self, key: str) -> list[BatchLine]:
        """What came back for requests whose answer has this key, the latest last."""
        found = self.lines.get(key[:KEY_DIGITS], [])
        for line in found:
            line.of.wanted = True
        return found

    def is_out(self, key: str) -> bool:
        """Whether such a request waits for its answer, or is about to be sent."""
        of = self.out.get(key[:KEY_DIGITS])
        if of is not None:
            of.wanted = True
        return of is not None

    # what is asked next

    def put(self, number: str, body: bytes, tokens: int, worst: float) -> None:
        """Add a request to the next round, once. `tokens` and `worst`: of its prompt, and what it
        may cost.
        """
        if number[:KEY_DIGITS] in self.out:
            return
        line = request_line(number, body)
        now = self.going[-1] if self.going else None
        if now is None or now.requests >= self.most_requests or now.size + len(line) > MOST_BYTES:
            now = self.begin_file()
        with disk_errors(now.place):
            now.file.write(line)
        now.requests, now.size = now.requests + 1, now.size + len(line)
        now.tokens, now.worst = now.tokens + tokens, now.worst + worst
        self.out[number[:KEY_DIGITS]] = BatchFile(self.file_path(len(self.going)))

    def begin_file(self) -> Outgoing:
        """Begin the next file."""
        place = partial_path(self.file_path(len(self.going) + 1))
        with disk_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            self.going.append(Outgoing(place, place.open("wb")))
        return self.going[-1]

    def file_path(self, part: int) -> Path:
        """Where the next round lies; of several files this one."""
        more = f"-part-{part}" if part > 1 else ""
        return self.folder / f"{self.prefix}round-{self.next_round}{more}.jsonl"

    @property
    def waiting(self) -> int:
        """Requests of the next round."""
        return sum(each.requests for each in self.going)

    @property
    def reserved(self) -> float:
        """What may be spent on what is not answered yet."""
        return self.sent + sum(each.worst for each in self.going)

    def send(self) -> list[BatchFile]:
        """Put the next round in its place; all files of which answers are awaited. Raises
        Unwritable.
        """
        for part, each in enumerate(self.going, start=1):
            path = self.file_path(part)
            with disk_errors(path):
                each.file.close()
                flush_to_disk(each.place)
                sent = BatchFile(path, wanted=True)
                sent.remember(
                    round=self.next_round,
                    requests=each.requests,
                    prompt_tokens=each.tokens,
                    worst=each.worst,
                )
                each.place.replace(path)
            self.open.append(sent)
        self.next_round += bool(self.going)
        self.going, self.taken = [], 0
        return [each for each in self.open if each.wanted and not each.answered]

    def drop(self) -> None:
        """Leave what was about to be sent."""
        for each in self.going:
            each.file.close()
            each.place.unlink(missing_ok=True)
        self.going = []

    def close(self) -> None:
        """Close the rounds whose answers were looked for: the ledger has them."""
        self.drop()
        for each in self.open:
            if each.wanted and each.answered:
                each.remember(closed=True)


def request_number(key: str, room: int, body: bytes) -> str:
    """What a request is called: by the key of its answer, its room and its content."""
    return f"{key[:KEY_DIGITS]}-{room}-{hashlib.sha256(body).hexdigest()[:8]}"


def request_line(number: str, body: bytes) -> bytes:
    """One line of a file of requests. Ends of lines within a text are spelled out: some readers
    would end the line there.
    """
    for mark, spelled in LINE_ENDS.items():
        body = body.replace(mark, spelled)
    head = f'{{"custom_id":"{number}","method":"POST","url":"{ADDRESS}","body":'
    return head.encode() + body + b"}\n"


def answer_lines(place: Path) -> Iterator[tuple[int, str | None]]:
    """Where each line of a file of answers begins, and which request it answers; None where it is
    torn or no such line.
    """
    if not place.exists():
        return
    start = 0
    with place.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield start, request_of_line(line)
            start += len(line)


def request_of_line(line: bytes) -> str | None:
    """Which request a line answers."""
    try:
        found = orjson.loads(line)
    except ValueError:
        return None
    number = found.get("custom_id") if isinstance(found, dict) else None
    return number if isinstance(number, str) else None


def batch_notes(
    of: BatchFile, asked: int, found: int, broken: int, strange: list[str]
) -> Iterator[str]:
    """What is odd about the answers to a file."""
    name = of.beside(OUTPUT).name
    if broken:
        yield f"{name}: {broken:,} lines are torn, or no lines of a batch; passed over"
    if strange:
        yield f"{name}: {len(strange):,} lines answer nothing that was asked, as {strange[0]!r}"
    if found < asked:
        ended = f" (the batch {of.known['ended']})" if of.known.get("ended") else ""
        yield f"{name}: {asked - found:,} of {asked:,} requests have no line{ended}; asked again"
