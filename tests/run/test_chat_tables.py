"""Several language models in one experiment: what each inherits, who asks which, what follows."""

import pytest

from gloss.errors import BadSettings
from gloss.models.chat_models.client import Chat
from gloss.models.local_chat import LocalChat
from gloss.run.chat_tables import chat_tables
from gloss.run.experiment import Experiment
from gloss.run.planning import plan_run

LARGE = {"model": "large", "base_url": "http://localhost:1/v1"}
SMALL = {"model": "small", "base_url": "http://localhost:2/v1"}
TWO = {"max_attempts": 3, "large": LARGE, "small": SMALL}
CROSSED = {
    "explain": {"method": "max_activating", "chat": "large"},
    "score": [
        {"method": "detection", "chat": "large"},
        {"method": "detection", "name": "detection-small", "chat": "small"},
    ],
    "judge": {"calibration_items": 40},
    "chat": TWO,
}


def test_a_named_model_inherits_what_stands_above_and_overrides_it():
    chat = {
        "model": "m",
        "max_attempts": 3,
        "prices": {"prompt_per_million": 1.0, "completion_per_million": 2.0},
        "small": {"model": "s", "prices": {"prompt_per_million": 0.5}, "extra": {"seed": 1}},
    }
    plain, small = (each.build() for each in chat_tables(chat).values())
    assert isinstance(plain, Chat)
    assert isinstance(small, Chat)
    assert (plain.model, small.model, small.max_attempts) == ("m", "s", 3)
    assert plain.prices.money(10**6, 0) == 1.0
    assert small.prices.prompt_per_million == 0.5
    assert small.prices.completion_per_million is None
    assert (plain.extra, small.extra) == ({}, {"seed": 1})


def test_a_model_of_another_kind_inherits_what_its_kind_has():
    chat = {"timeout_seconds": 9.0, "answer_tokens": 7} | {
        "here": {"backend": "transformers", "model": "embedded"},
        "there": {"model": "m"},
    }
    here, there = (each.build() for each in chat_tables(chat).values())
    assert isinstance(here, LocalChat)
    assert isinstance(there, Chat)
    assert here.answer_tokens == there.answer_tokens == 7
    assert there.timeout_seconds == 9.0


def test_two_servers_that_give_a_model_one_name_keep_their_answers_apart():
    one, other = (
        each.build() for each in chat_tables({"a": LARGE, "b": SMALL | {"model": "large"}}).values()
    )
    alone = chat_tables({"a": LARGE, "b": SMALL})["a"].build()
    assert isinstance(one, Chat)
    assert isinstance(other, Chat)
    assert isinstance(alone, Chat)
    assert one.known_as != other.known_as
    assert alone.known_as == "large"


def test_what_a_model_is_called_is_in_no_key_and_a_judge_explains_nothing_anew():
    def keys(tables: dict) -> dict[str, str]:
        return dict(plan_run(Experiment.of(tables)).keys)

    before = keys(CROSSED)
    assert {name for name in before if name.startswith(("packing", "judge"))} == {
        "packing.detection.large",
        "packing.detection.small",
        "judge.detection",
        "judge.detection-small",
    }
    judged = keys(CROSSED | {"chat": TWO | {"small": SMALL | {"model": "smaller"}}})
    assert {name for name in before if before[name] != judged[name]} == {
        "packing.detection.small",
        "judge.detection-small",
        "score.detection-small",
    }
    explained = keys(CROSSED | {"explain": {"method": "max_activating", "chat": "small"}})
    assert {name for name in before if before[name] != explained[name]} == {
        "explain.max_activating",
        "score.detection",
        "score.detection-small",
        "collisions",
    }
    renamed = keys(
        {
            "explain": {"method": "max_activating", "chat": "big"},
            "score": [CROSSED["score"][0] | {"chat": "big"}, CROSSED["score"][1]],
            "judge": CROSSED["judge"],
            "chat": {"max_attempts": 3, "big": LARGE, "small": SMALL},
        }
    )
    assert set(renamed.values()) == set(before.values())


def test_collisions_ask_the_model_that_they_name():
    def key(model: str) -> str:
        by = {"by": "judge", "chat": "small"}
        chat = {"large": LARGE, "small": SMALL | {"model": model}}
        asked = {"explain": {"method": "rule"}, "collisions": by, "chat": chat}
        return plan_run(Experiment.of(asked)).keys["collisions"]

    assert key("small") != key("smaller")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"explain": {"method": "max_activating"}},
            "[explain] max_activating does not say which language model it asks; add chat = 'large'"
            " or 'small'",
        ),
        (
            {"explain": {"method": "max_activating", "chat": "smal"}},
            "asks chat 'smal', and no table [chat.smal] is there; did you mean 'small'?",
        ),
        (
            {"explain": {"method": "rule", "chat": "small"}},
            "asks no language model; leave chat out",
        ),
        (
            {
                "explain": {
                    "method": "best_of",
                    "chat": "large",
                    "explainer": {"method": "max_activating", "chat": "small"},
                }
            },
            "set it for the whole method, beside explainer",
        ),
        (
            {"explain": {"method": "max_activating", "chat": 3}},
            "[explain] max_activating.chat must be text, got 3",
        ),
        ({"chat": TWO | {"max_attemps": 3}}, "has no setting 'max_attemps'; did you mean"),
        ({"chat": TWO | {"small": {"modl": "m"}}}, "[chat.small] has no setting 'modl'"),
        (
            {"chat": TWO | {"model": {"model": "m"}}},
            "[chat.model] is a table, and model is a setting",
        ),
        ({"chat": TWO | {"price": {"prompt_per_million": 1.0}}}, "write [chat.prices]"),
        ({"chat": TWO | {"../x": LARGE}}, "[chat.../x] is '../x'; give 1 to 64 letters"),
        ({"chat": TWO | {"small": {"prices": {"prompt": 1.0}}}}, "[chat.small.prices] has no"),
        ({"collisions": {"by": "judge"}}, "[collisions] judge does not say which language model"),
        ({"collisions": {"chat": "small"}}, "by = 'rules' asks no language model; leave chat out"),
        ({"chat": {}}, "asks chat 'large', and no table [chat.large] is there"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(changed, said):
    with pytest.raises(BadSettings) as caught:
        plan_run(Experiment.of(CROSSED | changed))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_named_model_need_not_be_named():
    asked = Experiment.of({"explain": {"method": "max_activating"}, "chat": {"small": SMALL}})
    chat = asked.chat_of(asked.explain[0])
    assert chat is not None
    assert chat.name == "small"
