"""A folder says which run it holds, and what its parts are called, before anything is computed."""

import pytest

from gloss.errors import BadInput
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun
from gloss.run.pipeline import write_resolved
from gloss.run.plan import RESOLVED, SUBJECT_RECORD, recorded_dtype
from gloss.run.planning import plan_run, read_run, stage_position, tables_of
from gloss.run.stage import installed_stages, table_columns
from gloss.store.sealed_json import read_sealed_json, seal_json
from tests.run.small import reseal


@pytest.fixture
def run(tmp_path) -> OpenedRun:
    explain = [{"method": "rule", "name": name} for name in ("second", "first", "third")]
    run = plan_run(Experiment.of({"run": {"folder": str(tmp_path)}, "explain": explain}))
    write_resolved(run)
    return run


def test_a_folder_is_read_as_the_run_that_was_written_there(run):
    assert list(read_run(run.folder).keys.items()) == list(run.keys.items())
    reseal(run.folder / RESOLVED, keys={"astray": "0", **run.keys})
    assert list(read_run(run.folder).keys) == [*run.keys, "astray"]


def test_what_another_version_wrote_and_what_is_no_run_is_refused(run):
    path = run.folder / RESOLVED
    written = read_sealed_json(path)
    reseal(path, tables={**written["tables"], "explain": "other"})
    with pytest.raises(BadInput, match="another version"):
        read_run(run.folder)
    del written["keys"]
    path.write_bytes(seal_json(written))
    with pytest.raises(BadInput, match="is not of a run"):
        read_run(run.folder)


def test_a_step_has_its_stages_position_and_tables():
    stages = installed_stages()
    assert [stage_position(f"{name}.any") for name in stages] == list(range(len(stages)))
    assert stage_position("astray") == len(stages)
    assert tables_of(["explain.one", "explain.two", "astray"]) == {
        "explain": table_columns(stages["explain"])
    }


def test_a_dictionary_is_called_by_its_name_or_its_key(run):
    assert run.dictionary_name == run.keys["decompose"]
    named = plan_run(Experiment.of({"decompose": {**run.experiment.decompose, "name": "wide"}}))
    assert named.dictionary_name == "wide"


def test_the_type_of_number_is_read_where_it_is_recorded(tmp_path):
    assert recorded_dtype(tmp_path) is None
    (tmp_path / SUBJECT_RECORD).write_bytes(seal_json({"dtype": "bfloat16"}))
    assert recorded_dtype(tmp_path) == "bfloat16"
    (tmp_path / SUBJECT_RECORD).write_text("{}")
    with pytest.raises(BadInput, match="is damaged"):
        recorded_dtype(tmp_path)
