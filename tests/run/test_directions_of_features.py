"""What directions say is found for the run's features alone, shard by shard, and once."""

from itertools import chain

import pytest

from gloss.decompose.direction_description import describe_directions
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.opened_run import OpenedRun
from gloss.run.planning import read_run
from gloss.run.run_dictionary import load_subject_and_dictionary
from gloss.run.stage import Job, planned_steps
from gloss.run.stages import directions as module
from gloss.run.stages.directions import DirectionWriter
from gloss.store.results import Part


@pytest.fixture
def finished(small_run):
    return read_run(small_run / "out")


def job_of(run) -> Job:
    [step] = [step for step in planned_steps(run.experiment) if step.name == "directions"]
    return Job(run, step)


def test_the_runs_features_are_described_and_no_others(finished):
    assert list(finished.described) == [feature.index for feature in finished.features]
    _, dictionary = load_subject_and_dictionary(finished)
    assert len(finished.features) < dictionary.width / 10
    every = list(describe_directions(dictionary.decoder_directions, None))
    for feature in finished.features:
        near = finished.near[feature.index]
        wanted = every[feature.index].neighbours
        assert [other for other, _ in near] == [other for other, _ in wanted]
        assert [cosine for _, cosine in near] == pytest.approx([c for _, c in wanted], abs=1e-5)
        told = finished.described[feature.index]
        raised = [token["value"] for token in told["promoted_tokens"]]
        assert len(raised) == 10
        assert raised == sorted(raised, reverse=True)
        assert told["suppressed_tokens"][0]["value"] < 0 < raised[0]


@pytest.mark.parametrize("at_once", [1, 16, 1024])
def test_shards_are_described_together_and_the_last_ones_of_a_killed_run_give_the_same_bytes(
    finished, tmp_path, monkeypatch, at_once
):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    monkeypatch.setattr(OpenedRun, "part", lambda run, step, shard: Part(written, shard))
    written = tmp_path / "whole"
    described = []

    def write(shards):
        writer = DirectionWriter(job_of(finished))
        describe, note = writer.reader

        def counted(features):
            described.append([feature.index for feature in features])
            return describe(features)

        vars(writer)["reader"] = (counted, note)
        # what it reads is done
        monkeypatch.setattr(FeatureGuard, "whole", True)
        for shard in shards:
            writer(shard)

    write(range(finished.shards))
    assert list(chain(*described)) == [feature.index for feature in finished.features]
    together = max(1, at_once // finished.experiment.run.features_per_shard)
    assert len(described) == -(-finished.shards // together)
    written = tmp_path / "killed"
    write([0])
    write(range(1, finished.shards))
    for file in (tmp_path / "whole" / "features").iterdir():
        assert (written / "features" / file.name).read_bytes() == file.read_bytes()
