"""Experiment files: everything wrong is said before anything runs."""

import pytest

from gloss.errors import BadInput, BadSettings
from gloss.records import needs_of
from gloss.run.experiment import RENAMED_SETTINGS, Experiment
from gloss.run.methods import build_method
from gloss.run.planning import plan_run


def test_an_empty_file_is_the_demo_with_defaults(tmp_path):
    path = tmp_path / "empty.toml"
    path.write_text("")
    asked = Experiment.read(path)
    assert asked.subject.model == "embedded"
    assert asked.explain == ({"method": "rule"},)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[colect]\n", "did you mean 'collect'"),
        ("[run]\nfeature = 3\n", "did you mean 'features'"),
        ("[run]\nfeatures = 'many'\n", "[run].features must be a number, got 'many'"),
        ("[run]\nfeatures = 2.5\n", "must be a whole number"),
        ("[run]\nfeatures = -1\n", "[run].features is -1; give 0 or more"),
        ("[run]\nprocesses = 0\n", "processes is 0; give 1 or more"),
        ("[explain]\nmethod = 'rules'\n", "did you mean 'rule'"),
        ("[explain]\nmethods = 'rule'\n", "[explain] names no method"),
        ("[sample]\nmethod = 'quantiles'\nquantile = 3\n", "did you mean 'quantiles'"),
        ("[decompose]\nsite = 'resid_post.1'\n", "[decompose] needs dictionary"),
        ("[decompose]\nmethod = 'topk'\n", "needs a site"),
        ("[decompose]\nmethod = 'topk'\nsite = 'resid_post.1'\nwdth = 3\n", "did you mean 'width'"),
        ("[collect]\ntexts = 'stdlib'\n", "[collect].texts must be a list of texts"),
        ("[chat]\nmodl = 'x'\n", "did you mean 'model'"),
        (
            "[collect]\nleave_out = 'specials'\n",
            'leave_out is \'specials\'; give "special", "none", or a list',
        ),
        (
            "[collect]\nmassive = 0.5\n",
            "massive is 0.5; give a multiple of the median length above 1, or 0",
        ),
        ("[contexts]\ntrian = 3\n", "did you mean 'train'"),
        ("run = 3\n", "run must be a table"),
        ("[run]\nseed = -1\n", "[run].seed is -1; give 0 or more"),
        ("[collect]\ntexts = [1]\n", "must be a list of texts"),
        ("[decompose]\ndictionary = 3\n", "[decompose].dictionary must be text"),
        (
            '[decompose]\ndictionary = "x"\nwdth = 3\n',
            "[decompose] with a dictionary has no setting 'wdth'",
        ),
        ("[explain]\nmethod = 3\n", "has no method 3"),
        ("[browse]\nworng = 3\n", "did you mean 'wrong'"),
        ("[chat]\nextra = 3\n", "must be a table"),
        ('[chat.prices]\nprompt_per_million = "abc"\n', "must be a number"),
        (
            "[explain]\nmethod = 'rule'\nname = '../../evil'\n",
            "[explain].name is '../../evil'; give 1 to 64 letters",
        ),
        ("[score]\nmethod = 'execution'\nname = '..'\n", "[score].name is '..'"),
        ("[explain]\nmethod = 'rule'\nname = 5\n", "[explain].name is 5"),
        ("[explain]\nmethod = 'rule'\nname = ''\n", "[explain].name is ''"),
        ("[decompose]\ndictionary = 'x'\nname = 'a/b'\n", "[decompose].name is 'a/b'"),
        ("[run]\nfolder = '/'\n", "folder is '/'; give a folder for this run alone"),
        ("[run]\nfolder = ''\n", "folder is ''"),
        ("[explain]\nmethod = 'rule'\nbeam = -1\n", "[explain] rule.beam is -1; give 0 or more"),
        ("[explain]\nmethod = 'rule'\nbeam = 0\n", "[explain] rule: beam is 0; give 1 or more"),
        ("[browse]\nwrong = -1\n", "[browse].wrong is -1"),
        ("[run]\nminimum_activations = -1\n", "[run].minimum_activations is -1"),
        (
            "[chat]\nmodel = 'm'\ntimeout_seconds = nan\n",
            "[chat].timeout_seconds is nan; give a finite number",
        ),
        ("[chat.prices]\nprompt_per_million = nan\n", "prompt_per_million is nan"),
        (
            "[chat.prices]\nprompt_per_million = -1.0\n",
            "prompt_per_million is -1.0; give 0 or more",
        ),
        (
            "[run]\nfeatures = 99999999999999999999\n",
            "[run].features is beyond any count; give a finite number",
        ),
        (
            "[decompose]\nmethod = 'topk'\nsite = 'resid_post.1'\nlearning_rate = inf\n",
            "learning_rate is inf",
        ),
        ("explain = [3]\n", "[[explain]] must be a table for each method"),
        ("explain = []\n", "[explain] names no method"),
        ("[[score]]\nmethod = 'execution'\n[[score]]\nmethod = 'execution'\n", "'execution' twice"),
    ],
)
def test_what_is_wrong_is_said_with_what_was_probably_meant(tmp_path, text, said):
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    with pytest.raises(BadSettings) as told:
        Experiment.read(path)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [(table, *names) for table, renamed in RENAMED_SETTINGS.items() for names in renamed.items()],
)
def test_a_setting_by_its_old_name_is_refused_with_the_new_one(table, old, new):
    """In each table that has one; the new name is a setting there."""
    with pytest.raises(BadSettings) as refused:
        Experiment.of({table: {old: 3}})
    assert str(refused.value) == f"[{table}].{old} is called {new} now; rename it"
    assert new in Experiment.of({table: {new: 40}}).tables()[table]


@pytest.mark.parametrize(
    "text", ["[run", "a = " + "[" * 3000 + "]" * 3000, "a = 1" + "0" * 5000, "\x00"]
)
def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path, text):
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"experiment\.toml is (not TOML|nested too deeply)"):
        Experiment.read(path)
    with pytest.raises(BadInput, match="cannot be read"):
        Experiment.read(tmp_path / "nothing.toml")


def test_tokens_to_leave_out_are_a_word_or_a_list_and_make_other_keys():
    asked = [
        Experiment.of({"collect": {"leave_out": each}})
        for each in ("special", "none", ["<pad>", 0])
    ]
    assert asked[2].collect.leave_out == ("<pad>", 0)
    asked.append(Experiment.of({"collect": {"massive": 12}}))
    assert len({plan_run(each).keys["collect"] for each in asked}) == 4
    assert Experiment.of(asked[2].tables()) == asked[2]


def test_two_uses_of_one_method_are_told_apart_by_their_names():
    asked = Experiment.of(
        {
            "score": [
                {"method": "execution"},
                {"method": "execution", "name": "quick", "resamples": 50},
            ]
        }
    )
    assert plan_run(asked).stages("score") == ["score.execution", "score.quick"]


def test_resolved_tables_make_the_same_experiment_again():
    asked = Experiment.of(
        {"run": {"features": 7}, "score": [{"method": "execution"}, {"method": "detection"}]}
    )
    assert Experiment.of(asked.tables()) == asked


def test_room_for_answers_is_a_setting_of_every_method_that_asks():
    assert build_method("score", {"method": "detection", "thinking_tokens": 5}) == build_method(
        "score", {"method": "detection"}
    )
    for settings, words in (
        (
            {"method": "execution", "answer_tokens": 5},
            "execution asks no language model; leave answer_tokens out",
        ),
        ({"method": "detection", "answer_tokens": -5}, "answer_tokens is -5, wants 0 or more"),
        ({"method": "detection", "thinking_tokens": "many"}, "must be a number"),
    ):
        with pytest.raises(BadSettings, match=words):
            build_method("score", settings)
    with pytest.raises(BadSettings, match="set it for the whole method, beside scorer"):
        build_method(
            "explain", {"method": "best_of", "scorer": {"method": "detection", "answer_tokens": 5}}
        )
    assert needs_of(build_method("explain", {"method": "best_of", "answer_tokens": 5})).asks


def test_room_for_answers_is_part_of_what_answers_depend_on():
    chat = {"model": "m", "base_url": "http://localhost:1/v1"}
    keys = [
        plan_run(Experiment.of({"score": {"method": "detection"} | own, "chat": chat | room})).keys[
            "score.detection"
        ]
        for own, room in (
            ({}, {}),
            ({}, {"thinking_tokens": 9}),
            ({"answer_tokens": 9}, {}),
            ({}, {"max_requests": 9}),
        )
    ]
    assert len(set(keys)) == 3
    assert keys[3] == keys[0]
