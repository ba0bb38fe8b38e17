"""What the run has cost: requests, tokens and money from the ledger, and time by stage."""

from collections.abc import Iterator

from gloss.models.chat_models.ledger import Ledger, ModelSpending
from gloss.pages.report_sections import Grid, ReportBlock, Section
from gloss.run.chat_capabilities import LEDGER
from gloss.run.execute.stage_times import stage_seconds
from gloss.run.reporting.run_data import RunData


def cost_section(found: RunData) -> Section | None:
    """Requests, tokens and money, in all and by feature; seconds by stage."""
    blocks: list[ReportBlock] = []
    path = found.run.folder / LEDGER
    if path.exists():
        with Ledger(path) as ledger:
            rows = tuple(
                row
                for spent in ledger.spending_by_model()
                for row in ledger_rows(spent, len(found.run.features))
            )
        columns = ("model", "", "requests", "prompt tokens", "answer tokens", "money")
        if rows:
            blocks.append(
                Grid(
                    columns,
                    rows,
                    "All answers in the run’s ledger, those of settings that were changed since"
                    " included.",
                )
            )
    times = stage_seconds(found.run)
    folders = {
        stage: str(found.run.place(stage).relative_to(found.run.folder)) for stage in found.run.keys
    }
    spent = {stage: times[folder] for stage, folder in folders.items() if folder in times}
    if spent:
        number = max(1, len(found.run.features))
        rows = tuple(
            (stage, f"{taken:.1f}", f"{taken / number:.3f}") for stage, taken in spent.items()
        )
        total = sum(spent.values())
        rows = (*rows, ("all", f"{total:.1f}", f"{total / number:.3f}"))
        blocks.append(
            Grid(
                ("stage", "seconds", "seconds a feature"),
                rows,
                "Wall-clock time; attempts that were killed are not counted.",
            )
        )
    return Section("Cost", "What a second run would cost.", tuple(blocks)) if blocks else None


def ledger_rows(spent: ModelSpending, features: int) -> Iterator[tuple[str, ...]]:
    """One line for all that a model was asked, and one by feature."""
    numbers = (spent.requests, spent.prompt_tokens, spent.completion_tokens)
    money = f"{spent.money:,.4f}" if spent.priced else "unknown"
    yield spent.model, "in all", *(f"{number:,}" for number in numbers), money
    each = [number / max(1, features) for number in numbers]
    yield (
        spent.model,
        "by feature",
        *(f"{number:,.1f}" for number in each),
        f"{spent.money / max(1, features):,.6f}" if spent.priced else "unknown",
    )
