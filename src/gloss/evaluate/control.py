"""What can be done with a dictionary on a task whose attributes are known: reconstruct what
matters, change one attribute by few features, and name features by attributes (Makelov et al.,
2024, arXiv 2405.08366).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from numpy import ndarray
from torch import Tensor

from gloss.errors import BadInput, BadSettings, require_at_least
from gloss.evaluate.attribute_means import AttributeMeans, value_numbers
from gloss.evaluate.feature_exchange import FeatureExchange, amounts, f1_of_features
from gloss.evaluate.measure import Material
from gloss.evaluate.prompt_reader import PromptReader, PromptVectors
from gloss.evaluate.tasks import TASKS, TaskPrompt, TaskPrompts
from gloss.models.dictionary import Dictionary, require_fit
from gloss.records import Estimate, Evaluation, EvaluationFailure, EvaluationRow, Needs
from gloss.statistics.intervals import (
    estimate_from_draws,
    ratio_with_interval,
    student_interval,
    wilson_interval,
)

RESAMPLES = 1000
LEAST = 8  # prompts that the subject must know, of those that are measured


@dataclass(frozen=True)
class TaskControl:
    """The three axes of "Towards principled evaluations", at the last token of each prompt, beside
    a supervised dictionary that is told the attributes.

    *Approximation*: how much of the logit difference a reconstruction keeps, and how much is lost
    without it. *Control*: how often the answer becomes that of a twin that differs in one
    attribute, when so many features are set to what they are there. *Interpretability*: how well
    one feature tells the value of an attribute.

        >>> TaskControl(tasks=("agreement",), prompts=64, edited=(2,)).tasks
        ('agreement',)
    """

    needs: ClassVar[Needs] = Needs()

    tasks: tuple[str, ...] = tuple(TASKS)
    prompts: int = 128  # that are measured
    seen: int = 256  # others, of which means and the names of features are taken
    edited: tuple[int, ...] = (2, 4, 8)  # features that one edit changes

    def __post_init__(self) -> None:
        require_at_least(LEAST, self, "prompts")
        require_at_least(LEAST, self, "seen")
        if unknown := set(self.tasks) - TASKS.keys():
            raise BadSettings(f"tasks has {sorted(unknown)}; there are {list(TASKS)}")
        if not self.edited or min(self.edited) < 2:
            raise BadSettings(
                f"edited is {self.edited}; give numbers of features, 2 or more, because one is"
                " taken out where another is put in"
            )

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Numbers over prompts that the subject answers right, and a failure for a task that it
        does not know. Raises Mismatch for another subject's dictionary.
        """
        require_fit(dictionary, material.subject)
        rows, failures = list[EvaluationRow](), list[EvaluationFailure]()
        for name in self.tasks:
            prompts = TASKS[name](self.seen + self.prompts, rng)
            reader = PromptReader(
                material.subject, dictionary.reads, dictionary.writes, prompts.answers
            )
            try:
                rows += ReadTask.of(name, prompts, self.seen, reader, dictionary).rows(
                    self.edited, rng
                )
            except BadInput as unknown:
                failures.append(EvaluationFailure(name, str(unknown)))
        return Evaluation("control", tuple(rows), tuple(failures))


@dataclass(frozen=True)
class ReadTask:
    """What was read of a task: prompts that teach, and those that are measured, with their twins,
    as far as the subject knows them.
    """

    name: str
    reader: PromptReader
    dictionary: Dictionary
    taught_prompts: Sequence[TaskPrompt]
    taught: PromptVectors
    prompts: Sequence[TaskPrompt]
    read: PromptVectors
    twins: dict[str, Sequence[TaskPrompt]]
    asked: int  # prompts, of which those that are measured are what the subject knows

    @staticmethod
    def of(
        name: str, task: TaskPrompts, seen: int, reader: PromptReader, dictionary: Dictionary
    ) -> "ReadTask":
        """The first `seen` prompts teach. Raises BadInput where the subject does not know the
        task.
        """
        taught, asked = task.prompts[:seen], task.prompts[seen:]
        read = reader.read(asked)
        known = reader.right(read, asked)
        right = int(known.sum())
        told = f"the subject answers {right} of {len(known)} prompts right"
        if right < LEAST:
            raise BadInput(f"{told}, and {LEAST} are wanted; give a subject that knows this task")
        if wilson_interval(right, len(known)).low <= 1 / len(reader.answers):
            raise BadInput(
                f"{told}, which is no more than chance among {len(reader.answers)} answers; give a"
                " subject that knows this task"
            )
        twins = {each: some(task.twins[each][seen:], known) for each in task.twins}
        return ReadTask(
            name,
            reader,
            dictionary,
            taught,
            reader.read(taught),
            some(asked, known),
            read.among(known),
            twins,
            len(asked),
        )

    def rows(self, edited: Sequence[int], rng: np.random.Generator) -> Iterator[EvaluationRow]:
        """All three axes."""
        share, note = wilson_interval(len(self.prompts), self.asked), "the subject's own"
        yield EvaluationRow("task_accuracy", share, self.asked, "prompts", self.name, note)
        yield from self.approximation(rng)
        yield from (self.interpretability(attribute, rng) for attribute in self.twins)
        for attribute in self.twins:
            yield from self.control(attribute, edited)

    @cached_property
    def means(self) -> AttributeMeans:
        """The supervised dictionary."""
        return AttributeMeans.of(self.taught_prompts, self.taught.written)

    def approximation(self, rng: np.random.Generator) -> Iterator[EvaluationRow]:
        """Sparsity, reconstruction, and the share of the logit difference that reconstructions keep
        and that is lost without them.
        """
        x, given = self.read.written, self.read.given
        dictionary, n = self.dictionary, len(x)
        made = dictionary.reconstruct(given.to(dictionary.decoder_directions.device))
        made, told = made.detach().float().cpu(), self.means.reconstruct(self.prompts)
        active = student_interval(self._fires.sum(1).double().numpy())
        yield EvaluationRow("l0", active, n, "prompts", self.name)
        ablated = self._difference(self.means.centre.expand_as(x))
        clean = self.reader.difference(self.read.logits, self.prompts).double().numpy()
        spread = (x - x.mean(0)).square().sum(1).double().numpy()
        for kind, each in (("", made), ("_supervised", told)):
            errors = (each - x).square().sum(1).double().numpy()
            kept = self._difference(each) - ablated
            lost = clean - self._difference(x - each + self.means.centre)
            for name, share, whole in (
                ("fvu", errors, spread),
                ("sufficiency", kept, clean - ablated),
                ("necessity", lost, clean - ablated),
            ):
                found = ratio_with_interval(share, whole, rng)
                yield EvaluationRow(name + kind, found, n, "prompts", self.name)

    def interpretability(self, attribute: str, rng: np.random.Generator) -> EvaluationRow:
        """The mean over values of the F1 of the feature that told each best where it was chosen."""
        values = self.means.values[attribute]
        has = value_numbers(self.prompts, attribute, values)[:, None] == torch.arange(len(values))
        fires = self._fires[:, self._tells(attribute).argmax(1)]
        n, there = len(self.prompts), has.any(0)
        found = bootstrap_f1(fires[:, there].numpy(), has[:, there].numpy(), rng)
        of, note = f"{self.name}: {attribute}", f"{int(there.sum())} values"
        return EvaluationRow("f1_of_best_feature", found, n, "prompts", of, note)

    def control(self, attribute: str, edited: Sequence[int]) -> Iterator[EvaluationRow]:
        """How often the answer becomes the twin's, whatever is edited."""
        of, twins = f"{self.name}: {attribute}", self.twins[attribute]
        read = self.reader.read(twins)
        known = self.reader.right(read, twins)
        prompts, twins = some(self.prompts, known), some(twins, known)
        own, twin = self.read.among(known), read.among(known)
        if not prompts:
            return

        def accuracy(name: str, vectors: Tensor, note: str = "") -> EvaluationRow:
            said = self.reader.logits_with(prompts, vectors).argmax(1)
            share = wilson_interval(int((said == twin.said).sum()), len(twins))
            return EvaluationRow(f"edit_accuracy{name}", share, len(twins), "pairs", of, note)

        changes = bool((own.said != twin.said).any())
        if changes:
            yield accuracy("_of_none", own.written, "nothing is edited")
            yield accuracy("_of_vector", twin.written, "the twin's vector")
        told = self.means.added(twins, attribute) - self.means.added(prompts, attribute)
        yield accuracy("_supervised", own.written + told)
        exchange = FeatureExchange.of(self.dictionary, own, twin)
        greedy = exchange.greedy(edited)
        for number in edited:
            yield accuracy(f"_of_{number}", own.written + exchange.moved(greedy[number]))
        if not changes:
            return
        old, new = (self._tells_of(attribute, side) for side in (prompts, twins))
        for number in edited:
            chosen = exchange.by_rank(old, new, number // 2)
            yield accuracy(f"_by_f1_of_{number}", own.written + exchange.moved(chosen))
        for number in edited:
            weights = student_interval(exchange.weight(greedy[number]).double().numpy())
            yield EvaluationRow(f"edit_weight_of_{number}", weights, len(twins), "pairs", of)

    def _tells(self, attribute: str) -> Float32[Tensor, "value feature"]:
        """How well each feature tells each value, of the prompts that teach."""
        values = self.means.values[attribute]
        numbers = value_numbers(self.taught_prompts, attribute, values)
        return f1_of_features(self._taught_fires, numbers, len(values))

    def _tells_of(
        self, attribute: str, prompts: Sequence[TaskPrompt]
    ) -> Float32[Tensor, "prompt feature"]:
        """How well each feature tells each prompt's value; not at all where none taught it."""
        numbers = value_numbers(prompts, attribute, self.means.values[attribute])
        return self._tells(attribute)[numbers.clamp_min(0)] * (numbers >= 0)[:, None]

    @cached_property
    def _fires(self) -> Bool[Tensor, "prompt feature"]:
        return amounts(self.dictionary, self.read.given) != 0

    @cached_property
    def _taught_fires(self) -> Bool[Tensor, "prompt_ feature"]:
        return amounts(self.dictionary, self.taught.given) != 0

    def _difference(self, vectors: Float32[Tensor, "prompt d"]) -> Float64[ndarray, " prompt"]:
        """The logit difference with these vectors."""
        logits = self.reader.logits_with(self.prompts, vectors)
        return self.reader.difference(logits, self.prompts).double().numpy()


def bootstrap_f1(
    said: Bool[ndarray, "prompt value"],
    has: Bool[ndarray, "prompt value"],
    rng: np.random.Generator,
) -> Estimate:
    """The mean over values of the F1 of what is said and what is so, with the bootstrap's interval
    over prompts.
    """
    n = len(said)
    drawn = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)])
    both, either = drawn @ (said & has), drawn @ (said.astype(np.float64) + has)
    whole, *draws = (2 * both / np.maximum(1, either)).mean(1).tolist()
    return estimate_from_draws(whole, np.array(draws))


def some(prompts: Sequence[TaskPrompt], chosen: Bool[Tensor, " p"]) -> Sequence[TaskPrompt]:
    """The prompts that are chosen."""
    return [each for each, is_chosen in zip(prompts, chosen.tolist(), strict=True) if is_chosen]
