"""How long each stage has taken, over all attempts that were not killed outright."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager

from gloss.run.plan import Plan
from gloss.store.atomic import write_bytes

TIMES = "times.json"


@contextmanager
def timed(plan: Plan, stage: str) -> Generator[None]:
    """Add the wall-clock time of what happens inside to the stage's, be it finished or interrupted."""
    begun = time.monotonic()
    try:
        yield
    finally:
        spent = seconds(plan)
        place = str(plan.place(stage).relative_to(plan.folder))
        spent[place] = round(spent.get(place, 0.0) + time.monotonic() - begun, 2)
        write_bytes(plan.folder / TIMES, json.dumps(spent, indent=1).encode())


def seconds(plan: Plan) -> dict[str, float]:
    """Seconds by the folder of a stage's results, seen from the run's."""
    try:
        found = json.loads((plan.folder / TIMES).read_text("utf-8"))
        return {str(place): float(spent) for place, spent in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # nothing but a few numbers for the report is lost
        return {}
