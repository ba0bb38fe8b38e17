"""Which explanations may be exchanged: how many features share one, and the largest groups."""

from collections import defaultdict
from collections.abc import Sequence

from gloss.pages.report_sections import Cell, Grid, Section
from gloss.records import Estimate
from gloss.run.reporting.run_data import RunData
from gloss.statistics.intervals import wilson_interval
from gloss.store.results import Row, read_rows

LARGEST = 8  # groups that are listed
MEMBERS = 12  # features of a group that are named


def collisions_section(found: RunData) -> Section | None:
    """The share of explained features that collide, by explainer, and their groups."""
    if "collisions" not in found.run.keys:
        return None
    folder = found.run.place("collisions")
    pairs, grouped = read_rows([folder], "collisions"), read_rows([folder], "collision_groups")
    explainers = sorted({explainer for explainer, _ in found.texts})
    shares = tuple(
        collision_share_row(found, explainer, pairs, grouped) for explainer in explainers
    )
    listed = tuple(
        line for explainer in explainers for line in largest_group_rows(found, explainer, grouped)
    )
    if not shares:
        return None
    uncompared = sum(note["uncompared"] for note in found.run.notes("collisions"))
    note = (
        f"{uncompared:,} pairs of near features were not compared, because one has no rule."
        if uncompared
        else ""
    )
    blocks = [
        Grid(
            ("explained by", "features", "share that collides", "pairs compared", "groups"),
            shares,
            note,
        )
    ]
    if listed:
        blocks.append(
            Grid(("explained by", "features of a group", "its first explanation"), listed)
        )
    lead = (
        "Features collide where their explanations may be exchanged: the words are the same, or"
        " whoever takes them at their word cannot tell near features apart. Detection with random"
        " negatives does not see it."
    )
    return Section("Collisions", lead, tuple(blocks), brief=True)


def collision_share_row(
    found: RunData, explainer: str, pairs: Sequence[Row], grouped: Sequence[Row]
) -> tuple[Cell, ...]:
    """How many of an explainer's features share their explanation; not known where no pair was
    compared.
    """
    features = sum(method == explainer for method, _ in found.texts)
    members = [row["group"] for row in grouped if row["explained_by"] == explainer]
    compared = sum(
        row["explained_by"] == explainer and row["collides"] is not None for row in pairs
    )
    return (
        explainer,
        f"{features:,}",
        wilson_interval(len(members), features) if compared else Estimate.missing(),
        f"{compared:,}",
        f"{len(set(members)):,}",
    )


def largest_group_rows(
    found: RunData, explainer: str, grouped: Sequence[Row]
) -> list[tuple[Cell, ...]]:
    """The largest groups of features that share an explanation."""
    groups: dict[int, list[int]] = defaultdict(list)
    for row in grouped:
        if row["explained_by"] == explainer:
            groups[row["group"]].append(row["feature"])
    lines: list[tuple[Cell, ...]] = []
    for _, members in sorted(groups.items())[:LARGEST]:
        more = f" and {len(members) - MEMBERS:,} more" if len(members) > MEMBERS else ""
        named = ", ".join(map(str, members[:MEMBERS]))
        lines.append((explainer, named + more, found.texts[explainer, members[0]]))
    return lines
