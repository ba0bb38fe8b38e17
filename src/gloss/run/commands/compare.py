"""Behind `gloss compare`: the share of features that dictionaries have in common, by weights, by
where they fire and by what is said of them, beside chance; and how close partners are otherwise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from gloss.decompose.feature_matching import SHARED_COSINE
from gloss.decompose.partner_search import HUNGARIAN, MUTUAL_NEAREST, Nearest
from gloss.errors import BadInput, BadSettings, GlossError, Mismatch, suggestion
from gloss.models.sites import JointSite
from gloss.pages.report_sections import Cell, Grid, ReportPage, Section
from gloss.pages.single_page import write_report_page
from gloss.records import Estimate
from gloss.run.alignment import (
    COACTIVATION,
    DECODER,
    ENCODER,
    EXPLANATIONS,
    FEWEST_PAIRS,
    MEASURES,
    WAYS,
    WEIGHTS,
    Alignment,
    ComparedPair,
    Measured,
    Side,
    align_by,
    align_by_weights,
    partner_closeness,
    short_names,
)
from gloss.run.methods import build_method
from gloss.run.progress import console, print_notes
from gloss.run.reporting.divided_features import divided_records, divided_section, divided_sides
from gloss.run.reporting.moved_section import moved_pair, moved_records, moved_section
from gloss.run.reporting.report import print_report
from gloss.run.reporting.shared_by_all import universality_records, universality_section
from gloss.run.sources import NamedDictionary, NamedModel
from gloss.statistics.intervals import bootstrap, wilson_interval
from gloss.store.atomic import write_json

CLOSENESS = (0.5, SHARED_COSINE, 0.9)
NAMES = {
    DECODER: "cosine of what they write",
    ENCODER: "cosine of what they read",
    COACTIVATION: "correlation of activations",
    EXPLANATIONS: "cosine of explanations",
}


def print_dictionary_comparison(
    folders: Sequence[str],
    site: str,
    seed: int,
    matcher: str = "",
    ways: tuple[str, ...] = (),
    explainer: str = "",
    page: Path | None = None,
) -> None:
    """Print every pair, and write the page where one is asked for.

    Raises BadSettings for a single dictionary, a way that there is not and a matcher that is not
    installed; where a way is asked for by name, or none is left, BadInput, BadSettings or Mismatch
    for what cannot be compared in it.
    """
    if len(folders) < 2:
        raise BadSettings(
            f"compare was given {len(folders)} dictionary, wants at least 2; name another folder"
        )
    if other := [way for way in ways if way not in WAYS]:
        raise BadSettings(
            f"features cannot be compared by {other[0]!r}{suggestion(other[0], WAYS)}"
        )
    if matcher:
        build_method("match", {"method": matcher})
    sides = [Side(name, NamedDictionary.of(name, site), explainer) for name in folders]
    rng = np.random.default_rng(seed)  # one for all: each pair has a chance of its own
    pairs = [compare_pair(one, other, ways, matcher, rng) for one, other in combinations(sides, 2)]
    sides_divided = [side for pair in pairs for side in divided_sides(pair)]
    moved = [found for found in map(moved_pair, pairs) if found]
    sections = (
        shared_section(pairs),
        universality_section(pairs),
        nearest_section(pairs),
        divided_section(sides_divided),
        moved_section(moved),
        otherwise_section(pairs),
        distance_section(pairs),
    )
    report = ReportPage(
        "Features in common",
        f"{', '.join(folders)}: which features go together, and how close they are.",
        tuple(filter(None, sections)),
    )
    print_report(report)
    print_notes(
        *(
            f"  {pair.name} are not compared by {way}: {problem}"
            for pair in pairs
            for way, problem in pair.impossible.items()
        )
    )
    if page:
        write_report_page(page, report)
        record = {
            "pairs": [comparison_record(pair) for pair in pairs],
            "universality": universality_records(pairs),
            "divided": divided_records(sides_divided),
            "moved": moved_records(moved),
        }
        write_json(page.with_suffix(".json"), record)
        console.print(f"open [bold]{page.resolve().as_uri()}[/]", highlight=False)


def compare_pair(
    left: Side, right: Side, asked: tuple[str, ...], matcher: str, rng: np.random.Generator
) -> ComparedPair:
    """Partners in every way that is asked for, or in all that there are."""
    runs = left.dictionary.run is not None and right.dictionary.run is not None
    ways = asked or ((WEIGHTS, COACTIVATION, EXPLANATIONS) if runs else (WEIGHTS,))
    measured: dict[str, Measured] = {}
    impossible: dict[str, GlossError] = {}
    for way in ways:
        measure = DECODER if way == WEIGHTS else way
        try:
            measured[measure] = MEASURES[measure](left, right)
        except (BadInput, BadSettings, Mismatch) as problem:
            if asked or not runs:
                raise
            impossible[way] = problem
    if not measured:
        raise next(iter(impossible.values()))
    alignments = tuple(
        align_by_weights(left, right, rng, matcher)
        if way == WEIGHTS
        else align_by(way, measured[way], rng)
        for way in ways
        if way not in impossible
    )
    otherwise = {
        (found.way, measure, least > -1): partner_closeness(found, closeness, rng, least)
        for found in alignments
        for least in (-2.0, SHARED_COSINE)
        for measure, (closeness, _) in measured.items()
        if measure != (DECODER if found.way == WEIGHTS else found.way)
    }
    nearest = None
    if any(found.way == WEIGHTS for found in alignments):
        near, drawn = measured[DECODER]
        nearest = Nearest.of(near.pairs), Nearest.of(drawn(rng))
    return ComparedPair(left, right, alignments, otherwise, impossible, nearest)


def shared_section(pairs: Sequence[ComparedPair]) -> Section:
    """The share of features that are in both, by each way and closeness."""
    rows: list[tuple[Cell, ...]] = []
    for pair in pairs:
        name = pair.name
        for found in pair.alignments:
            way = found.way + (f", {found.matcher}" if found.matcher != HUNGARIAN else "")
            for least in CLOSENESS:
                number = f"{int((found.agreed >= least).sum()):,}"
                chance = f"{found.share_by_chance(least):.3f}"
                rows.append((name, way, f"≥ {least}", found.share(least), chance, number))
                name = way = ""
            chance = f"{float(found.by_chance.mean()):.3f}" if len(found.by_chance) else "–"
            number = f"{len(found):,}"
            if len(found) < found.features:
                number += f" of {found.features:,}"
            rows.append(("", "", "mean", mean_closeness(found), chance, number))
    lead = (
        "Partners are assigned one to one so that their closeness adds up to the most. By weights:"
        " a feature is shared where encoder and decoder give it the same partner and neither cosine"
        " lies below what is stated; the mean is of the decoder’s. Intervals are over features."
    )
    columns = ("dictionaries", "by", "closeness", "shared", "by chance", "features")
    note = "mean: closeness of partners; features: how many are shared, and of how many"
    if any(found.matcher == MUTUAL_NEAREST for pair in pairs for found in pair.alignments):
        note += f"; {MUTUAL_NEAREST}: partners are each other’s nearest, and the others have none"
    note = ". ".join([note, *gap_words(pairs), *filter(None, map(explanations_words, pairs))])
    return Section("Features in common", lead, (Grid(columns, tuple(rows), note),), brief=True)


def gap_words(pairs: Sequence[ComparedPair]) -> Iterator[str]:
    """How far partners may fall short of the best, where they were not found among all pairs."""
    for pair in pairs:
        for found in pair.alignments:
            if found.gap:
                yield (
                    f"{pair.name} by {found.way}: partners are found among the nearest of each, and"
                    f" reach at least {1 - found.gap:.4%} of the closeness that the best can have"
                )


def nearest_section(pairs: Sequence[ComparedPair]) -> Section | None:
    """How many features have a near one on the other side, whoever else has the same; None where
    nothing was compared by weights.
    """
    rows: list[tuple[Cell, ...]] = []
    for pair in pairs:
        if pair.nearest is None:
            continue
        left, right = short_names((pair.left.name, pair.right.name))
        ways = ((f"{left} in {right}", *pair.nearest), (f"{right} in {left}", *flipped(pair)))
        for name, near, drawn in ways:
            number = len(near.of_left)
            rows.append((name, *nearest_cells(near), f"{number:,}"))
            chances = (f"{cell.value:.3f}" for cell in nearest_cells(drawn))
            rows.append(("by chance", *chances, ""))
    if not rows:
        return None
    lead = (
        f"By what features write. Near: the share of features whose nearest has a cosine of"
        f" {SHARED_COSINE} or more, whoever else has the same one. Wanted by several: those that"
        " are the nearest of two or more features at that cosine, so that these may be its parts."
    )
    columns = ("features of", "near", "wanted by several", "features")
    return Section("Nearest features", lead, (Grid(columns, tuple(rows)),), brief=True)


def flipped(pair: ComparedPair) -> Iterator[Nearest]:
    """The nearest of the right side's features, and by chance."""
    for near in pair.nearest or ():
        yield Nearest(near.of_right, near.closeness_of_right, near.of_left, near.closeness)


def nearest_cells(near: Nearest) -> tuple[Estimate, Estimate]:
    number = len(near.of_left)
    shares = (
        int((near.closeness >= SHARED_COSINE).sum()),
        len(near.wanted_by_several(SHARED_COSINE)),
    )
    return wilson_interval(shares[0], number), wilson_interval(shares[1], number)


def explanations_words(pair: ComparedPair) -> str:
    """What alignment by explanations measures, against what, and whether it says anything;
    nothing where it was not asked for.
    """
    found = next((one for one in pair.alignments if one.way == EXPLANATIONS), None)
    if found is None:
        return ""
    chance = found.share_by_chance(SHARED_COSINE)
    told = (
        f"{pair.name} by explanations: how near lies what is said of two features, of the"
        f" {len(pair.left.texts):,} and {len(pair.right.texts):,} that are explained, as an"
        " embedding has it; chance: how near different features of one of them are said to be"
    )
    if not found.share(SHARED_COSINE).low > chance:
        told += ", and these are no farther: it does not tell partners from others here"
    if partners := explained_partners(pair):
        told += f". {partners}"
    return told


def explained_partners(pair: ComparedPair) -> str:
    """Of how many partners by weights both were explained, so that explanations could find them."""
    weights = next((one for one in pair.alignments if one.way == WEIGHTS), None)
    if weights is None:
        return ""
    close = weights.agreed >= CLOSENESS[0]
    both = close & np.isin(weights.left, list(pair.left.texts))
    both &= np.isin(weights.right, list(pair.right.texts))
    return (
        f"Of {int(close.sum()):,} partners by weights (≥ {CLOSENESS[0]}) both are explained in"
        f" {int(both.sum()):,}"
    )


def mean_closeness(found: Alignment) -> Estimate:
    return bootstrap(
        lambda x: x.mean(axis=-1),
        found.closeness.astype(np.float64),
        rng=np.random.default_rng(len(found)),
    )


def otherwise_section(pairs: Sequence[ComparedPair]) -> Section | None:
    """How close partners are by what they were not matched by, beside shuffled ones."""
    rows: list[tuple[Cell, ...]] = []
    for pair in pairs:
        name = pair.name
        for (way, measure, shared), found in pair.otherwise.items():
            which = f"{way}, ≥ {SHARED_COSINE}" if shared else way
            if shared and found.pairs < FEWEST_PAIRS:
                continue
            numbers: tuple[Cell, ...] = (found.matched, found.shuffled, found.difference)
            if found.pairs < FEWEST_PAIRS:
                numbers = (f"fewer than {FEWEST_PAIRS} pairs", "–", "–")
            rows.append((name, which, NAMES[measure], f"{found.pairs:,}", *numbers))
            name = ""
    if not rows:
        return None
    lead = (
        "Are partners also close by what they were not matched by? Shuffled: each with the partners"
        " of all others. Means over pairs; the difference is of the same pairs."
    )
    columns = ("dictionaries", "matched by", "measured by", "pairs", "matched", "shuffled", "more")
    return Section("Partners by other measures", lead, (Grid(columns, tuple(rows)),), brief=True)


def distance_section(pairs: Sequence[ComparedPair]) -> Section | None:
    """The share in common by how many layers lie between; None for a single distance."""
    groups: dict[tuple[str, int], list[Alignment]] = {}
    for pair in pairs:
        apart = layers_apart(pair)
        for found in pair.alignments if apart is not None else ():
            groups.setdefault((found.way, apart or 0), []).append(found)
    if len({distance for _, distance in groups}) < 2:
        return None
    rows = tuple(
        (way, str(distance), str(len(found)), *distance_cells(found))
        for (way, distance), found in sorted(groups.items())
    )
    lead = (
        f"Of the features of runs at several layers of one model, the share with a partner of"
        f" closeness {SHARED_COSINE} or more, over all pairs of layers so far apart. Intervals are"
        " over features; pairs of layers share some."
    )
    columns = ("by", "layers apart", "pairs of layers", "shared", "by chance", "mean closeness")
    return Section("Overlap by distance", lead, (Grid(columns, rows),), brief=True)


def distance_cells(found: Sequence[Alignment]) -> Iterator[Cell]:
    shared = sum(int((each.agreed >= SHARED_COSINE).sum()) for each in found)
    yield wilson_interval(shared, sum(each.features for each in found))
    yield f"{np.mean([each.share_by_chance(SHARED_COSINE) for each in found]):.3f}"
    yield f"{np.concatenate([each.closeness for each in found]).mean():.3f}"


def layers_apart(pair: ComparedPair) -> int | None:
    """How many layers lie between two runs of one model at sites of one kind; None for others."""
    sites = pair.left.site, pair.right.site
    if sites[0] is None or sites[1] is None or sites[0].kind != sites[1].kind:
        return None
    if any(isinstance(site, JointSite) for site in sites):
        return None
    models = [NamedModel.of(side.name).content for side in (pair.left, pair.right)]
    return abs(sites[0].layer - sites[1].layer) if models[0] == models[1] else None


def comparison_record(pair: ComparedPair) -> dict[str, Any]:
    """A pair as plain values: partners feature by feature, and how close they are otherwise."""
    return {
        "left": pair.left.name,
        "right": pair.right.name,
        "alignments": [
            {
                "by": found.way,
                "matcher": found.matcher,
                "features": found.features,
                "gap": found.gap,
                "shared": {str(least): asdict(found.share(least)) for least in CLOSENESS},
                "by_chance": {str(least): found.share_by_chance(least) for least in CLOSENESS},
                "partners": [
                    {"left": left, "right": right, "closeness": close, "shared": bool(both)}
                    for left, right, close, both in zip(
                        found.left.tolist(),
                        found.right.tolist(),
                        found.closeness.tolist(),
                        (found.agreed >= SHARED_COSINE).tolist(),
                        strict=True,
                    )
                ],
            }
            for found in pair.alignments
        ],
        "partners_otherwise": [
            {"matched_by": way, "measured_by": measure, "shared_only": shared, **asdict(found)}
            for (way, measure, shared), found in pair.otherwise.items()
            if found.pairs >= FEWEST_PAIRS
        ],
        "nearest": pair.nearest
        and {
            "left": pair.nearest[0].of_left.tolist(),
            "left_closeness": pair.nearest[0].closeness.tolist(),
            "right": pair.nearest[0].of_right.tolist(),
            "right_closeness": pair.nearest[0].closeness_of_right.tolist(),
        },
        "impossible": {way: str(problem) for way, problem in pair.impossible.items()},
    }
