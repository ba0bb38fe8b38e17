"""Behind `gloss compare`: the share of features that dictionaries have in common, at several
cosines, beside chance.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from rich.table import Table
from rich.text import Text

from gloss.decompose.feature_matching import (
    SHARED_COSINE,
    FeaturePartners,
    Matcher,
    UnitDirections,
    match_features,
)
from gloss.errors import BadSettings
from gloss.records import Estimate
from gloss.run.methods import build_method
from gloss.run.progress import out
from gloss.run.sources import NamedDictionary
from gloss.statistics.intervals import wilson_interval

COSINES = (0.5, SHARED_COSINE, 0.9)


def print_dictionary_comparison(
    folders: Sequence[str], site: str, seed: int, matcher: str = "hungarian"
) -> None:
    """Print every pair.

    Raises BadSettings for a single dictionary and a matcher that is not installed, and Mismatch
    where widths of sites differ.
    """
    if len(folders) < 2:
        raise BadSettings(
            f"compare was given {len(folders)} dictionary, wants at least 2; name another folder"
        )
    chosen: Matcher = build_method("match", {"method": matcher})
    rng = np.random.default_rng(seed)
    read = {
        folder: UnitDirections.of(NamedDictionary.of(folder, site).load()) for folder in folders
    }
    table = Table(
        "dictionaries",
        "cosine",
        "shared",
        "95 % interval",
        "by chance",
        "features",
        title="features in common",
    )
    for one, other in combinations(folders, 2):
        found = match_features(read[one], read[other], chosen)
        chance = match_features(read[one], read[other].random_twin(rng), chosen)
        for number, cosine in enumerate(COSINES):
            name = f"{one}\n{other}" if number == 0 else ""
            share = shared_feature_share(found, cosine)
            numbers = f"{int(found.shared(cosine).sum()):,}"
            table.add_row(
                Text(name),
                f"≥ {cosine}",
                f"{share.value:.3f}",
                f"{share.low:.3f} to {share.high:.3f}",
                f"{shared_feature_share(chance, cosine).value:.3f}",
                numbers,
            )
        means = (f"{float(np.nanmean(side.writing)):.3f}" for side in (found, chance))
        table.add_row(
            "",
            "mean",
            next(means),
            "",
            next(means),
            f"{min(len(read[one]), len(read[other])):,}",
            end_section=True,
        )
    out.print(table)
    out.print(
        "mean: cosine of partners by decoder; features: how many are shared, and of how many",
        highlight=False,
    )


def shared_feature_share(found: FeaturePartners, cosine: float) -> Estimate:
    """The share of the smaller dictionary's features that are in both, with its interval over
    features.
    """
    return wilson_interval(int(found.shared(cosine).sum()), int((found.by_writing >= 0).sum()))
