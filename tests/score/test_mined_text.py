"""What a sample of a corpus says of all of it: scores of a known rule, shares and mistakes, beside
those of the whole, and without the weights.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gloss.collect.code_shards import CodeTriples
from gloss.collect.mined_part import Mining
from gloss.collect.mined_shards import MinedShards
from gloss.collect.mined_store import MinedStore
from gloss.collect.sequence_table import SequenceTable
from gloss.records import Contexts, Examples, Explanation, FeatureActivations, FeatureId, Split
from gloss.rules import parse_rule
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles, Random, Top
from gloss.sample.weighted_choice import choose_weighted
from gloss.score.collisions import RuleClaims, compare_by_rule
from gloss.score.execution import Execution, find_rule_mistakes
from gloss.score.next_token import NextToken
from gloss.store.activations import Activations
from gloss.store.contexts import corpus_windows
from gloss.store.corpus import Corpus
from gloss.store.corpus_writer import CorpusWriter
from gloss.store.evidence import Evidence, train_corpus
from gloss.store.feature_facts import inactive_share_with_tokens, train_top_tokens
from gloss.store.mined import MinedActivations
from gloss.store.parquet import ROWS
from gloss.store.sealed_json import seal_json
from gloss.store.vocabulary import Vocabulary
from gloss.store.window_shares import firing_window_share

LENGTH, DOCUMENTS, EACH, WORDS, FEATURES = 12, 900, 4, 24, 60
MINING = Mining(kept=24, strongest=10, background=700, seed=3)
NAMED = 3  # the token that the rule names
RULE = 'token in {"d"}'
# of a feature at the token that its rule names, at another one, and anywhere
LAW = {NAMED: 0.8, 7: 0.15}
ANYWHERE = 0.004


def planted(rng: np.random.Generator, tokens: np.ndarray) -> np.ndarray:
    """Activations (token, feature) of features of one law: strong where the rule holds, weak and of
    many strengths elsewhere.
    """
    chance = np.full(WORDS, ANYWHERE)
    chance[list(LAW)] = list(LAW.values())
    fires = rng.random((len(tokens), FEATURES)) < chance[tokens][:, None]
    level = np.where(tokens == NAMED, 4.0, 0.5)[:, None]
    return (fires * level * rng.lognormal(0, 0.7, fires.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A corpus with planted activations: the whole, and what mining keeps of it."""
    return mined_text(tmp_path_factory.mktemp("mined"), MINING)


def mined_text(folder: Path, mining: Mining) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    vocabulary = Vocabulary(tuple(bytes([97 + i]) for i in range(WORDS)))
    odds = np.ones(WORDS)
    odds[[NAMED, 7]] = 0.5
    (folder / "corpus").mkdir(parents=True)
    with CorpusWriter(folder / "corpus", vocabulary) as written:
        for document in range(DOCUMENTS):
            for _ in range(EACH):
                drawn = rng.choice(WORDS, LENGTH, p=odds / odds.sum())
                written.sequence(drawn.astype(np.int32))
            written.end_document(str(document), int(rng.integers(2**64, dtype=np.uint64)))
    whole = Corpus.open(folder / "corpus")
    dense = planted(rng, whole.tokens)
    table = SequenceTable.of(folder / "corpus", folder / "table", mining.background, mining.seed)
    shards = MinedShards(folder / "shards", "key", table, mining, FEATURES)
    stretch = 40 * LENGTH
    for number, first in enumerate(range(0, len(dense), stretch)):
        part = dense[first : first + stretch]
        positions, features = part.nonzero()
        found = CodeTriples(
            features.astype(np.int32), positions.astype(np.uint32), part[positions, features]
        )
        shards.write(number, first, np.full(len(part) // LENGTH, LENGTH), FEATURES, found)
    store = MinedStore(shards, shards.all(-(-len(dense) // stretch)), folder / "corpus")
    for name in ("kept", "activations"):
        (folder / name).mkdir()
    store.write_corpus(folder / "kept")
    counts = store.write_activations(folder / "activations")
    manifest = seal_json({**counts, "rows_per_group": ROWS, "store": "mined"})
    (folder / "activations" / "manifest.json").write_bytes(manifest)
    activations = Activations.open(folder / "activations")
    assert isinstance(activations, MinedActivations)
    return SimpleNamespace(
        whole=whole, dense=dense, kept=Corpus.open(folder / "kept"), activations=activations
    )


def true_activations(texts: SimpleNamespace, index: int) -> FeatureActivations:
    positions = np.flatnonzero(texts.dense[:, index])
    return FeatureActivations(positions, texts.dense[positions, index])


def without_weights(found: FeatureActivations) -> FeatureActivations:
    """As if every sequence that is kept stood for itself: the control."""
    assert found.known is not None
    ones = np.ones(len(found.known.firing))
    plain = dataclasses.replace(found.known, weights=ones, silent_train=1.0, silent_held_out=1.0)
    return dataclasses.replace(found, known=plain)


def evidence(corpus: Corpus, activations: FeatureActivations) -> Evidence:
    none = Contexts.empty(LENGTH)
    found = Examples(
        FeatureId("d", 0),
        none,
        none,
        none,
        none,
        strongest=20.0,
        share_train=0.0,
        share_held_out=0.0,
    )
    return Evidence(found, corpus, activations)


def said(given: Evidence, scorer: Execution | NextToken, explanation: Explanation):
    conversation = scorer.score(explanation, given, np.random.default_rng(1))
    with pytest.raises(StopIteration) as end:
        next(conversation)
    return end.value.value


def executed(given: Evidence):
    return said(given, Execution(300), Explanation(FeatureId("d", 0), "rule", RULE, rule=RULE))


def test_much_less_is_kept_than_there_is(texts):
    known = texts.activations.feature(0).known
    weights = known.of_sequences(texts.kept.sequences_in_train)
    assert 0 < np.count_nonzero(weights) < 0.45 * len(texts.whole.documents)
    assert weights.max() > 4
    assert weights.sum() == pytest.approx(len(texts.whole.documents))


def test_scores_of_a_rule_are_those_of_all_text_within_their_intervals(texts):
    metrics = ("f1", "precision", "recall", "auprc", "pearson", "f1_above_10_percent")
    inside = {way: dict.fromkeys(metrics, 0) for way in ("weighted", "plain")}
    off = {way: {name: [] for name in metrics} for way in inside}
    for index in range(FEATURES):
        truth = executed(evidence(texts.whole, true_activations(texts, index))).estimates
        found = texts.activations.feature(index)
        ways = {"weighted": found, "plain": without_weights(found)}
        for way, activations in ways.items():
            estimates = executed(evidence(texts.kept, activations)).estimates
            for name in metrics:
                one = estimates[name]
                inside[way][name] += one.low <= truth[name].value <= one.high
                off[way][name].append(one.value - truth[name].value)
    for name in metrics:
        assert inside["weighted"][name] >= 0.9 * FEATURES, name
        error = np.std(off["weighted"][name]) / np.sqrt(FEATURES)
        assert abs(np.mean(off["weighted"][name])) < 4 * error + 0.01, name
    for name in ("precision", "recall"):
        assert inside["plain"][name] <= 0.5 * FEATURES, name


def test_intervals_hold_what_other_text_of_this_kind_would_say(texts):
    # not only what the text at hand says: as those of a full store, which resample documents
    law = np.full(WORDS, ANYWHERE)
    law[list(LAW)] = list(LAW.values())
    odds = np.ones(WORDS)
    odds[[NAMED, 7]] = 0.5
    odds /= odds.sum()
    precision, recall = law[NAMED], law[NAMED] * odds[NAMED] / (law @ odds)
    f1 = 2 * precision * recall / (precision + recall)
    inside = 0
    for index in range(FEATURES):
        one = executed(evidence(texts.kept, texts.activations.feature(index))).estimates["f1"]
        inside += one.low <= f1 <= one.high
    assert inside >= 0.9 * FEATURES


def test_shares_tokens_and_mistakes_are_about_those_of_all_text(texts):
    compared: dict[str, Callable[[Corpus, FeatureActivations], float]] = {
        "share of windows": lambda c, a: corpus_windows(c, 6).share(a, Split.HELD_OUT),
        "share of any windows": lambda c, a: firing_window_share(c, a, Split.HELD_OUT, 5),
        "near": lambda c, a: inactive_share_with_tokens(c, a, 6, (NAMED, 7)),
        "missed": lambda c, a: find_rule_mistakes(parse_rule(RULE), c, a, 3).all_false_negatives,
    }
    for name, of in compared.items():
        truth = np.array([of(texts.whole, true_activations(texts, i)) for i in range(20)])
        found = [texts.activations.feature(i) for i in range(20)]
        ratios = np.array([of(texts.kept, each) for each in found]) / truth
        # of one background for all, where few inactive windows hold such a token
        assert abs(ratios.mean() - 1) < (0.2 if name == "near" else 0.06), name
        if name not in ("near", "missed"):
            plain = np.array([of(texts.kept, without_weights(each)) for each in found]) / truth
            assert abs(plain.mean() - 1) > 0.15, name
    for index in range(5):
        tokens = train_top_tokens(texts.kept, texts.activations.feature(index), 2)
        assert tokens == (NAMED, 7)


def test_false_alarms_are_those_of_all_text_over_backgrounds(tmp_path):
    # one background serves all features, so one draw of it is off for all alike
    off: list[float] = []
    for seed in range(8):
        texts = mined_text(tmp_path / str(seed), dataclasses.replace(MINING, seed=seed))
        for index in range(3):
            found, truth = texts.activations.feature(index), true_activations(texts, index)
            told, real, plain = (
                find_rule_mistakes(parse_rule(RULE), corpus, activations, 3).all_false_positives
                for corpus, activations in (
                    (texts.kept, found),
                    (texts.whole, truth),
                    (texts.kept, without_weights(found)),
                )
            )
            assert plain < 0.6 * real
            off.append(told / real - 1)
    of_draws = np.reshape(off, (8, 3)).mean(1)
    assert abs(of_draws.mean()) < 4 * of_draws.std(ddof=1) / np.sqrt(8)
    assert of_draws.std(ddof=1) < 0.2


def test_inactive_contexts_are_known_to_be_inactive(texts):
    settings = SamplingSettings(
        context_length=6, train=30, held_out=20, inactive_train=60, inactive_held_out=60
    )
    for negatives in ("random", "same_token", "mix"):
        asked = dataclasses.replace(settings, negatives=negatives)
        for index in range(3):
            found = gather_examples(
                FeatureId("d", index),
                texts.activations.feature(index),
                texts.kept,
                Quantiles(),
                asked,
                np.random.default_rng(0),
            )
            assert isinstance(found, Examples)
            assert len(found.inactive_held_out) > 20
            for contexts in (found.inactive_train, found.inactive_held_out):
                sequences = texts.kept.numbers[texts.kept.sequences_of(contexts.starts)]
                inside = (
                    contexts.starts - texts.kept.offsets[texts.kept.sequences_of(contexts.starts)]
                )
                first = texts.whole.offsets[sequences] + inside
                places = first[:, None] + np.arange(6)
                true = texts.dense[np.minimum(places, len(texts.dense) - 1), index]
                assert not true[contexts.tokens >= 0].any()


def test_windows_are_chosen_as_if_all_were_there(texts):
    # strengths of what is shown, against what the samplers choose of the whole corpus
    for sampler in (Random(), Quantiles()):
        chosen: list[list[float]] = [[], [], []]
        for index in range(FEATURES):
            sides = (
                (texts.whole, true_activations(texts, index)),
                (texts.kept, texts.activations.feature(index)),
                (texts.kept, dataclasses.replace(texts.activations.feature(index), known=None)),
            )
            for into, (corpus, activations) in zip(chosen, sides, strict=True):
                windows = corpus_windows(corpus, 6)
                held = windows.windows_of(activations.positions)
                first = np.flatnonzero(np.diff(held, prepend=-1))
                maxima = np.maximum.reduceat(activations.values, first)
                weights = corpus.weights(activations)
                if weights is not None:
                    weights = weights[windows.sequences[held[first]]]
                rows = choose_weighted(
                    sampler, maxima, weights, 40, np.random.default_rng(index)
                ).rows
                assert len(set(rows.tolist())) == len(rows) == 40
                into.append(float(np.log(maxima[rows]).mean()))
        truth, weighted, plain = (np.array(each) for each in chosen)
        error = np.std(weighted - truth) / np.sqrt(FEATURES)
        assert abs(np.mean(weighted - truth)) < 4 * error + 0.02
        assert abs(np.mean(plain - truth)) > 0.1


def test_a_sampler_that_takes_the_strongest_takes_them(texts):
    maxima = np.arange(50, dtype=np.float32)
    weights = np.linspace(30, 1, 50)
    rng = np.random.default_rng(0)
    found = choose_weighted(Top(), maxima, weights, 12, rng)
    assert found.rows.tolist() == list(range(49, 37, -1))
    assert (np.diff(found.quantiles) >= 0).all()
    everything = choose_weighted(Quantiles(), maxima, weights, 80, rng)
    assert sorted(everything.rows.tolist()) == list(range(50))


def test_what_explanations_are_chosen_by_is_weighed_too(texts):
    # the train split, split again: shares are about those of the whole train split
    def share(corpus: Corpus, activations: FeatureActivations) -> float:
        within = train_corpus(corpus)
        found = within.activations(activations)
        return corpus_windows(within.corpus, 6).share(found, Split.HELD_OUT)

    found = [texts.activations.feature(index) for index in range(20)]
    truth = np.array([share(texts.whole, true_activations(texts, i)) for i in range(20)])
    weighed = np.array([share(texts.kept, each) for each in found])
    plain = np.array([share(texts.kept, without_weights(each)) for each in found])
    # a half has as much of the one background as chance gave it
    assert abs(np.mean(weighed / truth) - 1) < 0.2
    assert np.mean(plain / truth) > 1.3


def test_next_tokens_and_collisions_are_estimated(texts):
    named = Explanation(FeatureId("d", 0), "rule", RULE, rule=RULE)
    pairs: list[list[float]] = [[], []]
    follow: list[list[float]] = [[], []]
    for index in range(0, 20, 2):
        for side, corpus in enumerate((texts.whole, texts.kept)):
            found = [
                true_activations(texts, i) if side == 0 else texts.activations.feature(i)
                for i in (index, index + 1)
            ]
            claims = [
                RuleClaims.of(Explanation(FeatureId("d", i), "rule", RULE, rule=RULE), corpus, each)
                for i, each in enumerate(found)
            ]
            pair = compare_by_rule(*claims, corpus, np.random.default_rng(0))
            pairs[side].append(pair.told_apart.value)
            score = said(evidence(corpus, found[0]), NextToken(50), named)
            follow[side].append(score.estimates["followed"].value)
    assert np.abs(np.subtract(*pairs)).mean() < 0.05
    assert np.abs(np.subtract(*follow)).mean() < 0.02
