"""The best of several explanations: chosen on one part of the train documents, and no better for it
on others.
"""

from dataclasses import replace

import numpy as np
import pytest
from choosing import FEATURE, Labels, elsewhere, evidence, finished

from gloss.errors import BadSettings
from gloss.explain.best_of import BestOf, draw_example_share
from gloss.explain.candidate_selection import ChoosingExplainer
from gloss.explain.rule_search.search import RuleSearch
from gloss.models.chat_models.prompts import join_conversations
from gloss.records import Explanation, Failure, Reason, needs_of
from gloss.run.methods import build_method, method_asks
from gloss.score.detection import Detection
from gloss.score.embedding import Embedding
from models.talks import asking_text


def headline(score) -> float:
    return score.estimates[score.headline].value


def test_it_is_a_chooser_and_no_explainer():
    assert isinstance(BestOf(), ChoosingExplainer)
    assert not hasattr(BestOf(), "explain")


def test_the_true_label_is_chosen_among_useless_ones(rng):
    texts = ("the words `a` and `b`", "label 1", "label 2", "label 3")
    choice = finished(BestOf(Labels(texts), Detection(), n=12).choose(evidence(rng), rng))
    assert choice.explanation == Explanation(FEATURE, texts[0], "labels")
    assert [candidate.chosen for candidate in choice.candidates].count(True) == 1
    assert (
        len({candidate.explanation.text for candidate in choice.candidates})
        == len(choice.candidates)
        <= 4
    )
    assert headline(next(each.validation for each in choice.candidates if each.chosen)) == 1


def test_useless_labels_look_good_where_they_were_chosen_and_are_at_chance_on_held_out_text(rng):
    """The second experiment of our reference table: the more candidates, the more optimism."""
    chosen, alone, held_out = [], [], []
    for _ in range(20):
        given = evidence(rng)
        choice = finished(BestOf(Labels(), Detection(), n=6).choose(given, rng))
        alone.append(np.mean([headline(candidate.validation) for candidate in choice.candidates]))
        chosen.append(max(headline(candidate.validation) for candidate in choice.candidates))
        held_out.append(
            headline(
                finished(Detection().score(choice.explanation, elsewhere(given, rng, 50), rng))
            )
        )
    error = np.std(held_out) / np.sqrt(len(held_out))
    assert np.mean(chosen) > np.mean(alone) + 0.05
    assert abs(np.mean(held_out) - np.mean(alone)) < 3 * error
    assert np.mean(chosen) - np.mean(held_out) > 3 * error


def test_a_feature_without_any_explanation_is_a_failure_and_lost_requests_are_known(rng):
    choice = finished(BestOf(Labels((None,)), Detection()).choose(evidence(rng), rng))
    assert isinstance(choice.explanation, Failure)
    assert (choice.explanation.reason, choice.candidates, choice.lost) == (
        Reason.REQUEST_ERROR,
        (),
        True,
    )
    some = finished(
        BestOf(Labels((None, "the word `a`")), Detection(), n=8).choose(evidence(rng), rng)
    )
    assert isinstance(some.explanation, Explanation)
    assert some.lost


def test_candidates_that_cannot_be_scored_are_a_failure_and_no_choice(rng):
    given = evidence(rng)
    empty = replace(given, examples=replace(given.examples, held_out=given.examples.held_out[:0]))
    choice = finished(BestOf(Labels(("a", "b")), Detection()).choose(empty, rng))
    assert isinstance(choice.explanation, Failure)
    assert choice.explanation.reason is Reason.TOO_FEW_EXAMPLES
    assert "validation split" in choice.explanation.detail
    assert not any(candidate.chosen for candidate in choice.candidates)


def test_candidates_see_parts_of_both_kinds_of_contexts(rng):
    given = evidence(rng, 21).examples
    less = draw_example_share(given, 0.5, rng)
    assert (len(less.train), len(less.inactive_train)) == (11, 11)
    assert set(less.train.starts) < set(given.train.starts)


def test_a_run_makes_it_from_names_and_tables():
    made = build_method(
        "explain",
        {
            "method": "best_of",
            "explainer": "rule",
            "scorer": {"method": "embedding", "instruction": "x"},
        },
    )
    assert (made.explainer, made.scorer, made.n) == (RuleSearch(), Embedding(instruction="x"), 4)
    assert not needs_of(made).asks
    assert method_asks("explain", {"method": "best_of"})
    assert method_asks("explain", {"method": "best_of", "explainer": "rule"})
    assert not method_asks(
        "explain", {"method": "best_of", "explainer": "rule", "scorer": "execution"}
    )


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"explainer": "ruel"}, "did you mean 'rule'"),
        ({"explainer": {"method": "rule", "beams": 1}}, "no setting 'beams'; did you mean 'beam'"),
        ({"explainer": {"beam": 1}}, "explainer must be the name of a method, or a table with one"),
        ({"explainer": 3}, "explainer must be the name of a method"),
        ({"explainer": "best_of"}, "BestOf, which chooses itself"),
        ({"scorer": "intruder"}, "Intruder, which scores features without their explanations"),
        ({"n": 0}, "n=0"),
    ],
)
def test_what_cannot_be_made_is_refused(settings, said):
    with pytest.raises(BadSettings, match=said):
        build_method("explain", {"method": "best_of"} | settings)


def test_conversations_together_ask_in_rounds():
    def twice(name):
        first = yield from asking_text(f"{name} 1")
        second = yield from asking_text(f"{name} 2")
        return first[0], second[0]

    def inactive():
        yield from ()
        return "nothing"

    conversation = join_conversations([twice("a"), inactive(), asking_text("b")])
    assert [prompt.messages[0].text for prompt in next(conversation)] == ["a 1", "b"]
    assert [prompt.messages[0].text for prompt in conversation.send([1, 2])] == ["a 2"]
    with pytest.raises(StopIteration) as over:
        conversation.send([3])
    assert over.value.value == [(1, 3), "nothing", [2]]
