"""A crosscoder and a cross-layer transcoder from the experiment's file to pages, and what cannot
take them says so.
"""

import re
from pathlib import Path

import pytest
from small import ran

from gloss.errors import BadSettings
from gloss.models.formats import load_dictionary
from gloss.models.joint_coder import JointCoder
from gloss.run.dependencies import named_dictionary_folder
from gloss.run.experiment import Experiment
from gloss.run.planning import read_run
from gloss.run.sources import NamedDictionary
from gloss.run.stage import step_keys

EXPERIMENT = """
[run]
folder = "FOLDER"
features = 4
processes = 1

[collect]
max_tokens = 3000

[decompose]
method = "METHOD"
sites = SITES
width = 64
k = 6
batch = 256
tokens = 4096
learning_rate = 1e-2
also = [{seed = 1}]

[contexts]
minimum = 3
"""
SITES = {
    "crosscoder": '["resid_post.0", "resid_post.2"]',
    "cross_layer_transcoder": '["mlp_out.0", "mlp_out.1", "mlp_out.2", "mlp_out.3"]',
}
SITES["two_models"] = '["resid_post.1"]\nother = "embedded"'
LAST = {"two_models": "collect", "crosscoder": "run", "cross_layer_transcoder": "collect"}  # verbs


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run of each, one of them to its end."""
    folder = tmp_path_factory.mktemp("sites")
    for method, sites in SITES.items():
        text = EXPERIMENT.replace("SITES", sites).replace(
            'folder = "FOLDER"', f'folder = "{method}"'
        )
        text = text.replace("METHOD", method if method != "two_models" else "crosscoder")
        (folder / f"{method}.toml").write_text(text)
        code, said, problem = ran(folder, LAST[method], f"{method}.toml")
        assert code == 0, said + problem
    return folder


@pytest.mark.parametrize("method", sorted(SITES))
def test_a_run_of_several_sites_is_trained_and_collected(made, method) -> None:
    found = load_dictionary(named_dictionary_folder(str(made / method)))
    assert isinstance(found, JointCoder)
    assert found.card.fvu is not None
    assert found.card.fvu < 0.9
    assert read_run(made / method).activations.counts.sum() > 0
    beside = load_dictionary(named_dictionary_folder(f"{made / method}#seed-1"))
    assert beside.writes == found.writes


def test_its_features_are_explained_scored_and_shown(made) -> None:
    run = read_run(made / "crosscoder")
    assert len([*run.rows("score", "scores")]) > 0
    shares = [row["share"] for row in run.rows("sites", "site_shares")]
    assert len(shares) == 2 * 4
    assert sum(shares) == pytest.approx(4)
    report = (made / "crosscoder" / "report.html").read_text()
    assert ">Sites" in report
    assert "resid_post.2" in report
    code, said, problem = ran(
        made, "query", "crosscoder", "SELECT site, avg(share) AS share FROM site_shares GROUP BY 1"
    )
    assert code == 0, problem
    assert "resid_post.0" in said
    # a run that reads all of it tells shares, one that reads it at one site has none to tell
    given = {"dictionary": str(made / "crosscoder")}
    assert "sites" in step_keys(Experiment.of({"decompose": given}))
    at_one = given | {"site": "resid_post.2"}
    assert "sites" not in step_keys(Experiment.of({"decompose": at_one}))


def test_check_tells_fvu_at_each_site_and_of_one_that_is_named(made) -> None:
    code, said, problem = ran(made, "check", "crosscoder", "--tokens", "800")
    assert code == 0, problem
    at = dict(re.findall(r"FVU at (\S+): ([\d.]+)", said))
    assert sorted(at) == ["resid_post.0", "resid_post.2"]
    whole = float(re.findall(r"FVU +│ ([\d.]+)", said)[0])
    assert whole == pytest.approx(sum(map(float, at.values())) / 2, abs=0.05)
    code, said, problem = ran(
        made, "check", "crosscoder", "crosscoder", "--site", "resid_post.2", "--tokens", "800"
    )
    assert code == 0, problem
    assert float(re.findall(r"FVU +│ ([\d.]+)", said)[0]) == pytest.approx(
        float(at["resid_post.2"]), abs=1e-3
    )


def test_a_part_at_one_site_goes_by_another_key(made) -> None:
    name = str(made / "crosscoder")
    whole, own, part = (
        NamedDictionary.of(name, site).content
        for site in ("", "resid_post.0+resid_post.2", "resid_post.2")
    )
    assert whole == own != part


def test_the_same_site_of_two_models_is_checked_at_both(made) -> None:
    code, said, problem = ran(made, "check", "two_models", "--tokens", "800")
    assert code == 0, problem
    at = dict(re.findall(r"FVU at (\S+): ([\d.]+)", said))
    assert sorted(at) == ["other:resid_post.1", "resid_post.1"]
    # the two are one model here
    assert float(at["resid_post.1"]) == pytest.approx(float(at["other:resid_post.1"]), abs=0.05)
    code, _, problem = ran(made, "check", "embedded", "two_models", "--tokens", "800")
    assert code != 0
    assert "is a site of another model, and there is none; name it" in problem


def test_directions_are_added_at_one_site_and_not_at_several(made) -> None:
    steer = ("steer", "crosscoder@3", "import", "--strength", "3")
    code, _, problem = ran(made, *steer)
    assert code != 0
    assert "several sites, which can be read together and not edited; name one of them" in problem
    code, said, problem = ran(made, *steer, "--site", "resid_post.2")
    assert code == 0, problem
    assert "→" in said


def test_another_model_is_of_the_subject_and_its_sites_stand_behind_the_own() -> None:
    asked = {"method": "crosscoder", "sites": ["resid_post.0", "mlp_out.1"], "other": "embedded"}
    found = Experiment.of({"decompose": asked})
    assert found.subject.other == "embedded"
    wanted = "resid_post.0+mlp_out.1+other:resid_post.0+other:mlp_out.1"
    assert found.decompose == {"method": "crosscoder", "site": wanted}
    with pytest.raises(BadSettings, match="other wants the names of sites"):
        Experiment.of({"decompose": {"method": "crosscoder", "other": "embedded"}})


def test_sites_of_both_models_are_those_of_each_name() -> None:
    joined = {"method": "crosscoder", "sites": ["resid_post.0+resid_post.1"], "other": "M"}
    found = Experiment.of({"decompose": joined})
    parts = ["resid_post.0", "resid_post.1", "other:resid_post.0", "other:resid_post.1"]
    assert found.decompose["site"] == "+".join(parts)
    for subject in ({"other": "N"}, {}):
        other = "M" if subject else ""
        with pytest.raises(BadSettings, match="name one model, in either"):
            Experiment.of({"decompose": joined | {"other": other}, "subject": subject})
    with pytest.raises(BadSettings):
        Experiment.of({"decompose": joined, "subject": 3})


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"method": "topk", "sites": ["resid_post.0", "resid_post.1"]}, "vectors of one site, and"),
        ({"method": "crosscoder", "site": "resid_post.0"}, "is trained on several sites"),
        ({"method": "crosscoder", "sites": "resid_post.0"}, "give a list of the names"),
        ({"method": "crosscoder", "sites": ["resid_post.0"]}, "is trained on several sites"),
        ({"method": "crosscoder", "sites": ["mlp_out.0"], "site": "mlp_out.1"}, "no site beside"),
    ],
)
def test_settings_of_other_methods_are_refused(settings, message) -> None:
    with pytest.raises(BadSettings, match=message):
        Experiment.of({"decompose": settings})
