"""Several samples: what explainers are shown is their own, and what all are tested on is one."""

import pytest

from gloss.errors import BadSettings
from gloss.run.dependencies import scored_explainers
from gloss.run.experiment import Experiment
from gloss.run.planning import plan_run

QUANTILES, TOP = {"method": "quantiles"}, {"method": "top"}
CROSSED = {
    "sample": [QUANTILES, TOP],
    "explain": [{"method": "rule"}, {"method": "rule", "name": "of-top", "sample": "top"}],
}


def keys(tables: dict) -> dict[str, str]:
    return dict(plan_run(Experiment.of(tables)).keys)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after.get(name)}


def test_a_sample_that_is_added_or_changed_makes_nothing_anew_but_what_is_shown_by_it():
    alone = keys({"explain": CROSSED["explain"][:1]})
    both = keys(CROSSED)
    assert changed({name: alone[name] for name in alone if not name.startswith("score")}, both) == {
        "collisions"
    }
    other = keys(CROSSED | {"sample": [QUANTILES, TOP | {"quantiles": 5}]})
    assert changed(both, other) == {"sample.top", "explain.of-top", "score.execution", "collisions"}
    renamed = keys(
        {
            "sample": [QUANTILES, TOP | {"name": "strongest"}],
            "explain": [CROSSED["explain"][0], CROSSED["explain"][1] | {"sample": "strongest"}],
        }
    )
    assert set(renamed.values()) == set(both.values())
    tested = keys(CROSSED | {"contexts": {"held_out_sample": {"method": "top", "quantiles": 5}}})
    assert not changed(both, tested) & {"sample.quantiles", "sample.top"}
    assert "sample" in changed(both, tested)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            {"explain": {"method": "rule", "sample": "tops"}},
            "[explain] wants the sample 'tops', and no [[sample]] is called so; did you mean 'top'",
        ),
        ({"sample": [TOP, TOP]}, "[[sample]] has 'top' twice; give each a name"),
        ({"contexts": {"held_out_sample": "tops"}}, "[sample] has no method 'tops'; did you mean"),
        ({"contexts": {"held_out_sample": 3}}, "held_out_sample must be the name of a sampler"),
        ({"explain": {"method": "rule", "sample": 3}}, "[explain].sample must be text, got 3"),
        (
            {"explain": {"method": "best_of", "explainer": {"method": "rule", "sample": "top"}}},
            "set it for the whole method, beside explainer",
        ),
        (
            {"score": {"method": "execution", "of": ["rul"]}},
            "[score] execution is of 'rul', and no [[explain]] is called so; did you mean 'rule'?",
        ),
        ({"score": {"method": "execution", "of": "rule"}}, "[score].of must be a list of texts"),
        ({"score": {"method": "execution", "of": []}}, "[score].of is empty; name explainers"),
        ({"score": {"method": "intruder", "of": ["rule"]}}, "scores the feature itself"),
        ({"score": {"method": "intruder", "controls": 5}}, "has no controls; leave controls out"),
        ({"score": {"method": "execution", "controls": -1}}, "controls is -1, wants 0 or more"),
        ({"score": {"method": "execution", "controls": 1.5}}, "must be a whole number, got 1.5"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(tables, said):
    with pytest.raises(BadSettings) as caught:
        plan_run(Experiment.of(CROSSED | tables))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scores_are_given_what_speaks_of_what_they_test_unless_they_name_others():
    asked = Experiment.of(
        {
            "explain": [
                {"method": name}
                for name in ("rule", "token_change", "input_output", "vocabulary_projection")
            ]
            + [
                {"method": "best_of", "explainer": "vocabulary_projection"},
                {"method": "best_of", "name": "best-rule", "explainer": "rule"},
            ],
            "intervene": {},
            "chat": {"model": "m"},
        }
    )

    def given(method: str, **settings: object) -> list[str]:
        return scored_explainers(asked, {"method": method} | settings)

    outputs = ["token_change", "input_output", "vocabulary_projection", "best_of"]
    assert given("intervention") == given("intervention_tokens") == outputs
    assert given("generation") == given("execution") == ["rule", "input_output", "best-rule"]
    assert given("execution", of=["token_change"]) == ["token_change"]
    assert given("intruder") == []
