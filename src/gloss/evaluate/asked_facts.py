"""Facts of entities, what a subject says when it is asked for them, and with edited vectors."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from gloss.errors import BadInput
from gloss.evaluate.attribute_means import AttributeMeans
from gloss.evaluate.feature_exchange import amounts
from gloss.evaluate.prompt_reader import PromptReader, PromptVectors
from gloss.evaluate.tasks import TaskPrompt
from gloss.models.dictionary import Dictionary
from gloss.models.subject import Subject
from gloss.records import EvaluationRow
from gloss.statistics.intervals import wilson_interval

CITIES = "cities"  # entities and templates that come with gloss
# what is added at the places of some prompts so that each takes the place of another one
Edit = Callable[[Int64[Tensor, " pair"], Int64[Tensor, " pair"]], Float32[Tensor, "pair d"]]


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
    """Features and how much of each is at every prompt's entity: a dictionary's, the numbers of
    the vector itself, or the values of attributes.
    """

    amounts: Float32[Tensor, "prompt feature"]
    written: Float32[Tensor, "feature d"]
    lost: Float32[Tensor, "prompt d"]  # what an edit takes away from the vector besides

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
        few = self.amounts[:, features]
        return (few[source] - few[base]) @ self.written[features] - self.lost[base]


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

    @torch.no_grad()
    def features(self, *, keep_error: bool) -> Directions:
        """The dictionary's, in its reconstruction, or in the vector itself."""
        directions = self.dictionary.decoder_directions.detach().float().cpu()
        given, written = self.read.given, self.read.written
        lost = torch.zeros_like(written)
        if not keep_error:
            made = self.dictionary.reconstruct(given.to(self.dictionary.decoder_directions.device))
            lost = written - made.float().cpu()
        return Directions(amounts(self.dictionary, given), directions, lost)

    @cached_property
    def numbers(self) -> Directions:
        """The numbers of the vector, each a direction."""
        written = self.read.written
        return Directions(written, torch.eye(written.shape[1]), torch.zeros_like(written))

    @cached_property
    def told(self) -> Directions:
        """The supervised dictionary's: each value of each attribute is a feature."""
        amounts, written = self.means.features(self.prompts)
        return Directions(amounts, written, torch.zeros_like(self.read.written))

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

    def pairs(self, exchanged: str, asked: str, rng: np.random.Generator) -> Sequence[FactPair]:
        """All prompts that ask for one attribute, of two entities with unequal values of it and of
        the one that is exchanged, which both have, in an order of chance.
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
        return [found[place] for place in rng.permutation(len(found))]

    def _value(self, fact: Fact, attribute: str) -> str:
        return self.facts.values[fact.entity][attribute]

    def logits_with(
        self, base: Int64[Tensor, " pair"], added: Float32[Tensor, "pair d"], *, grad: bool = False
    ) -> Float32[Tensor, "pair answer"]:
        """Of every answer, with this added at the entities of these prompts."""
        prompts, vectors = [self.prompts[row] for row in base.tolist()], self.read.written[base]
        return self.reader.logits_with(prompts, vectors + added, self.places[base], grad=grad)

    @torch.no_grad()
    def said_with(self, pairs: Sequence[FactPair], edit: Edit) -> Int64[Tensor, " pair"]:
        """What is said to each pair's base with an edit that takes it for its source."""
        base, source = fact_rows(pairs)
        return self.logits_with(base, edit(base, source)).argmax(1)


def fact_rows(pairs: Sequence[FactPair]) -> tuple[Int64[Tensor, " pair"], Int64[Tensor, " pair"]]:
    """Where each pair's base and its source are in what was read."""
    base, source = zip(*((pair.base.row, pair.source.row) for pair in pairs), strict=True)
    return torch.tensor(base), torch.tensor(source)
