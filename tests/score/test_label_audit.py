"""What bounds of precision and recall say of a label, and what it names that no text holds."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gloss.records import (
    Contexts,
    Control,
    Estimate,
    Examples,
    Explanation,
    FeatureActivations,
    FeatureId,
    Score,
)
from gloss.rules.reading import read_label
from gloss.score.embedding import ABOVE_RIVALS
from gloss.score.execution import Execution
from gloss.score.label_audit import (
    NOBODY_SAYS,
    LabelEvidence,
    Trust,
    audit_label,
    quoted_texts,
    score_words,
    trust_of_evidence,
)
from gloss.store.corpus import Corpus
from gloss.store.evidence import Evidence
from gloss.store.vocabulary import Vocabulary

HIGH, LOW, OPEN = Estimate(0.9, 0.8, 0.95), Estimate(0.02, 0.01, 0.05), Estimate(0.5, 0.3, 0.7)
SOME = Estimate(0.3, 0.25, 0.35)
NOTHING = Estimate.missing()
NONE = Estimate(0.0, 0.0, 0.02)


def evidence(precision, recall, *, exact=True, control=0.05, headline=HIGH, base_rate=0.001):
    return LabelEvidence(
        "execution", precision, recall, headline, control, base_rate, 1000, 0, exact
    )


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (evidence(HIGH, HIGH), Trust.BELIEVE),
        (evidence(HIGH, HIGH, control=0.85), Trust.CANNOT_BE_TOLD),  # another's does as well
        (evidence(HIGH, HIGH, control=math.nan), Trust.BELIEVE),  # the only label there is
        (evidence(LOW, HIGH), Trust.TOO_BROAD),
        (evidence(HIGH, LOW), Trust.TOO_NARROW),
        (evidence(LOW, LOW, headline=LOW), Trust.SOMETHING_ELSE),
        (evidence(LOW, SOME, headline=LOW), Trust.SOMETHING_ELSE),  # it does no better than others
        (evidence(LOW, SOME, base_rate=0.04), Trust.SOMETHING_ELSE),  # as often as by chance
        (evidence(LOW, SOME), Trust.TOO_BROAD),
        (evidence(SOME, LOW), Trust.TOO_NARROW),
        (evidence(NOTHING, NONE), Trust.SOMETHING_ELSE),  # it holds nowhere
        (evidence(OPEN, HIGH), Trust.CANNOT_BE_TOLD),
        (evidence(HIGH, OPEN), Trust.CANNOT_BE_TOLD),
        (evidence(NOTHING, NOTHING), Trust.CANNOT_BE_TOLD),
        # a sample of silent contexts bounds no rare false positive, all text does
        (evidence(Estimate(1.0, 0.1, 1.0), HIGH, exact=False), Trust.BELIEVE),
        (evidence(Estimate(1.0, 0.1, 1.0), HIGH), Trust.CANNOT_BE_TOLD),
        (evidence(Estimate(0.4, 0.1, 1.0), HIGH, exact=False), Trust.CANNOT_BE_TOLD),
    ],
)
def test_a_verdict_wants_bounds_on_its_side(given, wanted):
    trust, reason = trust_of_evidence(given)
    assert trust == wanted
    assert "precision" in reason


NEARLY = read_label("colours")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (evidence(HIGH, HIGH), Trust.BELIEVE),
        (evidence(LOW, HIGH), Trust.TOO_BROAD),
        # a list of colours may lack the one at which the feature fires
        (evidence(HIGH, LOW), Trust.CANNOT_BE_TOLD),
        (evidence(LOW, LOW, headline=LOW), Trust.CANNOT_BE_TOLD),
    ],
)
def test_a_list_that_may_lack_words_is_held_against_no_label(given, wanted):
    trust, _ = trust_of_evidence(replace(given, reading=NEARLY))
    assert trust == wanted


def test_words_are_counted_whole_and_a_feature_beside_them_is_not_about_something_else():
    """The label is the word cat, in "cat sat the dog the dog ..."."""
    corpus = read([1, 2, *[0, 3] * 20], 60)
    said = Explanation(FeatureId("d", 0), "the word 'cat'", "given")
    for token, wanted in ((1, Trust.BELIEVE), (2, Trust.CANNOT_BE_TOLD), (3, Trust.SOMETHING_ELSE)):
        at = np.flatnonzero(corpus.tokens == token)
        fires = FeatureActivations(at, np.ones(len(at), np.float32))
        found = audit_label(said, [("execution", executed(said, corpus, fires))], corpus, fires)
        assert found.trust == wanted, found.reason
        assert found.evidence.reading == read_label(said.text)
    pieces = Explanation(FeatureId("d", 0), "the word 'ca'", "given")
    found = audit_label(pieces, [("execution", executed(pieces, corpus, fires))], corpus, fires)
    assert found.trust == Trust.CANNOT_BE_TOLD
    assert "inside" in found.reason


def executed(said: Explanation, corpus: Corpus, fires: FeatureActivations) -> Score:
    """What execution says of a label."""
    none = Contexts.empty(4)
    examples = Examples(said.feature, none, none, none, none, 1.0, 0.1, 0.1)
    scoring = Execution(read_text=True).score(
        said, Evidence(examples, corpus, fires), np.random.default_rng(0)
    )
    with pytest.raises(StopIteration) as done:
        next(scoring)
    return done.value.value


def test_what_is_said_of_other_labels_was_compared():
    _, compared = trust_of_evidence(evidence(HIGH, HIGH))
    _, alone = trust_of_evidence(evidence(HIGH, HIGH, control=math.nan))
    assert "other labels do worse" in compared
    assert "other labels do worse" not in alone
    assert "no other label to compare" in alone


def test_quotes_are_found_and_apostrophes_are_none():
    assert quoted_texts("the word 'raise', or “except” as in `try:`, don't and its' \"end\"") == [
        "raise",
        "except",
        "try:",
        "end",
    ]
    assert quoted_texts("names of the world's cities") == []


PIECES = (b"the", b" cat", b" sat", b" dog", b" never")


def read(text: list[int], documents: int = 8) -> Corpus:
    """The same tokens in so many documents, every second of them held out."""
    tokens = np.array(text * documents, np.int32)
    offsets = np.arange(documents + 1) * len(text)
    hashes = np.where(np.arange(documents) % 2, np.uint64(2**63), np.uint64(0))
    names = tuple(map(str, range(documents)))
    return Corpus(tokens, offsets, np.arange(documents), hashes, names, Vocabulary(PIECES))


def test_what_a_label_names_and_no_text_holds_is_flagged():
    corpus = read([0, 1, 2, 0, 3])
    fires = FeatureActivations(np.array([1]), np.ones(1, np.float32))

    def flags(text: str, rule: str | None = None) -> tuple[str, ...]:
        said = Explanation(FeatureId("d", 0), text, "given", rule)
        found = audit_label(said, [], corpus, fires)
        assert (found.trust, found.reason) == (Trust.CANNOT_BE_TOLD, NOBODY_SAYS)
        return found.flags

    assert flags("the word 'cat' or 'The cat'") == ()
    assert flags("the word 'bird'") == ("quotes 'bird', which stands nowhere in the texts",)
    never = flags("x", 'token in {" cat", " never", "zebra"} and not after(2, token in {"no"})')
    assert never == ("names tokens that never occur: ' never', 'zebra'",)


def score(method: str, control: Control = Control.NONE, **found: float) -> Score:
    estimates = {
        name: Estimate(v, max(0.0, v - 0.1), min(1.0, v + 0.1)) for name, v in found.items()
    }
    feature = FeatureId("d", 0)
    return Score(feature, method, "given", 100, 0, estimates, next(iter(found)), control)


@pytest.mark.parametrize(
    ("failed", "told"),
    [
        (0, "surprisal auprc 0.70 (0.60 to 0.80), under controls 0.70"),
        (7, "under controls 0.70, 7 of 100 items without an answer"),
        (100, "surprisal: not one of 100 items has an answer that can be read"),
    ],
)
def test_what_a_score_got_no_answer_to_is_said(failed, told):
    own = replace(score("surprisal", auprc=0.7), failed=failed)
    other = score("surprisal", Control.SHUFFLED_EXPLANATION, auprc=0.7)
    assert score_words("surprisal", own, [own, other]).endswith(told)


def test_execution_decides_before_judges_and_ranks_stand_beside():
    corpus = read([0, 1, 2, 0, 3], 60)
    fires = FeatureActivations(np.flatnonzero(corpus.tokens == 1), np.ones(60, np.float32))
    said = Explanation(FeatureId("d", 0), "the word cat", "given", 'token in {" cat"}')
    scores = [
        ("embedding", score("embedding", auroc=0.7)),
        ("embedding", score("embedding", Control.RANDOM_EXPLANATION, auroc=0.5)),
        (
            "detection",
            score("detection", f1_at_base_rate=0.1, precision_at_base_rate=0.1, recall=0.9),
        ),
        ("execution", score("execution", f1=1.0, precision=1.0, recall=1.0)),
        (
            "execution",
            score("execution", Control.RANDOM_EXPLANATION, f1=0.1, precision=0.1, recall=0.0),
        ),
    ]
    found = audit_label(said, scores, corpus, fires)
    assert (found.trust, found.evidence.scorer) == (Trust.BELIEVE, "execution")
    assert found.evidence.control == pytest.approx(0.2)
    assert found.evidence.base_rate == pytest.approx(0.2)
    assert [words.partition(" ")[0] for words in found.beside] == ["embedding", "detection"]
    assert "under controls 0.50" in found.beside[0]
    judged = audit_label(said, scores[:3], corpus, fires)
    assert (judged.trust, judged.evidence.scorer) == (Trust.TOO_BROAD, "detection")
    ranked = audit_label(said, scores[:2], corpus, fires)
    assert (ranked.trust, ranked.evidence) == (Trust.CANNOT_BE_TOLD, None)


@pytest.mark.parametrize(
    ("area", "above", "wanted", "near"),
    [
        ((0.8, 0.7, 0.9), (0.99, 0.95, 1.0), Trust.CANNOT_BE_TOLD, True),  # about the right thing
        ((0.8, 0.7, 0.9), (0.9, 0.8, 1.0), Trust.CANNOT_BE_TOLD, False),  # others come as near
        ((0.5, 0.4, 0.6), (0.4, 0.1, 0.9), Trust.SOMETHING_ELSE, False),  # and others nearer
        ((0.5, 0.4, 0.6), (0.4, 0.1, 1.0), Trust.CANNOT_BE_TOLD, False),  # nobody is nearer
        ((0.6, 0.52, 0.7), (0.4, 0.1, 0.9), Trust.CANNOT_BE_TOLD, False),
    ],
)
def test_an_embedding_tells_what_a_label_is_about_and_no_more(area, above, wanted, near):
    corpus = read([0, 1, 2, 0, 3])
    fires = FeatureActivations(np.array([1]), np.ones(1, np.float32))
    said = Explanation(FeatureId("d", 0), "small animals", "given")
    found = Score(said.feature, "embedding", "given", 100, 0, {"auroc": Estimate(*area)}, "auroc")
    alone = audit_label(said, [("embedding", found)], corpus, fires)
    assert (alone.trust, alone.scorer, alone.reason) == (Trust.CANNOT_BE_TOLD, "", NOBODY_SAYS)
    stated = found.estimates | {ABOVE_RIVALS: Estimate(*above)}
    told = audit_label(said, [("embedding", replace(found, estimates=stated))], corpus, fires)
    assert (told.trust, told.near) == (wanted, near)
    assert told.scorer == ("embedding" if near or wanted is Trust.SOMETHING_ELSE else "")
    assert "%" in told.reason


def test_a_few_documents_are_no_certainty():
    said = Explanation(FeatureId("d", 0), "the word cat", "given", 'token in {" cat"}')
    perfect = Estimate(1.0, 1.0, 1.0)
    found = Score(
        said.feature,
        "execution",
        "given",
        9,
        0,
        {"f1": perfect, "precision": perfect, "recall": perfect},
        "f1",
    )
    for documents, wanted in ((4, Trust.CANNOT_BE_TOLD), (40, Trust.BELIEVE)):
        corpus = read([0, 1, 2, 0, 3], documents)
        at = np.flatnonzero(corpus.tokens == 1)
        fires = FeatureActivations(at, np.ones(len(at), np.float32))
        assert audit_label(said, [("execution", found)], corpus, fires).trust == wanted


def test_a_judge_whose_errors_are_known_is_corrected_and_one_that_tells_nothing_decides_nothing():
    corpus = read([0, 1, 2, 0, 3])
    fires = FeatureActivations(np.array([1]), np.ones(1, np.float32))
    said = Explanation(FeatureId("d", 0), "the word cat", "given")
    plain = {"f1_at_base_rate": 0.7, "precision_at_base_rate": 0.1, "recall": 0.9}
    corrected = {
        "precision_at_base_rate_corrected": 0.8,
        "true_positive_rate_corrected": 0.9,
        "true_negative_rate_corrected": 1.0,
        "balanced_accuracy_corrected": 0.95,
    }
    one = audit_label(said, [("detection", score("detection", **plain))], corpus, fires)
    other = audit_label(
        said, [("detection", score("detection", **plain | corrected))], corpus, fires
    )
    assert (one.trust, other.trust) == (Trust.TOO_BROAD, Trust.BELIEVE)
    nothing = dict.fromkeys(corrected, math.nan)
    given = [("detection", score("detection", **plain | nothing))]
    assert audit_label(said, given, corpus, fires).trust == Trust.CANNOT_BE_TOLD
