"""A run's report: the page behind a paper, and its short sections in the terminal."""

from collections.abc import Callable, Sequence

from rich.table import Table

from gloss.browse.report import write_report as write
from gloss.browse.sections import Block, Cell, Distributions, Grid, Link, Report, Section
from gloss.errors import BadInput
from gloss.records import Estimate
from gloss.run.doubts import doubts_of
from gloss.run.plan import Plan
from gloss.run.progress import out, tell
from gloss.run.reporting import chosen, collisions, controls, cost, deciles, effects, judges, scores, setup
from gloss.run.reporting.material import Material

REPORT = "report.html"

# In the order of the page; each gives nothing where the run has nothing to say.
SECTIONS: Sequence[Callable[[Material], Section | None]] = (
    scores.distributions,
    controls.untrained,
    chosen.optimism,
    scores.metrics,
    deciles.deciles,
    judges.judges,
    effects.effects,
    collisions.collisions,
    scores.failures,
    scores.ends,
    setup.base_rates,
    cost.cost,
    setup.done,
)


def write_report(plan: Plan) -> Report:
    """Write the page and give what it says. Raises BadInput for a run that has not collected yet."""
    if not plan.part("collect", 0).is_done:
        raise BadInput(
            f"{plan.folder} has nothing to report yet: its stage collect is not done; run `gloss run` on its experiment"
        )
    found = Material(plan)
    title = f"{plan.folder.resolve().name}: how far its explanations can be trusted"
    report = Report(title, summary(found), sections(found), doubts_of(plan))
    write(plan.folder / REPORT, report)
    tell(*(f"  {line}" for line in found.watch.told()))
    return report


def sections(found: Material) -> tuple[Section, ...]:
    made = (section(found) for section in SECTIONS)
    return tuple(section for section in made if section is not None)


def summary(found: Material) -> str:
    """The run in three sentences."""
    plan = found.plan
    explained = len({feature for _, feature in found.texts})
    site = plan.activations.manifest["made_from"]["site"]
    return (
        f"{len(plan.features):,} of the {plan.activations.width:,} features of a dictionary at `{site}` were read from "
        f"{len(plan.corpus):,} tokens; {explained:,} have an explanation. {setup.copied_of(plan)}. Every number stands "
        "beside its interval, its failures and its controls."
    )


def print_report(report: Report) -> None:
    """Print the sections that are short enough for a terminal."""
    for section in report.sections:
        if section.brief:
            print_section(section)


def print_section(section: Section) -> None:
    """Print a section's blocks as tables."""
    for block in section.blocks:
        out.print(table_of(section, block))


def table_of(section: Section, block: Block) -> Table:
    """A block as a table for a terminal."""
    if isinstance(block, Distributions):
        table = Table(block.title, "features", "median", "95 % interval", title=section.title, caption=block.note)
        for line in block.lines:
            table.add_row(line.label, str(len(line.values)), *written(line.median))
    elif isinstance(block, Grid):
        table = Table(*block.columns, title=section.title, caption=block.note or None)
        for row in block.rows:
            table.add_row(*map(plain, row))
    else:
        table = Table("", "", title=section.title, show_header=False)
        for line in block.lines:
            table.add_row(*map(plain, line))
    return table


def plain(cell: Cell) -> str:
    if isinstance(cell, Estimate):
        value, interval = written(cell)
        return f"{value} ({interval})"
    return (cell.text if isinstance(cell, Link) else cell).replace("[", r"\[")


def written(estimate: Estimate) -> tuple[str, str]:
    if estimate.value != estimate.value:
        return "-", "-"
    return f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}"
