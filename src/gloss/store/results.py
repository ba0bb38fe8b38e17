"""Records as rows of Parquet, and back: one table a kind of record, one part a shard, written whole
or not at all.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gloss.errors import Damaged
from gloss.records import (
    Completion,
    Control,
    EditKind,
    Effect,
    Estimate,
    Explanation,
    ExplanationCandidate,
    Failure,
    FeatureId,
    Reason,
    Score,
    Shift,
    Split,
    Verdict,
)
from gloss.store.atomic import disk_errors, write_atomically, write_bytes
from gloss.store.parquet import read_table
from gloss.store.schemas import SCHEMAS
from gloss.store.sealed_json import (
    CHANGED_CONTENT,
    FILES,
    FileRecords,
    changed_files,
    damage_error,
    read_sealed_json,
    record_files,
    seal_json,
)

Row = dict[str, Any]
# columns of an effect that hold what its attributes hold
EFFECT_COLUMNS = ("target", "strength", "passes", "n", "choosing")


@dataclass(frozen=True)
class Part:
    """One shard's results: a Parquet file for each kind of record that it made, then a marker that
    says it is whole.
    """

    folder: Path
    shard: int

    @property
    def marker(self) -> Path:
        return self.folder / f"part-{self.shard:05d}.done"

    @property
    def is_done(self) -> bool:
        return self.marker.exists()

    def note(self) -> dict[str, Any]:
        """What the marker of the finished shard says: its `rows` by table, its `files`, what was
        noted. Raises Damaged.
        """
        return read_sealed_json(self.marker)

    def counts(self) -> dict[str, int]:
        """How many rows of each kind the finished shard made."""
        return self.note()["rows"]

    @property
    def files(self) -> FileRecords:
        """What the finished shard wrote, by names seen from the folder.

        Markers of a time before they said so say nothing.
        """
        return {
            name: (size, content) for name, (size, content) in self.note().get(FILES, {}).items()
        }

    def file(self, table: str) -> Path:
        return self.folder / table / f"part-{self.shard:05d}.parquet"

    def changed_files(self, *, whole: bool) -> dict[Path, str]:
        """The files of a finished shard that are not as they were written, each with why.

        The marker is one of them.
        """
        try:
            return changed_files(self.folder, self.files, whole=whole)
        except Damaged:
            return {self.marker: CHANGED_CONTENT}

    def rows(self, table: str) -> list[Row]:
        """The rows of one kind; none where the shard made none, or is not done. Raises Damaged."""
        path = self.file(table)
        expected = (
            self.files.get(path.relative_to(self.folder).as_posix()) if self.is_done else None
        )
        if not path.exists() and expected is None:
            return []
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise damage_error(
                path, "it cannot be read" if path.exists() else "it is missing"
            ) from problem
        if expected is not None and hashlib.sha256(content).hexdigest() != expected[1]:
            raise damage_error(path, CHANGED_CONTENT)
        # of a stage that is not installed here, the columns that the file has
        return read_table(content, path, schema=SCHEMAS.get(table)).to_pylist()

    def write(
        self,
        records: Mapping[str, Iterable[Row]],
        *,
        whole: bool = True,
        note: Mapping[str, Any] | None = None,
        beside: Iterable[Path] = (),
    ) -> None:
        """Write every table, then the marker: a shard that was killed, or is not `whole`, has none
        and is done again.

        The marker says how many rows there are, what is noted, and what all files hold: those of
        the tables, and those `beside` that the shard wrote itself. Raises Unwritable.
        """
        counts: dict[str, int] = {}
        files = list(beside)
        for table, rows in records.items():
            content = pa.Table.from_pylist(list(rows), schema=SCHEMAS[table])
            counts[table] = content.num_rows
            file = self.file(table)
            if content.num_rows:
                write_atomically(
                    file, lambda path, t=content: pq.write_table(t, path, write_page_checksum=True)
                )
                files.append(file)
            # of an attempt that was killed, when a language model answered otherwise
            elif file.exists():
                with disk_errors(file):
                    file.unlink()
        if whole:
            write_bytes(
                self.marker,
                seal_json(
                    {"rows": counts, FILES: record_files(self.folder, files), **(note or {})}
                ),
            )


def read_rows(folders: Iterable[Path], table: str) -> list[Row]:
    """All rows of a kind, in the order of shards; none where no shard made any. Raises Damaged."""
    return [
        row
        for folder in folders
        for shard in shard_numbers(folder, table)
        for row in Part(folder, shard).rows(table)
    ]


def shard_numbers(folder: Path, table: str = "") -> list[int]:
    """The numbers of the shards that are done, or have left rows of this kind."""
    found = [
        *folder.glob("part-*.done"),
        *((folder / table).glob("part-*.parquet") if table else ()),
    ]
    return sorted({int(path.stem.removeprefix("part-")) for path in found})


def feature_columns(feature: FeatureId) -> Row:
    """The two columns that name a feature."""
    return {"dictionary": feature.dictionary, "feature": feature.index}


def explanation_row(explanation: Explanation) -> Row:
    return feature_columns(explanation.feature) | {
        "text": explanation.text,
        "method": explanation.method,
        "rule": explanation.rule,
        "prompt_hash": explanation.prompt_hash,
    }


def explanation_from_row(row: Row) -> Explanation:
    return Explanation(
        feature_from_row(row), row["text"], row["method"], row["rule"], row["prompt_hash"]
    )


def candidate_rows(candidates: Sequence[ExplanationCandidate], method: str) -> Iterator[Row]:
    """The candidates of one feature, with the name in the run of the explainer that chose among
    them.
    """
    for number, candidate in enumerate(candidates):
        found, explanation = candidate.validation, candidate.explanation
        row = feature_columns(explanation.feature) | {
            "method": method,
            "candidate": number,
            "chosen": candidate.chosen,
        }
        row |= {"text": explanation.text, "rule": explanation.rule}
        if isinstance(found, Failure):
            yield row | {"reason": str(found.reason)}
        else:
            scored = score_row(found)
            yield (
                row
                | {"scorer": found.method}
                | {
                    name: scored[name]
                    for name in ("headline", "value", "low", "high", "n", "failed")
                }
            )


def failure_row(failure: Failure) -> Row:
    plain = {name: getattr(failure, name) for name in ("stage", "detail", "explained_by")}
    return feature_columns(failure.feature) | plain | {"reason": str(failure.reason)}


def failure_from_row(row: Row) -> Failure:
    return Failure(
        feature_from_row(row),
        row["stage"],
        Reason(row["reason"]),
        row["detail"],
        row.get("explained_by") or "",
    )


def score_row(score: Score) -> Row:
    first = score.estimates[score.headline]
    estimates = [
        {"metric": name, "value": e.value, "low": e.low, "high": e.high}
        for name, e in score.estimates.items()
    ]
    return score_key_columns(score) | {
        "headline": score.headline,
        "value": first.value,
        "low": first.low,
        "high": first.high,
        "n": score.n,
        "failed": score.failed,
        "estimates": estimates,
        "spared": score.spared,
    }


def score_from_row(row: Row, verdicts: tuple[Verdict, ...] = ()) -> Score:
    estimates = {e["metric"]: Estimate(e["value"], e["low"], e["high"]) for e in row["estimates"]}
    control = Control(row["control"])
    return Score(
        feature_from_row(row),
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
        yield score_key_columns(score) | {
            "context": verdict.context,
            "truth": verdict.truth,
            "answer": verdict.answer,
            "reason": verdict.reason and str(verdict.reason),
            "probability": verdict.probability,
            "question": verdict.question,
            "position": verdict.position,
        }


def verdict_from_row(row: Row) -> Verdict:
    """The verdict; parts of a time before positions were kept have none."""
    return Verdict(
        row["context"],
        row["truth"],
        row["answer"],
        row["reason"] and Reason(row["reason"]),
        row["probability"],
        row.get("question"),
        row.get("position"),
    )


def score_key_columns(score: Score) -> Row:
    return feature_columns(score.feature) | {
        "method": score.method,
        "explained_by": score.explained_by,
        "control": str(score.control),
    }


def feature_from_row(row: Row) -> FeatureId:
    return FeatureId(row["dictionary"], row["feature"])


def effect_row(effect: Effect) -> Row:
    return feature_columns(effect.feature) | {
        "split": str(effect.split),
        "control": str(effect.control),
        "edit": str(effect.edit),
        "kl": asdict(effect.kl),
        "risen": [asdict(shift) for shift in effect.risen],
        "fallen": [asdict(shift) for shift in effect.fallen],
        "ranking": list(effect.ranking),
        "completions": [asdict(pair) for pair in effect.completions],
        **{name: getattr(effect, name) for name in EFFECT_COLUMNS},
    }


def effect_from_row(row: Row) -> Effect:
    return Effect(
        feature=feature_from_row(row),
        edit=EditKind(row["edit"]),
        kl=Estimate(**row["kl"]),
        risen=shifts_from_rows(row["risen"]),
        fallen=shifts_from_rows(row["fallen"]),
        completions=tuple(Completion(**pair) for pair in row["completions"]),
        control=Control(row["control"]),
        split=Split(row["split"]),
        ranking=tuple(row["ranking"]),
        **{name: row[name] for name in EFFECT_COLUMNS},
    )


def shifts_from_rows(rows: Iterable[Row]) -> tuple[Shift, ...]:
    return tuple(
        Shift(row["token"], row["text"], Estimate(**row["change"]), row["clean"], row["edited"])
        for row in rows
    )
