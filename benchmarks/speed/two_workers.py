"""Two worker processes against one, for the stages that compute: by the clock, and by processor
time, which neighbours disturb less.

python -m benchmarks.speed.two_workers [--features 200] [--tokens 100000]
"""

import argparse
import multiprocessing
import resource
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from benchmarks.speed.rows import Row, add_json, report
from gloss.run.execute.executors import keeping_workers
from gloss.run.experiment import Experiment
from gloss.run.pipeline import run_step, run_until
from gloss.run.planning import plan_run
from gloss.run.stage import planned_steps

STEPS = ("explain.rule", "score.execution")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=100_000)
    add_json(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment.of(
            {
                "run": {"folder": f"{folder}/out", "features": asked.features},
                "collect": {"max_tokens": asked.tokens},
            }
        )
        run_until(experiment, "sample")
        spent = [in_new_process(experiment, number) for number in (1, 2, 1, 2)]
    rows: list[Row] = []
    for kind, unit in (("seconds", "s by the clock"), ("cpu_seconds", "CPU s, half of it for two")):
        one, two = (min(each[kind] for each in spent[first::2]) for first in (0, 1))
        # of processor time, what two cores would give that nobody else wants
        two /= 2 if kind == "cpu_seconds" else 1
        name = f"explain and score {asked.features} features, one worker"
        rows.append(Row(name, one, unit))
        rows.append(Row(name.replace("one worker", "two"), two, unit, two / one, name))
    report(rows, asked.json)


def in_new_process(experiment: Experiment, processes: int) -> dict[str, float]:
    """What they spend where nothing is known of the run yet."""
    new = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=new) as pool:
        return pool.submit(spend, experiment, processes).result()


def spend(experiment: Experiment, processes: int) -> dict[str, float]:
    """Seconds of the steps in so many processes, with the processes' own beginning."""
    run = plan_run(replace(experiment, run=replace(experiment.run, processes=processes)))
    for step in STEPS:
        shutil.rmtree(run.place(step), ignore_errors=True)
    begun, before = time.perf_counter(), cpu_seconds()
    with keeping_workers():
        for step in planned_steps(run.experiment):
            if step.name in STEPS:
                run_step(run, step)
    return {"seconds": time.perf_counter() - begun, "cpu_seconds": cpu_seconds() - before}


def cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


if __name__ == "__main__":
    main()
