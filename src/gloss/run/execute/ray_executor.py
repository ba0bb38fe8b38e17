"""Runs shards on a Ray cluster: one that is there, by its address, or one of this machine.

Lost actors and nodes cost their shards another try.
"""

import logging
import os
import pickle
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from gloss.errors import BadSettings, Stopped, Unreachable, error_cause, require_at_least
from gloss.run.execute.executors import Done, Work
from gloss.run.execute.workers import (
    ATTEMPTS,
    LOST,
    SIGNAL_SECONDS,
    STARTS,
    portable_error,
)

CONNECTING_SECONDS = 20.0


@dataclass(frozen=True)
class RayExecutor:
    """Several shards at a time, each by an actor of a Ray cluster; `work` must be picklable.

    An actor loads what the step needs once, and keeps it from shard to shard; weights, too, so that
    steps that hold some are spread as well. All nodes see the run's folder under the same path, and
    have the same gloss.
    """

    address: str = ""  # of a cluster; empty takes RAY_ADDRESS, one that runs here, or starts one
    actors: int = 0  # at a time; 0 takes as many as the cluster has room for
    cpus: float = 1.0  # that each actor reserves
    gpus: float = 0.0

    def __post_init__(self) -> None:
        require_at_least(0, self, "actors", "cpus", "gpus")

    @property
    def with_weights(self) -> "RayExecutor":
        """What runs the shards of steps that hold weights: the same."""
        return self

    def run(self, work: Work, shards: Sequence[int], done: Done) -> None:
        ray = self.connect()
        number = min(len(shards), self.actors or self.room(ray))
        pool = ActorPool(self, ray, pickle.dumps(work), deque(shards))
        try:
            pool.run(number, done)
        finally:
            pool.end()

    def connect(self) -> Any:
        """Ray, connected to the cluster. Raises BadSettings where there is no Ray, Unreachable."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
        try:
            ray = import_module("ray")
        except ImportError as problem:
            raise BadSettings(
                "executor = \"ray\" wants the package ray; pip install 'gloss-lm[ray]'"
            ) from problem
        if ray.is_initialized():
            return ray
        main = threading.current_thread() is threading.main_thread()
        told_to_stop = signal.getsignal(signal.SIGTERM)
        try:
            host, _, port = self.address.removeprefix("ray://").rpartition(":")
            if port.isdigit():  # Ray itself would try for minutes
                socket.create_connection((host, int(port)), CONNECTING_SECONDS).close()
            ray.init(
                address=self.address or None,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as problem:
            raise Unreachable(
                f"no Ray cluster at {self.address or 'this machine'} ({error_cause(problem)});"
                " start one with `ray start --head` and give its address in executor = {method = "
                '"ray", address = "HOST:6379"}, or leave the address out for one of this machine'
            ) from problem
        finally:
            if main:  # Ray takes the signal for itself
                signal.signal(signal.SIGTERM, told_to_stop)
        return ray

    def room(self, ray: Any) -> int:
        """How many actors the cluster has room for. Raises BadSettings where it has none."""
        there = ray.cluster_resources()
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        rooms = [int(there.get(kind, 0) // each) for kind, each in wanted.items() if each]
        if not (number := min(rooms, default=1)):
            raise BadSettings(
                f"the Ray cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g}"
                f" GPUs, and an actor wants {self.cpus:g} and {self.gpus:g}; give fewer as cpus and"
                " gpus of executor, or start a node that has them"
            )
        return number


class ShardActor:
    """Does a step's work on shards, in a process of a cluster."""

    def __init__(self, folder: str, work: bytes) -> None:
        self.folder, self.packed = folder, work
        self.work: Work | None = None

    def begin(self) -> None:
        """Be there."""

    def do(self, shard: int) -> Exception | None:
        """The work on one shard; gives what went wrong."""
        try:
            if self.work is None:
                os.chdir(self.folder)  # paths of the experiment are seen from there
                self.work = cast(Work, pickle.loads(self.packed))
            self.work(shard)
        except Exception as problem:
            return portable_error(problem)
        return None


@dataclass
class ActorPool:
    """The actors of one step, and what they do."""

    asked: RayExecutor
    ray: Any
    work: bytes
    left: deque[int]
    doing: dict[Any, tuple[Any, int | None]] = field(default_factory=dict)  # None: it begins
    actors: list[Any] = field(default_factory=list)
    idle: list[Any] = field(default_factory=list)
    lost: Counter[int | None] = field(default_factory=Counter)  # by shard, or in a row at first

    def run(self, number: int, done: Done) -> None:
        """Do what is left with so many actors at a time.

        Raises the first error of the work, and Stopped where a shard was lost several times.
        """
        for _ in range(number):
            self.start()
        # An actor that has not begun, for want of a place, is not waited for in the end.
        while self.left or any(shard is not None for _, shard in self.doing.values()):
            ready, _ = self.ray.wait(list(self.doing), num_returns=1)
            for answer in ready:
                actor, shard = self.doing.pop(answer)
                try:
                    problem = self.ray.get(answer)
                except self.ray.exceptions.RayError as lost:
                    self.replace(actor, shard, lost)
                    continue
                if problem is not None:
                    raise problem
                self.lost[None] = 0
                if shard is not None:
                    done(shard)
                self.give(actor)

    def give(self, actor: Any) -> None:
        """The next shard, where one is left."""
        if not self.left:
            self.idle.append(actor)
            return
        shard = self.left.popleft()
        self.doing[actor.do.remote(shard)] = actor, shard

    def start(self) -> None:
        """One more actor."""
        kind = self.ray.remote(num_cpus=self.asked.cpus, num_gpus=self.asked.gpus)(ShardActor)
        actor = kind.remote(str(Path.cwd()), self.work)
        self.actors.append(actor)
        self.doing[actor.begin.remote()] = actor, None

    def replace(self, actor: Any, shard: int | None, why: Exception) -> None:
        """Find another in the place of one that was lost. Raises Stopped, in the end."""
        self.actors.remove(actor)
        said = " ".join(str(why).split())
        if "creation task" in said and "Error" in said:  # as each other one would
            raise Stopped(
                f"an actor of Ray's cannot begin: {said[-300:]}; all nodes want the same gloss and"
                " packages as this machine"
            ) from why
        time.sleep(SIGNAL_SECONDS)  # a signal to all of a job may reach this process later
        self.lost[shard] += 1
        where = "before it began" if shard is None else f"at shard {shard}"
        if self.lost[shard] == (STARTS if shard is None else ATTEMPTS):
            raise Stopped(
                f"{self.lost[shard]} of Ray's actors were lost {where}, the last with"
                f" {type(why).__name__}: {said[:200]}; see Ray's logs, perhaps give each more room"
                " by cpus of executor, and run the same command again to go on"
            ) from why
        then = "another takes its place" if shard is None else "it is done again"
        LOST.warning("an actor of Ray's was lost %s (%s); %s", where, type(why).__name__, then)
        if shard is not None:
            self.left.appendleft(shard)
        if self.left and self.idle:  # which may hold the only place that there is
            self.give(self.idle.pop())
        elif self.left:
            self.start()

    def end(self) -> None:
        """End all actors: what they write is whole or not there."""
        for actor in self.actors:
            self.ray.kill(actor)
