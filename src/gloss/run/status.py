"""How far a run is, stage by stage, and what failed and why."""

from collections import Counter
from pathlib import Path

from rich.table import Table
from rich.text import Text

from gloss.run.damage import damages, readable
from gloss.run.mishaps import told
from gloss.run.plan import STAGES, Plan, plan_of
from gloss.run.progress import out
from gloss.run.stages import embeddings
from gloss.store.results import read


def report(folder: Path) -> None:
    """Print what is damaged, one line a stage, then the failures by stage and reason."""
    plan = plan_of(folder)
    for found in damages(plan.place(stage) for stage in plan.keys):
        line = f"{found.path.relative_to(plan.folder)} is damaged: {found.why}; run the experiment again"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    table = Table("stage", "done", "results", title=Text(str(folder)))
    table.add_column("folder", overflow="fold")
    for stage in in_order(plan):
        table.add_row(stage, *progress_of(plan, stage), str(plan.place(stage).relative_to(plan.folder)))
    out.print(table)
    failures = read([plan.place(stage) for stage in plan.keys], "failures")
    reasons = Counter((stage, reason) for stage, reason, _ in {(row["stage"], row["reason"], row["feature"]) for row in failures})
    details = {(row["stage"], row["reason"]): row["detail"] for row in reversed(failures)}
    if reasons:
        table = Table("failed in", "reason", "features", "for example")
        for (stage, reason), number in sorted(reasons.items(), key=lambda each: (place_of(each[0][0]), each)):
            table.add_row(stage, reason.replace("_", " "), f"{number:,}", Text(details[stage, reason]))
        out.print(table)
    for stage in in_order(plan):
        for line in told(plan, stage):
            out.print(line, highlight=False, markup=False, soft_wrap=True)


def in_order(plan: Plan) -> list[str]:
    """The run's stages in the order of the data."""
    return sorted(plan.keys, key=place_of)


def place_of(stage: str) -> int:
    """Where a stage comes among all."""
    verb = stage.split(".")[0]
    return STAGES.index(verb) if verb in STAGES else len(STAGES)


def progress_of(plan: Plan, stage: str) -> tuple[str, str]:
    """How many shards are done, and how many rows of each kind there are."""
    if stage in ("decompose", "collect") or stage.startswith(("judge.", "packing.")):
        done = readable(plan.part(stage, 0))
        return ("yes" if done else "no"), (f"{len(plan.corpus):,} tokens" if done and stage == "collect" else "")
    if not readable(plan.part("collect", 0)):
        return "no", ""
    parts = embeddings.parts(plan) if stage == embeddings.STAGE else [plan.part(stage, shard) for shard in range(plan.shards)]
    rows: Counter[str] = Counter()
    done = [part for part in parts if readable(part)]
    for part in done:
        rows.update(part.counts())
    return f"{len(done)} of {len(parts)}", ", ".join(f"{n:,} {table}" for table, n in rows.items() if n)
