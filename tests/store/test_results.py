"""Records come back from disk as they were."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gloss.records import Control, Estimate, Explanation, Failure, FeatureId, Reason, Score, Verdict
from gloss.store.record_rows import (
    explanation_from_row,
    explanation_row,
    failure_from_row,
    failure_row,
    score_from_row,
    score_row,
    verdict_from_row,
    verdict_rows,
)
from gloss.store.results import Part, read_rows
from gloss.store.schemas import SCHEMAS

FEATURE = FeatureId("demo", 3)


def test_records_come_back_as_they_were(tmp_path):
    explanation = Explanation(FEATURE, "the word `a`", "rule", 'token in {"a"}')
    failure = Failure(FEATURE, "sample", Reason.TOO_FEW_EXAMPLES, "2 of 5")
    verdicts = (Verdict(5, True, True, probability=0.7), Verdict(9, False, None, Reason.UNPARSABLE))
    score = Score(
        FEATURE,
        "detection",
        "rule",
        2,
        1,
        {"f1": Estimate(0.5, 0.4, 0.6)},
        "f1",
        Control.RANDOM_EXPLANATION,
        verdicts,
    )
    part = Part(tmp_path, 0)
    part.write(
        {
            "explanations": [explanation_row(explanation)],
            "failures": [failure_row(failure)],
            "scores": [score_row(score)],
            "verdicts": verdict_rows(score),
        }
    )
    assert part.is_done
    assert part.row_counts() == {"explanations": 1, "failures": 1, "scores": 1, "verdicts": 2}
    assert [explanation_from_row(row) for row in read_rows([tmp_path], "explanations")] == [
        explanation
    ]
    assert [failure_from_row(row) for row in read_rows([tmp_path], "failures")] == [failure]
    assert score_from_row(read_rows([tmp_path], "scores")[0], verdicts) == score
    assert tuple(verdict_from_row(row) for row in read_rows([tmp_path], "verdicts")) == verdicts


def test_an_estimate_that_could_not_be_made_stays_no_number(tmp_path):
    score = Score(FEATURE, "detection", "rule", 0, 0, {"f1": Estimate.missing()}, "f1")
    Part(tmp_path, 1).write({"scores": [score_row(score)]})
    assert math.isnan(score_from_row(read_rows([tmp_path], "scores")[0]).estimates["f1"].value)


def test_a_part_that_was_interrupted_is_not_done(tmp_path):
    part = Part(tmp_path, 0)

    def rows():
        yield explanation_row(Explanation(FEATURE, "x", "rule"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        part.write({"explanations": rows()})
    assert not part.is_done
    assert read_rows([tmp_path], "explanations") == []


def test_a_part_that_is_made_again_keeps_nothing_of_the_attempt_before(tmp_path):
    part = Part(tmp_path, 0)
    part.write(
        {"failures": [failure_row(Failure(FEATURE, "explain", Reason.REQUEST_ERROR, "lost"))]}
    )
    part.marker.unlink()
    part.write(
        {"explanations": [explanation_row(Explanation(FEATURE, "x", "rule"))], "failures": []}
    )
    assert read_rows([tmp_path], "failures") == []


def test_parts_of_a_time_before_places_were_kept_are_still_read(tmp_path):
    verdicts = (Verdict(5, True, True, question=0, position=3),)
    score = Score(
        FEATURE,
        "detection",
        "rule",
        1,
        0,
        {"f1": Estimate(0.5, 0.4, 0.6)},
        "f1",
        verdicts=verdicts,
        spared=2,
    )
    for table, row, new in (
        ("scores", score_row(score), {"spared"}),
        ("verdicts", next(verdict_rows(score)), {"question", "position"}),
    ):
        old = pa.Table.from_pylist([row], SCHEMAS[table]).drop_columns(sorted(new))
        (tmp_path / table).mkdir()
        pq.write_table(old, tmp_path / table / "part-00000.parquet")
        Part(tmp_path, 1).write({table: [row]})
        before, after = read_rows([tmp_path], table)
        assert after == row
        assert before == row | dict.fromkeys(new)
    assert (
        verdict_from_row(
            {name: value for name, value in before.items() if name not in new}
        ).position
        is None
    )
    assert score_from_row(read_rows([tmp_path], "scores")[0]).spared == 0
