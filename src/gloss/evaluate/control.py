"""What can be done with a dictionary on a task whose attributes are known: reconstruct what
matters, change one attribute by few features, and name features by attributes (Makelov et al.,
2024, arXiv 2405.08366).
"""

from collections.abc import Iterator, Mapping, Sequence
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
from gloss.evaluate.measure import Aims, Material
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
LAST, CHANGED = "last", "changed"
LEAST = 8  # prompts that the subject must know, of those that are measured


@dataclass(frozen=True)
class TaskControl:
    """The three axes of "Towards principled evaluations", at one token of each prompt, beside a
    supervised dictionary that is told the attributes.

    *Approximation*: how much of the logit difference a reconstruction keeps, and how much is lost
    without it. *Control*: how often the answer becomes that of a twin that differs in one
    attribute, when so many features are set to what they are there. *Interpretability*: how well
    one feature tells the value of an attribute. Edits are made at the last token, or at the one
    that is changed in the twin, for each attribute its own.

        >>> TaskControl(tasks=("agreement",), prompts=64, edited=(2,)).tasks
        ('agreement',)
    """

    needs: ClassVar[Needs] = Needs()
    aims: ClassVar[Aims] = Aims(
        more=(
            "sufficiency",
            "necessity",
            "f1_of_best_feature",
            r"edit_accuracy(_by_f1)?_of_\d+",
        ),
        less=("fvu",),
    )

    tasks: tuple[str, ...] = tuple(TASKS)
    prompts: int = 128  # that are measured
    seen: int = 256  # others, of which means and the names of features are taken
    edited: tuple[int, ...] = (2, 4, 8)  # features that one edit changes
    at: str = LAST  # the token: or "changed"

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
        if self.at not in (LAST, CHANGED):
            raise BadSettings(f'at is {self.at!r}; give "{LAST}" or "{CHANGED}"')

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
                known = KnownTask.of(name, prompts, self.seen, reader)
            except BadInput as unknown:
                failures.append(EvaluationFailure(name, str(unknown)))
                continue
            rows.append(known.accuracy)
            for attributes in [tuple(known.twins)] if self.at == LAST else zip(known.twins):
                try:
                    token = TaskToken.of(known, attributes, self.at, dictionary)
                except BadInput as several:
                    failures.append(EvaluationFailure(known.about(attributes), str(several)))
                    continue
                for found in token.measured(self.edited, rng):
                    if isinstance(found, EvaluationRow):
                        rows.append(found)
                    else:
                        failures.append(found)
        return Evaluation("control", tuple(rows), tuple(failures))


@dataclass(frozen=True)
class KnownTask:
    """A task's prompts: those that teach, and of the others those that the subject answers right,
    with their twins.
    """

    name: str
    reader: PromptReader
    taught: TaskPrompts
    prompts: Sequence[TaskPrompt]
    twins: Mapping[str, Sequence[TaskPrompt]]
    accuracy: EvaluationRow  # the subject's own

    @staticmethod
    def of(name: str, task: TaskPrompts, seen: int, reader: PromptReader) -> "KnownTask":
        """The first `seen` prompts teach. Raises BadInput where the subject does not know the
        task.
        """
        taught = {each: twins[:seen] for each, twins in task.twins.items()}
        asked = task.prompts[seen:]
        known = reader.right(reader.read(asked), asked)
        right = int(known.sum())
        told = f"the subject answers {right} of {len(known)} prompts right"
        if right < LEAST:
            raise BadInput(f"{told}, and {LEAST} are wanted; give a subject that knows this task")
        accuracy = wilson_interval(right, len(known))
        if accuracy.low <= 1 / len(reader.answers):
            raise BadInput(
                f"{told}, which is no more than chance among {len(reader.answers)} answers; give a"
                " subject that knows this task"
            )
        twins = {each: some(task.twins[each][seen:], known) for each in task.twins}
        note = "the subject's own"
        row = EvaluationRow("task_accuracy", accuracy, len(known), "prompts", name, note)
        learned = TaskPrompts(task.prompts[:seen], taught)
        return KnownTask(name, reader, learned, some(asked, known), twins, row)

    def about(self, attributes: Sequence[str]) -> str:
        """The task, and the attribute, where it is not all of them."""
        return self.name if len(attributes) == len(self.twins) else f"{self.name}: {attributes[0]}"


@dataclass(frozen=True)
class TaskToken:
    """What is at a token of a task's prompts, and what was learned there of those that teach."""

    task: KnownTask
    attributes: Sequence[str]  # that are edited there
    at: str
    dictionary: Dictionary
    taught: PromptVectors
    read: PromptVectors

    @staticmethod
    def of(
        task: KnownTask, attributes: Sequence[str], at: str, dictionary: Dictionary
    ) -> "TaskToken":
        """The last token, or that in which twins differ. Raises BadInput where they differ in
        several.
        """
        places = [None, None]
        if at == CHANGED:
            pairs = ((task.taught.prompts, task.taught.twins), (task.prompts, task.twins))
            places = [task.reader.changed(own, twins[attributes[0]]) for own, twins in pairs]
        taught, read = (
            task.reader.read(prompts, place)
            for prompts, place in zip((task.taught.prompts, task.prompts), places, strict=True)
        )
        return TaskToken(task, attributes, at, dictionary, taught, read)

    def measured(
        self, edited: Sequence[int], rng: np.random.Generator
    ) -> Iterator[EvaluationRow | EvaluationFailure]:
        """All three axes."""
        yield from self.approximation(rng)
        yield from (self.interpretability(attribute, rng) for attribute in self.attributes)
        for attribute in self.attributes:
            yield from self.control(attribute, edited)

    @cached_property
    def means(self) -> AttributeMeans:
        """The supervised dictionary."""
        return AttributeMeans.of(self.task.taught.prompts, self.taught.written)

    def approximation(self, rng: np.random.Generator) -> Iterator[EvaluationRow]:
        """Sparsity, reconstruction, and the share of the logit difference that reconstructions keep
        and that is lost without them.
        """
        x, given = self.read.written, self.read.given
        dictionary, of, n = self.dictionary, self.task.about(self.attributes), len(x)
        made = dictionary.reconstruct(given.to(dictionary.decoder_directions.device))
        made, told = made.detach().float().cpu(), self.means.reconstruct(self.task.prompts)
        active = student_interval(self._fires.sum(1).double().numpy())
        yield EvaluationRow("l0", active, n, "prompts", of)
        ablated = self._difference(self.means.centre.expand_as(x))
        clean = self.task.reader.difference(self.read.logits, self.task.prompts).double().numpy()
        spread = (x - x.mean(0)).square().sum(1).double().numpy()
        # a share of what the mean vector does not cost is none
        matters = student_interval(clean - ablated).low > 0
        for kind, each in (("", made), ("_supervised", told)):
            errors = (each - x).square().sum(1).double().numpy()
            yield EvaluationRow(
                f"fvu{kind}", ratio_with_interval(errors, spread, rng), n, "prompts", of
            )
            kept = self._difference(each) - ablated
            lost = clean - self._difference(x - each + self.means.centre)
            for name, share in (("sufficiency", kept), ("necessity", lost)):
                found = ratio_with_interval(share, clean - ablated, rng)
                yield EvaluationRow(
                    name + kind,
                    found if matters else Estimate.missing(),
                    n,
                    "prompts",
                    of,
                    "" if matters else "the mean vector costs nothing",
                )

    def interpretability(self, attribute: str, rng: np.random.Generator) -> EvaluationRow:
        """The mean over values of the F1 of the feature that told each best where it was chosen."""
        values = self.means.values[attribute]
        has = value_numbers(self.task.prompts, attribute, values)[:, None] == torch.arange(
            len(values)
        )
        fires = self._fires[:, self._tells(attribute).argmax(1)]
        n, there = len(self.task.prompts), has.any(0)
        found = bootstrap_f1(fires[:, there].numpy(), has[:, there].numpy(), rng)
        of, note = self.task.about([attribute]), f"{int(there.sum())} values"
        return EvaluationRow("f1_of_best_feature", found, n, "prompts", of, note)

    def control(
        self, attribute: str, edited: Sequence[int]
    ) -> Iterator[EvaluationRow | EvaluationFailure]:
        """How often the answer becomes the twin's, whatever is edited."""
        of, twins, reader = (
            self.task.about([attribute]),
            self.task.twins[attribute],
            self.task.reader,
        )
        read = reader.read(twins, self.read.at if self.at == CHANGED else None)
        known = reader.right(read, twins)
        prompts, twins = some(self.task.prompts, known), some(twins, known)
        own, twin = self.read.among(known), read.among(known)
        if not prompts:
            return

        def accuracy(name: str, vectors: Tensor, note: str = "") -> EvaluationRow:
            said = reader.logits_with(prompts, vectors, own.at).argmax(1)
            share = wilson_interval(int((said == twin.said).sum()), len(twins))
            return EvaluationRow(f"edit_accuracy{name}", share, len(twins), "pairs", of, note)

        changes = bool((own.said != twin.said).any())
        if changes:
            yield accuracy("_of_none", own.written, "nothing is edited")
            most = accuracy("_of_vector", twin.written, "the twin's vector")
            yield most
            if most.estimate.value == 0:
                yield EvaluationFailure(
                    of,
                    f"the twin's whole vector turns none of {len(twins)} answers, so no edit of"
                    " this token can: at this site the answer does not rest on it; take another"
                    ' site, or another token, by control.at ("last" or "changed")',
                )
                return
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
            vectors = with_largest(own.written, twin.written, number)
            yield accuracy(f"_raw_of_{number}", vectors, "numbers of the vector")
        for number in edited:
            weights = student_interval(exchange.weight(greedy[number]).double().numpy())
            yield EvaluationRow(f"edit_weight_of_{number}", weights, len(twins), "pairs", of)

    def _tells(self, attribute: str) -> Float32[Tensor, "value feature"]:
        """How well each feature tells each value, of the prompts that teach."""
        values = self.means.values[attribute]
        numbers = value_numbers(self.task.taught.prompts, attribute, values)
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
        reader, prompts = self.task.reader, self.task.prompts
        logits = reader.logits_with(prompts, vectors, self.read.at)
        return reader.difference(logits, prompts).double().numpy()


def with_largest(
    own: Float32[Tensor, "pair d"], twin: Float32[Tensor, "pair d"], number: int
) -> Float32[Tensor, "pair d"]:
    """Each vector with as many of its numbers as are farthest from its twin's set to these.

    >>> with_largest(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 9.0]]), 1).tolist()
    [[1.0, 9.0]]
    """
    places = (twin - own).abs().topk(min(number, own.shape[1]), dim=1).indices
    return own.scatter(1, places, twin.gather(1, places))


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
