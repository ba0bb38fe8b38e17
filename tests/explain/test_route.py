"""Routes: the free explanation where it is good enough, words for the rest, and nobody."""

from dataclasses import dataclass

import numpy as np
import pytest
from choosing import Labels

from gloss.errors import BadSettings
from gloss.explain.best_of import BestOf
from gloss.explain.candidate_selection import InvestigatingExplainer
from gloss.explain.route import Route
from gloss.models.planted import plant_apart
from gloss.records import Estimate, Explanation, Failure, FeatureId, Reason, Score, needs_of
from gloss.run.methods import build_method
from gloss.sample.examples import SamplingSettings, gather_examples
from gloss.sample.samplers import Quantiles
from gloss.store.evidence import Evidence, train_evidence

FEATURE = FeatureId("toy", 0)


@dataclass(frozen=True)
class Scores:
    """A scorer that says what it was told, and writes down what it was asked."""

    told: float | None
    width: float = 0.05

    def score(self, explanation, given, rng):
        yield from ()
        assert not set(given.examples.held_out.units) & set(given.examples.train.units)
        if self.told is None:
            return Failure(FEATURE, "told", Reason.NOT_APPLICABLE, "nothing to count")
        value = Estimate(self.told, self.told - self.width, self.told + self.width)
        return Score(FEATURE, "told", explanation.method, 9, 0, {"f1": value}, "f1")


@pytest.fixture(scope="module")
def evidence():
    planted, rng = plant_apart(np.random.default_rng(3), 20_000, 10), np.random.default_rng(0)
    fires = planted.activations[0]
    sampling = SamplingSettings(train=40, inactive_train=80)
    examples = gather_examples(FEATURE, fires, planted.corpus, Quantiles(), sampling, rng)
    return train_evidence(Evidence(examples, planted.corpus, fires))


RULE, OUTPUT, WORDS = (Labels((text,)) for text in ("a rule", "a token", "words"))


def routed(evidence, rule, output, words=None, **settings):
    parts = [RULE, Scores(rule), OUTPUT, Scores(output)]
    parts += [] if words is None else [WORDS, Scores(words)]
    conversation = Route(*parts, **settings).investigate(evidence, np.random.default_rng(0))
    with pytest.raises(StopIteration) as over:
        next(conversation)
    return over.value.value


@pytest.mark.parametrize(
    ("rule", "output", "words", "taken"),
    [
        (0.9, 0.9, 0.9, "a rule"),  # free and good enough: nothing else is tried
        (0.4, 0.6, 0.9, "a token"),  # it speaks, and a rule says less
        (0.4, 0.2, 0.9, "words"),
        (0.4, 0.2, 0.3, "a rule"),
        (0.4, None, None, "a rule"),
        (0.02, 0.3, None, "a token"),
        (0.02, 0.02, 0.5, "words"),
        (None, None, 0.5, "words"),
        (0.54, 0.2, None, "a rule"),
    ],
)
def test_each_feature_goes_its_way(rule, output, words, taken, evidence):
    choice = routed(evidence, rule, output, words)
    assert choice.explanation.text == taken
    [chosen] = [one for one in choice.candidates if one.chosen]
    assert chosen.explanation.text == taken


@pytest.mark.parametrize("words", [None, 0.05])
def test_where_nothing_holds_nobody_knows(words, evidence):
    choice = routed(evidence, 0.08, None, words)
    assert isinstance(choice.explanation, Failure)
    assert choice.explanation.reason is Reason.NOBODY_KNOWS
    assert "rule: f1 0.08 (0.03 to 0.13)" in choice.explanation.detail
    assert "output: nothing to count" in choice.explanation.detail
    assert ("words: " in choice.explanation.detail) == (words is not None)
    assert not any(one.chosen for one in choice.candidates)


def test_words_that_fit_every_context_are_not_known(evidence):
    s = evidence.examples.share_train
    assert routed(evidence, 0.05, 0.0, 2 * s / (1 + s) + 0.1).explanation.text == "words"
    broad = routed(evidence, 0.05, 0.0, 2 * s / (1 + s) + 0.02)
    assert isinstance(broad.explanation, Failure)
    assert "a yes to everything earns words 0.3" in broad.explanation.detail


def test_words_that_fit_every_context_take_no_rule_away(evidence):
    """A judge who says yes to everything earns them more than a fair rule has."""
    s = evidence.examples.share_train
    yes = 2 * s / (1 + s)
    rule = min(0.4, yes)
    assert routed(evidence, rule, 0.0, yes + 0.02, least=0.05).explanation.text == "a rule"


def test_a_wide_interval_is_no_knowledge(evidence):
    narrow, wide = Scores(0.5, 0.3), Scores(0.5, 0.45)
    for scorer, known in ((narrow, True), (wide, False)):
        conversation = Route(RULE, scorer, OUTPUT, Scores(None)).investigate(
            evidence, np.random.default_rng(0)
        )
        with pytest.raises(StopIteration) as over:
            next(conversation)
        assert isinstance(over.value.value.explanation, Explanation) == known


def test_good_rules_cost_no_request(evidence):
    @dataclass(frozen=True)
    class Dear:
        def explain(self, examples, vocabulary, rng):
            raise AssertionError("asked")
            yield

    conversation = Route(RULE, Scores(0.9), OUTPUT, Scores(0.1), Dear(), Scores(0.9)).investigate(
        evidence, np.random.default_rng(0)
    )
    with pytest.raises(StopIteration) as over:
        next(conversation)
    assert over.value.value.explanation.text == "a rule"


def test_without_words_it_asks_nobody():
    assert isinstance(Route(), InvestigatingExplainer)
    assert not needs_of(build_method("explain", {"method": "route"})).asks
    asks = {"words": "max_activating", "words_scorer": "detection"}
    assert needs_of(build_method("explain", {"method": "route", **asks})).asks
    effects = {"output_scorer": "intervention_tokens"}
    assert needs_of(build_method("explain", {"method": "route", **effects})).effects


@pytest.mark.parametrize(
    "settings", [{"words": "max_activating"}, {"least": 0.6}, {"enough": 2.0}, {"rule": BestOf()}]
)
def test_what_cannot_be_is_refused(settings):
    with pytest.raises(BadSettings):
        Route(**settings)
