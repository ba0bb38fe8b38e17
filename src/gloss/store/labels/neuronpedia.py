"""Neuronpedia's exports: a JSON line an explanation or an activation, what its web API answers, and
what its upload takes.

Lines follow github.com/hijohnnylin/neuronpedia, `utils/neuronpedia-utils/neuronpedia_utils/
db_models` (Apache-2.0).
"""

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gloss.store.atomic import write_bytes
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
    rule_source,
    values_of_json,
)

# who explains where nobody is known: the account that Neuronpedia's own importer falls back to
CREATOR = "clkht01d40000jv08hvalcvly"
GZIP_LEVEL = 5  # as in Neuronpedia's exports
LISTS = ("features", "explanations", "activations")


def recognises_neuronpedia(path: Path) -> bool:
    """Whether the rows name a model, a source and an index, as Neuronpedia's do."""
    head = file_head(path) if plain_suffix(path) in (".json", ".jsonl") else b""
    return b'"modelId"' in head and any(
        name in head for name in (b'"description"', b'"values"', b'"explanations"', b'"layer"')
    )


def read_neuronpedia(path: Path) -> Iterator[Published]:
    """Every explanation and every activation of a file."""
    for found in values_of_json(path):
        if isinstance(found, SkippedRow):
            yield found
        else:
            yield from neuronpedia_records(found[1], found[0], {})


def neuronpedia_records(row: object, where: str, around: Mapping[str, Any]) -> Iterator[Published]:
    """What a row holds: itself, or what is listed in it, which it says the model and source of."""
    if not isinstance(row, Mapping):
        yield SkippedRow(where, SkipReason.UNREADABLE)
        return
    about = {**around, **row}
    listed = [name for name in LISTS if isinstance(row.get(name), list)]
    for name in listed:
        for number, each in enumerate(row[name], 1):
            context = {
                key: about[key] for key in ("modelId", "layer", "source", "index") if key in about
            }
            yield from neuronpedia_records(each, f"{where}, {name} {number}", context)
    if listed:
        return
    index, layer = (
        feature_index(about.get("index")),
        str(about.get("layer") or about.get("source") or ""),
    )
    if index is None:
        yield SkippedRow(where, SkipReason.NO_INDEX)
    elif isinstance(row.get("tokens"), list) and isinstance(row.get("values"), list):
        yield from neuronpedia_context(row, index, layer, where)
    elif any(name in row for name in ("description", "text")):
        yield neuronpedia_label(row, index, layer, where)
    # a feature's row by itself says nothing in words


def neuronpedia_context(
    row: Mapping[str, Any], index: int, layer: str, where: str
) -> Iterator[PublishedContext | SkippedRow]:
    values = [real_number(each) for each in row["values"]]
    if None in values or len(values) != len(row["tokens"]):
        yield SkippedRow(where, SkipReason.UNREADABLE)
    else:
        tokens = tuple(map(str, row["tokens"]))
        yield PublishedContext(index, tokens, tuple(each or 0.0 for each in values), layer)


def neuronpedia_label(
    row: Mapping[str, Any], index: int, layer: str, where: str
) -> Label | SkippedRow:
    text = plain_text(row.get("description") or row.get("text"))
    made_by = [
        row.get(name) for name in ("typeName", "explanationModelName", "methodName", "modelName")
    ]
    scores = tuple(
        (str(each.get("explanationScoreTypeName") or "score"), value)
        for each in row.get("scores") or ()
        if isinstance(each, Mapping) and (value := real_number(each.get("value"))) is not None
    )
    if not text:
        return SkippedRow(where, SkipReason.NO_TEXT)
    by, rule = " ".join(map(str, filter(None, made_by))), rule_source(row.get("notes"))
    return Label(index, text, rule, by, layer, scores, dict(row))


def write_neuronpedia(labels: Iterable[Label], path: Path) -> None:
    """Write labels as a batch of Neuronpedia's explanations, packed where the name ends in .gz.

    A label that came from there is written with the fields that it had, all others with the same
    keys on every line, which Neuronpedia's importer wants. Raises Unwritable.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    lines = [json.dumps(explanation_line(each, now), ensure_ascii=False) for each in labels]
    whole = "".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace")
    packed = path.suffix.lower() == ".gz"
    write_bytes(path, gzip.compress(whole, GZIP_LEVEL, mtime=0) if packed else whole)


def explanation_line(label: Label, now: str) -> dict[str, Any]:
    """A label's line: as it came, or made of what is known of it."""
    if {"modelId", "layer", "index", "description"} <= label.fields.keys():
        return dict(label.fields)
    named = f"{label.layer}\0{label.index}\0{label.text}".encode()
    return {
        "id": f"gloss{hashlib.sha256(named).hexdigest()[:20]}",
        "modelId": str(label.fields.get("modelId", "")),
        "layer": label.layer,
        "index": str(label.index),
        "description": label.text,
        "authorId": CREATOR,
        "triggeredById": CREATOR,
        "typeName": label.made_by or "human",
        "explanationModelName": None,
        "notes": label.rule,
        "createdAt": now,
    }


FORMAT = LabelFormat(
    "Neuronpedia",
    "batch-N.jsonl.gz of explanations or activations, or JSON of its API",
    recognises_neuronpedia,
    read_neuronpedia,
    write_neuronpedia,
)
