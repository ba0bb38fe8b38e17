"""Makes the game that a question means of a subject in this process."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from gloss.attribute.game import Game
from gloss.attribute.measures import (
    FeatureActivation,
    KlFromClean,
    LogitDifference,
    LogProbability,
    Measure,
    pad_token_rows,
)
from gloss.attribute.players.fading_tokens import FadingTokens
from gloss.attribute.players.first_position import (
    ROWS,
    first_position_check,
    front_note,
    shared_token_note,
)
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
    PromptUnit,
    Removal,
    Span,
    TokenGroups,
    constant_filler,
    random_word_filler,
    unit_spans,
)
from gloss.attribute.question import AttributionQuestion, NamedGame, split_feature_name
from gloss.attribute.values import AttributedValue
from gloss.errors import BadInput, BadSettings
from gloss.models.dictionary import Dictionary, require_fit
from gloss.models.subject import Subject
from gloss.records import PADDING
from gloss.store.file_bytes import filled_lines

FILLER = "_"  # of a masked word
FEW_MASKS = 16
MOST_OTHERS = 256  # other prompts over which a mean is taken
MOST_RESAMPLED = 4  # other prompts, each of which costs a row a mask
REMOVED = {
    Removal.REMOVE: "left out",
    Removal.MASK: f"replaced by {FILLER!r}",
    Removal.INFILL: "replaced by others of the prompt",
    Removal.RESAMPLE: "replaced by those in the same place of {:,} other prompts",
}
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
        named = component_game(question, subject, measure, load)
    elif question.removal == Removal.FADE:
        fading = FadingTokens(subject, tuple(subject.encode(question.prompt)), measure)
        named = NamedGame(
            fading, "", number_stretches(fading.players), "tokens fade in their place"
        )
    else:
        named = prompt_game(question, subject, measure)
    if question.kind is AttributedValue.ACTIVATION:
        refuse_silent_feature(named.game, value)
        named = replace(named, rows=named.rows + FEW_MASKS + 1)
    notes = [front_note(subject), *named.notes]
    return replace(named, value=value, notes=tuple(note for note in notes if note))


def component_game(
    question: AttributionQuestion, subject: Subject, measure: Measure, load: LoadDictionary
) -> NamedGame:
    """Parts of the model as players; the value's name is left open."""
    components = named_components(question, subject, load)
    tokens, ablation = prompt_behind_front(subject, question.prompt), Ablation(question.removal)
    kind = question.players_kind
    if not question.other_prompts:
        game = AblationGame(subject, components, tokens, measure, ablation)
        how = (
            f"to their mean over the {tokens.shape[1] - 1:,} positions of this prompt"
            if ablation is Ablation.MEAN
            else "to zero"
        )
        return NamedGame(game, "", reading=f"{kind} are ablated {how}")
    texts = read_other_prompts(Path(question.other_prompts))
    if ablation is Ablation.RESAMPLE:
        texts = texts[:MOST_RESAMPLED]
        tokens = tokens.repeat(len(texts), 1)
    reference = pad_token_rows([prompt_behind_front(subject, text)[0].tolist() for text in texts])
    game = AblationGame(subject, components, tokens, measure, ablation, reference)
    positions = int((reference[:, 1:] != PADDING).sum())
    how = (
        f"to their mean over the {positions:,} positions of {len(texts):,} other prompts"
        if ablation is Ablation.MEAN
        else f"to what they give for {len(texts):,} other prompts, as the mean over these"
    )
    return NamedGame(game, "", reading=f"{kind} are ablated {how}")


def prompt_game(question: AttributionQuestion, subject: Subject, measure: Measure) -> NamedGame:
    """Parts of the prompt as players; the value's name is left open."""
    unit = PromptUnit(question.unit)
    prompt, how = cut_into_players(question, subject), REMOVED[Removal(question.removal)]
    game = PromptGame(subject, prompt, measure)
    if question.removal == Removal.RESAMPLE:
        texts = read_other_prompts(Path(question.other_prompts))[:MOST_RESAMPLED]
        others = [cut_prompt(subject, text, unit) for text in texts]
        versions = tuple(prompt.filled_from(other) for other in others)
        game = replace(game, versions=versions)
        how = how.format(len(versions))
    found = first_position_check(game, np.random.default_rng(question.seed))
    whole = (
        len(prompt.players) if unit is PromptUnit.TOKENS else len(unit_spans(question.prompt, unit))
    )
    return NamedGame(
        game,
        "",
        prompt_stretches(question.prompt, prompt),
        f"{unit} are {how}",
        (shared_token_note(prompt.players, unit, whole), found.note if found.drives else ""),
        ROWS,
    )


def refuse_silent_feature(game: Game, value: str) -> None:
    """Raises BadInput for a feature that is inactive with everything kept and for a few masks."""
    n = len(game.players)
    masks = np.random.default_rng(0).random((FEW_MASKS, n)) < 0.5
    if not game.values(np.concatenate([np.ones((1, n), np.bool_), masks])).any():
        raise BadInput(
            f"the {value} is 0 at the end of this prompt, with everything kept and for {FEW_MASKS}"
            " masks that keep half: there is nothing to attribute; give a prompt on which it fires"
        )


def read_other_prompts(path: Path) -> list[str]:
    """The prompts in a file: one a line, or the field `prompt` of each line of `.jsonl`.

    Raises BadInput where there are none.
    """
    try:
        lines = [line for _, line in filled_lines(path)]
        texts = [json.loads(line)["prompt"] for line in lines] if path.suffix == ".jsonl" else lines
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BadInput(
            f"--other-prompts {path} cannot be read ({problem}); give a file with a prompt a line,"
            ' or lines of JSON with "prompt"'
        ) from problem
    if wrong := [text for text in texts if not isinstance(text, str) or not text.strip()]:
        raise BadInput(f"--other-prompts {path} holds {wrong[0]!r}, which is no prompt")
    if not texts:
        raise BadInput(f"--other-prompts {path} holds no prompts; give a file with one a line")
    return texts[:MOST_OTHERS]


def build_measure(
    question: AttributionQuestion, subject: Subject, load: LoadDictionary
) -> tuple[Measure, str]:
    """What is read of the subject, whatever the players are, and what it is called."""
    prompt = prompt_behind_front(subject, question.prompt)
    match question.kind:
        case AttributedValue.ACTIVATION:
            dictionary, index = load_one_feature(question.feature, subject, load)
            return FeatureActivation(dictionary, index), f"activation of feature {index}"
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
    tokens = subject.encode_behind(prompt, text)
    if not tokens:
        raise BadInput(f"the model's tokenizer makes no token of the answer {text!r}; give another")
    return tuple(tokens)


def prompt_behind_front(subject: Subject, prompt: str) -> Int64[Tensor, "1 position"]:
    """The prompt's tokens behind the front token."""
    return torch.tensor([[subject.front_token, *subject.encode(prompt)]], dtype=torch.int64)


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


def load_one_feature(name: str, subject: Subject, load: LoadDictionary) -> tuple[Dictionary, int]:
    """A dictionary that fits the subject, and the one feature that is named."""
    dictionary, indices = load_features(name, subject, load)
    if len(indices) != 1:
        raise BadSettings(f"--feature {name} names {len(indices)} features; give one")
    return dictionary, indices[0]


def named_components(
    question: AttributionQuestion, subject: Subject, load: LoadDictionary
) -> Components:
    """The parts of the model that are the players."""
    if question.features:
        return Features(*load_features(question.features, subject, load))
    return COMPONENTS[question.components](subject)


def cut_prompt(
    subject: Subject, text: str, unit: PromptUnit, within: Span | None = None
) -> TokenGroups:
    """A text in pieces of the subject's tokens, `within` two characters or everywhere.

    Raises BadInput where there is nothing to cut.
    """
    strings = subject.vocabulary().strings
    if unit is PromptUnit.TOKENS:
        return TokenGroups.of_tokens(subject.encode(text), strings)
    return TokenGroups.of_text(text, unit, subject.tokens.encode_with_spans(text), strings, within)


def cut_into_players(
    question: AttributionQuestion, subject: Subject, within: Span | None = None
) -> TokenGroups:
    """The prompt in pieces, `within` two characters or everywhere, and what stands in for each."""
    unit, removal = PromptUnit(question.unit), Removal(question.removal)
    rng = np.random.default_rng(question.seed)
    cut = cut_prompt(subject, question.prompt, unit, within)
    if unit is PromptUnit.TOKENS:
        return replace(cut, instead=replacement_token_ids(cut.tokens, subject, removal, rng))
    if removal in (Removal.REMOVE, Removal.RESAMPLE):
        return cut
    filler = (
        constant_filler(FILLER)
        if removal is Removal.MASK
        else random_word_filler(question.prompt.split(), rng)
    )
    return replace(cut, instead=filler_tokens(question.prompt, cut.spans, subject, filler))


def filler_tokens(
    text: str, spans: Sequence[Span], subject: Subject, filler: Callable[[str], str]
) -> tuple[tuple[int, ...], ...]:
    """The tokens of what stands in for each stretch of the text, as they are in its place."""
    return tuple(
        answer_tokens(subject, filler(text[begin:end]), text[:begin]) for begin, end in spans
    )


def replacement_token_ids(
    tokens: tuple[int, ...], subject: Subject, removal: Removal, rng: np.random.Generator
) -> tuple[tuple[int, ...], ...]:
    """What stands in for each token: nothing, the filler's, or another token of the prompt."""
    match removal:
        case Removal.REMOVE | Removal.RESAMPLE:
            return ()
        case Removal.MASK:
            return (answer_tokens(subject, FILLER)[:1],) * len(tokens)
        case _:
            return tuple((int(token),) for token in rng.choice(tokens, len(tokens)))


def prompt_stretches(text: str, prompt: TokenGroups) -> tuple[tuple[str, int | None], ...]:
    """The prompt as it is read, with the players in their places."""
    if not prompt.spans:
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
