"""Examples that were stored as references are the same when they are read again."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gloss.models.planted import plant
from gloss.records import Contexts, Examples, FeatureId
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.store.stored_examples import ROLES, contexts_by_role, reference_rows, restore_examples


def same(one: Contexts, other: Contexts) -> bool:
    fields = [field.name for field in dataclasses.fields(Contexts)]
    pairs = [(getattr(one, name), getattr(other, name)) for name in fields]
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


@pytest.fixture(scope="module")
def planted():
    return plant(np.random.default_rng(3), tokens=100_000, features=30)


@pytest.mark.parametrize("placement", ["aligned", "centred"])
@pytest.mark.parametrize("negatives", ["random", "same_token", "mix"])
def test_restored_examples_equal_those_that_were_gathered(planted, placement, negatives, rng):
    sampling = SamplingSettings(
        placement=placement, negatives=negatives, context_length=17, minimum=3
    )
    gathered = 0
    for feature, activations in zip(planted.features, planted.activations, strict=True):
        examples = gather_examples(
            feature.feature, activations, planted.corpus, Quantiles(), sampling, rng
        )
        if isinstance(examples, Examples):
            gathered += 1
            again = restore_examples(
                feature.feature,
                reference_rows(examples.feature, contexts_by_role(examples)),
                planted.corpus,
                activations,
                examples.output_tokens,
            )
            assert all(same(getattr(examples, role), getattr(again, role)) for role in ROLES)
            for name in ("feature", "strongest", "share_train", "share_held_out", "output_tokens"):
                assert getattr(again, name) == getattr(examples, name)
    assert gathered > 15


def test_a_stored_context_takes_few_bytes(planted, rng, tmp_path):
    rows = []
    for feature, activations in zip(planted.features, planted.activations, strict=True):
        examples = gather_examples(
            feature.feature,
            activations,
            planted.corpus,
            Quantiles(),
            SamplingSettings(minimum=3),
            rng,
        )
        rows += (
            reference_rows(examples.feature, contexts_by_role(examples))
            if isinstance(examples, Examples)
            else []
        )
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "examples.parquet", compression="zstd")
    assert (tmp_path / "examples.parquet").stat().st_size / len(rows) < 8


def test_no_rows_are_refused(planted):
    with pytest.raises(ValueError, match="planted/4: no contexts were stored"):
        restore_examples(FeatureId("planted", 4), [], planted.corpus, planted.activations[4])
