"""Opens the run in a folder, and says which run an experiment is."""

from collections.abc import Iterable
from pathlib import Path

from gloss.errors import BadInput
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun
from gloss.run.plan import RESOLVED
from gloss.run.remote_run import fetch_records, fetch_results
from gloss.run.stage import installed_stages, planned_steps, step_keys, table_columns
from gloss.store.remote import shown_name
from gloss.store.sealed_json import read_sealed_json


def plan_run(asked: Experiment) -> OpenedRun:
    """The run of an experiment, with its keys, done or not."""
    return OpenedRun(asked, tuple(step_keys(asked).items()))


def read_run(folder: Path, *, whole: bool = True) -> OpenedRun:
    """The run that a folder holds, with its keys, wherever it and its texts are now.

    Of one that lives at a URL, all results are brought here first, or no more than says how far it
    is. Raises BadInput where there is none, Damaged, and Unreachable.
    """
    fetch_records(folder)
    path = folder / RESOLVED
    if not path.exists():
        raise BadInput(
            f"{shown_name(folder)} holds no run ({RESOLVED} is missing); give the folder that"
            " `gloss run` wrote to"
        )
    written = read_sealed_json(path)
    if "keys" in written and written.get("tables") != tables_of(written["keys"]):
        raise BadInput(
            f"{shown_name(folder)} was written by another version of gloss, whose tables have other"
            " columns; run its experiment again, or read it with that version"
        )
    try:
        written["experiment"]["run"]["folder"] = str(folder)
        asked = Experiment.of(written["experiment"], checked=True)
        order = {step.name: number for number, step in enumerate(planned_steps(asked))}
        keys = sorted(written["keys"].items(), key=lambda each: order.get(each[0], len(order)))
        run = OpenedRun(asked, tuple(keys))
    except (LookupError, TypeError, AttributeError) as problem:
        raise BadInput(
            f"{path} is not of a run; give the folder that `gloss run` wrote to"
        ) from problem
    if whole:
        fetch_results(run)
    return run


def stage_position(step: str) -> int:
    """Where a step's stage comes in a run; last what is none."""
    order, stage = list(installed_stages()), step.partition(".")[0]
    return order.index(stage) if stage in order else len(order)


def tables_of(steps: Iterable[str]) -> dict[str, str]:
    """What the tables of these steps' stages look like, as far as the stages are installed."""
    stages = installed_stages()
    names = {step.partition(".")[0] for step in steps}
    return {name: table_columns(stages[name]) for name in sorted(names) if name in stages}
