"""The processes of one job that write into a run's folder together: who waits for whom.

They tell each other by empty files in `RUN/ranks/JOB/`, which the last one removes.
"""

import shutil
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gloss.errors import GlossError, Stopped
from gloss.run.execute.ranks import ALONE, Ranks
from gloss.run.keys import result_key
from gloss.run.progress import clock_time, print_notes
from gloss.store.atomic import disk_errors
from gloss.store.lock import joint_writer, sole_writer

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 20.0  # before it is said whom the leader waits for
RANKS, FAILED = "ranks", "failed"


@dataclass(frozen=True)
class Team:
    """One process of a command that several run together; alone, it waits for nobody."""

    ranks: Ranks
    folder: Path  # of the run
    purpose: str  # the same for all of the command

    @property
    def leads(self) -> bool:
        """Whether this process does what is done once."""
        return self.ranks.leads

    @property
    def alone(self) -> bool:
        """Whether nobody else writes."""
        return self.ranks.world == 1

    @property
    def place(self) -> Path:
        """Where they tell each other."""
        return self.folder / RANKS / result_key(self.ranks.job, self.purpose)

    def say(self, what: str, text: str = "") -> None:
        """Tell the others something of this process."""
        if not self.alone:
            path = self.message(what, self.ranks.rank)
            with disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")

    def message(self, what: str, rank: int) -> Path:
        """Where a process says something. That it failed is heard at whatever the others are."""
        job = self.folder / RANKS / result_key(self.ranks.job)
        return (job if what == FAILED else self.place) / f"{what}.{rank}"

    def wait_for_all(self, step: str) -> None:
        """Wait until every process has done its share of a step."""
        self.wait(step, range(self.ranks.world))

    def follow(self, what: str) -> None:
        """Say it as the leader; as another, wait until the leader has."""
        if self.leads:
            self.say(what)
        else:
            self.wait(what, [0])

    def wait(self, what: str, ranks: Iterable[int]) -> None:
        """Wait until these have said it. Raises Stopped where one failed, or none comes."""
        if self.alone:
            return
        missing, begun, told = set(ranks), time.monotonic(), False
        while missing := {each for each in missing if not self.heard(what, each)}:
            for other in range(self.ranks.world):
                if self.heard(FAILED, other):
                    why = self.message(FAILED, other).read_text("utf-8")
                    raise Stopped(f"rank {other} of {self.ranks.world} stopped: {why}")
            waited = time.monotonic() - begun
            if waited > self.ranks.timeout:
                raise Stopped(
                    f"{self.names(missing)} of {self.ranks.world} did not come to the end of {what}"
                    f" in {clock_time(self.ranks.timeout)}; start the job again, which goes on"
                    " from here, or give executor a longer timeout"
                )
            if waited > PATIENCE_SECONDS and not told:
                print_notes(f"  waiting for {self.names(missing)} at {what}")
                told = True
            time.sleep(POLL_SECONDS)

    def heard(self, what: str, rank: int) -> bool:
        """Whether a process has said something."""
        return self.message(what, rank).exists()

    def names(self, ranks: Iterable[int]) -> str:
        """As in `ranks 2, 5`."""
        listed = sorted(ranks)
        return f"rank{'s' * (len(listed) > 1)} {', '.join(map(str, listed))}"

    @contextmanager
    def writing(self, *, wait: bool = False) -> Generator[None]:
        """Keep out whoever is not of the job, and let the others know where this one fails.

        Raises Busy.
        """
        if self.alone:
            with sole_writer(self.folder, wait=wait):
                yield
            return
        with joint_writer(self.folder, self.ranks.job, wait=wait):
            self.message(FAILED, self.ranks.rank).unlink(missing_ok=True)
            try:
                yield
            except BaseException as problem:  # also where somebody interrupts it
                kind = "" if isinstance(problem, GlossError) else type(problem).__name__
                self.say(FAILED, ": ".join(filter(None, (kind, str(problem)))))
                raise

    def leave(self) -> None:
        """The command is done here; the last one clears away what they told each other."""
        self.say("left")
        if not self.alone and all(self.heard("left", r) for r in range(self.ranks.world)):
            with suppress(OSError):  # another may be the last one, too
                shutil.rmtree(self.place)
                with suppress(OSError):
                    self.message(FAILED, 0).parent.rmdir()
                self.place.parent.rmdir()


NOBODY_ELSE = Team(ALONE, Path(), "")
