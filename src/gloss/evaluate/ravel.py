"""Are features of one attribute of a thing only that? Exchange them between two things and ask for
this attribute, and for the others (RAVEL: Huang et al., 2024, arXiv 2402.17700).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray
from torch import Tensor

from gloss.errors import BadSettings, require_at_least, require_one_of
from gloss.evaluate.asked_facts import (
    CITIES,
    AskedFacts,
    Directions,
    Edit,
    EntityFacts,
    Fact,
    FactPair,
    fact_rows,
)
from gloss.evaluate.feature_mask import MaskLearning
from gloss.evaluate.measure import Aims, Material
from gloss.models.dictionary import Dictionary, require_fit
from gloss.records import Estimate, Evaluation, EvaluationFailure, EvaluationRow, Needs
from gloss.statistics.intervals import (
    bounded,
    draw_rates,
    estimate_from_draws,
    student_interval,
    wilson_interval,
)

LEAST = 8  # prompts of an attribute that the subject must know, and pairs
EPOCHS, BATCH = 2, 16  # how often a mask learns from its pairs, and from how many in a step
Selection = Literal["mask", "mask_with_error", "rank"]


@dataclass(frozen=True)
class Ravel:
    """Entities with several attributes, and templates that ask for each: the features of an
    attribute are set, at the entity's last token, to what they are for another one.

    *Cause*: the answer becomes the other entity's value. *Isolation*: asked for another attribute,
    it stays. *Disentanglement* is the mean of both. An attribute's features are those that a mask
    chooses, which learns both aims at once from other pairs, as SAEBench's does; or, with "rank",
    the ones that tell its values best. `entities` and `templates` are JSON files as RAVEL has them,
    {entity: {attribute: value}} and {attribute: ["... %s ...", ...]}; of these the ones that end in
    a word. "cities" are some that come with gloss. Counted are prompts that the subject answers
    right.
    """

    needs: ClassVar[Needs] = Needs(files=("entities", "templates"))
    aims: ClassVar[Aims] = Aims(more=(r"(cause|isolation|disentanglement)_(of_\d+|by_mask)",))

    entities: str = CITIES
    templates: str = CITIES
    most: int = 64  # entities that are read, drawn by chance
    each: int = 2  # templates of each attribute, drawn by chance
    pairs: int = 24  # of entities, at most, for each two attributes
    # "mask_with_error" edits the vector itself, and not what the dictionary makes of it
    select: Selection = "mask"
    edited: tuple[int, ...] = (4, 16)  # features that an edit sets, by rank
    learned: int = 192  # pairs, at most, from which a mask learns either aim
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        require_at_least(2, self, "most")
        require_at_least(1, self, "each", "learned")
        require_at_least(LEAST, self, "pairs")
        require_one_of(get_args(Selection), self, "select")
        if not self.edited or min(self.edited) < 1:
            raise BadSettings(f"edited is {self.edited}; give numbers of features, 1 or more")
        if not self.learning_rate > 0:
            raise BadSettings(f"learning_rate is {self.learning_rate}; give a number above 0")

    def require_files(self) -> None:
        """Raise BadInput for files that hold no entities or templates."""
        EntityFacts.read(self.entities, self.templates)

    def measure(
        self, dictionary: Dictionary, material: Material, rng: np.random.Generator
    ) -> Evaluation:
        """Of each attribute, and the mean over them. A failure for one that the subject does not
        know; raises Mismatch for another subject's dictionary.
        """
        require_fit(dictionary, material.subject)
        facts = EntityFacts.read(self.entities, self.templates).drawn(self.most, self.each, rng)
        asked = AskedFacts.of(facts, material.subject, dictionary)
        rows, failures = list[EvaluationRow](), list[EvaluationFailure]()
        means = defaultdict[str, list[float]](list)
        drawn = {  # before anything else is, so that all dictionaries get the same
            attribute: self.split_pairs(asked, attribute, rng) for attribute in facts.templates
        }
        own = asked.features(keep_error=self.select != "mask")
        sides = {"": own, "raw_": asked.numbers}
        for attribute, pairs in drawn.items():
            if problem := pairs.problem:
                failures.append(EvaluationFailure(attribute, problem))
                continue
            rows.append(asked.accuracy(attribute))
            if self.select != "rank":
                masks = self._masks(asked, pairs, sides | {"supervised_": asked.told}, material)
                rows += [chosen_row(attribute, name, *each) for name, each in masks.items()]
                edits = {f"{name}by_mask": partial(of.moved, m) for name, (of, m) in masks.items()}
                edits["of_none"] = partial(sides[""].moved, torch.tensor([], dtype=torch.int64))
            else:
                edits = self._ranked(asked, attribute, sides)
            edits |= bounds(asked, attribute)
            for name, found, n in shares_of_edits(asked, pairs, edits, rng):
                rows.append(EvaluationRow(name, found, n, "pairs", attribute))
                means[name].append(found.value)
        over = [
            EvaluationRow(name, bounded(student_interval(np.array(each))), len(each), "attributes")
            for name, each in means.items()
            if len(each) > 1
        ]
        return Evaluation("ravel", (*over, *rows), tuple(failures))

    def split_pairs(
        self, asked: AskedFacts, attribute: str, rng: np.random.Generator
    ) -> "AimedPairs":
        """Those that are measured, and others from which a mask learns."""
        cause, isolation = list[FactPair](), list[FactPair]()
        taught = {True: list[FactPair](), False: list[FactPair]()}  # by whether it is asked for
        for other in asked.facts.templates:
            found = asked.pairs(attribute, other, rng)
            cut = self.pairs if self.select == "rank" else min(self.pairs, len(found) // 3)
            (cause if other == attribute else isolation).extend(found[:cut])
            taught[other == attribute] += found[cut:][: self.learned]
        kept = [taught[False][place] for place in rng.permutation(len(taught[False]))]
        number = min(self.learned, len(taught[True]), len(kept))  # of either aim as many
        return AimedPairs(attribute, cause, isolation, [*taught[True][:number], *kept[:number]])

    def _ranked(
        self, asked: AskedFacts, attribute: str, sides: Mapping[str, Directions]
    ) -> dict[str, Edit]:
        """So many features that tell the attribute best, and so many of the vector's numbers."""
        ranked = {name: each.ranked(asked, attribute) for name, each in sides.items()}
        return {
            f"{name}of_{number}": partial(each.moved, ranked[name][:number])
            for name, each in sides.items()
            for number in self.edited
        }

    def _masks(
        self,
        asked: AskedFacts,
        pairs: "AimedPairs",
        sides: Mapping[str, Directions],
        material: Material,
    ) -> Mapping[str, tuple[Directions, Int64[Tensor, " feature"]]]:
        """The features that a mask chooses, of each of these, taught by the same pairs.

        Those of the vector's numbers and of the supervised dictionary are the same for the next
        dictionary at this site, and kept for it.
        """
        learning = MaskLearning(EPOCHS, BATCH, self.learning_rate)
        base, source = fact_rows(pairs.taught)
        wanted = torch.tensor([asked.answer(pairs.wanted(pair)) for pair in pairs.taught])

        def answers(rows: Tensor, added: Tensor) -> Tensor:
            return asked.logits_with(base[rows], added, grad=True)

        found = dict[str, tuple[Directions, Int64[Tensor, " feature"]]]()
        for name, of in sides.items():

            def learn(of: Directions = of) -> ndarray:
                (differ,) = (of.amounts != of.amounts[0]).any(0).nonzero(as_tuple=True)
                few, rng = of.amounts[:, differ], material.generator(f"ravel {pairs.attribute}")
                mask = np.zeros(of.amounts.shape[1], bool)
                mask[differ.numpy()] = learning.learn(
                    few[source] - few[base], of.written[differ], of.lost[base], answers, wanted, rng
                ).numpy()
                return mask

            about = (asked.facts, pairs.taught, material.seed)
            content = (name, str(asked.dictionary.writes), self, about)
            mask = material.kept(content, learn) if name else learn()
            found[name] = of, torch.from_numpy(np.flatnonzero(mask))
        return found


@dataclass(frozen=True)
class AimedPairs:
    """Pairs of which an attribute is exchanged, and it, or another one, is asked for."""

    attribute: str
    cause: Sequence[FactPair]
    isolation: Sequence[FactPair]
    taught: Sequence[FactPair]  # of both aims; none of them is measured

    def wanted(self, pair: FactPair) -> Fact:
        """The prompt whose answer is right when the attribute is exchanged."""
        return pair.source if pair.base.attribute == self.attribute else pair.base

    @property
    def problem(self) -> str:
        """Why nothing can be said of the attribute; nothing where something can."""
        if min(len(self.cause), len(self.isolation)) >= LEAST:
            return ""
        return (
            f"{len(self.cause)} pairs of entities are left to be measured, and"
            f" {len(self.isolation)} that are asked for another attribute, of those that the"
            f" subject knows and no mask learns from; {LEAST} are wanted of both"
        )


def bounds(asked: AskedFacts, attribute: str) -> dict[str, Edit]:
    """What the supervised dictionary does, and the whole vector."""
    written = asked.read.written
    return {
        "supervised": partial(asked.supervised, attribute),
        "of_vector": lambda base, source: written[source] - written[base],
    }


def chosen_row(
    attribute: str, name: str, of: Directions, chosen: Int64[Tensor, " feature"]
) -> EvaluationRow:
    """How many features a mask chose, of those that are not the same for all prompts."""
    differ = int((of.amounts != of.amounts[0]).any(0).sum())
    return EvaluationRow.exact(
        f"chosen_{name}by_mask", float(len(chosen)), differ, "features", attribute
    )


def shares_of_edits(
    asked: AskedFacts, pairs: AimedPairs, edits: Mapping[str, Edit], rng: np.random.Generator
) -> Iterator[tuple[str, Estimate, int]]:
    """Cause, isolation and their mean of each edit, and of how many pairs."""
    for name, edit in edits.items():
        sides: list[tuple[int, int]] = []
        for chosen in (pairs.cause, pairs.isolation):
            said = asked.said_with(chosen, edit)
            wanted = torch.tensor([asked.answer(pairs.wanted(pair)) for pair in chosen])
            sides.append((int((said == wanted).sum()), len(chosen)))
        draws = [draw_rates(*side, rng=rng) for side in sides]
        shares = [right / n for right, n in sides]
        both = estimate_from_draws(sum(shares) / 2, (draws[0] + draws[1]) / 2)
        yield f"cause_{name}", wilson_interval(*sides[0]), sides[0][1]
        yield f"isolation_{name}", wilson_interval(*sides[1]), sides[1][1]
        yield f"disentanglement_{name}", both, sum(n for _, n in sides)
