"""SAEDashboard's `batch-N.json`: the contexts that it shows of each feature.

As github.com/jbloomAus/SAEDashboard (MIT) writes them for Neuronpedia. It explains nothing, so that
a file holds labels only where somebody put them there.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gloss.store.labels.label_records import (
    Label,
    LabelFormat,
    Published,
    PublishedContext,
    SkippedRow,
    SkipReason,
)
from gloss.store.labels.label_rows import (
    feature_index,
    file_head,
    plain_suffix,
    plain_text,
    real_number,
    values_of_json,
)


def recognises_sae_dashboard(path: Path) -> bool:
    """Whether the file lists features by their `feature_index`."""
    head = file_head(path) if plain_suffix(path) == ".json" else b""
    return b'"features"' in head and b'"feature_index"' in head


def read_sae_dashboard(path: Path) -> Iterator[Published]:
    """The contexts of every feature, and its explanations where it has some."""
    for found in values_of_json(path):
        if isinstance(found, SkippedRow):
            yield found
            continue
        where, batch = found
        features = batch.get("features") if isinstance(batch, Mapping) else None
        if not isinstance(features, list):
            yield SkippedRow(where, SkipReason.UNREADABLE)
            continue
        layer = "-".join(str(batch[name]) for name in ("layer", "sae_set") if name in batch)
        for number, feature in enumerate(features, 1):
            yield from dashboard_feature(feature, layer, f"{where}, feature {number}")


def dashboard_feature(feature: Any, layer: str, where: str) -> Iterator[Published]:
    """What one feature's entry shows."""
    index = feature_index(feature.get("feature_index")) if isinstance(feature, Mapping) else None
    if index is None:
        yield SkippedRow(where, SkipReason.NO_INDEX)
        return
    for each in feature.get("explanations") or ():
        text = plain_text(each.get("text") if isinstance(each, Mapping) else each)
        yield Label(index, text, layer=layer) if text else SkippedRow(where, SkipReason.NO_TEXT)
    for shown in feature.get("activations") or ():
        values = [real_number(each) for each in shown.get("values", ())]
        tokens = shown.get("tokens", ())
        if None in values or len(values) != len(tokens):
            yield SkippedRow(where, SkipReason.UNREADABLE)
        else:
            yield PublishedContext(
                index, tuple(map(str, tokens)), tuple(each or 0.0 for each in values), layer
            )


FORMAT = LabelFormat(
    "SAEDashboard",
    "batch-N.json with features and their activations",
    recognises_sae_dashboard,
    read_sae_dashboard,
)
