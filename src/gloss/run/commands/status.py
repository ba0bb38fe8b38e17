"""How far a run is, stage by stage, and what failed and why."""

from collections import Counter
from pathlib import Path

from rich.table import Table
from rich.text import Text

from gloss.run.damage import find_damage, is_readable_part
from gloss.run.execute.feature_errors import feature_error_lines
from gloss.run.plan import STAGES, Plan, load_plan
from gloss.run.progress import out
from gloss.run.sources import dictionary_line
from gloss.run.stages import embeddings
from gloss.store.results import read_rows


def print_run_status(folder: Path) -> None:
    """Print what is damaged, one line a stage, then the failures by stage and reason."""
    plan = load_plan(folder)
    for found in find_damage(plan.place(stage) for stage in plan.keys):
        line = (
            f"{found.path.relative_to(plan.folder)} is damaged: {found.why}; run the experiment"
            " again"
        )
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    table = Table("stage", "done", "results", title=Text(str(folder)))
    table.add_column("folder", overflow="fold")
    for stage in ordered_stages(plan):
        table.add_row(
            stage, *stage_progress(plan, stage), str(plan.place(stage).relative_to(plan.folder))
        )
    out.print(table)
    out.print(dictionary_line(plan), highlight=False, markup=False, soft_wrap=True)
    failures = read_rows([plan.place(stage) for stage in plan.keys], "failures")
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
    for stage in ordered_stages(plan):
        for line in feature_error_lines(plan, stage):
            out.print(line, highlight=False, markup=False, soft_wrap=True)


def ordered_stages(plan: Plan) -> list[str]:
    """The run's stages in the order of the data."""
    return sorted(plan.keys, key=stage_position)


def stage_position(stage: str) -> int:
    """Where a stage comes among all."""
    verb = stage.split(".")[0]
    return STAGES.index(verb) if verb in STAGES else len(STAGES)


def stage_progress(plan: Plan, stage: str) -> tuple[str, str]:
    """How many shards are done, and how many rows of each kind there are."""
    if stage in ("decompose", "collect") or stage.startswith(("judge.", "packing.")):
        done = is_readable_part(plan.part(stage, 0))
        return ("yes" if done else "no"), (
            f"{len(plan.corpus):,} tokens" if done and stage == "collect" else ""
        )
    if not is_readable_part(plan.part("collect", 0)):
        return "no", ""
    parts = (
        embeddings.embedding_parts(plan)
        if stage == embeddings.STAGE
        else [plan.part(stage, shard) for shard in range(plan.shards)]
    )
    rows: Counter[str] = Counter()
    done = [part for part in parts if is_readable_part(part)]
    for part in done:
        rows.update(part.counts())
    return f"{len(done)} of {len(parts)}", ", ".join(
        f"{n:,} {table}" for table, n in rows.items() if n
    )
