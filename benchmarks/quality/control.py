"""Reconstruction is not control: on a subject that knows two tasks, dictionaries of more active
features reconstruct better, and fewer of their edits turn the answer.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.quality.rows import Row
from gloss.decompose.random_dictionary import RandomDirections
from gloss.decompose.topk import TopK
from gloss.evaluate.control import TaskControl
from gloss.evaluate.measure import Material
from gloss.evaluate.prompt_reader import PromptReader
from gloss.evaluate.task_subject import train_task_subject
from gloss.evaluate.tasks import TASKS
from gloss.models.dictionary import Dictionary
from gloss.models.sites import Site
from gloss.models.subject import Subject
from gloss.records import Estimate, Evaluation
from gloss.statistics.intervals import student_interval

EXPERIMENT = "15 control"
SITE = Site("resid_post", 1)
WIDTH, SPARSE, DENSE = 64, 2, 8  # active features a token
EDITED = 4  # features that an edit changes
ATTRIBUTES = (("indirect_object", "io"), ("agreement", "number"))


def run(rng: np.random.Generator, small: bool) -> list[Row]:
    """A subject, and its dictionaries, for each seed: the same of all but the number of active
    features.
    """
    prompts, tokens, seeds = (500, 60_000, 2) if small else (2000, 200_000, 5)
    attributes, below = (ATTRIBUTES[1:], below_0) if small else (ATTRIBUTES, surely_below_0)
    found = list[dict[str, dict[str, Evaluation]]]()
    for seed in rng.integers(2**31, size=seeds).tolist():
        if not (small and found):  # where it must be quick, two seeds share their subject
            subject = train_task_subject(seed)
        found.append(
            {task: measured(subject, task, seed, prompts, tokens) for task, _ in attributes}
        )
    rows = list[Row]()
    for task, attribute in attributes:
        of, n = f"{task}: {attribute}", f"{seeds} seeds"

        def over(kind: str, name: str, of: str, task: str = task) -> np.ndarray:
            return np.array([each[task][kind].value(name, of) for each in found])

        fvu = over("dense", "fvu", task) - over("sparse", "fvu", task)
        accuracy = {kind: over(kind, f"edit_accuracy_of_{EDITED}", of) for kind in found[0][task]}
        supervised = over("sparse", "edit_accuracy_supervised", of)
        name = f"{EXPERIMENT}: {of}, {n}"
        told = f"of k = {DENSE} less that of k = {SPARSE}"
        for known, values, passes in (
            ("the subject answers ≥ .98", over("sparse", "task_accuracy", task), at_least(0.98)),
            (f"FVU {told}: below 0", fvu, below),
            (f"edits of {EDITED} features {told}: below 0", accuracy["dense"] - accuracy["sparse"],
             below),
            (f"edits of {EDITED} features, k = {SPARSE}: ≥ .9", accuracy["sparse"], at_least(0.9)),
            ("edits of supervised features: ≥ .95", supervised, at_least(0.95)),
            (f"edits of {EDITED} random directions: ≤ .5", accuracy["random"],
             lambda e: e.value <= 0.5),
        ):  # fmt: skip
            estimate = student_interval(values)
            rows.append(Row.of(name, known, estimate, bool(passes(estimate))))
    return rows


def at_least(bound: float) -> Callable[[Estimate], bool]:
    return lambda estimate: estimate.value >= bound


def below_0(estimate: Estimate) -> bool:
    """Two seeds bound nothing, so that the mean has to do."""
    return estimate.value < 0


def surely_below_0(estimate: Estimate) -> bool:
    return estimate.high < 0


def measured(
    subject: Subject, task: str, seed: int, prompts: int, tokens: int
) -> dict[str, Evaluation]:
    """What `control` says of three dictionaries of a subject."""
    method, material = TaskControl(tasks=(task,), edited=(EDITED,)), Material(subject)
    return {
        kind: method.measure(dictionary, material, np.random.default_rng(seed))
        for kind, dictionary in dictionaries(subject, task, seed, prompts, tokens).items()
    }


def dictionaries(
    subject: Subject, task: str, seed: int, prompts: int, tokens: int
) -> dict[str, Dictionary]:
    """Trained on what is at the last token of the task's prompts, and one of random directions."""
    rng = np.random.default_rng([seed, 1])
    drawn = TASKS[task](prompts, rng)
    reader = PromptReader(subject, SITE, SITE, drawn.answers)
    x = reader.read(drawn.prompts).given

    def batches() -> Iterator[Tensor]:
        while True:
            yield x[torch.from_numpy(rng.permutation(len(x)))]

    made = dict[str, Dictionary](random=RandomDirections(WIDTH, DENSE).fit(batches(), SITE, rng))
    for kind, k in (("sparse", SPARSE), ("dense", DENSE)):
        method = TopK(WIDTH, k, tokens, 512, 3e-3, auxiliary_k=32, dead_after_tokens=20_000)
        made[kind] = method.fit(batches(), SITE, rng)
    return made
