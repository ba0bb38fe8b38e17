"""Rows of features as columns: one is made when it is asked for, and no more are held."""

import numpy as np
import pytest

from gloss.records import FeatureId, FeatureIds
from gloss.store.feature_rows import FeatureRows, NearFeatures
from gloss.store.results import Part, read_rows
from gloss.store.schemas import SCHEMAS


def row(feature: int) -> dict:
    near = [{"feature": feature + 1, "cosine": 0.5}, {"feature": 0, "cosine": 0.25}]
    tokens = [{"token": f"t{feature}", "value": 1.0}]
    return {
        "dictionary": "mine",
        "feature": feature,
        "promoted_tokens": tokens,
        "suppressed_tokens": [],
        "chance_logit": None if feature == 7 else 2.0,
        "neighbours": near,
    }


def test_each_features_row_is_what_its_shard_wrote_whatever_the_order(tmp_path):
    Part(tmp_path, 0).write({"features": [row(7), row(3)]})
    Part(tmp_path, 1).write({"features": [row(11), row(5)]})
    rows = FeatureRows.read(tmp_path, "features")
    assert dict(rows) == {each["feature"]: each for each in read_rows([tmp_path], "features")}
    assert list(rows) == [7, 3, 11, 5]
    assert (5 in rows, 4 in rows, 12 in rows, "5" in rows, len(rows)) == (True,) + 3 * (False,) + (
        4,
    )
    for feature in (4, 12, -1):
        with pytest.raises(KeyError):
            rows[feature]
    near = NearFeatures(rows, "cosine")
    assert near[11] == [(12, 0.5), (0, 0.25)]
    assert near.get(4, []) == []


def test_a_folder_without_rows_says_nothing_of_any_feature(tmp_path):
    rows = FeatureRows.read(tmp_path, "features")
    assert (len(rows), list(rows), 0 in rows) == (0, [], False)
    assert rows.table.schema == SCHEMAS["features"]


def test_features_are_made_on_demand_and_found_by_their_index():
    features = FeatureIds("mine", np.array([3, 7, 20]))
    assert list(features) == features[:] == [FeatureId("mine", index) for index in (3, 7, 20)]
    assert features[-1] == FeatureId("mine", 20)
    assert [features.place(index) for index in (3, 20, 2, 4, 21)] == [0, 2, None, None, None]
    assert FeatureId("mine", 7) in features
    assert FeatureId("other", 7) not in features
    with pytest.raises(IndexError):
        features[3]
