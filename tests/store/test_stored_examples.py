"""Examples that were stored as references are the same when they are read again."""

import dataclasses
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gloss.models.planted import plant
from gloss.records import Contexts, Examples, FeatureId
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.store.contexts import corpus_windows
from gloss.store.feature_facts import FeatureFacts, feature_facts
from gloss.store.record_rows import feature_columns
from gloss.store.schemas import SCHEMAS
from gloss.store.stored_examples import (
    ROLES,
    ContextReferences,
    reference_table,
    references_by_feature,
    restore_examples,
)
from store.references import kept


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
                kept(examples),
                planted.corpus,
                activations,
                examples.output_tokens,
            )
            facts = feature_facts(planted.corpus, activations, 17)
            row = pa.Table.from_pylist(
                [feature_columns(examples.feature) | facts._asdict()], SCHEMAS["feature_facts"]
            ).to_pylist()[0]
            from_facts = restore_examples(
                feature.feature,
                kept(examples),
                planted.corpus,
                activations,
                facts=FeatureFacts.of_row(row),
            )
            assert (
                from_facts.top_tokens == again.top_tokens == top_tokens(planted.corpus, activations)
            )
            assert (
                from_facts.share_near
                == again.share_near
                == share_near(planted.corpus, activations, 17)
            )
            assert from_facts.strongest == again.strongest
            assert all(same(getattr(examples, role), getattr(again, role)) for role in ROLES)
            for name in ("feature", "strongest", "share_train", "share_held_out", "output_tokens"):
                assert getattr(again, name) == getattr(examples, name)
    assert gathered > 15


def test_a_stored_context_takes_few_bytes(planted, rng, tmp_path):
    found = {}
    for feature, activations in zip(planted.features, planted.activations, strict=True):
        examples = gather_examples(
            feature.feature,
            activations,
            planted.corpus,
            Quantiles(),
            SamplingSettings(minimum=3),
            rng,
        )
        if isinstance(examples, Examples):
            found[examples.feature] = kept(examples)
    table = reference_table(found)
    pq.write_table(table, tmp_path / "examples.parquet", compression="zstd")
    assert (tmp_path / "examples.parquet").stat().st_size / len(table) < 8


def test_no_rows_are_refused(planted):
    none = ContextReferences.of({}, 17)
    with pytest.raises(ValueError, match="planted/4: no contexts were stored"):
        restore_examples(FeatureId("planted", 4), none, planted.corpus, planted.activations[4])


def top_tokens(corpus, activations):
    """The five tokens at which it fires most often in the train split; first ids among equals."""
    there = activations.positions[corpus.in_train[activations.positions]]
    counts = Counter(sorted(corpus.tokens[there].tolist()))
    return tuple(token for token, _ in counts.most_common(5))


def share_near(corpus, activations, width):
    """Of the train split's windows in which it is inactive, the share that hold a top token."""
    starts, top = corpus_windows(corpus, width).starts, top_tokens(corpus, activations)
    inactive = near = 0
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(corpus)], strict=True):
        if (
            corpus.in_train[start]
            and not ((activations.positions >= start) & (activations.positions < end)).any()
        ):
            inactive += 1
            near += bool(set(corpus.tokens[start:end].tolist()) & set(top))
    return near / inactive


def test_a_table_holds_the_contexts_of_several_features_in_their_order():
    several = {
        FeatureId(name, index): ContextReferences.of(
            dict.fromkeys(("held_out", "train"), (starts + index, starts % 3)), 9
        )
        for name, index in (("a", 3), ("b", 3), ("a", 1))
        for starts in [np.arange(40)[::-1] * 7]
    }
    table = reference_table(several, "shown")
    again = references_by_feature(table)
    assert list(again) == list(several)
    for feature, references in several.items():
        for name in ("roles", "starts", "quantiles"):
            assert getattr(again[feature], name).tolist() == getattr(references, name).tolist()
        assert again[feature].width == 9
    assert set(table["sample"].to_pylist()) == {"shown"}
    assert table.to_pylist()[0] == {
        "dictionary": "a",
        "feature": 3,
        "role": "held_out",
        "sample": "shown",
        "context": 276,
        "quantile": 0,
        "width": 9,
    }
    assert references_by_feature(reference_table({})) == {}
