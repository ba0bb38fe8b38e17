"""The controls that are runs of their own, beside the run: of a random dictionary and of a random subject."""

from collections.abc import Iterator

from gloss.browse import words
from gloss.browse.sections import Cell, Grid, Section
from gloss.records import NOBODY, Control
from gloss.run.controls import finished
from gloss.run.plan import plan_of
from gloss.run.reporting.material import Material, headline
from gloss.run.reporting.peaks import TOP, entropies

SHOWN_SCORES = 4  # columns that a page has room for


def beside(found: Material) -> Iterator[tuple[str, Material]]:
    """The controls whose scores are whole, with how they are called."""
    for name, folder in finished(found.plan):
        plan = plan_of(folder)
        if plan.part("collect", 0).is_done and all(
            plan.part(stage, shard).is_done for stage in plan.stages("score") for shard in range(plan.shards)
        ):
            yield name.replace("_", " "), Material(plan, found)


def untrained(found: Material) -> Section | None:
    """Medians of every headline and of the entropy of top contexts, of the run and of its controls."""
    runs = [("this run", found), *beside(found)]
    if len(runs) == 1:
        return None
    scored = list(found.scores)[:SHOWN_SCORES]
    headlines = [f"{words.metric(found.scores[one][0]['headline'])} by {one[0]}" for one in scored]
    if len({explained_by for _, explained_by in scored} - {NOBODY}) > 1:
        headlines = [f"{said} of {one[1]}" for said, one in zip(headlines, scored, strict=True)]
    columns = ("", "features", *headlines, "entropy of top contexts, nats", "as a share of the most", "live", "L0")
    lead = (
        "Each control is a whole run of its own on the same texts. A random dictionary has directions drawn at random that fire "
        "as often as the run’s features; a random subject has the same architecture and weights that were never trained. What is "
        "owed to training is the distance between the lines. The entropy is of the tokens at the peaks of a feature’s "
        f"{TOP} strongest contexts: 0 where it always peaks at the same token."
    )
    return Section("Controls without training", lead, (Grid(columns, tuple(row(*run, scored) for run in runs)),), brief=True)


def row(name: str, found: Material, scored: list[tuple[str, str]]) -> tuple[Cell, ...]:
    """One run's medians over the features that have an explanation."""
    plan = found.plan
    medians = [found.median(headline(found.scores.get(one, []), Control.NONE)) for one in scored]
    nats, shares = entropies(found)
    l0 = plan.activations.manifest["nonzeros"] / max(1, int(plan.corpus.counted.sum()))
    number = f"{len(plan.features):,}"
    return name, number, *medians, found.median(nats), found.median(shares), f"{len(plan.live):,}", f"{l0:.1f}"
