"""One file, several experiments: [vary] names settings and the values that each gets."""

import json

import pytest
from small import SMALL, ran

from gloss.errors import BadSettings
from gloss.run.experiment import Experiment
from gloss.run.variants import MOST_RUNS, read_variants


def variants(tmp_path, text):
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    return read_variants(path)


def test_a_file_without_them_is_one_experiment(tmp_path):
    text = '[run]\nfolder = "here"\n[contexts]\ncontext_length = 16\n'
    assert variants(tmp_path, text) == [Experiment.read(tmp_path / "experiment.toml")]


def test_every_combination_is_a_run_in_a_folder_of_its_own(tmp_path):
    found = variants(
        tmp_path,
        """
        [run]
        folder = "out"
        [decompose]
        dictionary = "embedded"
        [vary]
        "contexts.context_length" = [16, 32]
        "decompose.site" = {early = "resid_post.0", late = "resid_post.1"}
        """,
    )
    assert [
        (str(one.folder), one.sampling.context_length, one.decompose["site"]) for one in found
    ] == [
        ("out/context_length-16_early", 16, "resid_post.0"),
        ("out/context_length-16_late", 16, "resid_post.1"),
        ("out/context_length-32_early", 32, "resid_post.0"),
        ("out/context_length-32_late", 32, "resid_post.1"),
    ]


def test_whole_tables_and_lists_can_be_varied(tmp_path):
    found = variants(
        tmp_path,
        """
        [vary]
        "collect.texts" = {library = ["stdlib"]}
        [vary.decompose]
        given = {dictionary = "embedded"}
        neurons = {dictionary = "neurons", site = "mlp.0"}
        """,
    )
    assert [one.decompose["dictionary"] for one in found] == ["embedded", "neurons"]
    assert found[0].collect.texts == ("stdlib",)


@pytest.mark.parametrize(
    ("varied", "said"),
    [
        ("[vary]\n", "must name settings"),
        ("vary = 3\n", "must name settings"),
        ('[vary]\n"contexts.context_length" = 16\n', "must be a list of values"),
        ('[vary]\n"contexts.context_length" = []\n', "must be a list of values"),
        ('[vary]\n"contexts.context_length" = [16, 16]\n', "give values names"),
        ('[vary]\n"contexts.context_lenght" = [16]\n', "did you mean 'context_length'"),
        ('[vary]\n"explain.contexts" = [16]\n[[explain]]\nmethod = "rule"\n', "list of tables"),
        ('[vary]\n"run.folder" = ["a", "b"]\n', "leave run.folder out"),
        (f'[vary]\n"run.seed" = {list(range(MOST_RUNS + 1))}\n', f"{MOST_RUNS} at most"),
    ],
)
def test_what_cannot_be_varied_is_refused(varied, said, tmp_path):
    with pytest.raises(BadSettings, match=said):
        variants(tmp_path, varied)


def test_other_commands_say_who_takes_it():
    with pytest.raises(BadSettings, match="gloss run and gloss cost"):
        Experiment.of({"vary": {"run.seed": [0, 1]}})


def test_those_that_are_not_refused_are_run_and_compared(tmp_path):
    path = tmp_path / "experiment.toml"
    varied = '"collect.texts" = {lost = ["lost.txt"], library = ["stdlib"]}'
    path.write_text(SMALL + f'\n[vary]\n{varied}\n"contexts.context_length" = [16, 32]\n')
    status, _, err = ran(tmp_path, "run", "experiment.toml", seconds=280)
    assert status == 2, err
    assert "4 of 4" in err
    said = err.strip().splitlines()[-1]
    assert said.startswith("gloss: 2 of 4 runs failed: out/lost_context_length-16 (")
    assert "out/lost_context_length-32 (" in said
    assert "library" not in said
    [folder] = {one.folder.parent for one in read_variants(path)}
    compared = json.loads((tmp_path / folder / "comparison.json").read_text())
    assert "contexts.context_length" in json.dumps(compared)
    assert "lost" not in json.dumps(compared)
    assert (tmp_path / folder / "comparison.html").is_file()
    status, out, err = ran(tmp_path, "cost", "--requests", "experiment.toml")
    assert (status, out.count("what this run would ask")) == (2, 2)
    assert "2 of 4 runs failed" in err
