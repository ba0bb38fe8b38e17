"""How far a run is, stage by stage, and what failed and why."""

from collections import Counter
from pathlib import Path

from rich.table import Table
from rich.text import Text

from gloss.run.damage import find_damage, is_readable_part
from gloss.run.execute.feature_errors import feature_error_lines
from gloss.run.opened_run import OpenedRun
from gloss.run.planning import read_run, stage_position
from gloss.run.progress import out
from gloss.run.sources import dictionary_line
from gloss.run.stage import Step, run_steps
from gloss.store.results import read_rows


def print_run_status(folder: Path) -> None:
    """Print what is damaged, one line a step, then the failures by stage and reason."""
    run = read_run(folder)
    for found in find_damage(run.place(stage) for stage in run.keys):
        line = (
            f"{found.path.relative_to(run.folder)} is damaged: {found.why}; run the experiment"
            " again"
        )
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    table = Table("stage", "done", "results", title=Text(str(folder)))
    table.add_column("folder", overflow="fold")
    steps = list(run_steps(run))
    for step in steps:
        place = str(run.place(step.name).relative_to(run.folder))
        table.add_row(step.name, *step_progress(run, step), place)
    out.print(table)
    out.print(dictionary_line(run), highlight=False, markup=False, soft_wrap=True)
    failures = read_rows([run.place(stage) for stage in run.keys], "failures")
    reasons = Counter(
        (stage, reason)
        for stage, reason, _ in {(row["stage"], row["reason"], row["feature"]) for row in failures}
    )
    details = {(row["stage"], row["reason"]): row["detail"] for row in reversed(failures)}
    if reasons:
        table = Table("failed in", "reason", "features", "for example")
        for (stage, reason), number in sorted(
            reasons.items(), key=lambda each: (stage_position(each[0][0]), each)
        ):
            table.add_row(
                stage, reason.replace("_", " "), f"{number:,}", Text(details[stage, reason])
            )
        out.print(table)
    for step in steps:
        for line in feature_error_lines(run, step.name):
            out.print(line, highlight=False, markup=False, soft_wrap=True)


def step_progress(run: OpenedRun, step: Step) -> tuple[str, str]:
    """How many shards are done, and how many rows of each kind there are."""
    if step.stage.unit and not is_readable_part(run.part("collect", 0)):
        return "no", ""
    parts = step.stage.parts(run, step)
    done = [part for part in parts if is_readable_part(part)]
    if not step.stage.unit:
        return ("yes", step.stage.summary(run, step)) if done else ("no", "")
    rows: Counter[str] = Counter()
    for part in done:
        rows.update(part.row_counts())
    return f"{len(done)} of {len(parts)}", ", ".join(
        f"{n:,} {table}" for table, n in rows.items() if n
    )
