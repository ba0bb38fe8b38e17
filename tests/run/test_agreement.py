"""How scores agree, and methods of one run beside each other: on scores with known truth."""

import math

import numpy as np
import pyarrow as pa
import pytest

from gloss.pages.report_sections import Grid, Matrix
from gloss.records import NOBODY, Estimate
from gloss.run.planning import read_run
from gloss.run.reporting.agreement import agreement_section
from gloss.run.reporting.paired_scores import explainers_section
from gloss.run.reporting.run_data import RunData
from gloss.run.reporting.score_rows import ScoreRows
from gloss.store.schemas import SCHEMAS

FEATURES = 120


@pytest.fixture
def found_with(small_run):
    """The data of a run with these scores: arrays over features, by scorer and explainer."""

    def make(scores: dict[tuple[str, str], np.ndarray]) -> RunData:
        found = RunData(read_run(small_run / "out"))
        rows = {
            scored: ScoreRows(pa.Table.from_pylist([*rows_of(values)], schema=SCHEMAS["scores"]))
            for scored, values in scores.items()
        }
        object.__setattr__(found, "scores", rows)
        features = list(range(max(len(values) for values in scores.values())))
        object.__setattr__(found, "examined_features", features)
        return found

    return make


def rows_of(values: np.ndarray):
    for feature, value in enumerate(values):
        for control, number in (("none", value), ("shuffled_explanation", 0.0)):
            yield {
                "feature": feature,
                "control": control,
                "headline": "f1",
                "value": float(number),
                "estimates": [],
            }


def table(found: RunData) -> dict[str, tuple]:
    section = agreement_section(found)
    assert section is not None
    matrix, grid = section.blocks
    assert isinstance(matrix, Matrix)
    assert isinstance(grid, Grid)
    return {str(row[0]): row[1:] for row in grid.rows}


def test_a_planted_correlation_lies_in_its_interval_and_independent_scores_hold_0(found_with, rng):
    x, noise, apart = rng.normal(size=(3, 2 * FEATURES))
    y = 0.8 * x + 0.6 * noise
    sides = {"detection": x, "fuzzing": y, "given": apart}
    rows = table(
        found_with(
            {
                (scorer, by): half
                for scorer, values in sides.items()
                for by, half in zip(("rule", "wide"), np.split(values, 2), strict=True)
            }
        )
    )
    explanations, features, spearman, pearson = rows["detection and fuzzing"]
    assert (explanations, features) == ("240", "120")
    assert pearson.low < 0.8 < pearson.high
    assert 0.6 < spearman.low < spearman.high < 0.95
    for pair in ("detection and given", "fuzzing and given"):
        assert all(each.low < 0 < each.high for each in rows[pair][2:])


def test_a_score_of_features_goes_with_every_explanation_of_them(found_with, rng):
    x = rng.normal(size=FEATURES)
    rows = table(
        found_with(
            {("detection", "rule"): x, ("detection", "wide"): x, ("intruder", NOBODY): 2 * x}
        )
    )
    explanations, features, spearman, _ = rows["detection and intruder"]
    assert (explanations, features) == ("240", "120")
    assert spearman.value == pytest.approx(1)


def test_what_has_no_correlation_has_a_reason(found_with, rng):
    x = rng.normal(size=FEATURES)
    rows = table(
        found_with(
            {
                ("detection", "rule"): x,
                ("embedding", "rule"): np.full(FEATURES, 0.5),
                ("given", "rule"): x[:9],
                ("surprisal", "wide"): x,
            }
        )
    )
    assert rows["detection and embedding"][2] == "one of the two is the same everywhere"
    assert rows["detection and given"][2] == "9 features have both, and 10 are the fewest"
    assert rows["detection and surprisal"][:3] == (
        "0",
        "0",
        "0 features have both, and 10 are the fewest",
    )
    assert not any(
        isinstance(cell, Estimate) and math.isnan(cell.value)
        for row in rows.values()
        for cell in row
    )


def test_one_scorer_agrees_with_nobody(found_with, rng):
    assert agreement_section(found_with({("detection", "rule"): rng.normal(size=30)})) is None


def test_explainers_and_scorers_of_one_run_are_paired_by_feature(found_with, rng):
    base, noise = rng.uniform(0.2, 0.6, FEATURES), rng.normal(0, 0.01, FEATURES)
    found = found_with(
        {
            ("execution", "rule"): base,
            ("execution", "wide"): base + 0.05 + noise,
            ("execution", "same"): base + noise,
        }
    )
    section = explainers_section(found)
    assert section is not None
    [grid] = section.blocks
    rows = {str(row[0]): row for row in grid.rows}
    _, over, _, means, _ = rows["rule − wide"]
    assert over == "120 features, paired"
    assert means.low < -0.05 < means.high < 0
    [name] = [name for name in rows if name.startswith("rule − same")]
    assert (rows[name][3].low < 0 < rows[name][3].high) == name.endswith("no difference is shown")
    assert explainers_section(found_with({("execution", "rule"): base})) is None
