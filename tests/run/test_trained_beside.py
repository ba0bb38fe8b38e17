"""Several dictionaries of one experiment are trained in one pass, and others read them by name."""

from pathlib import Path

import pytest
from small import ran

from gloss.errors import BadInput, BadSettings
from gloss.models.formats import load_dictionary
from gloss.run.dependencies import dictionary_hash, named_dictionary_folder
from gloss.run.experiment import Experiment
from gloss.run.planning import read_run

ALONE = """
[run]
folder = "FOLDER"
processes = 1

[collect]
max_tokens = 3000

[decompose]
method = "topk"
site = "resid_post.0"
width = 32
k = 4
batch = 256
tokens = 2048
"""
ALSO = """also = [
  {site = "resid_post.2"},
  {seed = 1, width = 48},
  {method = "skip_transcoder", site = "mlp_out.1", name = "mlp"},
]
"""
NAMES = ("site-resid_post.2", "seed-1_width-48", "mlp")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run of one dictionary, one of another site, and one of all of them."""
    folder = tmp_path_factory.mktemp("beside")
    other = ALONE.replace("resid_post.0", "resid_post.2")
    texts = {"alone": ALONE, "other": other, "together": ALONE + ALSO}
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text.replace("FOLDER", name))
        code, said, problem = ran(folder, "decompose", f"{name}.toml")
        assert code == 0, problem
    assert "beside it, in the same pass: together#site-resid_post.2" in said + problem
    return folder


def weights(place: Path) -> bytes:
    return next(place.glob("*.safetensors")).read_bytes()


def test_each_has_the_bytes_that_it_would_have_alone(trained) -> None:
    own, alone, other = (
        named_dictionary_folder(str(trained / name)) for name in ("together", "alone", "other")
    )
    assert weights(own) == weights(alone)
    beside = named_dictionary_folder(f"{trained / 'together'}#site-resid_post.2")
    assert weights(beside) == weights(other) != weights(alone)


def test_other_experiments_read_them_by_name(trained) -> None:
    found = [named_dictionary_folder(f"{trained / 'together'}#{name}") for name in NAMES]
    read = [load_dictionary(place) for place in found]
    assert [str(each.reads) for each in read] == ["resid_post.2", "resid_post.0", "mlp_in.1"]
    assert [each.width for each in read] == [32, 48, 32]
    assert all(each.card.fvu is not None for each in read)
    assert len({dictionary_hash(place) for place in found}) == 3
    code, said, problem = ran(trained, "check", "embedded", "together#mlp", "--tokens", "300")
    assert "mlp_in.1" in said + problem
    assert code in (0, 1)  # 1: it was hardly trained
    with pytest.raises(BadInput, match="no dictionary 'none' beside its own"):
        named_dictionary_folder(f"{trained / 'together'}#none")


def test_damaged_ones_are_told(trained) -> None:
    run = read_run(trained / "together")
    made = run.part("decompose", 0).changed_files(whole=True)
    assert not made
    place = next(named_dictionary_folder(f"{run.folder}#mlp").glob("*.safetensors"))
    kept = place.read_bytes()
    place.write_bytes(kept[:-1] + b"x")
    assert place in run.part("decompose", 0).changed_files(whole=True)
    place.write_bytes(kept)


@pytest.mark.parametrize(
    "also,message",
    [
        ("resid_post.1", "give a list of tables"),
        (["resid_post.1"], "give tables of what differs"),
        ([{}], "give tables of what differs"),
        ([{"seed": 1}, {"seed": 1}], "two that are called 'seed-1'"),
        ([{"seed": "one"}], "seed"),
        ([{"site": 3}], "give its name"),
        ([{"name": "a/b", "seed": 1}], "1 to 64 letters"),
        ([{"width": 0}], "between 1 and"),
        ([{"method": "pca"}], "is pca, which is not trained step by step"),
        ([{"method": "topkk"}], "no method 'topkk'"),
        ([{"wdith": 3}], "wdith"),
    ],
)
def test_tables_that_cannot_be_are_refused(also, message) -> None:
    decompose = {"method": "topk", "site": "resid_post.0", "width": 32, "k": 4, "also": also}
    with pytest.raises(BadSettings, match=message):
        Experiment.of({"decompose": decompose})


def test_the_run_itself_has_no_seed_but_its_own() -> None:
    with pytest.raises(BadSettings, match=r"\[run\] seed"):
        Experiment.of({"decompose": {"method": "topk", "site": "resid_post.0", "seed": 1}})
