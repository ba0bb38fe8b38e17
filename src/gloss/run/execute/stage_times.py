"""How long each stage has taken, over all attempts that were not killed outright."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager

from gloss.run.opened_run import OpenedRun
from gloss.store.atomic import write_bytes

TIMES = "times.json"


@contextmanager
def time_stage(run: OpenedRun, stage: str) -> Generator[None]:
    """Add the wall-clock time of what happens inside to the stage's, finished or interrupted."""
    begun = time.monotonic()
    try:
        yield
    finally:
        spent = stage_seconds(run)
        folder = str(run.place(stage).relative_to(run.folder))
        spent[folder] = round(spent.get(folder, 0.0) + time.monotonic() - begun, 2)
        write_bytes(run.folder / TIMES, json.dumps(spent, indent=1).encode())


def stage_seconds(run: OpenedRun) -> dict[str, float]:
    """Seconds by the folder of a stage's results, seen from the run's."""
    try:
        found = json.loads((run.folder / TIMES).read_text("utf-8"))
        return {str(folder): float(spent) for folder, spent in found.items()}
    # nothing but a few numbers for the report is lost
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
