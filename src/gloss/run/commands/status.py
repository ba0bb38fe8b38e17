"""How far a run is, step by step, what failed and why, and what it has cost: once, as JSON, or
again and again while others write.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gloss.errors import BadInput
from gloss.models.chat_models.ledger import Ledger
from gloss.run.chat_capabilities import ledger_path
from gloss.run.damage import find_damage, is_readable_part
from gloss.run.execute.feature_errors import feature_error_lines
from gloss.run.execute.stage_times import stage_seconds
from gloss.run.execute.status_file import ToldStatus
from gloss.run.opened_run import OpenedRun
from gloss.run.planning import read_run, stage_position
from gloss.run.progress import clock_time, out, rate_text
from gloss.run.sources import dictionary_line
from gloss.run.stage import Step, run_steps
from gloss.store.remote import shown_name, url_of
from gloss.store.results import read_rows

EVERY = 2.0  # seconds between two looks
SHARE = 0.1  # of the time that looking may take, where there is much to look at


@dataclass(frozen=True)
class StepStatus:
    """How far one step is."""

    step: str
    folder: str  # of its results, seen from the run's
    shards: int | None  # None before it is known how many
    shards_done: int
    unit: str  # what its shards hold; empty where it is done as one
    total: int | None  # of the unit
    done: int
    rows: dict[str, int]  # by table
    summary: str  # of results that are no rows
    whole: bool = False  # whether it is done as one, and not shard by shard
    seconds: float | None = None  # that it has taken
    rate: float | None = None  # units a second, where it is worked at
    seconds_left: float | None = None

    @property
    def shards_line(self) -> str:
        """How much is done, in words."""
        if self.whole:
            return "yes" if self.shards_done else "no"
        return "no" if self.shards is None else f"{self.shards_done:,} of {self.shards:,}"

    @property
    def pace(self) -> str:
        """Rate and time left while it is worked at, or the time that it took."""
        if self.rate is None:
            return "" if self.seconds is None else clock_time(self.seconds)
        counted = f"{self.done:,}{'' if self.total is None else f' of {self.total:,}'} {self.unit}"
        rate = rate_text(self.rate) if self.rate else ""
        left = "" if self.seconds_left is None else f"left {clock_time(self.seconds_left)}"
        return " · ".join(filter(None, (counted, rate, left)))


@dataclass(frozen=True)
class FailureCount:
    """Features that failed for one reason."""

    step: str
    reason: str
    features: int
    example: str


@dataclass(frozen=True)
class RunStatus:
    """How far a run is."""

    run: str
    told: dict[str, Any]  # what the process that works there says; empty where none does
    steps: tuple[StepStatus, ...]
    failures: tuple[FailureCount, ...]
    errors: tuple[str, ...]  # a sentence each
    requests: int | None  # that were sent to language models; None where there is no ledger
    money: float | None  # as far as it is known


def print_run_status(folder: Path, *, as_json: bool = False) -> None:
    """Print what is damaged, one line a step, then the failures by stage and reason."""
    run = read_run(folder, whole=False)
    if as_json:
        out.print_json(json.dumps(asdict(run_status(run))))
        return
    # of a run at a URL, what is here is not all that there is
    seen = [] if url_of(run.folder) else [run.place(stage) for stage in run.keys]
    for found in find_damage(seen):
        line = (
            f"{found.path.relative_to(run.folder)} is damaged: {found.why}; run the experiment"
            " again"
        )
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    for block in status_blocks(run, run_status(run)):
        out.print(block, highlight=False, markup=False, soft_wrap=True)


def watch_run_status(folder: Path, *, as_json: bool = False) -> None:
    """Show the same in place, again and again, until nobody works there; on what is no terminal,
    one line for the step that is worked at, or one of JSON for all.
    """
    run = read_run(folder, whole=False)
    first: dict[str, tuple[float, int]] = {}  # of each step, when it was seen first and how far
    seen = out.is_terminal and not as_json
    with Live(console=out, auto_refresh=False) if seen else nullcontext() as live:
        while True:
            begun = time.monotonic()
            run = current_run(run)
            told = ToldStatus.read(run.folder)
            status = run_status(run, first)
            if live is not None:
                live.update(Group(*status_blocks(run, status, folders=False)), refresh=True)
            elif as_json:
                out.print_json(json.dumps(asdict(status)), indent=None)
            elif told.works:
                print_watched_line(status)
            else:
                line = told.line() or "nobody works there"
                out.print(line, highlight=False, markup=False, soft_wrap=True)
            if not told.works:
                return
            time.sleep(max(EVERY, (time.monotonic() - begun) / SHARE))


def current_run(run: OpenedRun) -> OpenedRun:
    """The run as its folder says now, which another command may have given other settings."""
    now = read_run(run.folder, whole=False)
    return run if now.keys == run.keys else now


def print_watched_line(status: RunStatus) -> None:
    """What is worked at, in one line."""
    at = str(status.told.get("step", ""))
    pace = next((step.pace for step in status.steps if step.step == at), "")
    parts = [f"{at}: {pace}" if pace else at, money_line(status)]
    line = " · ".join(filter(None, parts))
    out.print(line, highlight=False, markup=False, soft_wrap=True)


def run_status(run: OpenedRun, first: dict[str, tuple[float, int]] | None = None) -> RunStatus:
    """What can be seen in a run's folder, and what the process that works there says.

    `first` remembers over several looks when each step was seen first, so that a step whose process
    says nothing has a rate, too.
    """
    told, seconds = ToldStatus.read(run.folder), stage_seconds(run)
    steps: list[StepStatus] = []
    for step in run_steps(run):
        folder = str(run.place(step.name).relative_to(run.folder))
        found = step_status(run, step, folder, seconds.get(folder))
        steps.append(with_pace(found, told, {} if first is None else first))
    requests, money = spending(run)
    return RunStatus(
        shown_name(run.folder),
        told.content | {"works": told.works} if told.content else {},
        tuple(steps),
        tuple(failure_counts(run)),
        tuple(line for step in run_steps(run) for line in feature_error_lines(run, step.name)),
        requests,
        money,
    )


def step_status(run: OpenedRun, step: Step, folder: str, seconds: float | None) -> StepStatus:
    """How many shards are done, and how many rows of each kind there are."""
    unit = step.stage.unit
    if unit and not is_readable_part(run.part("collect", 0)):
        return StepStatus(step.name, folder, None, 0, unit, None, 0, {}, "", False, seconds)
    parts = step.stage.parts(run, step)
    done = [part for part in parts if is_readable_part(part)]
    if not unit:
        summary = step.stage.summary(run, step) if done else ""
        return StepStatus(step.name, folder, 1, len(done), "", None, 0, {}, summary, True, seconds)
    sizes, rows = step.stage.sizes(run, step), Counter[str]()
    for part in done:
        rows.update(part.row_counts())
    return StepStatus(
        step.name,
        folder,
        len(parts),
        len(done),
        unit,
        sum(sizes),
        sum(sizes[part.shard] for part in done),
        {table: n for table, n in rows.items() if n},
        "",
        False,
        seconds,
    )


def with_pace(
    found: StepStatus, told: ToldStatus, first: dict[str, tuple[float, int]]
) -> StepStatus:
    """The same with rate and time left: as its process says, or as was seen since the first look.

    What a process says that does its own share alone is less than what is there.
    """
    when, before = first.setdefault(found.step, (time.monotonic(), found.done))
    changes: dict[str, Any] = {}
    said_here = told.content.get("step", found.step) == found.step
    at_work = not told.content or (told.works and said_here)
    if at_work and "rate" in told.content:
        said = told.content
        changes = {
            "unit": said["unit"],
            "total": said["total"],
            "done": max(found.done, int(said["done"])),
            "rate": said["rate"],
            "seconds_left": said["seconds_left"],
        }
    elif at_work and found.total and before < found.done < found.total:
        rate = (found.done - before) / max(1e-9, time.monotonic() - when)
        changes = {"rate": rate, "seconds_left": (found.total - found.done) / rate}
    return StepStatus(**asdict(found) | changes)


def failure_counts(run: OpenedRun) -> Iterator[FailureCount]:
    """Features that failed, by step and reason."""
    columns = ["feature", "stage", "reason", "detail"]
    failures = read_rows([run.place(stage) for stage in run.keys], "failures", columns)
    reasons = Counter(
        (stage, reason)
        for stage, reason, _ in {(row["stage"], row["reason"], row["feature"]) for row in failures}
    )
    details = {(row["stage"], row["reason"]): row["detail"] for row in reversed(failures)}
    for (stage, reason), number in sorted(
        reasons.items(), key=lambda each: (stage_position(each[0][0]), each)
    ):
        yield FailureCount(stage, reason, number, details[stage, reason])


def spending(run: OpenedRun) -> tuple[int | None, float | None]:
    """Requests and money so far, by the ledger; None where there is none that can be read."""
    path = ledger_path(run.folder)
    if not path.exists():
        return None, None
    try:
        with Ledger(path) as ledger:
            return ledger.spending()
    except BadInput:
        return None, None


def status_blocks(
    run: OpenedRun, status: RunStatus, *, folders: bool = True
) -> Iterator[Table | Text]:
    """What is shown of it, with the folders of results or without."""
    table = Table("stage", "done", "pace", "results", title=Text(status.run))
    if folders:
        table.add_column("folder", overflow="fold")
    for step in status.steps:
        rows = ", ".join(f"{n:,} {name}" for name, n in step.rows.items())
        cells = step.step, step.shards_line, step.pace, step.summary or rows
        table.add_row(*cells, *[step.folder] * folders)
    yield table
    for line in (ToldStatus(status.told).line(), money_line(status), dictionary_line(run)):
        if line:
            yield Text(line)
    if status.failures:
        table = Table("failed in", "reason", "features", "for example")
        for each in status.failures:
            reason = each.reason.replace("_", " ")
            table.add_row(each.step, reason, f"{each.features:,}", Text(each.example))
        yield table
    yield from map(Text, status.errors)


def money_line(status: RunStatus) -> str:
    """What was asked and spent so far, in words; nothing where nobody was asked."""
    if not status.requests:
        return ""
    money = f", {status.money:,.4f} spent" if status.money else ""
    return f"{status.requests:,} requests{money}"
