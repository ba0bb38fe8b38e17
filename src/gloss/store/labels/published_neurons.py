"""Descriptions of neurons and features as three laboratories published them, a JSON file a neuron
or a layer.

Transluce's observatory (MIT): `explanations/LAYER/NEURON.json`, and rows of its database's table
`descriptions`. OpenAI's neuron explainer (MIT): `explanations/LAYER/NEURON.jsonl`. EleutherAI's
`auto_interp_explanations`: an object of texts, or of scores, by the feature's number.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gloss.store.labels.label_records import (
    Label,
    LabelFormat,
    Published,
    PublishedScore,
    SkippedRow,
    SkipReason,
)
from gloss.store.labels.label_rows import (
    feature_index,
    file_head,
    plain_suffix,
    plain_text,
    real_number,
    values_of_csv,
    values_of_json,
)

CORRELATION = "ev_correlation_score"
SPLITS = ("valid", "random_valid", "test", "train")  # by which the best explanation is chosen
SIGNS = ("positive", "negative")  # of the activations that are explained
# of Transluce's database: model, layer, neuron, expert
ROW_NAME = re.compile(r".+_(?P<layer>\d+)_(?P<index>\d+)_(?:None|\d+)")
BY_NUMBER = re.compile(rb'\s*\{\s*"\d+"\s*:\s*(?:"|-?[\d.]|null|NaN)')


def is_of_transluce(path: Path) -> bool:
    """Whether the file names a neuron and explains its activations of either sign."""
    head = file_head(path)
    if plain_suffix(path) in (".csv", ".tsv"):
        first = head.partition(b"\n")[0]
        return all(name in first for name in (b"neuron_id", b"polarity", b"description"))
    return plain_suffix(path) == ".json" and b'"neuron_id"' in head and b'"explanations"' in head


def read_transluce(path: Path) -> Iterator[Published]:
    """The best explanation of either sign of activation; that of the positive ones comes first."""
    if plain_suffix(path) in (".csv", ".tsv"):
        for found in values_of_csv(path):
            yield found if isinstance(found, SkippedRow) else description_row(*found)
        return
    for found in values_of_json(path):
        if isinstance(found, SkippedRow):
            yield found
            continue
        where, row = found
        layer, index = neuron_place(row)
        signs = row.get("explanations") if isinstance(row, Mapping) else None
        if index is None or not isinstance(signs, Mapping):
            yield SkippedRow(where, SkipReason.NO_INDEX)
            continue
        for sign in SIGNS:
            if entries := [each for each in signs.get(sign) or () if isinstance(each, Mapping)]:
                yield best_of_entries(entries, index, layer, sign, where)


def best_of_entries(
    entries: Sequence[Mapping[str, Any]], index: int, layer: str, sign: str, where: str
) -> Label | SkippedRow:
    """The entry with the highest score on the first split on which any has one."""
    scored: list[tuple[float, Mapping[str, Any]]] = []
    for split in SPLITS:
        scored = [
            (value, each)
            for each in entries
            if (value := simulated_correlation(each, split)) is not None
        ]
        if scored:
            break
    value, chosen = max(scored, key=lambda pair: pair[0]) if scored else (None, entries[0])
    text = plain_text(chosen.get("explanation"))
    if not text:
        return SkippedRow(where, SkipReason.NO_TEXT)
    scores = () if value is None else (("simulation correlation", value),)
    return Label(index, text, None, f"{sign} activations", layer, scores)


def simulated_correlation(entry: Mapping[str, Any], split: str) -> float | None:
    """The correlation that a simulation of this explanation reached on a split."""
    simulations = entry.get("simulations")
    found = simulations.get(split) if isinstance(simulations, Mapping) else None
    return real_number(found.get(CORRELATION)) if isinstance(found, Mapping) else None


def description_row(where: str, row: Mapping[str, Any]) -> Label | SkippedRow:
    """A row of the table of descriptions: the neuron's name, the sign, the text."""
    named = ROW_NAME.fullmatch(str(row.get("neuron_id", "")))
    if named is None:
        return SkippedRow(where, SkipReason.NO_INDEX)
    if not (text := plain_text(row.get("description"))):
        return SkippedRow(where, SkipReason.NO_TEXT)
    sign = SIGNS[str(row.get("polarity", "1")).strip().startswith("-")]
    return Label(
        int(named["index"]), text, None, f"{sign} activations", named["layer"], (), dict(row)
    )


def neuron_place(row: object) -> tuple[str, int | None]:
    """The layer and the index of the neuron that a row is of."""
    place = row.get("neuron_id") if isinstance(row, Mapping) else None
    if not isinstance(place, Mapping):
        return "", None
    return str(place.get("layer_index", "")), feature_index(place.get("neuron_index"))


def is_of_openai(path: Path) -> bool:
    """Whether the lines hold explanations with their simulations."""
    return plain_suffix(path) in (".jsonl", ".json") and b'"scored_explanations"' in file_head(path)


def read_openai(path: Path) -> Iterator[Published]:
    """The best explanation of each neuron."""
    for found in values_of_json(path):
        if isinstance(found, SkippedRow):
            yield found
            continue
        where, row = found
        layer, index = neuron_place(row)
        if index is None:
            yield SkippedRow(where, SkipReason.NO_INDEX)
            continue
        entries = [each for each in row["scored_explanations"] or () if isinstance(each, Mapping)]
        scored = [
            {**each, "simulations": {"valid": each.get("scored_simulation")}} for each in entries
        ]
        if scored:
            yield best_of_entries(scored, index, layer, "all", where)
        else:
            yield SkippedRow(where, SkipReason.NO_TEXT)


def is_by_number(path: Path) -> bool:
    """Whether the file is one object whose names are features' numbers."""
    return plain_suffix(path) == ".json" and BY_NUMBER.match(file_head(path)) is not None


def read_by_number(path: Path) -> Iterator[Published]:
    """A label for every text, a score for every number; the file's name says of which layer."""
    layer = plain_layer(path)
    for found in values_of_json(path):
        if isinstance(found, SkippedRow) or not isinstance(found[1], Mapping):
            yield SkippedRow(str(path), SkipReason.UNREADABLE)
            continue
        for name, said in found[1].items():
            index, where = feature_index(name), f"{path}, {name}"
            value = None if isinstance(said, str) else real_number(said)
            if index is None:
                yield SkippedRow(where, SkipReason.NO_INDEX)
            elif value is not None:
                yield PublishedScore(index, path.stem.partition("_")[0] or "score", value, layer)
            elif text := plain_text(said):
                yield Label(index, text, None, "EleutherAI", layer)
            else:
                yield SkippedRow(where, SkipReason.NO_TEXT)


def plain_layer(path: Path) -> str:
    """The layer that a name says: `model.layers.5` of `model.layers.5_feature.json`, `5` of
    `fuzz_layer_5.json`.
    """
    stem = path.name.partition(".json")[0].removesuffix("_feature")
    _, between, number = stem.rpartition("_layer_")
    return number if between else stem


TRANSLUCE = LabelFormat(
    "Transluce",
    "explanations/LAYER/NEURON.json, or CSV of descriptions",
    is_of_transluce,
    read_transluce,
)
OPENAI = LabelFormat("OpenAI", "explanations/LAYER/NEURON.jsonl", is_of_openai, read_openai)
ELEUTHER = LabelFormat(
    "EleutherAI", "JSON of texts by the feature's number", is_by_number, read_by_number, rank=1
)
