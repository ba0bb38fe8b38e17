"""Are features of one attribute of a thing only that? Exchange them between two things and ask for
this attribute, and for the others (RAVEL: Huang et al., 2024, arXiv 2402.17700).
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from gloss.errors import BadInput, BadSettings, require_at_least
from gloss.evaluate.attribute_means import AttributeMeans
from gloss.evaluate.feature_exchange import amounts
from gloss.evaluate.measure import Aims, Material
from gloss.evaluate.prompt_reader import PromptReader, PromptVectors
from gloss.evaluate.tasks import TaskPrompt
from gloss.models.dictionary import Dictionary, require_fit
from gloss.models.subject import Subject
from gloss.records import Estimate, Evaluation, EvaluationFailure, EvaluationRow, Needs
from gloss.statistics.intervals import (
    bounded,
    draw_rates,
    estimate_from_draws,
    student_interval,
    wilson_interval,
)

CITIES = "cities"  # entities and templates that come with gloss
# what is added at the places of some prompts so that each takes the place of another one
Edit = Callable[[Int64[Tensor, " pair"], Int64[Tensor, " pair"]], Float32[Tensor, "pair d"]]
LEAST = 8  # prompts of an attribute that the subject must know, and pairs


@dataclass(frozen=True)
class Ravel:
    """Entities with several attributes, and templates that ask for each: the features that tell an
    attribute's values best are set, at the entity's last token, to what they are for another one.

    *Cause*: the answer becomes the other entity's value. *Isolation*: asked for another attribute,
    it stays. *Disentanglement* is the mean of both. `entities` and `templates` are JSON files as
    RAVEL has them, {entity: {attribute: value}} and {attribute: ["... %s ...", ...]}; of these the
    ones that end in a word. "cities" are some that come with gloss. Counted are prompts that the
    subject answers right.
    """

    needs: ClassVar[Needs] = Needs(files=("entities", "templates"))
    aims: ClassVar[Aims] = Aims(more=(r"(cause|isolation|disentanglement)_of_\d+",))

    entities: str = CITIES
    templates: str = CITIES
    most: int = 64  # entities that are read, drawn by chance
    each: int = 2  # templates of each attribute, drawn by chance
    pairs: int = 24  # of entities, at most, for each two attributes
    edited: tuple[int, ...] = (4, 16)  # features that an edit sets

    def __post_init__(self) -> None:
        require_at_least(2, self, "most")
        require_at_least(1, self, "each")
        require_at_least(LEAST, self, "pairs")
        if not self.edited or min(self.edited) < 1:
            raise BadSettings(f"edited is {self.edited}; give numbers of features, 1 or more")

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
            attribute: {
                other: asked.pairs(attribute, other, self.pairs, rng) for other in facts.templates
            }
            for attribute in facts.templates
        }
        for attribute, pairs in drawn.items():
            held = sum(len(found) for other, found in pairs.items() if other != attribute)
            if min(len(pairs[attribute]), held) < LEAST:
                reason = (
                    f"{len(pairs[attribute])} pairs of entities that the subject knows, and {held}"
                    f" of which it knows another attribute; {LEAST} are wanted of both"
                )
                failures.append(EvaluationFailure(attribute, reason))
                continue
            rows.append(asked.accuracy(attribute))
            for name, found, n in self._measured(asked, attribute, pairs, rng):
                rows.append(EvaluationRow(name, found, n, "pairs", attribute))
                means[name].append(found.value)
        over = [
            EvaluationRow(name, bounded(student_interval(np.array(each))), len(each), "attributes")
            for name, each in means.items()
            if len(each) > 1
        ]
        return Evaluation("ravel", (*over, *rows), tuple(failures))

    def _measured(
        self,
        asked: "AskedFacts",
        attribute: str,
        pairs: Mapping[str, Sequence["FactPair"]],
        rng: np.random.Generator,
    ) -> Iterator[tuple[str, Estimate, int]]:
        """Cause, isolation and their mean, of so many features, of so many of the vector's own
        numbers, of what the supervised dictionary knows, and of the whole vector.
        """
        own, raw = asked.features, asked.numbers
        ranked = {each: each.ranked(asked, attribute) for each in (own, raw)}
        edits: dict[str, Edit] = {}
        for number in self.edited:
            edits[f"of_{number}"] = partial(own.moved, ranked[own][:number])
        for number in self.edited:
            edits[f"raw_of_{number}"] = partial(raw.moved, ranked[raw][:number])
        edits["supervised"] = partial(asked.supervised, attribute)
        edits["of_vector"] = lambda base, source: (
            asked.read.written[source] - asked.read.written[base]
        )
        for name, edit in edits.items():
            sides: list[tuple[int, int]] = []
            for others in ([attribute], [other for other in pairs if other != attribute]):
                chosen = [pair for other in others for pair in pairs[other]]
                said = asked.said_with(chosen, edit)
                wanted = torch.tensor(
                    [asked.answer(p.source if others == [attribute] else p.base) for p in chosen]
                )
                sides.append((int((said == wanted).sum()), len(chosen)))
            draws = [draw_rates(*side, rng=rng) for side in sides]
            shares = [right / n for right, n in sides]
            both = estimate_from_draws(sum(shares) / 2, (draws[0] + draws[1]) / 2)
            yield f"cause_{name}", wilson_interval(*sides[0]), sides[0][1]
            yield f"isolation_{name}", wilson_interval(*sides[1]), sides[1][1]
            yield f"disentanglement_{name}", both, sum(n for _, n in sides)


@dataclass(frozen=True)
class EntityFacts:
    """What entities are, and how it is asked for."""

    values: Mapping[str, Mapping[str, str]]  # of each entity, by attribute
    templates: Mapping[str, Sequence[str]]

    @staticmethod
    def read(entities: str, templates: str) -> "EntityFacts":
        """Of two files. Raises BadInput for what is none, and for attributes that nobody has."""
        found: list[Any] = []
        for file, own, shape in (
            (entities, "entities.json", '{"Paris": {"country": "France", ...}, ...}'),
            (templates, "templates.json", '{"country": ["%s lies in", ...], ...}'),
        ):
            place = Path(__file__).parent / CITIES / own if file == CITIES else Path(file)
            try:
                given = json.loads(place.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise BadInput(f"{file!r} cannot be read ({error}); give JSON: {shape}") from error
            if not isinstance(given, dict) or not given:
                raise BadInput(f"{file} holds no such object; write it as {shape}")
            found.append(given)
        values, asked = found
        kept = {
            name: [each for each in given if "%s" in each and each[-1:].isalpha()]
            for name, given in asked.items()
            if isinstance(given, list) and all(isinstance(each, str) for each in given)
        }
        kept = {name: given for name, given in kept.items() if given}
        if len(kept) < 2 or not all(isinstance(each, dict) for each in values.values()):
            raise BadInput(
                f"{templates} has templates of {len(kept)} attributes that hold %s and end in a"
                " word, and two are wanted; give the files of RAVEL, or such"
            )
        told = {
            entity: {name: str(each[name]) for name in kept if each.get(name)}
            for entity, each in values.items()
        }
        return EntityFacts(told, kept)

    def drawn(self, most: int, each: int, rng: np.random.Generator) -> "EntityFacts":
        """So many entities, and templates of each attribute."""
        entities = rng.permutation(np.array(list(self.values), dtype=object))[:most]
        templates = {
            name: rng.permutation(np.array(given, dtype=object))[:each].tolist()
            for name, given in self.templates.items()
        }
        return EntityFacts({str(entity): self.values[entity] for entity in entities}, templates)


@dataclass(frozen=True)
class Fact:
    """A prompt that asks for an attribute of an entity."""

    entity: str
    attribute: str
    template: str
    row: int  # in what was read


@dataclass(frozen=True)
class FactPair:
    """A prompt, and the same of another entity with another value of the attribute that is
    exchanged.
    """

    base: Fact
    source: Fact


@dataclass(frozen=True, eq=False)
class Directions:
    """Features and how much of each is at every prompt's entity: a dictionary's, or the numbers of
    the vector itself.
    """

    amounts: Float32[Tensor, "prompt feature"]
    written: Float32[Tensor, "feature d"]

    def ranked(self, asked: "AskedFacts", attribute: str) -> Int64[Tensor, " feature"]:
        """Those first whose activation tells the attribute's values best: the share of the variance
        of what each writes that lies between values.
        """
        rows = [fact for fact in asked.known if fact.attribute == attribute]
        values = self.amounts[torch.tensor([fact.row for fact in rows])].double()
        numbers = torch.tensor([asked.answer(fact) for fact in rows]).unique(return_inverse=True)[1]
        has = torch.nn.functional.one_hot(numbers).double()
        means = (has.T @ values) / has.sum(0)[:, None]
        between = (has @ means - values.mean(0)).square().sum(0)
        whole = (values - values.mean(0)).square().sum(0)
        lengths = self.written.square().sum(1)
        # of features that hardly fire, the share alone would be chance
        return (between * between / whole.clamp_min(1e-12) * lengths).argsort(descending=True)

    def moved(
        self,
        features: Int64[Tensor, " feature"],
        base: Int64[Tensor, " p"],
        source: Int64[Tensor, " p"],
    ) -> Float32[Tensor, "p d"]:
        """What is added at each base when these are set to what they are at its source."""
        return (self.amounts[source] - self.amounts[base])[:, features] @ self.written[features]


@dataclass(frozen=True)
class AskedFacts:
    """What the subject says to every prompt, and what is at each entity's last token."""

    facts: EntityFacts
    reader: PromptReader
    dictionary: Dictionary
    prompts: Sequence[TaskPrompt]
    places: Int64[Tensor, " prompt"]
    read: PromptVectors
    asked: Sequence[str]  # the attribute of each prompt
    known: Sequence[Fact]

    @staticmethod
    def of(facts: EntityFacts, subject: Subject, dictionary: Dictionary) -> "AskedFacts":
        """Ask all; values that begin with the same token are one."""
        front = 0 if subject.start_token is None else 1
        prompts, places, asked = list[TaskPrompt](), list[int](), list[Fact]()
        answers: dict[int, str] = {}
        for attribute, templates in facts.templates.items():
            for template in templates:
                before, after = template.split("%s", 1)
                for entity, values in facts.values.items():
                    if attribute not in values:
                        continue
                    text, begun = before + entity + after, subject.encode(before + entity)
                    if subject.encode(text)[: len(begun)] != begun:
                        continue  # the entity ends inside a token
                    answer = f" {values[attribute]}"
                    answer = answers.setdefault(subject.encode_behind(text, answer)[0], answer)
                    asked.append(Fact(entity, attribute, template, len(prompts)))
                    told = {each: values.get(each, "") for each in facts.templates}
                    prompts.append(TaskPrompt(text, answer, "", told))
                    places.append(front + len(begun) - 1)
        if not prompts:
            raise BadInput("no entity ends at a token's end in these templates; give others")
        reader = PromptReader(subject, dictionary.reads, dictionary.writes, tuple(answers.values()))
        at = torch.tensor(places)
        read = reader.read(prompts, at)
        right = reader.right(read, prompts).tolist()
        known = [fact for fact in asked if right[fact.row]]
        about = [fact.attribute for fact in asked]
        return AskedFacts(facts, reader, dictionary, prompts, at, read, about, known)

    def answer(self, fact: Fact) -> int:
        """The place of what must be said."""
        return self.answers[fact.row]

    @cached_property
    def answers(self) -> Sequence[int]:
        """That of every prompt."""
        places = {answer: place for place, answer in enumerate(self.reader.answers)}
        return [places[prompt.answer] for prompt in self.prompts]

    @cached_property
    def features(self) -> Directions:
        """The dictionary's."""
        directions = self.dictionary.decoder_directions.detach().float().cpu()
        return Directions(amounts(self.dictionary, self.read.given), directions)

    @cached_property
    def numbers(self) -> Directions:
        """The numbers of the vector, each a direction."""
        return Directions(self.read.written, torch.eye(self.read.written.shape[1]))

    @cached_property
    def means(self) -> AttributeMeans:
        """A supervised dictionary, which is told what each entity is."""
        rows = [fact.row for fact in self.known]
        return AttributeMeans.of([self.prompts[row] for row in rows], self.read.written[rows])

    def supervised(
        self, attribute: str, base: Int64[Tensor, " p"], source: Int64[Tensor, " p"]
    ) -> Float32[Tensor, "p d"]:
        """What is added at each base when this attribute becomes that of its source."""
        before, after = (
            self.means.added([self.prompts[row] for row in side.tolist()], attribute)
            for side in (base, source)
        )
        return after - before

    def accuracy(self, attribute: str) -> EvaluationRow:
        """How often the subject knows an attribute."""
        known = sum(fact.attribute == attribute for fact in self.known)
        asked = sum(attribute == each for each in self.asked)
        found = wilson_interval(known, asked)
        return EvaluationRow(
            "task_accuracy", found, asked, "prompts", attribute, "the subject's own"
        )

    def pairs(
        self, exchanged: str, asked: str, most: int, rng: np.random.Generator
    ) -> Sequence[FactPair]:
        """Prompts that ask for one attribute, of two entities with unequal values of it and of the
        one that is exchanged, which both have.
        """
        by_template = defaultdict[str, list[Fact]](list)
        for fact in self.known:
            if fact.attribute == asked and exchanged in self.facts.values[fact.entity]:
                by_template[fact.template].append(fact)
        found = [
            FactPair(base, source)
            for facts in by_template.values()
            for base in facts
            for source in facts
            if self.answer(base) != self.answer(source)
            and self._value(base, exchanged) != self._value(source, exchanged)
        ]
        return [found[place] for place in rng.permutation(len(found))[:most]]

    def _value(self, fact: Fact, attribute: str) -> str:
        return self.facts.values[fact.entity][attribute]

    def said_with(self, pairs: Sequence[FactPair], edit: Edit) -> Int64[Tensor, " pair"]:
        """What is said to each pair's base with an edit that takes it for its source."""
        base, source = (
            torch.tensor([fact.row for fact in side])
            for side in zip(*((p.base, p.source) for p in pairs), strict=True)
        )
        vectors = self.read.written[base] + edit(base, source)
        prompts = [self.prompts[row] for row in base.tolist()]
        return self.reader.logits_with(prompts, vectors, self.places[base]).argmax(1)
