"""Labels in a table of anybody's: CSV, JSON, JSON lines or Parquet, with a column for the feature's
index and one for the text.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from gloss.store.labels.label_records import Label, LabelFormat, Published, SkippedRow, SkipReason
from gloss.store.labels.label_rows import (
    feature_index,
    first_of,
    plain_suffix,
    plain_text,
    real_number,
    values_of_csv,
    values_of_json,
    values_of_parquet,
)
from gloss.store.parquet import GroupWriter

INDEX = (
    *("feature", "index", "latent", "neuron", "feature_index", "latent_index", "neuron_index"),
    *("feature_id", "latent_id", "neuron_id", "id"),
)
TEXT = ("text", "explanation", "label", "description", "interpretation", "summary")
MADE_BY = ("made_by", "method", "explained_by", "explainer", "author", "typename")
LAYER = ("layer", "hookpoint", "module", "source", "site")
SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
LABELS = pa.schema(
    [
        ("feature", pa.int64()),
        ("text", pa.string()),
        ("rule", pa.string()),
        ("made_by", pa.string()),
        ("layer", pa.string()),
        ("scores", pa.list_(pa.struct([("name", pa.string()), ("value", pa.float64())]))),
        ("fields", pa.string()),  # of the row that it comes from, as JSON
    ]
)


def is_table(path: Path) -> bool:
    """Whether the name ends as that of a table."""
    return plain_suffix(path) in SUFFIXES


def table_values(path: Path) -> Iterator[tuple[str, Any] | SkippedRow]:
    """The rows of a table, each with where it stands. Raises BadInput."""
    suffix = plain_suffix(path)
    if suffix in (".csv", ".tsv"):
        return values_of_csv(path)
    return values_of_parquet(path) if suffix == ".parquet" else values_of_json(path)


def read_label_table(path: Path) -> Iterator[Published]:
    """A label a row."""
    for found in table_values(path):
        if isinstance(found, SkippedRow):
            yield found
        elif isinstance(found[1], Mapping):
            yield table_label(*found)
        else:
            yield SkippedRow(found[0], SkipReason.UNREADABLE)


def table_label(where: str, row: Mapping[str, Any]) -> Label | SkippedRow:
    """The label of a row; its columns are known by usual names."""
    index, text = feature_index(first_of(row, *INDEX)), plain_text(first_of(row, *TEXT))
    rule = plain_text(first_of(row, "rule")) or None
    if index is None:
        return SkippedRow(where, SkipReason.NO_INDEX)
    if not (text or rule):
        return SkippedRow(where, SkipReason.NO_TEXT)
    made_by, layer = (first_of(row, *names) for names in (MADE_BY, LAYER))
    listed: Any = row.get("scores")
    scores = tuple(
        (str(each["name"]), value)
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping) and (value := real_number(each.get("value"))) is not None
    )
    return Label(
        index,
        text or str(rule),
        rule,
        "" if made_by is None else str(made_by),
        "" if layer is None else str(layer),
        scores,
        kept_fields(row),
    )


def kept_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the label had in the file that it first came from."""
    try:
        kept = json.loads(row["fields"])
    except (LookupError, TypeError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def write_parquet_labels(labels: Iterable[Label], path: Path) -> None:
    """Write labels as a table with every field. Raises Unwritable."""
    rows = [label_row(each) for each in labels]
    with GroupWriter(path, LABELS) as file:
        file.add(**{name: [row[name] for row in rows] for name in LABELS.names})


def write_plain_labels(labels: Iterable[Label], path: Path) -> None:
    """Write labels as CSV, or as JSON lines where the name says so. Raises Unwritable."""
    import csv
    import io

    from gloss.store.atomic import write_bytes

    names = LABELS.names[:5]
    rows = [{name: label_row(each)[name] for name in names} for each in labels]
    if plain_suffix(path) in (".jsonl", ".json", ".ndjson"):
        whole = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    else:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        whole = text.getvalue()
    write_bytes(path, whole.encode("utf-8", errors="replace"))


def label_row(label: Label) -> dict[str, Any]:
    """A label as a row of the table."""
    return {
        "feature": label.index,
        "text": label.text,
        "rule": label.rule,
        "made_by": label.made_by,
        "layer": label.layer,
        "scores": [{"name": name, "value": value} for name, value in label.scores],
        "fields": json.dumps(dict(label.fields), ensure_ascii=False) if label.fields else None,
    }


PARQUET = LabelFormat(
    "Parquet",
    "a table with a column for the feature's index and one for its text",
    lambda path: plain_suffix(path) == ".parquet",
    read_label_table,
    write_parquet_labels,
    rank=2,
)
TABLE = LabelFormat(
    "a table",
    "CSV, JSON or JSON lines with a column for the feature's index and one for its text",
    is_table,
    read_label_table,
    write_plain_labels,
    rank=3,
)
