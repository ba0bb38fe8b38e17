"""Scores in columns say what their rows say, one by one."""

import math

import numpy as np
import pyarrow as pa
import pytest

from gloss.records import Control
from gloss.run.reporting.run_data import (
    headline_values,
    metric_values,
    most_common_headline,
    own_values,
)
from gloss.run.reporting.score_rows import NO_SCORES, ScoreRows
from gloss.store.schemas import SCHEMAS

METRICS = ("f1", "precision", "recall")


@pytest.fixture
def rows(rng):
    """Of 40 features, with numbers that are missing, and two headlines."""

    def number():
        return [float(rng.random()), None, math.nan][rng.choice(3, p=(0.8, 0.1, 0.1))]

    found = []
    for feature in range(40):
        for control in Control:
            named = {metric: number() for metric in METRICS[: rng.integers(1, 4)]}
            headline = METRICS[0] if rng.random() < 0.7 else METRICS[2]
            found.append(
                {"dictionary": "d", "feature": feature, "method": "execution"}
                | {"explained_by": "rule", "control": str(control), "headline": headline}
                | {"value": named.get(headline), "low": number(), "high": number()}
                | {"n": int(rng.integers(9)), "failed": 0, "spared": 0}
                | {
                    "estimates": [
                        {"metric": metric, "value": value, "low": None, "high": None}
                        for metric, value in named.items()
                    ]
                }
            )
    return found


def scores_of(rows, pieces=1):
    parts = np.array_split(np.arange(len(rows)), pieces)
    tables = [
        pa.Table.from_pylist([rows[i] for i in part], schema=SCHEMAS["scores"]) for part in parts
    ]
    return ScoreRows(pa.concat_tables(tables))


def same(one, other):
    return np.array_equal(np.array(one, float), np.array(other, float), equal_nan=True)


@pytest.mark.parametrize("pieces", [1, 3])
def test_columns_say_what_rows_say(rows, pieces):
    scores = scores_of(rows, pieces)
    assert len(scores) == len(rows)
    assert [each["feature"] for each in scores] == [each["feature"] for each in rows]
    assert scores[-1]["headline"] == rows[-1]["headline"]
    assert [*scores.rows("feature", "n")] == [
        {"feature": each["feature"], "n": each["n"]} for each in rows
    ]
    for control in Control:
        own = [each for each in rows if each["control"] == control]
        assert same(
            headline_values(scores, control),
            np.nan_to_num(np.array([each["value"] for each in own], float)),
        )
        for metric in (*METRICS, "none such"):
            values = [
                e["value"]
                for each in own
                for e in each["estimates"]
                if e["metric"] == metric and e["value"] is not None and math.isfinite(e["value"])
            ]
            assert same(metric_values(scores, metric, control), values)


def test_the_metric_of_a_feature_is_its_headline_or_stands_beside_it(rows):
    own = [each for each in rows if each["control"] == Control.NONE]
    for metric in METRICS:
        expected = {}
        for each in own:
            beside = {e["metric"]: e["value"] for e in each["estimates"]}
            value = each["value"] if each["headline"] == metric else beside.get(metric)
            if value is not None and math.isfinite(value):
                expected[each["feature"]] = value
        assert own_values(scores_of(rows), metric) == expected
    assert own_values(NO_SCORES, "f1") == {}


def test_scores_of_several_explainers_are_joined_in_their_order(rows):
    joined = ScoreRows.joined([scores_of(rows[:7]), NO_SCORES, scores_of(rows[7:])])
    assert [each["feature"] for each in joined] == [each["feature"] for each in rows]
    assert most_common_headline(joined) == "f1"
    assert [*joined.headlines] == [*dict.fromkeys(each["headline"] for each in rows)]
    assert len(ScoreRows.joined([])) == 0
