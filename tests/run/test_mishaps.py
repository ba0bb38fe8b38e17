"""An error while one feature is treated costs that feature alone, and is told.

The next run tries it again.
"""

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small import SMALL, job_of, ran, start

from gloss.errors import BadInput, BadSettings, Stopped, Unreachable, Unwritable
from gloss.intervene import feature_effects
from gloss.models.chat_models.prices import foreseen_prompts
from gloss.models.chat_models.prompts import Answer, Message, Prompt
from gloss.records import Control, Failure, FeatureId, Reason
from gloss.run.commands import cost
from gloss.run.execute import feature_errors
from gloss.run.execute.feature_errors import FeatureGuard
from gloss.run.execute.shard_work import log_losses
from gloss.run.execute.workers import LOST
from gloss.run.experiment import Experiment
from gloss.run.opened_run import OpenedRun, stored_examples
from gloss.run.planning import plan_run, read_run
from gloss.run.reporting import untrained_controls
from gloss.run.reporting.run_data import RunData
from gloss.run.stages import attribute, collisions, explain, score
from gloss.store.atomic import partial_path
from gloss.store.results import read_rows

CAUSES = "\n[intervene]\nprompts = 4\n\n[attribute]\ncontexts = 1\n"


def raising_for(index: int, work: Callable, number: Callable[..., int]) -> Callable:
    """The same work, that fails for one feature."""

    def failing(*arguments: object) -> object:
        if number(*arguments) == index:
            raise ZeroDivisionError("nobody divides")
        return work(*arguments)

    return failing


BROKEN = """
import sys
from gloss.cli import main
from gloss.run.reporting import feature_pages, scores
from gloss.run.stages import collisions, explain, sample
from gloss.sample.cooccurrence import FeaturesByToken
from gloss.score.execution import Execution

def broken(module, name, index, number):
    work = getattr(module, name)
    def failing(*arguments):
        if number(*arguments) == index:
            raise ZeroDivisionError("nobody divides")
        return work(*arguments)
    setattr(module, name, failing)

a, b, c, d, e, f = map(int, sys.argv.pop().split(","))
broken(sample, "feature_windows", a, lambda _, feature, *_near: feature.index)
broken(explain, "explain_feature", b, lambda _p, _e, given: given.feature.index)
broken(Execution, "score", c, lambda _s, given, *_: given.feature.index)
broken(collisions.CollisionFinder, "pair_by_rules", 0, lambda *_: 0)
broken(feature_pages, "compose_feature_page", d, lambda _, feature, *_rest: feature.index)
broken(scores, "rule_hits", e, lambda _v, _r, restore: restore.args[1].index)
broken(FeaturesByToken, "nearest", f, lambda _s, _a, index: index)
main()
"""


@pytest.mark.timeout(900)
def test_an_error_in_every_stage_leaves_a_run_with_pages_and_the_next_run_mends_it(
    small_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for stage in ("decompose", "collect"):
        shutil.copytree(small_run / "out" / stage, tmp_path / "out" / stage)
    (tmp_path / "experiment.toml").write_text(SMALL + '\n[neighbours]\nby = "cooccurrence"\n')
    features = [
        row["feature"]
        for row in read_rows([read_run(small_run / "out").place("explain.rule")], "explanations")
    ]
    words = ("run", "experiment.toml", ",".join(map(str, features[:6])))
    code, _, warned = ran(tmp_path, *words, seconds=500, code=BROKEN)
    assert code == 0, warned
    assert "Traceback" not in warned
    plan = read_run(tmp_path / "out")
    errors = [
        row
        for row in read_rows([plan.place(stage) for stage in plan.keys], "failures")
        if row["reason"] == Reason.ERROR
    ]
    found = {(row["stage"], row["feature"]) for row in errors if row["stage"] != "collisions"}
    stages = ("sample", "sample.quantiles", "explain.rule", "score.execution", "neighbours")
    assert found == set(zip(stages, (features[0], *features[:3], features[5]), strict=True))
    assert all(row["detail"] == "ZeroDivisionError: nobody divides (<string>:13)" for row in errors)
    for stage in {row["stage"] for row in errors} | {"browse", "report"}:
        assert "Traceback" in (tmp_path / "out" / "log" / f"{stage}.log").read_text()
    assert (
        "An error ended its treatment"
        in next((tmp_path / "out" / "page").rglob(f"{features[3]}.html")).read_text()
    )
    process = start(tmp_path, "status", "out")
    said, _ = process.communicate(timeout=100)
    for told in (said, warned):
        assert all(
            f"{stage}: 1 feature failed with ZeroDivisionError" in told for stage, _ in found
        )
    assert all(
        f"{stage}: 1 feature failed with ZeroDivisionError" in warned
        for stage in ("browse", "report")
    )

    process = start(tmp_path, "run", "experiment.toml")
    _, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    tables = {
        table: read_rows([plan.place(stage) for stage in plan.keys], table)
        for table in ("explanations", "failures", "scores")
    }
    assert [row["feature"] for row in tables["explanations"]] == features
    assert Reason.ERROR not in {row["reason"] for row in tables["failures"]}
    own = {row["feature"] for row in tables["scores"] if row["control"] == Control.NONE}
    assert own == {row["feature"] for row in tables["explanations"]}
    assert all(plan.part(stage, shard).is_done for stage in stages for shard in range(4))


@pytest.mark.parametrize("stage", ["intervene", "attribute"])
def test_a_stage_that_reads_the_subject_goes_on_too(small_run, tmp_path, monkeypatch, stage):
    module, work, given_at = {
        "intervene": (feature_effects, "measure_feature_effects", 2),
        "attribute": (attribute, "feature_token_attributions", 2),
    }[stage]
    shutil.copytree(small_run / "out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.toml").write_text(SMALL + CAUSES)
    plan = plan_run(Experiment.read(Path("experiment.toml")))
    feature, job = next(iter(stored_examples(plan, 0))), job_of(plan, stage)
    for broken, done in ((feature.index, False), (-1, True)):
        failing = raising_for(broken, lambda *_: (), lambda *a: a[given_at].feature.index)
        monkeypatch.setattr(module, work, failing)
        job.step.stage.worker(job)(0)
        failures = read_rows([plan.place(stage)], "failures")
        assert [row["feature"] for row in failures] == ([] if done else [feature.index])
        assert plan.part(stage, 0).is_done is done
        assert plan.part("explain.rule", 0).is_done is False


@pytest.fixture
def plan(small_run, tmp_path, monkeypatch) -> OpenedRun:
    """The small run, in a folder of the test's own."""
    shutil.copytree(small_run / "out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    return read_run(Path("out"))


def test_a_report_leaves_a_feature_out_that_fails(plan, monkeypatch):
    found, feature = RunData(plan), plan.features[1]
    nats, _ = untrained_controls.peak_token_entropies(found)
    number = iter(plan.features)
    monkeypatch.setattr(
        untrained_controls,
        "peak_tokens",
        raising_for(feature.index, untrained_controls.peak_tokens, lambda *_: next(number).index),
    )
    fewer, shares = untrained_controls.peak_token_entropies(found)
    assert len(fewer) == len(shares) == len(nats) - 1
    [line] = found.guard.summary_lines()
    assert line.startswith("report: 1 feature failed with ZeroDivisionError (run/test_mishaps.py:")


def test_features_whose_neighbours_and_words_fail_to_be_compared_are_failures(plan, monkeypatch):
    finder, feature = collisions.CollisionFinder(job_of(plan, "collisions")), plan.features[0]
    for name, number in {
        "same_words": lambda _f, _w, given: given.index,
        "near": lambda _f, given: given.index,
    }.items():
        monkeypatch.setattr(finder, name, raising_for(feature.index, getattr(finder, name), number))
    plan.part("collisions", 0).marker.unlink()
    finder(0)
    failures = read_rows([plan.place("collisions")], "failures")
    assert {row["feature"] for row in failures} == {feature.index}
    assert not plan.part("collisions", 0).is_done


def test_a_cost_leaves_a_feature_out_that_fails(plan, monkeypatch):
    guard, feature = FeatureGuard(plan, "cost", 0, size=len(plan.features)), plan.features[0]
    settings = {"method": "detection"}
    whole = [
        one
        for conversation in cost.sampled_conversations(guard, "score", settings)
        for one in foreseen_prompts(conversation, None)
    ]
    failing = raising_for(
        feature.index, cost.scorer_evidence, lambda _p, _s, examples, *_its: examples.feature.index
    )
    monkeypatch.setattr(cost, "scorer_evidence", failing)
    left = [
        one
        for conversation in cost.sampled_conversations(guard, "score", settings)
        for one in foreseen_prompts(conversation, None)
    ]
    assert 0 < len(left) < len(whole)
    assert [line.partition(" (")[0] for line in guard.summary_lines()] == [
        "cost: 1 feature failed with ZeroDivisionError"
    ]


class Odd:
    """A method of somebody else that gives what it should not."""

    def __init__(self, given: object) -> None:
        self.given = given

    def explain(self, *_: object):
        yield from ()
        return self.given

    score = explain


@pytest.mark.parametrize("given", [None, "words", 1.5])
@pytest.mark.parametrize(("stage", "work"), [("explain.rule", explain), ("score.execution", score)])
def test_what_is_no_record_is_a_failure_of_its_feature(plan, monkeypatch, stage, work, given):
    monkeypatch.setattr(work, "build_method", lambda *_: Odd(given))
    monkeypatch.setattr(feature_errors, "FEWEST", 10)
    plan.part(stage, 0).marker.unlink()
    job = job_of(plan, stage)
    job.step.stage.work(job, 0)
    failures = plan.part(stage, 0).rows("failures")
    assert {row["feature"] for row in failures} >= {
        row["feature"] for row in plan.part("explain.rule", 0).rows("explanations")
    }
    assert len(failures) > 0
    assert all(f"TypeError: Odd gave {given!r}" in row["detail"] for row in failures)


def test_records_refuse_what_no_table_can_hold():
    code = "from gloss.records import *; import torch\n"
    for made in (
        "Explanation(FeatureId('d', 1), None, 'm')",
        "Estimate(torch.tensor(0.5), 0.0, 1.0)",
        "Estimate('1', 0.0, 1.0)",
    ):
        code += f"try:\n  {made}\nexcept TypeError as problem: print(problem)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line.split()[1] for line in done.stdout.splitlines()] == [
        "explanation",
        "estimate",
        "estimate",
    ]


FAULTY = """
from dataclasses import dataclass
from gloss.records import Explanation
@dataclass(frozen=True)
class Faulty:
    every: int = 1
    def explain(self, examples, vocabulary, rng):
        yield from ()
        if examples.feature.index % self.every == 0:
            raise RuntimeError("out of order")
        return Explanation(examples.feature, "something", "faulty", 'token is letters')
"""


def test_one_error_that_takes_a_whole_shard_stops_with_one_sentence(small_run, tmp_path, install):
    install("faulty", FAULTY, "gloss.explain", faulty="faulty:Faulty")
    shutil.copytree(small_run / "out", tmp_path / "out")
    (tmp_path / "experiment.toml").write_text(
        SMALL.replace("processes = 1", "processes = 2") + '\n[explain]\nmethod = "faulty"\n'
    )
    process = start(tmp_path, "explain", "experiment.toml")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "Traceback" not in err
    [sentence] = [line for line in err.splitlines() if line.startswith("gloss: ")]
    assert "the same error took 3 of 3 features: RuntimeError: out of order" in sentence
    assert "explain.faulty.log" in sentence
    assert (tmp_path / "out" / "log" / "explain.faulty.log").read_text().count(
        "RuntimeError: out of order"
    ) >= 3


def test_what_was_lost_is_told_and_kept_and_what_it_had_begun_is_cleared_away(folder, capsys):
    job = job_of(read_run(folder / "out"), "explain.rule")
    place = job.run.place("explain.rule")
    begun = partial_path(place / "explanations" / "part-00000.parquet")
    begun.touch()
    with log_losses(job):
        LOST.warning("worker process 12 was ended by SIGKILL at shard 0; it is done again")
        assert begun.exists()
    assert "explain.rule: worker process 12 was ended" in capsys.readouterr().err
    assert "at shard 0" in (folder / "out" / "log" / "explain.rule.log").read_text()
    assert not begun.exists()
    assert job.run.part("explain.rule", 0).rows("explanations")


# ---- the watch alone


def watching(folder: Path, features: int) -> FeatureGuard:
    """A watch over one shard of so many features."""
    plan = OpenedRun(
        Experiment.of({"run": {"folder": str(folder), "features_per_shard": features}}),
        (("explain.made", "key"),),
    )
    vars(plan)["features"] = [FeatureId("d", index) for index in range(features)]
    return FeatureGuard(plan, "explain.made", 0)


@pytest.fixture
def guard(tmp_path: Path) -> FeatureGuard:
    return watching(tmp_path, 40)


def fail(problem: BaseException) -> None:
    raise problem


@pytest.mark.parametrize(
    "problem",
    [
        ValueError("a\nb"),
        BadInput("no rule"),
        KeyError("x"),
        RecursionError(),
        AssertionError(),
        OSError("odd"),
    ],
)
def test_an_error_is_a_failure_of_its_feature(
    guard: FeatureGuard, tmp_path: Path, problem: Exception
) -> None:
    found = guard.attempt(FeatureId("d", 3), lambda: fail(problem))
    assert isinstance(found, Failure)
    assert (found.feature.index, found.stage, found.reason) == (3, "explain.made", Reason.ERROR)
    assert "\n" not in found.detail
    assert type(problem).__name__ in found.detail
    assert str(tmp_path) not in found.detail
    assert not guard.whole
    assert "feature d/3" in (tmp_path / "log" / "explain.made.log").read_text()


@pytest.mark.parametrize(
    "problem",
    [
        BadSettings("x"),
        Unreachable("x"),
        Unwritable("x"),
        Stopped("x"),
        MemoryError(),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
    ],
)
def test_what_ends_a_run_passes(guard: FeatureGuard, problem: BaseException) -> None:
    with pytest.raises(type(problem)):
        guard.attempt(FeatureId("d", 3), lambda: fail(problem))
    assert guard.whole


def test_a_full_disk_is_no_failure_of_a_feature(guard: FeatureGuard) -> None:
    with pytest.raises(Unwritable, match="no space left"):
        guard.attempt(
            FeatureId("d", 3),
            lambda: fail(OSError(errno.ENOSPC, "No space left on device", "a/file")),
        )


def test_a_conversation_that_fails_midway_ends_as_a_failure(guard: FeatureGuard) -> None:
    def conversation():
        [answer] = yield [Prompt((Message("user", "hello"),))]
        raise ValueError(answer.text)

    held = guard.conversation(FeatureId("d", 1), conversation)
    assert len(next(held)) == 1
    with pytest.raises(StopIteration) as over:
        held.send([Answer("goodbye")])
    assert over.value.value.detail.startswith("ValueError: goodbye")


def test_the_same_error_stops_beyond_a_tenth_and_others_do_not_add_up(guard: FeatureGuard) -> None:
    for index in range(4):
        guard.attempt(FeatureId("d", index), lambda: fail(ValueError("here")))
        guard.attempt(FeatureId("d", index), lambda: fail(ValueError("here")))
    for index in range(4):
        guard.attempt(FeatureId("d", index), lambda: fail(TypeError("there")))
    with pytest.raises(Stopped, match=r"5 of 40 features: ValueError: here \(run/test_mishaps.py:"):
        guard.attempt(FeatureId("d", 4), lambda: fail(ValueError("here")))


def test_a_small_shard_bears_two(tmp_path: Path) -> None:
    small = watching(tmp_path, 4)
    for index in range(2):
        assert isinstance(
            small.attempt(FeatureId("d", index), lambda: fail(ValueError("x"))), Failure
        )
    with pytest.raises(Stopped):
        small.attempt(FeatureId("d", 2), lambda: fail(ValueError("x")))
