"""Why a feature fires where it does: the record, and its rows of Parquet."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gloss.records import FeatureId
from gloss.store.record_rows import feature_columns, feature_from_row
from gloss.store.results import Row

LEAST_SHARE = 0.5  # share of the variation below which a context's sets say nothing
LEAST_WEIGHT = 0.2  # share of the largest offset's weight from which on another counts


@dataclass(frozen=True, slots=True)
class TokenAttribution:
    """What drives a feature at the peak of one context: sets of tokens, and what each adds where
    all of it is kept.
    """

    feature: FeatureId
    context: int  # global index of the context's first position
    peak: int  # global index of the token at which the feature is strongest there
    players: tuple[str, ...]  # the tokens up to the peak, that one last
    # by offsets, 0 the peak and -1 the token before; () where none is kept
    values: Mapping[tuple[int, ...], float]
    # of the variation over masks that the sets account for; not a number where nothing varies
    share: float
    n: int  # masks

    def __post_init__(self) -> None:
        if wrong := [
            one
            for one in self.values
            if any(not -len(self.players) < offset <= 0 for offset in one)
        ]:
            raise ValueError(
                f"{self.feature}: offsets {wrong[0]} lie outside the {len(self.players)} tokens up"
                " to the peak"
            )


def token_attribution_rows(found: TokenAttribution) -> Iterator[Row]:
    """One row a set."""
    for offsets, value in found.values.items():
        yield feature_columns(found.feature) | {
            "context": found.context,
            "peak": found.peak,
            "offsets": list(offsets),
            "tokens": [found.players[offset - 1] for offset in offsets],
            "value": value,
            "share": None if math.isnan(found.share) else found.share,
            "players": list(found.players),
            "n": found.n,
        }


def token_attributions_by_feature(rows: Iterable[Row]) -> dict[int, tuple[TokenAttribution, ...]]:
    """The records by feature, in the order of their rows."""
    contexts: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in rows:
        contexts[row["feature"], row["context"]].append(row)
    found: dict[int, tuple[TokenAttribution, ...]] = {}
    for (index, context), sets in contexts.items():
        first = sets[0]
        one = TokenAttribution(
            feature_from_row(first),
            context,
            first["peak"],
            tuple(first["players"]),
            {tuple(row["offsets"]): row["value"] for row in sets},
            math.nan if first["share"] is None else first["share"],
            first["n"],
        )
        found[index] = (*found.get(index, ()), one)
    return found


def weightiest_offsets(attributions: Sequence[TokenAttribution]) -> tuple[int, ...]:
    """The offsets in the sets, the weightiest first: each set gives its players equal parts of the
    size of its value.

    Contexts whose sets account for less than half of the variation say nothing.
    """
    weights: dict[int, float] = defaultdict(float)
    for found in (one for one in attributions if one.share >= LEAST_SHARE):
        for one, value in found.values.items():
            for offset in one:
                weights[offset] += abs(value) / len(one)
    least = LEAST_WEIGHT * max(weights.values(), default=0.0)
    return tuple(
        sorted(
            (offset for offset, weight in weights.items() if weight >= least),
            key=lambda each: -weights[each],
        )
    )
