"""A run's report: the page behind a paper, and its short sections in the terminal."""

from collections.abc import Callable, Sequence

from rich.table import Table

from gloss.errors import BadInput
from gloss.pages.report_sections import (
    Cell,
    Distributions,
    Facts,
    Grid,
    Link,
    Matrix,
    ReportPage,
    Section,
)
from gloss.pages.single_page import write_report_page
from gloss.records import Estimate
from gloss.run.judge_doubts import judge_doubts
from gloss.run.opened_run import OpenedRun
from gloss.run.progress import out, print_notes
from gloss.run.reporting import (
    agreement,
    cost,
    paired_scores,
    scores,
    setup,
    trusted_labels,
    untrained_controls,
)
from gloss.run.reporting.run_data import RunData
from gloss.run.stage import installed_stages

REPORT = "report.html"

# What is asked first of every run; then each stage's own sections; then what ends a report.
FIRST: Sequence[Callable[[RunData], Section | None]] = (
    scores.scores_section,
    trusted_labels.trusted_section,
    paired_scores.explainers_section,
    agreement.agreement_section,
    untrained_controls.untrained_controls_section,
    scores.metrics_section,
    scores.sensitivity_section,
)
LAST: Sequence[Callable[[RunData], Section | None]] = (
    scores.failures_section,
    scores.extremes_section,
    setup.base_rates_section,
    cost.cost_section,
    setup.setup_section,
)


def write_run_report(run: OpenedRun) -> ReportPage:
    """Write the page and give what it says.

    Raises BadInput for a run that has not collected yet.
    """
    if not run.part("collect", 0).is_done:
        raise BadInput(
            f"{run.folder} has nothing to report yet: its stage collect is not done; run `gloss"
            " run` on its experiment"
        )
    found = RunData(run)
    title = f"{run.folder.resolve().name}: how far its explanations can be trusted"
    report = ReportPage(title, report_summary(found), report_sections(found), judge_doubts(run))
    write_report_page(run.folder / REPORT, report)
    print_notes(*(f"  {line}" for line in found.guard.summary_lines()))
    return report


def report_sections(found: RunData) -> tuple[Section, ...]:
    """Every section that has something to say, in the order of the page."""
    own = (one for stage in installed_stages().values() for one in stage.sections(found))
    every = (*(one(found) for one in FIRST), *own, *(one(found) for one in LAST))
    return tuple(section for section in every if section is not None)


def report_summary(found: RunData) -> str:
    """The run in three sentences."""
    run = found.run
    explained = len({feature for _, feature in found.texts})
    site = run.activations.manifest["made_from"]["site"]
    return (
        f"{len(run.features):,} of the {run.activations.width:,} features of a dictionary at"
        f" `{site}` were read from {run.activations.tokens:,} tokens; {explained:,} have an"
        " explanation."
        f" {setup.held_out_copies(run)}. Every number stands beside its interval, its failures and"
        " its controls."
    )


def print_report(report: ReportPage) -> None:
    """Print the sections that are short enough for a terminal."""
    for section in report.sections:
        if section.brief:
            print_section(section)


def print_section(section: Section) -> None:
    """Print a section's blocks as tables."""
    for block in section.blocks:
        if not isinstance(block, Matrix):  # whose numbers stand in a table, too
            out.print(block_table(section, block))


def block_table(section: Section, block: Facts | Grid | Distributions) -> Table:
    """A block as a table for a terminal."""
    if isinstance(block, Distributions):
        table = Table(
            block.title,
            "features",
            "median",
            "95 % interval",
            title=section.title,
            caption=block.note,
        )
        for line in block.lines:
            table.add_row(line.label, str(len(line.values)), *estimate_cells(line.median))
    elif isinstance(block, Grid):
        table = Table(*block.columns, title=section.title, caption=block.note or None)
        for row in block.rows:
            table.add_row(*map(terminal_cell, row))
    else:
        table = Table("", "", title=section.title, show_header=False)
        for line in block.lines:
            table.add_row(*map(terminal_cell, line))
    return table


def terminal_cell(cell: Cell) -> str:
    if isinstance(cell, Estimate):
        value, interval = estimate_cells(cell)
        return value if value == interval else f"{value} ({interval})"
    return (cell.text if isinstance(cell, Link) else cell).replace("[", r"\[")


def estimate_cells(estimate: Estimate) -> tuple[str, str]:
    if estimate.value != estimate.value:
        return "-", "-"
    return f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}"
