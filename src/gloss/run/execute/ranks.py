"""Executors for one command that is started many times, as the tasks of a Slurm job or by torchrun:
each process does its share of every step's shards, and waits for the others before the next step.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gloss.errors import BadSettings, require_at_least
from gloss.run.execute.executors import CARDS, Done, Executor, ProcessExecutor, SerialExecutor, Work

DAY = 86_400.0
Environment = Mapping[str, str]


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those of one job."""

    job: str = ""  # what all of them know it by; empty where this process is alone
    rank: int = 0
    world: int = 1
    local: int = 0  # among those of this machine
    timeout: float = DAY  # seconds to wait for the others

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise BadSettings(
                f"the environment says that this is rank {self.rank} of {self.world}; ranks count"
                " from 0, so start the tasks as `gloss slurm` writes it"
            )

    @property
    def leads(self) -> bool:
        """Whether this process does what is done once."""
        return self.rank == 0

    def own(self, shards: Sequence[int]) -> list[int]:
        """Those shards that are this process's share, the same for whoever asks."""
        return [shard for shard in shards if shard % self.world == self.rank]

    def take_card(self) -> None:
        """Let this process see one card alone, where its machine shows several to all.

        Before torch asks for them.
        """
        shown = os.environ.get(CARDS)
        cards = [str(self.local)] if shown is None else [each for each in shown.split(",") if each]
        if cards:
            os.environ[CARDS] = cards[self.local % len(cards)]


ALONE = Ranks()


def slurm_ranks(environment: Environment, timeout: float = DAY) -> Ranks:
    """The place of a task of a Slurm array, of one that `srun` started, or of both."""

    def number(name: str, otherwise: int) -> int:
        return int(environment.get(f"SLURM_{name}") or otherwise)

    arrays = number("ARRAY_TASK_COUNT", 1)
    array = (number("ARRAY_TASK_ID", 0) - number("ARRAY_TASK_MIN", 0)) // max(
        1, number("ARRAY_TASK_STEP", 1)
    )
    # A batch script itself is one process, however many tasks it may start with srun.
    tasks = number("STEP_NUM_TASKS", number("NTASKS", 1) if "SLURM_STEP_ID" in environment else 1)
    task = number("PROCID", 0) if tasks > 1 else 0
    if arrays * tasks == 1:
        return ALONE
    # tasks of an array are started again one by one; steps of a job all together, under one more
    together = map(environment.get, ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"))
    job = environment.get("SLURM_ARRAY_JOB_ID") or "-".join(filter(None, together)) or "slurm"
    local = number("LOCALID", 0) if tasks > 1 else 0
    return Ranks(f"slurm-{job}", array * tasks + task, arrays * tasks, local, timeout)


def torchrun_ranks(environment: Environment, timeout: float = DAY) -> Ranks:
    """The place of a process that torchrun started."""
    world = int(environment.get("WORLD_SIZE") or 1)
    if world == 1:
        return ALONE
    names = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
    job = "-".join(("torchrun", *(environment.get(name, "") for name in names)))
    rank, local = (int(environment.get(name) or 0) for name in ("RANK", "LOCAL_RANK"))
    return Ranks(job, rank, world, local, timeout)


@dataclass(frozen=True)
class RankExecutor:
    """This process's share of the shards, in as many processes as it may have."""

    processes: int = 1
    timeout: float = DAY  # seconds to wait for the other tasks of the job

    find_ranks: ClassVar[Callable[[Environment, float], Ranks]]

    def __post_init__(self) -> None:
        require_at_least(1, self, "processes", "timeout")

    @property
    def ranks(self) -> Ranks:
        """The place of this process, by its environment."""
        return type(self).find_ranks(os.environ, self.timeout)

    @property
    def with_weights(self) -> "RankExecutor":
        """What runs the shards of steps that hold weights: the same, in this process."""
        return type(self)(1, self.timeout)

    @property
    def alone(self) -> Executor:
        """What runs shards that no other process shares."""
        return SerialExecutor() if self.processes == 1 else ProcessExecutor(self.processes)

    def run(self, work: Work, shards: Sequence[int], done: Done) -> None:
        self.alone.run(work, self.ranks.own(shards), done)


@dataclass(frozen=True)
class SlurmExecutor(RankExecutor):
    """The tasks of a Slurm array, or of `srun`: each does its share of the shards."""

    find_ranks = staticmethod(slurm_ranks)


@dataclass(frozen=True)
class TorchrunExecutor(RankExecutor):
    """The processes that torchrun starts, one a card: each does its share of the shards."""

    find_ranks = staticmethod(torchrun_ranks)
