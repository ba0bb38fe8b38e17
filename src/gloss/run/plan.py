"""Where the results of a run lie: a folder a stage, named by the key of what it depends on."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gloss.errors import BadInput, Damaged
from gloss.run.experiment import Experiment
from gloss.run.keys import result_key
from gloss.store.results import Part
from gloss.store.sealed_json import read_sealed_json

RESOLVED = "experiment.json"  # every setting, seed, version and key of a run
SUBJECT_RECORD = "subject.json"  # in which type of number, and where, a run's subject is computed


@dataclass(frozen=True)
class Plan:
    """An experiment, the keys of its steps, and the folders that follow from them."""

    experiment: Experiment
    known: tuple[tuple[str, str], ...]  # the key of each step, in the order of the run

    @property
    def folder(self) -> Path:
        return self.experiment.folder

    @cached_property
    def keys(self) -> dict[str, str]:
        """The key of each stage, and of each method of a stage that has several, by its name as in
        `explain.rule`.
        """
        return dict(self.known)

    def place(self, stage: str) -> Path:
        """The folder of a stage's results, or of one of its methods' as in `explain.rule`."""
        verb, _, name = stage.partition(".")
        return self.folder / verb / "-".join(filter(None, (name, self.keys[stage])))

    def places(self, verb: str) -> list[Path]:
        """The folders of all methods of a verb."""
        return [self.place(stage) for stage in self.stages(verb)]

    def stages(self, verb: str) -> list[str]:
        return [stage for stage in self.keys if stage.split(".")[0] == verb]

    def part(self, stage: str, shard: int) -> Part:
        return Part(self.place(stage), shard)

    @property
    def dictionary_name(self) -> str:
        """How features of this run's dictionary are called, by people and in tables."""
        return self.experiment.decompose.get("name") or self.keys["decompose"]

    def generator(self, *purpose: str | int) -> np.random.Generator:
        """A stream of random numbers for one purpose, the same in every process and attempt."""
        return np.random.default_rng([self.experiment.run.seed, *result_key(*purpose).encode()])


def recorded_dtype(folder: Path) -> str | None:
    """In which type of number a run computes its subject, by the record in the folder of its
    dictionary; None before it began.

    Raises BadInput for a record that is none.
    """
    record = folder / SUBJECT_RECORD
    if not record.exists():
        return None
    try:
        return str(read_sealed_json(record)["dtype"])
    except (Damaged, LookupError) as error:
        raise BadInput(
            f"{record} is damaged; remove it, and the run measures again which type is faster"
        ) from error
