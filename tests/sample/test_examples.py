"""Examples of planted features: train and held out apart, inactive where they say so, enough or a
reason.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from gloss.models.planted import plant
from gloss.records import Contexts, Examples, Failure, FeatureActivations, FeatureId, Reason
from gloss.sample.examples import SamplingSettings, drop_duplicate_windows, gather_examples
from gloss.sample.negatives import NO_SOURCES, SearchContext
from gloss.sample.samplers import Mix, Quantiles, Random, Top
from gloss.sample.windows import PLACEMENTS, FiringWindows
from gloss.store.corpus import Corpus
from gloss.store.vocabulary import Vocabulary

SAMPLERS = [Top(), Random(), Quantiles(), Mix()]
SIZES = [
    SamplingSettings(train=5, held_out=5),
    SamplingSettings(),
    SamplingSettings(context_length=7, train=300, held_out=300, inactive_held_out=300),
]


def examples_of(planted, sampler, sampling, seed: int) -> list[Examples]:
    rng = np.random.default_rng(seed)
    pairs = zip(planted.features, planted.activations, strict=True)
    found = [
        gather_examples(planted_feature.feature, a, planted.corpus, sampler, sampling, rng)
        for planted_feature, a in pairs
    ]
    return [examples for examples in found if isinstance(examples, Examples)]


def corpus_of_windows(rows: np.ndarray, in_train: list[bool]) -> Corpus:
    """A document a row."""
    return Corpus(
        tokens=rows.reshape(-1).astype(np.int32),
        offsets=np.arange(len(rows) + 1) * rows.shape[1],
        documents=np.arange(len(rows)),
        hashes=np.where(in_train, 0, 2**64 - 1).astype(np.uint64),
        names=("one",),
        vocabulary=Vocabulary(tuple(b" w%d" % token for token in range(int(rows.max()) + 1))),
    )


def test_of_equal_windows_the_strongest_of_the_train_split_stays():
    rows = np.array([[1, 2, 3, 4]] * 4 + [[5, 6, 7, 8]] * 2)
    corpus = corpus_of_windows(rows, [False, True, True, True, False, False])
    maxima = np.array([9, 1, 3, 2, 4, 5], np.float32)
    where = np.arange(6) * 4
    activations = FeatureActivations(where, maxima)
    search = SearchContext(corpus, activations, PLACEMENTS["aligned"], 4, NO_SOURCES)
    windows = drop_duplicate_windows(search, FiringWindows(where, maxima))
    assert (windows.starts.tolist(), windows.maxima.tolist()) == ([8, 20], [3, 5])


def test_no_inactive_window_holds_the_tokens_of_one_that_fires(rng):
    fires, others = rng.integers(0, 99, (2, 20, 8))
    corpus = corpus_of_windows(
        np.concatenate([fires, fires, others]),
        [*[True, False] * 10, *[True] * 20, *[True, False] * 10],
    )
    activations = FeatureActivations(np.arange(20) * 8 + 3, np.ones(20, np.float32))
    found = gather_examples(
        FeatureId("planted", 0),
        activations,
        corpus,
        Top(),
        SamplingSettings(context_length=8, minimum=10),
        rng,
    )
    assert isinstance(found, Examples)
    assert len(found.train) == len(found.held_out) == len(found.inactive_train) == 10
    firing = {tuple(row) for row in fires.tolist()}
    assert not firing & {tuple(row) for row in found.inactive_train.tokens.tolist()}
    assert not firing & {tuple(row) for row in found.inactive_held_out.tokens.tolist()}


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("placement", ["aligned", "centred"])
def test_no_document_is_both_train_and_held_out_whatever_the_sampler_size_and_seed(
    planted, sampler, placement
):
    for seed, (size, negatives) in enumerate(
        zip(SIZES, ("random", "same_token", "mix"), strict=True)
    ):
        every = examples_of(
            planted, sampler, replace(size, placement=placement, negatives=negatives), seed
        )
        assert len(every) > 20
        for examples in every:
            shown = np.union1d(examples.train.documents, examples.inactive_train.documents)
            held_out = np.union1d(examples.held_out.documents, examples.inactive_held_out.documents)
            assert len(np.intersect1d(shown, held_out)) == 0
            assert planted.corpus.documents_in_train[shown].all()
            assert not planted.corpus.documents_in_train[held_out].any()


@dataclass
class Memoriser:
    """An explainer that learns every window in which the feature fires by heart, and every run of n
    tokens in them.
    """

    windows: set[tuple[int, ...]]

    @staticmethod
    def of(contexts: Contexts, length: int) -> "Memoriser":
        return Memoriser({run for row in contexts.tokens.tolist() for run in runs(row, length)})

    def fires_in(self, contexts: Contexts, length: int) -> np.ndarray:
        return np.array(
            [bool(self.windows & runs(row, length)) for row in contexts.tokens.tolist()]
        )


def runs(row: list[int], length: int) -> set[tuple[int, ...]]:
    return {tuple(row[i : i + length]) for i in range(len(row) - length + 1)}


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@pytest.mark.parametrize("length, shown", [(32, 200), (12, 40)])
def test_an_explainer_that_memorises_scores_at_chance_on_what_is_held_out(
    planted, sampler, length, shown
):
    """Whole windows at the size that a run has.

    Of runs of 12 tokens a language repeats some, and more the more of it is known: with 200
    contexts a memoriser meets 1 to 2 % of them in any window, less where the feature fires, for
    there stand its words.
    """
    recalled, alarmed, learned = [], [], []
    for examples in examples_of(planted, sampler, SamplingSettings(train=shown), seed=5):
        memory = Memoriser.of(examples.train, length)
        learned.append(memory.fires_in(examples.train, length))
        recalled.append(memory.fires_in(examples.held_out, length))
        alarmed.append(memory.fires_in(examples.inactive_held_out, length))
    true_rate, false_rate = np.concatenate(recalled).mean(), np.concatenate(alarmed).mean()
    assert np.concatenate(learned).all()  # on the contexts that it learned it is perfect
    assert abs((true_rate + 1 - false_rate) / 2 - 0.5) < 0.005


def test_copies_of_a_document_give_the_memoriser_no_second_chance(rng):
    """Every document twice: split by hash, both copies land on the same side.

    Split by halves, nothing held out is new.
    """
    single = plant(rng, tokens=50_000, features=46)
    corpus, length = single.corpus, len(single.corpus)
    twice = Corpus(
        np.tile(corpus.tokens, 2),
        np.append(corpus.offsets[:-1], corpus.offsets + length),
        np.append(corpus.documents, corpus.documents + len(corpus.names)),
        np.tile(corpus.hashes, 2),
        corpus.names * 2,
        corpus.vocabulary,
    )
    once = max(single.activations, key=len)
    activations = FeatureActivations(
        np.append(once.positions, once.positions + length), np.tile(once.values, 2)
    )
    by_halves = replace(
        twice, hashes=np.repeat(np.array([0, 2**64 - 1], np.uint64), len(corpus.names))
    )
    wanted = SamplingSettings(train=2000, held_out=2000)
    examples = gather_examples(FeatureId("planted", 0), activations, twice, Random(), wanted, rng)
    assert Memoriser.of(examples.train, 32).fires_in(examples.held_out, 32).mean() == 0
    failure = gather_examples(
        FeatureId("planted", 0), activations, by_halves, Random(), wanted, rng
    )
    assert isinstance(failure, Failure)
    assert "and 0 held-out windows that differ" in failure.detail


def test_too_few_windows_are_a_failure_that_gives_the_numbers(planted, rng):
    positions = np.sort(rng.choice(len(planted.corpus), 12, replace=False))
    activations = FeatureActivations(positions, np.ones(12, np.float32))
    failure = gather_examples(
        FeatureId("planted", 1), activations, planted.corpus, Quantiles(), SamplingSettings(), rng
    )
    assert isinstance(failure, Failure)
    assert (failure.stage, failure.reason) == ("sample", Reason.TOO_FEW_EXAMPLES)
    train = int(planted.corpus.in_train[positions].sum())
    assert (
        failure.detail
        == f"fires in {train} train and {12 - train} held-out windows that differ, wanted at least"
        " 10 of each"
    )


@pytest.mark.parametrize("placement", ["aligned", "centred"])
def test_a_feature_that_never_fires_is_a_failure(planted, placement, rng):
    nowhere = FeatureActivations(np.empty(0, np.int64), np.empty(0, np.float32))
    failure = gather_examples(
        FeatureId("planted", 1),
        nowhere,
        planted.corpus,
        Quantiles(),
        SamplingSettings(placement=placement),
        rng,
    )
    assert (
        failure.detail
        == "fires in 0 train and 0 held-out windows that differ, wanted at least 10 of each"
    )


def test_fewer_windows_than_asked_are_all_taken(planted, rng):
    index = int(np.argmin([feature.rate for feature in planted.features]))
    wanted = SamplingSettings(train=10_000, held_out=10_000, minimum=1)
    examples = gather_examples(
        FeatureId("planted", index), planted.activations[index], planted.corpus, Top(), wanted, rng
    )
    assert np.count_nonzero(examples.train.activations) + np.count_nonzero(
        examples.held_out.activations
    ) == len(planted.activations[index])


def test_the_shares_are_those_of_all_windows_of_each_split(planted, rng):
    activations, width = planted.activations[1], 32
    examples = gather_examples(
        FeatureId("planted", 1), activations, planted.corpus, Quantiles(), SamplingSettings(), rng
    )
    active = set(activations.positions.tolist())
    fires: dict[bool, list[bool]] = {True: [], False: []}
    for sequence, (first, end) in enumerate(
        zip(planted.corpus.offsets[:-1], planted.corpus.offsets[1:], strict=True)
    ):
        shown = bool(planted.corpus.documents_in_train[planted.corpus.documents[sequence]])
        for start in range(int(first), int(end), width):
            fires[shown].append(bool(active & set(range(start, min(start + width, int(end))))))
    assert examples.share_train == np.mean(fires[True])
    assert examples.share_held_out == np.mean(fires[False])


def test_the_strongest_is_of_the_train_split_alone(planted, rng):
    activations = planted.activations[0]
    values = np.where(
        planted.corpus.in_train[activations.positions], activations.values, np.float32(99)
    )
    changed = FeatureActivations(activations.positions, values)
    examples = gather_examples(
        FeatureId("planted", 0), changed, planted.corpus, Quantiles(), SamplingSettings(), rng
    )
    assert examples.strongest < 2
    assert examples.held_out.maxima.max() == 99


def test_the_same_generator_gives_the_same_examples(planted):
    first, second = (
        examples_of(planted, Quantiles(), SamplingSettings(negatives="mix"), seed=11)
        for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        assert one.inactive_held_out.starts.tolist() == other.inactive_held_out.starts.tolist()
        assert one.train.starts.tolist() == other.train.starts.tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context_length": 0}, "context_length must be 1 or more, got 0"),
        ({"inactive_train": -1}, "inactive_train must be 0 or more, got -1"),
        ({"placement": "centered"}, "placement must be one of aligned, centred, got 'centered'"),
        (
            {"negatives": "harder"},
            (
                "negatives must be one of random, same_token, mix, neighbours, siblings, hard,"
                " similar, got 'harder'"
            ),
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SamplingSettings(**settings)
