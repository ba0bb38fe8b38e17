"""Bars with rate and time left; where nobody looks at a terminal, a line every half minute; in a
notebook, one line that is replaced.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn
from rich.progress import Task as Line
from rich.table import Column
from rich.text import Text

from gloss.store.progress import Progress as Report

EVERY = 30.0  # seconds between lines where there is no terminal
EVERY_IN_NOTEBOOK = 0.5
EVERY_WATCHED = 2.0  # of the files that tell of it


class TolerantConsole(Console):
    """A console whose reader may go away, as `head` does: the rest is not shown, and the work goes
    on.
    """

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


console = TolerantConsole(stderr=True)
out = TolerantConsole()


def print_notes(*lines: str) -> None:
    """Lines for people on standard error, as they are: a name in them may look like markup."""
    for line in lines:
        if in_notebook():
            print(line)
        else:
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def in_notebook() -> bool:
    """Whether IPython's kernel runs this process, and a notebook shows what it prints."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


@dataclass
class ProgressState:
    """How far something is."""

    title: str
    unit: str
    done: int = 0
    total: int | None = None
    note: Callable[[], str] = str  # what else there is to say of it now
    before: int = 0  # done already when it began: no part of the rate
    begun: float = field(default_factory=time.monotonic)
    counting: float | None = None  # since when it is known how much there is to do

    def report(self, done: int, total: int | None) -> None:
        """What is done now, out of how much."""
        if self.total is None and total is not None and done < total:
            self.before, self.counting = done, time.monotonic()
        self.done, self.total = done, total

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.begun

    @property
    def rate(self) -> float:
        """Units a second."""
        passed = time.monotonic() - (self.counting or self.begun)
        return (self.done - self.before) / passed if passed > 0 else 0.0

    @property
    def counted(self) -> str:
        if self.total is None and not self.done:
            return "preparing"
        of = "" if self.total is None else f" of {self.total:,}"
        return f"{self.done:,}{of} {self.unit}"

    @property
    def line(self) -> str:
        """All of it in one line."""
        return f"{self.title}: {self.counted} · {self.pace}"

    @property
    def pace(self) -> str:
        """Rate, time elapsed and time left, as far as they are known, and the note."""
        parts = [rate_text(self.rate)] if self.rate > 0 else []
        parts.append(f"elapsed {clock_time(self.elapsed)}")
        if self.left is not None and self.done != self.total:
            parts.append(f"left {clock_time(self.left)}")
        parts += [said] if (said := self.note()) else []
        return " · ".join(parts)

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take at this rate; None where that is not known."""
        if self.total is None or not (rate := self.rate) > 0:
            return None
        return (self.total - self.done) / rate


# who else wants to hear how far the work is, about every two seconds
watchers: list[Callable[[ProgressState], None]] = []


class PaceColumn(ProgressColumn):
    """Rate and times of a state."""

    def __init__(self, state: ProgressState) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self.state = state

    def render(self, task: Line) -> Text:
        return Text(f"{self.state.counted}  {self.state.pace}", style="dim")


class NotebookLine:
    """A line of a cell's output that is replaced as the work goes on, and is empty in the end."""

    def __init__(self) -> None:
        self.handle: Any = import_module("IPython.display").display(
            {"text/plain": ""}, raw=True, display_id=True
        )

    def show(self, text: str) -> None:
        """Put a text in the place of what is there."""
        self.handle.update({"text/plain": text}, raw=True)


_shown_in: list[NotebookLine] = []  # the line of the notebook's cell that is running


@contextmanager
def quiet_for_python() -> Generator[None]:
    """Print no results, as whoever calls from Python gets them as objects.

    In a notebook, print nothing but notes, and tell how far the work is in one line.
    """
    before = console.quiet, out.quiet
    out.quiet = True
    if in_notebook():
        console.quiet = True
        _shown_in.append(NotebookLine())
    try:
        yield
    finally:
        console.quiet, out.quiet = before
        if _shown_in:
            _shown_in.pop().show("")


@contextmanager
def progress_bar(title: str, unit: str = "", note: Callable[[], str] = str) -> Generator[Report]:
    """A line of progress; gives what to call with the number done and, if known, the total.

    What `note` says is shown behind it.
    """
    state = ProgressState(title, unit, note=note)

    def tell() -> None:
        for watch in watchers:
            watch(state)

    with draw_bar(state) if console.is_terminal else print_periodically(state):
        tell()
        with repeat_in_thread(EVERY_WATCHED, tell):
            yield state.report
        tell()
    if not console.is_terminal:
        ended = f"{title}: {state.done:,} {unit} in {state.elapsed:.1f} s"
        console.print(" · ".join(filter(None, (ended, note()))), highlight=False)


@contextmanager
def draw_bar(state: ProgressState) -> Generator[None]:
    """A bar that moves, on a terminal."""
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn(f"{state.title:<18}"),
        BarColumn(20),
        PaceColumn(state),
    )
    with Progress(*columns, console=console) as progress:
        line = progress.add_task(state.title, total=None)
        with repeat_in_thread(
            0.1, lambda: progress.update(line, completed=state.done, total=state.total)
        ):
            yield
        progress.update(line, total=max(state.done, 1), completed=max(state.done, 1))


def print_periodically(state: ProgressState) -> AbstractContextManager[None]:
    """A line every half minute, also while one step takes longer than that; in a notebook, the same
    line again and again.
    """
    if _shown_in:
        line = _shown_in[-1]
        line.show(state.line)
        return repeat_in_thread(EVERY_IN_NOTEBOOK, lambda: line.show(state.line))
    return repeat_in_thread(
        EVERY,
        lambda: console.print(state.line, highlight=False, soft_wrap=True),
    )


@contextmanager
def repeat_in_thread(seconds: float, do: Callable[[], None]) -> Generator[None]:
    """Do something in a thread of its own, each time so many seconds have passed, until the block
    ends.
    """
    stop = threading.Event()

    def follow() -> None:
        while not stop.wait(seconds):
            do()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        stop.set()
        follower.join()


def rate_text(rate: float) -> str:
    """Units a second, as in `1.53/s` or `2,410/s`."""
    return f"{rate:,.3g}/s" if rate < 100 else f"{rate:,.0f}/s"


def clock_time(seconds: int | float) -> str:
    """Hours, minutes and seconds: 0:55, 12:07, 1:02:03."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
