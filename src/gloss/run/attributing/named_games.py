"""Makes the game that a question means."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gloss.attribute.game import Game
from gloss.attribute.measures import (
    FeatureActivation,
    KlFromClean,
    LogitDifference,
    LogProbability,
    Measure,
)
from gloss.attribute.players.fading_tokens import AnswerTarget, FadingTokens, FeatureTarget
from gloss.attribute.players.model_components import (
    Ablation,
    AblationGame,
    Components,
    Features,
    Heads,
    Sublayers,
    log_probability,
    logit_difference,
)
from gloss.attribute.players.prompt_games import PromptGame
from gloss.attribute.players.prompt_parts import (
    CutPrompt,
    PromptUnit,
    Removal,
    TextPieces,
    TokenRow,
    constant_filler,
    random_word_filler,
)
from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import Dictionary, require_fit
from gloss.models.subject import Subject
from gloss.run.attributing.external_games import endpoint_game, load_table_game
from gloss.run.attributing.question import AttributedValue, AttributionQuestion, AttributionSettings
from gloss.run.sources import NamedDictionary

FILLER = "_"  # of a masked word


@dataclass(frozen=True)
class NamedGame:
    """A game, what its value is called, and where its players stand in the prompt."""

    game: Game
    value: str
    # stretches of the prompt, and the player that each is
    text: tuple[tuple[str, int | None], ...] = ()


def build_named_game(question: AttributionQuestion, options: AttributionSettings) -> NamedGame:
    """The game that is asked for.

    Raises BadInput, BadSettings or Mismatch for what cannot be loaded or does not fit.
    """
    if question.players.data:
        return NamedGame(load_table_game(Path(question.players.data)), "the value in the table")
    if question.base_url:
        asked = endpoint_game(question, options)
        return NamedGame(
            asked, f"{asked.value_source.replace('_', ' ')}: {question.answer!r}", asked.stretches()
        )
    subject = question.source.load()
    answer = tuple(subject.encode(question.answer)) or likeliest_answer(subject, question.prompt)
    other = tuple(subject.encode(question.other))
    named = "".join(subject.vocabulary().texts(answer))
    if question.players.components or question.players.features:
        return component_game(question, subject, answer, other, named)
    feature = (
        load_named_features(question.feature, subject)
        if question.kind is AttributedValue.ACTIVATION
        else None
    )
    value = f"activation of feature {feature[1][0]}" if feature else value_label(question, named)
    if options.method == "gradient":
        target = (
            FeatureTarget(feature[0], feature[1][0])
            if feature
            else AnswerTarget(answer[0], other[0] if other else None)
        )
        game: Game = FadingTokens(subject, tuple(subject.encode(question.prompt)), target)
        return NamedGame(
            game, value, tuple((text, index) for index, text in enumerate(game.players))
        )
    prompt = cut_into_players(question, subject, np.random.default_rng(options.seed))
    measure = (
        FeatureActivation(feature[0], feature[1][0])
        if feature
        else answer_measure(question, subject, answer, other)
    )
    return NamedGame(
        PromptGame(subject, prompt, measure), value, prompt_stretches(question.prompt, prompt)
    )


def value_label(question: AttributionQuestion, answer: str) -> str:
    """What the value is, for people."""
    return {
        AttributedValue.LOG_PROBABILITY: f"log-probability of {answer!r} (nats)",
        AttributedValue.LOG_ODDS: f"log-odds of {answer!r}",
        AttributedValue.DIFFERENCE: (
            f"how much likelier {answer!r} is than {question.other!r} (nats)"
        ),
        AttributedValue.KL: "KL from the clean prediction (nats)",
        AttributedValue.ACTIVATION: "activation",
    }[question.kind]


def likeliest_answer(subject: Subject, prompt: str) -> tuple[int, ...]:
    """The token that the subject itself would say next."""
    return (int(subject.next_logits(attributed_prompt_tokens(subject, prompt))[0].argmax()),)


def attributed_prompt_tokens(subject: Subject, prompt: str) -> torch.Tensor:
    """The prompt's tokens behind the start token."""
    front = [] if subject.start_token is None else [subject.start_token]
    return torch.tensor([[*front, *subject.encode(prompt)]])


def answer_measure(
    question: AttributionQuestion, subject: Subject, answer: tuple[int, ...], other: tuple[int, ...]
) -> Measure:
    """What is read of the subject."""
    if question.kind is AttributedValue.KL:
        return KlFromClean(
            subject.next_logits(attributed_prompt_tokens(subject, question.prompt))[0]
            .double()
            .log_softmax(0)
            .numpy()
        )
    if question.kind is AttributedValue.DIFFERENCE:
        return LogitDifference(answer, other)
    return LogProbability(answer, odds=question.kind is AttributedValue.LOG_ODDS)


def cut_into_players(
    question: AttributionQuestion, subject: Subject, rng: np.random.Generator
) -> CutPrompt:
    """The prompt in pieces."""
    unit, removal = PromptUnit(question.players.unit), Removal(question.players.removal)
    if unit is PromptUnit.TOKENS:
        tokens = tuple(subject.encode(question.prompt))
        if not tokens:
            raise BadInput("there are no tokens in the prompt; give one with some text")
        instead = (
            ()
            if removal is Removal.REMOVE
            else tuple(replacement_token_ids(tokens, subject, removal, rng))
        )
        return TokenRow(tokens, subject.vocabulary(), instead)
    replaced = {
        Removal.REMOVE: None,
        Removal.MASK: constant_filler(FILLER),
        Removal.INFILL: random_word_filler(question.prompt.split(), rng),
    }[removal]
    return TextPieces.of(question.prompt, unit, subject.encode, replaced)


def replacement_token_ids(
    tokens: tuple[int, ...], subject: Subject, removal: Removal, rng: np.random.Generator
) -> list[int]:
    """What stands in for each token: the filler's, or another token of the prompt."""
    if removal is Removal.MASK:
        return [subject.encode(FILLER)[0]] * len(tokens)
    return [int(token) for token in rng.choice(tokens, len(tokens))]


def prompt_stretches(text: str, prompt: CutPrompt) -> tuple[tuple[str, int | None], ...]:
    """The prompt as it is read, with the players in their places."""
    if not isinstance(prompt, TextPieces):
        return tuple((player, index) for index, player in enumerate(prompt.players))
    found: list[tuple[str, int | None]] = []
    at = 0
    for index, (begin, end) in enumerate(prompt.spans):
        found += [(text[at:begin], None), (text[begin:end], index)]
        at = end
    return tuple((part, index) for part, index in [*found, (text[at:], None)] if part)


def component_game(
    question: AttributionQuestion,
    subject: Subject,
    answer: tuple[int, ...],
    other: tuple[int, ...],
    named: str,
) -> NamedGame:
    """The game of the model's parts on this prompt."""
    if question.players.features:
        dictionary, indices = load_named_features(question.players.features, subject)
        components: Components = Features(dictionary, indices)
    else:
        kinds = {"heads": Heads.of, "mlps": Sublayers.mlps, "layers": Sublayers.layers}
        components = kinds[question.players.components](subject)
    usual = Ablation.ZERO if question.players.features else Ablation.MEAN
    ablation = usual if question.players.removal == "remove" else Ablation(question.players.removal)
    right = torch.tensor(answer[:1])
    metric = logit_difference(right, torch.tensor(other[:1])) if other else log_probability(right)
    return NamedGame(
        AblationGame(
            subject,
            components,
            attributed_prompt_tokens(subject, question.prompt),
            metric,
            ablation,
        ),
        value_label(question, named),
    )


def load_named_features(name: str, subject: Subject) -> tuple[Dictionary, tuple[int, ...]]:
    """A dictionary and features of it, from `DICTIONARY@3,17`.

    Raises BadSettings for anything else.
    """
    source, _, numbers = name.rpartition("@")
    if not source or not all(number.strip().isdecimal() for number in numbers.split(",")):
        raise BadSettings(
            f"{name!r} names no feature; write DICTIONARY@INDEX or RUN@INDEX, for example"
            " embedded@17 or embedded@3,17"
        )
    dictionary = NamedDictionary.of(source).load(subject)
    require_fit(dictionary, subject)
    indices = tuple(int(number) for number in numbers.split(","))
    if outside := [index for index in indices if index >= dictionary.width]:
        most = dictionary.width - 1
        raise BadInput(
            f"feature {outside[0]}: the dictionary has {dictionary.width} features; give one of 0"
            f" to {most}"
        )
    return dictionary, indices
