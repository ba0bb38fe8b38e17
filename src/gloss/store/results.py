"""Records as rows of Parquet: one table a kind of record, one part a shard, written whole or not at all."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gloss.records import Candidate, Control, Estimate, Explanation, Failure, FeatureId, Reason, Score, Verdict
from gloss.store.atomic import disk, write_atomically

Row = dict[str, Any]

FEATURE = [("dictionary", pa.string()), ("feature", pa.int64())]
ESTIMATES = pa.list_(pa.struct([("metric", pa.string()), ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]))
WEIGHTED_TOKENS = pa.list_(pa.struct([("token", pa.string()), ("value", pa.float32())]))

ESTIMATE = pa.struct([("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64())])
SHIFTS = pa.list_(
    pa.struct(
        [("token", pa.int64()), ("text", pa.string()), ("change", ESTIMATE), ("clean", pa.float64()), ("edited", pa.float64())]
    )
)

SCHEMAS: Mapping[str, pa.Schema] = {
    "features": pa.schema(
        [
            *FEATURE,
            ("top_tokens", WEIGHTED_TOKENS),  # whose logits the feature raises, strongest first
            ("bottom_tokens", WEIGHTED_TOKENS),
            ("chance_logit", pa.float32()),  # that the first token of one random direction in a hundred exceeds
            ("neighbours", pa.list_(pa.struct([("feature", pa.int64()), ("cosine", pa.float32())]))),
        ]
    ),
    "neighbours": pa.schema(
        [*FEATURE, ("neighbours", pa.list_(pa.struct([("feature", pa.int64()), ("closeness", pa.float32())])))]
    ),
    "effects": pa.schema(
        [
            *FEATURE,
            ("split", pa.string()),
            ("control", pa.string()),
            ("deed", pa.string()),
            ("target", pa.float64()),  # nats
            ("strength", pa.float64()),
            ("divergence", ESTIMATE),  # nats
            ("passes", pa.int64()),
            ("n", pa.int64()),
            ("choosing", pa.int64()),
            ("risen", SHIFTS),
            ("fallen", SHIFTS),
            ("ranking", pa.list_(pa.int32())),
            ("completions", pa.list_(pa.struct([("prompt", pa.string()), ("clean", pa.string()), ("edited", pa.string())]))),
        ]
    ),
    "explanations": pa.schema(
        [*FEATURE, ("text", pa.string()), ("method", pa.string()), ("rule", pa.string()), ("prompt_hash", pa.string())]
    ),
    "candidates": pa.schema(
        [
            *FEATURE,
            ("method", pa.string()),  # of the explainer that chose
            ("candidate", pa.int64()),  # in the order in which they were made
            ("text", pa.string()),
            ("rule", pa.string()),
            ("chosen", pa.bool_()),
            ("scorer", pa.string()),
            ("headline", pa.string()),  # on the selection split, and its value there
            ("value", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("n", pa.int64()),
            ("failed", pa.int64()),
            ("reason", pa.string()),  # why there is no score
        ]
    ),
    "failures": pa.schema([*FEATURE, *((name, pa.string()) for name in ("stage", "reason", "detail", "explained_by"))]),
    "scores": pa.schema(
        [
            *FEATURE,
            ("method", pa.string()),
            ("explained_by", pa.string()),
            ("control", pa.string()),
            ("headline", pa.string()),
            ("value", pa.float64()),  # of the headline, so that a query need not unpack the estimates
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("n", pa.int64()),
            ("failed", pa.int64()),
            ("estimates", ESTIMATES),
            ("spared", pa.int64()),  # requests
        ]
    ),
    "collisions": pa.schema(
        [
            *FEATURE,
            ("other", pa.int64()),  # a feature of the same dictionary
            ("explained_by", pa.string()),
            ("collides", pa.bool_()),
            ("same_words", pa.bool_()),
            ("value", pa.float64()),  # how often the two were told apart; .5 is guessing
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("n", pa.int64()),
            ("failed", pa.int64()),
        ]
    ),
    "collision_groups": pa.schema(
        [*FEATURE, ("explained_by", pa.string()), ("group", pa.int64()), ("size", pa.int64())]
    ),
    "verdicts": pa.schema(
        [
            *FEATURE,
            ("method", pa.string()),
            ("explained_by", pa.string()),
            ("control", pa.string()),
            ("context", pa.int64()),
            ("truth", pa.bool_()),
            ("answer", pa.bool_()),
            ("reason", pa.string()),
            ("probability", pa.float64()),
            ("question", pa.int64()),
            ("place", pa.int64()),  # in its question
        ]
    ),
    "anchors": pa.schema(
        [
            ("method", pa.string()),
            ("rule", pa.string()),
            *((f"{side}_{answer}", pa.int64()) for side in ("covered", "others") for answer in ("yes", "no", "failed")),
        ]
    ),
    "examples": pa.schema(
        [*FEATURE, ("role", pa.string()), ("context", pa.int64()), ("quantile", pa.int64()), ("width", pa.int64())]
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One shard's results: a Parquet file for each kind of record that it made, then a marker that says it is whole."""

    folder: Path
    shard: int

    @property
    def marker(self) -> Path:
        return self.folder / f"part-{self.shard:05d}.done"

    @property
    def is_done(self) -> bool:
        return self.marker.exists()

    def counts(self) -> dict[str, int]:
        """How many rows of each kind the finished shard made."""
        return json.loads(self.marker.read_text())["rows"]

    def write(self, records: Mapping[str, Iterable[Row]], *, whole: bool = True, note: Mapping[str, Any] | None = None) -> None:
        """Write every table, then the marker: a shard that was killed, or is not `whole`, has none and is done again.

        The marker says how many rows there are, and what is noted beside.
        """
        counts: dict[str, int] = {}
        for table, rows in records.items():
            content = pa.Table.from_pylist(list(rows), schema=SCHEMAS[table])
            counts[table] = content.num_rows
            file = self.folder / table / f"part-{self.shard:05d}.parquet"
            if content.num_rows:
                write_atomically(file, lambda path, t=content: pq.write_table(t, path))
            elif file.exists():  # of an attempt that was killed, when a language model answered otherwise
                with disk(file):
                    file.unlink()
        if whole:
            write_atomically(
                self.marker, lambda path: Path(path).write_text(json.dumps({"rows": counts, **(note or {})}, sort_keys=True))
            )


def read(folders: Iterable[Path], table: str) -> list[Row]:
    """All rows of a kind, in the order of shards; none where no shard made any."""
    rows: list[Row] = []
    for folder in folders:
        for path in sorted((folder / table).glob("part-*.parquet")):
            rows += pq.read_table(path, schema=SCHEMAS[table]).to_pylist()
    return rows


def identity(feature: FeatureId) -> Row:
    """The two columns that name a feature."""
    return {"dictionary": feature.dictionary, "feature": feature.index}


def explanation_row(explanation: Explanation) -> Row:
    return identity(explanation.feature) | {
        "text": explanation.text,
        "method": explanation.method,
        "rule": explanation.rule,
        "prompt_hash": explanation.prompt_hash,
    }


def explanation_of(row: Row) -> Explanation:
    return Explanation(feature_of(row), row["text"], row["method"], row["rule"], row["prompt_hash"])


def candidate_rows(candidates: Sequence[Candidate], method: str) -> Iterator[Row]:
    """The candidates of one feature, with the name in the run of the explainer that chose among them."""
    for number, candidate in enumerate(candidates):
        found, explanation = candidate.selection, candidate.explanation
        row = identity(explanation.feature) | {"method": method, "candidate": number, "chosen": candidate.chosen}
        row |= {"text": explanation.text, "rule": explanation.rule}
        if isinstance(found, Failure):
            yield row | {"reason": str(found.reason)}
        else:
            scored = score_row(found)
            yield (
                row
                | {"scorer": found.method}
                | {name: scored[name] for name in ("headline", "value", "low", "high", "n", "failed")}
            )


def failure_row(failure: Failure) -> Row:
    plain = {name: getattr(failure, name) for name in ("stage", "detail", "explained_by")}
    return identity(failure.feature) | plain | {"reason": str(failure.reason)}


def failure_of(row: Row) -> Failure:
    return Failure(feature_of(row), row["stage"], Reason(row["reason"]), row["detail"], row.get("explained_by") or "")


def score_row(score: Score) -> Row:
    first = score.estimates[score.headline]
    estimates = [{"metric": name, "value": e.value, "low": e.low, "high": e.high} for name, e in score.estimates.items()]
    return scored(score) | {
        "headline": score.headline,
        "value": first.value,
        "low": first.low,
        "high": first.high,
        "n": score.n,
        "failed": score.failed,
        "estimates": estimates,
        "spared": score.spared,
    }


def score_of(row: Row, verdicts: tuple[Verdict, ...] = ()) -> Score:
    estimates = {e["metric"]: Estimate(e["value"], e["low"], e["high"]) for e in row["estimates"]}
    control = Control(row["control"])
    return Score(
        feature_of(row),
        row["method"],
        row["explained_by"],
        row["n"],
        row["failed"],
        estimates,
        row["headline"],
        control,
        verdicts,
        row.get("spared") or 0,
    )


def verdict_rows(score: Score) -> Iterator[Row]:
    for verdict in score.verdicts:
        yield scored(score) | {
            "context": verdict.context,
            "truth": verdict.truth,
            "answer": verdict.answer,
            "reason": verdict.reason and str(verdict.reason),
            "probability": verdict.probability,
            "question": verdict.question,
            "place": verdict.place,
        }


def verdict_of(row: Row) -> Verdict:
    """The verdict; parts of a time before places were kept have none."""
    return Verdict(
        row["context"],
        row["truth"],
        row["answer"],
        row["reason"] and Reason(row["reason"]),
        row["probability"],
        row.get("question"),
        row.get("place"),
    )


def scored(score: Score) -> Row:
    return identity(score.feature) | {"method": score.method, "explained_by": score.explained_by, "control": str(score.control)}


def feature_of(row: Row) -> FeatureId:
    return FeatureId(row["dictionary"], row["feature"])
