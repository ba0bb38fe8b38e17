"""Makes the game that a question means of a subject in this process."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gloss.attribute.measures import (
    FeatureActivation,
    KlFromClean,
    LogitDifference,
    LogProbability,
    Measure,
)
from gloss.attribute.players.fading_tokens import FadingTokens
from gloss.attribute.players.model_components import (
    Ablation,
    AblationGame,
    Components,
    Features,
    Heads,
    Sublayers,
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
from gloss.attribute.question import AttributionQuestion, NamedGame, split_feature_name
from gloss.attribute.values import AttributedValue
from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import Dictionary, require_fit
from gloss.models.subject import Subject

FILLER = "_"  # of a masked word
COMPONENTS = {"heads": Heads.of, "mlps": Sublayers.mlps, "layers": Sublayers.layers}

LoadDictionary = Callable[[str], Dictionary]


def build_subject_game(
    question: AttributionQuestion, subject: Subject, load: LoadDictionary
) -> NamedGame:
    """The game of a settled question. `load` gives a dictionary by its name.

    Raises BadInput, BadSettings or Mismatch for what cannot be loaded or does not fit.
    """
    measure, value = build_measure(question, subject, load)
    if question.components or question.features:
        components = named_components(question, subject, load)
        tokens = prompt_tokens_with_start(subject, question.prompt)
        ablation = Ablation(question.removal)
        return NamedGame(AblationGame(subject, components, tokens, measure, ablation), value)
    if question.removal == Removal.FADE:
        fading = FadingTokens(subject, tuple(subject.encode(question.prompt)), measure)
        return NamedGame(fading, value, number_stretches(fading.players))
    prompt = cut_into_players(question, subject)
    return NamedGame(
        PromptGame(subject, prompt, measure), value, prompt_stretches(question.prompt, prompt)
    )


def build_measure(
    question: AttributionQuestion, subject: Subject, load: LoadDictionary
) -> tuple[Measure, str]:
    """What is read of the subject, whatever the players are, and what it is called."""
    prompt = prompt_tokens_with_start(subject, question.prompt)
    match question.kind:
        case AttributedValue.ACTIVATION:
            dictionary, indices = load_features(question.feature, subject, load)
            if len(indices) != 1:
                raise BadSettings(
                    f"--feature {question.feature} names {len(indices)} features; give one"
                )
            measure = FeatureActivation(dictionary, indices[0])
            return measure, f"activation of feature {indices[0]}"
        case AttributedValue.KL:
            measure = KlFromClean.of_prompts(subject, prompt)
            return measure, "KL from the clean prediction (nats)"
        case kind:
            pass
    answer = (
        answer_tokens(subject, question.answer, question.prompt)
        if question.answer
        else (int(subject.next_logits(prompt)[0].argmax()),)
    )
    said = subject.vocabulary().text(answer)
    if kind is AttributedValue.DIFFERENCE:
        other = answer_tokens(subject, question.other, question.prompt)
        instead = subject.vocabulary().text(other)
        measure = LogitDifference((answer,), (other,))
        return measure, f"how much likelier {said!r} is than {instead!r} (nats)"
    if kind is AttributedValue.LOG_ODDS:
        return LogProbability((answer,), odds=True), f"log-odds of {said!r}"
    return LogProbability((answer,)), f"log-probability of {said!r} (nats)"


def answer_tokens(subject: Subject, text: str, prompt: str = "") -> tuple[int, ...]:
    """The tokens of an answer behind the prompt; its own where the prompt's change before it.

    Raises BadInput where the tokenizer makes none of it.
    """
    before, whole = subject.encode(prompt), subject.encode(prompt + text)
    # some tokenizers put a space in front of what they encode
    alone = [subject.encode(each) for each in (text, text.removeprefix(" "))]
    says = subject.vocabulary().text
    tokens = (
        whole[len(before) :]
        if whole[: len(before)] == before
        else next((each for each in alone if says(each) == text), alone[0])
    )
    if not tokens:
        raise BadInput(f"the model's tokenizer makes no token of the answer {text!r}; give another")
    return tuple(tokens)


def prompt_tokens_with_start(subject: Subject, prompt: str) -> Int64[Tensor, "1 position"]:
    """The prompt's tokens behind the start token."""
    front = [] if subject.start_token is None else [subject.start_token]
    return torch.tensor([[*front, *subject.encode(prompt)]], dtype=torch.int64)


def load_features(
    name: str, subject: Subject, load: LoadDictionary
) -> tuple[Dictionary, tuple[int, ...]]:
    """A dictionary that fits the subject, and features of it, from `DICTIONARY@3,17`."""
    source, indices = split_feature_name(name)
    dictionary = load(source)
    require_fit(dictionary, subject)
    if outside := [index for index in indices if index >= dictionary.width]:
        most = dictionary.width - 1
        raise BadInput(
            f"feature {outside[0]}: the dictionary has {dictionary.width} features; give one of 0"
            f" to {most}"
        )
    return dictionary, indices


def named_components(
    question: AttributionQuestion, subject: Subject, load: LoadDictionary
) -> Components:
    """The parts of the model that are the players."""
    if question.features:
        return Features(*load_features(question.features, subject, load))
    return COMPONENTS[question.components](subject)


def cut_into_players(question: AttributionQuestion, subject: Subject) -> CutPrompt:
    """The prompt in pieces."""
    unit, removal = PromptUnit(question.unit), Removal(question.removal)
    rng = np.random.default_rng(question.seed)
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
        return [answer_tokens(subject, FILLER)[0]] * len(tokens)
    return [int(token) for token in rng.choice(tokens, len(tokens))]


def prompt_stretches(text: str, prompt: CutPrompt) -> tuple[tuple[str, int | None], ...]:
    """The prompt as it is read, with the players in their places."""
    if not isinstance(prompt, TextPieces):
        return number_stretches(prompt.players)
    found: list[tuple[str, int | None]] = []
    at = 0
    for index, (begin, end) in enumerate(prompt.spans):
        found += [(text[at:begin], None), (text[begin:end], index)]
        at = end
    return tuple((part, index) for part, index in [*found, (text[at:], None)] if part)


def number_stretches(players: tuple[str, ...]) -> tuple[tuple[str, int | None], ...]:
    """Players that are the whole text, in their order."""
    return tuple((player, index) for index, player in enumerate(players))
