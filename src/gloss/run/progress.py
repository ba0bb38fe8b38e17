"""Bars with rate and time left; plain lines where nobody looks at a terminal."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as Line
from rich.text import Text

from gloss.store.progress import Progress as Report

console = Console(stderr=True)
out = Console()


class Rate(TextColumn):
    """How many a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Line) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="dim")


@contextmanager
def bar(title: str, unit: str = "") -> Generator[Report]:
    """A line of progress; gives what to call with the number done and the total, where it is known."""
    begun = time.monotonic()
    counted = [0]
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn(f"{title:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"[dim]{unit}"),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("[dim]left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        line = progress.add_task(title, total=None)

        def report(done: int, total: int | None) -> None:
            counted[0] = done
            progress.update(line, completed=done, total=total)

        yield report
        progress.update(line, total=counted[0], completed=counted[0])
    if not console.is_terminal:
        console.print(f"{title}: {counted[0]:,} {unit} in {time.monotonic() - begun:.1f} s", highlight=False)
