"""A run that lives at a URL: a mirror of it on this machine is what stages read and write, and a
thread puts there what is whole.

Who writes holds a lease, a file of the store that says so. It is a guard and no lock: two that
write at once would make the same bytes, and pay for some of them twice.
"""

import json
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gloss.errors import BadInput, Busy, GlossError
from gloss.models.chat_models.ledger_segments import FollowedLedger
from gloss.pages.page_folder import MARK
from gloss.run.chat_capabilities import LEDGER
from gloss.run.plan import RESOLVED, Plan
from gloss.run.progress import print_notes
from gloss.store.lock import sole_writer
from gloss.store.mirror import MARKER, Mirror, local_names
from gloss.store.remote import RemoteFolder, url_of

EVERY = 10.0  # seconds between looks at what is to be put there, at most
SPACING, SHARE = 0.5, 10  # seconds between two, at least, and how many times as long as one took
LEASE, LEASE_SECONDS, BEAT_SECONDS = "lease.json", 60.0, 15.0
ANSWERS, SEGMENTS = "answers/", 64  # files of the ledger that are put together in the end
CONTROLS, PAGE = "controls", "page"
# files that no marker vouches for
ALONE = re.compile(rf"({CONTROLS}/[^/]+/)?([^/]+\.json|log/.+|decompose/[^/]+/subject\.json)")
PAGES = re.compile(rf"({CONTROLS}/[^/]+/)?({PAGE}/.+|[^/]+\.html)")
RANDOM_DICTIONARY = re.compile(rf"{CONTROLS}/[^/]+/dictionary-.+")
# what `status` reads: who works, what failed, and how many features there are
FEW = re.compile(r".*/failures/[^/]+\.parquet|.*/[^/]+\.json|.*/activations/[^/]+\.npy")
OWN_BYTES = frozenset({LEASE})


def root_of(folder: Path) -> Path:
    """The folder of the run that a folder belongs to: a control lies in its run's."""
    return folder.parent.parent if folder.parent.name == CONTROLS else folder


@dataclass
class Publisher:
    """Puts what is whole where the run lives, time and again, in a thread of its own."""

    mirror: Mirror
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    lock: Any = field(default_factory=threading.RLock)  # of the mirror
    wake: threading.Event = field(default_factory=threading.Event)
    ended: bool = False
    lost: Busy | None = None  # another has taken the lease
    over: threading.Event = field(default_factory=threading.Event)  # the lease is not needed more
    beat: float = 0.0
    fetched: bool = False  # whether it has brought what was there; what is here is newer since
    late: bool = False  # whether it was said that the store does not answer

    @property
    def ledger(self) -> FollowedLedger:
        return FollowedLedger(self.mirror.folder / LEDGER)

    def watch(self) -> None:
        """Publish until the work has ended. What fails is tried again with the next look."""
        wait = EVERY
        while not self.ended and self.lost is None:
            self.wake.wait(max(SPACING, wait))
            self.wake.clear()
            begun = time.monotonic()
            try:
                self.publish()
            except Busy as problem:
                self.lost = problem
            except GlossError as problem:
                if not self.late:
                    print_notes(f"  {problem}")
                self.late = True
            else:
                self.late = False
            took = time.monotonic() - begun
            time.sleep(min(EVERY, SHARE * took))
            wait = EVERY

    def publish(self, *, pages: bool = False) -> None:
        """Put there what is whole here: answers before the shards that read them."""
        with self.lock:
            self.keep_lease()
            skipped = {"ranks", ANSWERS.rstrip("/"), *([] if pages else [PAGE])}
            names = sorted(local_names(self.mirror.folder, frozenset(skipped)))
            self.put_answers()
            markers = [name for name in names if name.endswith(MARKER)]
            self.mirror.publish(markers, [name for name in names if ALONE.fullmatch(name)])
            if pages:
                found = [name for name in names if PAGES.fullmatch(name)]
                lists = [name for name in found if Path(name).name == MARK]
                self.mirror.publish([], [name for name in found if name not in lists])
                self.mirror.publish([], lists)  # which say what the others hold

    def fetch(self, wanted: Callable[[str], bool], *, pages: bool = False) -> None:
        """Bring what is wanted, with all small files, and the answers that others paid for."""

        def alone(name: str) -> bool:
            return name not in OWN_BYTES and bool(
                ALONE.fullmatch(name) or (pages and PAGES.fullmatch(name))
            )

        with self.lock:
            self.mirror.fetch(wanted, alone, missing=self.fetched)
            self.fetched = True
            segments = [name for name in sorted(self.mirror.there) if name.startswith(ANSWERS)]
            if not segments:
                return
            known = self.ledger.taken()
            for name in segments:
                if name not in known and (content := self.mirror.remote.read(name)) is not None:
                    self.ledger.take(name, content)

    # the ledger

    def put_answers(self) -> None:
        """Put there what was paid for since the last time."""
        if self.ledger.path.exists() and (content := self.ledger.next_segment()) is not None:
            name = self.segment_name()
            self.mirror.put_bytes(name, content)
            self.ledger.sent(name)

    def join_answers(self) -> None:
        """Put many segments together into one, which is there before they go."""
        with self.lock:
            names = [name for name in self.mirror.there if name.startswith(ANSWERS)]
            if len(names) <= SEGMENTS or not self.ledger.taken().issuperset(names):
                return
            if content := self.ledger.next_segment(whole=True):
                name = self.segment_name()
                self.mirror.put_bytes(name, content)
                self.ledger.sent(name, names)
                with suppress(GlossError):  # of a store that lets nobody delete
                    self.mirror.at_once(self.mirror.withdraw, names)

    def segment_name(self) -> str:
        """In the order of time."""
        return f"{ANSWERS}{time.time_ns():020d}-{self.ledger.writer()}.parquet"

    # the lease

    def take_lease(self, *, wait: bool) -> None:
        """Say that this process writes there. Raises Busy where another does."""
        told = False
        while (holder := self.other_holder()) is not None:
            if not wait:
                raise Busy(
                    f"another gloss (process {holder['process']} on {holder['host']}) works in"
                    f" {self.mirror.remote.url}, or has died within the last"
                    f" {LEASE_SECONDS:.0f} seconds; wait until it is done (--wait does), stop it,"
                    " or give another folder"
                )
            if not told:
                print(
                    f"gloss: waiting for another gloss (process {holder['process']} on"
                    f" {holder['host']}), which works in {self.mirror.remote.url}",
                    file=sys.stderr,
                )
                told = True
            time.sleep(SPACING * SHARE)
        self.put_lease()
        self.require_lease()

    def keep_lease(self) -> None:
        """Say again that this process writes there, before others take it for dead."""
        if time.monotonic() - self.beat > BEAT_SECONDS:
            self.require_lease()
            self.put_lease()

    def hold_lease(self) -> None:
        """Keep the lease until the end, also while a transfer takes long."""
        while not self.over.wait(BEAT_SECONDS / 3) and self.lost is None:
            try:
                self.keep_lease()
            except Busy as problem:
                self.lost = problem
            except GlossError:  # the next time
                continue

    def put_lease(self) -> None:
        content = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "token": self.token,
            "time": time.time(),
        }
        # by whichever thread, while another looks through what is there
        self.mirror.remote.put(LEASE, json.dumps(content).encode())
        self.beat = time.monotonic()

    def require_lease(self) -> None:
        """Raise Busy where another has taken it, as when this machine slept."""
        if (holder := self.other_holder()) is not None:
            raise Busy(
                f"another gloss (process {holder['process']} on {holder['host']}) has taken over"
                f" {self.mirror.remote.url}; leave it the work, or stop it and give the same"
                " command again"
            )

    def other_holder(self) -> dict[str, Any] | None:
        """Who else writes there, as far as can be seen from here."""
        try:
            held = json.loads(self.mirror.remote.read(LEASE) or b"{}")
            fresh = abs(time.time() - float(held["time"])) < LEASE_SECONDS
            host, process = str(held["host"]), int(held["process"])
        except (ValueError, LookupError, TypeError):
            return None
        if held.get("token") == self.token or not fresh:
            return None
        if host == socket.gethostname() and not is_alive(process):
            return None
        return {"host": host, "process": process}


def is_alive(process: int) -> bool:
    """Whether a process of this machine is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


_publishers: dict[Path, Publisher] = {}  # of the runs that this process writes


@contextmanager
def publishing(folder: Path, leads: bool = True, *, wait: bool = False) -> Generator[None]:
    """Put what is whole where the run lives while the block works, and all of it in the end, where
    the folder is the mirror of a URL.

    Of several that work together, who leads does. Raises Busy where somebody else writes there,
    BadInput where the store refuses, and Unreachable where it does not answer in the end.
    """
    root = root_of(folder)
    if not leads or root in _publishers or (mirror := Mirror.of(root)) is None:
        yield
        return
    publisher = Publisher(mirror)
    publisher.take_lease(wait=wait)
    _publishers[root] = publisher
    thread = threading.Thread(target=publisher.watch, daemon=True)
    try:
        threading.Thread(target=publisher.hold_lease, daemon=True).start()
        mirror.look()
        thread.start()
        yield
    except Exception:  # whatever it is: what was made is put there, and it goes on its way
        if thread.ident is not None:  # what is there was seen
            end_thread(publisher, thread)
            with suppress(GlossError):
                publisher.publish()
        raise
    except BaseException:  # told to stop: what was paid for goes first, and seconds are left
        publisher.ended = True
        with suppress(GlossError):
            publisher.put_answers()
        raise
    else:
        end_thread(publisher, thread)
        if publisher.lost is not None:
            raise publisher.lost
        publisher.publish(pages=True)
        publisher.join_answers()
        print_notes(f"all of it is at {mirror.remote.url}")
    finally:
        del _publishers[root]
        publisher.over.set()
        with suppress(GlossError):
            publisher.require_lease()  # not that of another, who took over
            mirror.withdraw(LEASE)


def end_thread(publisher: Publisher, thread: threading.Thread) -> None:
    """Let the thread end what it is about."""
    publisher.ended = True
    publisher.wake.set()
    thread.join()


def publish_soon() -> None:
    """Something has become whole. Raises Busy where another has taken over."""
    for publisher in _publishers.values():
        publisher.wake.set()
        if publisher.lost is not None:
            raise publisher.lost


def put_beside(*files: Path) -> None:
    """Put files that compare runs where these live, if that is a URL."""
    for file in files:
        if url := url_of(file.parent):
            RemoteFolder.open(url).put(file.name, file)
            print_notes(f"  {url}/{file.name}")


def fetch_records(folder: Path) -> None:
    """Bring what says of a run at a URL how far it is, and which it is: markers and small files.

    Where a process of this machine writes there, its mirror is newer than what is there. Raises
    BadInput where no run is.
    """
    bring(folder, lambda name: FEW.fullmatch(name) is not None)


def fetch_results(run: Plan) -> None:
    """Bring all that the steps of a run at a URL have made so far."""
    root = root_of(run.folder)
    if url_of(root) is None:
        return
    places = tuple(f"{run.place(step).relative_to(root).as_posix()}/" for step in run.keys)

    def wanted(name: str) -> bool:
        return name.startswith(places) or RANDOM_DICTIONARY.fullmatch(name) is not None

    if publisher := _publishers.get(root):
        publisher.fetch(wanted)
    else:
        bring(run.folder, wanted)


def withdraw_missing(folder: Path) -> None:
    """Take the markers away where a run lives that were deleted here, so that what they spoke of is
    made again.
    """
    if publisher := _publishers.get(root_of(folder)):
        with publisher.lock:
            publisher.mirror.withdraw_missing()


def fetch_everything(folder: Path) -> None:
    """Bring every file of a run at a URL anew, whatever is here."""
    bring(folder, lambda _: True, anew=True)


@dataclass(frozen=True)
class RemoteRecords:
    """The tables of a run at a URL, which are read there: a query takes the columns and rows that
    it needs, and no file as a whole.
    """

    mirror: Mirror

    @classmethod
    def of(cls, run: Plan) -> "RemoteRecords | None":
        """Those of a run; None of one on this machine."""
        mirror = Mirror.of(root_of(run.folder))
        if mirror is not None:
            mirror.look()
        return cls(mirror) if mirror else None

    @property
    def files(self) -> Any:
        """Where they are, as pyarrow reads."""
        return self.mirror.remote.files

    def path(self, file: Path) -> str:
        """What the store calls the file of which this is the place here."""
        return self.mirror.remote.path(file.relative_to(self.mirror.folder).as_posix())

    def table_files(self, place: Path, table: str) -> list[Path]:
        """The files that hold the rows of a kind of a step that are done, in their order."""
        inside = place.relative_to(self.mirror.folder).as_posix()
        return [self.mirror.folder / name for name in self.mirror.tables(inside, table)]


def bring(folder: Path, wanted: Callable[[str], bool], *, anew: bool = False) -> None:
    """Bring files of a run for a command that only reads."""
    root = root_of(folder)
    if root in _publishers or (mirror := Mirror.of(root)) is None:
        return
    with sole_writer(root, wait=True, of="reading"):
        try:
            with sole_writer(root):
                mirror.look()
                if RESOLVED not in mirror.there:
                    raise BadInput(
                        f"{mirror.remote.url} holds no run ({RESOLVED} is missing); give the URL"
                        " that `gloss run` wrote to"
                    )
                if anew:
                    mirror.index.clear()
                Publisher(mirror).fetch(wanted, pages=anew)
        except Busy:  # who writes here has the newest
            if not (root / RESOLVED).exists():
                raise
