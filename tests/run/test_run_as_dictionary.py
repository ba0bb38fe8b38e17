"""A run's folder stands for the dictionary that it trained or was given."""

import pytest

from gloss.errors import BadInput
from gloss.run.dependencies import named_dictionary_folder
from gloss.run.experiment import NEURONS
from gloss.run.plan import RESOLVED
from gloss.run.planning import read_run
from gloss.run.sources import dictionary_folder
from gloss.store.sealed_json import seal_json


def written(folder, decompose):
    folder.mkdir()
    content = {"experiment": {"decompose": decompose}, "keys": {"decompose": "key"}}
    (folder / RESOLVED).write_bytes(seal_json(content))
    return str(folder)


def test_a_run_names_its_dictionary(small_run, tmp_path):
    run = small_run / "out"
    assert named_dictionary_folder(str(run)) == dictionary_folder(read_run(run))
    trained = written(tmp_path / "trained", {"method": "topk", "site": "resid_post.0"})
    assert named_dictionary_folder(trained) == tmp_path / "trained/decompose/key/dictionary"
    other = written(tmp_path / "other", {"dictionary": trained})
    assert named_dictionary_folder(other) == named_dictionary_folder(trained)


def test_a_folder_without_a_run_is_itself(tmp_path):
    assert named_dictionary_folder(str(tmp_path)) == tmp_path


def test_a_run_of_neurons_has_no_dictionary_to_name(tmp_path):
    neurons = written(tmp_path / "run", {"dictionary": NEURONS, "site": "mlp_act.0"})
    with pytest.raises(BadInput, match="reads neurons, which have no files"):
        named_dictionary_folder(neurons)
