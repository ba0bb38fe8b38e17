"""Makes the game that a question means."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gloss.attribute.game import Game
from gloss.attribute.games.components import (
    Ablated,
    Ablation,
    Blocks,
    Components,
    Features,
    Heads,
    log_probability,
    logit_difference,
)
from gloss.attribute.games.inputs import Inputs
from gloss.attribute.games.measures import Activation, Divergence, LogitDifference, LogProbability, Measure
from gloss.attribute.games.parts import Pieces, Prompt, Removal, TokenRow, Unit, drawn_words, masked
from gloss.attribute.games.relaxed import Difference, Fading, Fires
from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import Dictionary, require_fit
from gloss.models.formats import load_dictionary
from gloss.models.subject import Subject
from gloss.run.attributing.elsewhere import behind_an_endpoint, table_of
from gloss.run.attributing.question import Question, Value, Way
from gloss.run.experiment import EMBEDDED
from gloss.run.plan import embedded
from gloss.run.subjects import opened

FILLER = "_"  # of a masked word


@dataclass(frozen=True)
class Posed:
    """A game, what its value is called, and where its players stand in the prompt."""

    game: Game
    value: str
    text: tuple[tuple[str, int | None], ...] = ()  # stretches of the prompt, and the player that each is


def posed(question: Question, way: Way) -> Posed:
    """The game. Raises BadInput, BadSettings or Mismatch for what cannot be loaded or does not fit."""
    if question.players.data:
        return Posed(table_of(Path(question.players.data)), "the value in the table")
    if question.base_url:
        asked = behind_an_endpoint(question, way)
        return Posed(asked, f"{asked.reading.replace('_', ' ')}: {question.answer!r}", asked.stretches())
    subject = opened(question.subject)
    answer = tuple(subject.encode(question.answer)) or likeliest(subject, question.prompt)
    other = tuple(subject.encode(question.other))
    named = "".join(subject.vocabulary().texts(answer))
    if question.players.components or question.players.features:
        return of_components(question, subject, answer, other, named)
    feature = dictionary_and_features(question.feature, subject) if question.kind is Value.ACTIVATION else None
    value = f"activation of feature {feature[1][0]}" if feature else told(question, named)
    if way.method == "gradient":
        target = Fires(feature[0], feature[1][0]) if feature else Difference(answer[0], other[0] if other else None)
        game: Game = Fading(subject, tuple(subject.encode(question.prompt)), target)
        return Posed(game, value, tuple((text, place) for place, text in enumerate(game.players)))
    prompt = cut(question, subject, np.random.default_rng(way.seed))
    measure = Activation(feature[0], feature[1][0]) if feature else of_answer(question, subject, answer, other)
    return Posed(Inputs(subject, prompt, measure), value, stretches(question.prompt, prompt))


def told(question: Question, answer: str) -> str:
    """What the value is, for people."""
    return {
        Value.LOG_PROBABILITY: f"log-probability of {answer!r} (nats)",
        Value.LOG_ODDS: f"log-odds of {answer!r}",
        Value.DIFFERENCE: f"how much likelier {answer!r} is than {question.other!r} (nats)",
        Value.DIVERGENCE: "divergence from the clean prediction (nats)",
        Value.ACTIVATION: "activation",
    }[question.kind]


def likeliest(subject: Subject, prompt: str) -> tuple[int, ...]:
    """The token that the subject itself would say next."""
    return (int(subject.next_logits(whole(subject, prompt))[0].argmax()),)


def whole(subject: Subject, prompt: str) -> torch.Tensor:
    """The prompt's tokens behind the start token."""
    front = [] if subject.start_token is None else [subject.start_token]
    return torch.tensor([[*front, *subject.encode(prompt)]])


def of_answer(question: Question, subject: Subject, answer: tuple[int, ...], other: tuple[int, ...]) -> Measure:
    """What is read of the subject."""
    if question.kind is Value.DIVERGENCE:
        return Divergence(subject.next_logits(whole(subject, question.prompt))[0].double().log_softmax(0).numpy())
    if question.kind is Value.DIFFERENCE:
        return LogitDifference(answer, other)
    return LogProbability(answer, odds=question.kind is Value.LOG_ODDS)


def cut(question: Question, subject: Subject, rng: np.random.Generator) -> Prompt:
    """The prompt in pieces."""
    unit, removal = Unit(question.players.unit), Removal(question.players.removal)
    if unit is Unit.TOKENS:
        tokens = tuple(subject.encode(question.prompt))
        if not tokens:
            raise BadInput("there are no tokens in the prompt; give one with some text")
        instead = () if removal is Removal.REMOVE else tuple(fillers(tokens, subject, removal, rng))
        return TokenRow(tokens, subject.vocabulary(), instead)
    replaced = {
        Removal.REMOVE: None,
        Removal.MASK: masked(FILLER),
        Removal.INFILL: drawn_words(question.prompt.split(), rng),
    }[removal]
    return Pieces.of(question.prompt, unit, subject.encode, replaced)


def fillers(tokens: tuple[int, ...], subject: Subject, removal: Removal, rng: np.random.Generator) -> list[int]:
    """What stands in for each token: the filler's, or another token of the prompt."""
    if removal is Removal.MASK:
        return [subject.encode(FILLER)[0]] * len(tokens)
    return [int(token) for token in rng.choice(tokens, len(tokens))]


def stretches(text: str, prompt: Prompt) -> tuple[tuple[str, int | None], ...]:
    """The prompt as it is read, with the players in their places."""
    if not isinstance(prompt, Pieces):
        return tuple((player, place) for place, player in enumerate(prompt.players))
    found: list[tuple[str, int | None]] = []
    at = 0
    for place, (begin, end) in enumerate(prompt.spans):
        found += [(text[at:begin], None), (text[begin:end], place)]
        at = end
    return tuple((part, place) for part, place in [*found, (text[at:], None)] if part)


def of_components(question: Question, subject: Subject, answer: tuple[int, ...], other: tuple[int, ...], named: str) -> Posed:
    """The game of the model's parts on this prompt."""
    if question.players.features:
        dictionary, indices = dictionary_and_features(question.players.features, subject)
        components: Components = Features(dictionary, indices)
    else:
        kinds = {"heads": Heads.of, "mlps": Blocks.mlps, "layers": Blocks.layers}
        components = kinds[question.players.components](subject)
    usual = Ablation.ZERO if question.players.features else Ablation.MEAN
    ablation = usual if question.players.removal == "remove" else Ablation(question.players.removal)
    right = torch.tensor(answer[:1])
    metric = logit_difference(right, torch.tensor(other[:1])) if other else log_probability(right)
    return Posed(Ablated(subject, components, whole(subject, question.prompt), metric, ablation), told(question, named))


def dictionary_and_features(name: str, subject: Subject) -> tuple[Dictionary, tuple[int, ...]]:
    """A dictionary and features of it, from `DICTIONARY@3,17`. Raises BadSettings for anything else."""
    source, _, numbers = name.rpartition("@")
    if not source or not all(number.strip().isdecimal() for number in numbers.split(",")):
        raise BadSettings(f"{name!r} names no feature; write DICTIONARY@INDEX, for example embedded@17 or embedded@3,17")
    dictionary = load_dictionary(embedded("dictionary") if source == EMBEDDED else Path(source)).to(subject.device)
    require_fit(dictionary, subject)
    indices = tuple(int(number) for number in numbers.split(","))
    if outside := [index for index in indices if index >= dictionary.width]:
        most = dictionary.width - 1
        raise BadInput(f"feature {outside[0]}: the dictionary has {dictionary.width} features; give one of 0 to {most}")
    return dictionary, indices
