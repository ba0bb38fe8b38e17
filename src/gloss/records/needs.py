"""What a method wants besides the contexts of a feature, declared once on the method."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Ability(StrEnum):
    """What a language model must be able to do for a method that asks it."""

    CHAT = "chat"
    LOGPROBS = "logprobs"  # of tokens that are generated in a chat
    OWN_TEXT = "own_text"  # log-probabilities of a prompt's own text


class Aspect(StrEnum):
    """What of a feature an explanation speaks of, and a score tests."""

    INPUT = "input"  # in which text it fires
    OUTPUT = "output"  # what the subject says when it does


@dataclass(frozen=True, slots=True)
class Needs:
    """The class variable `needs` of a method; one without it needs nothing.

    A run gives what is named here, and makes it first where that takes a stage of its own. Each
    method names only what it uses: effects want a table [intervene], new texts load the subject.

        >>> from typing import ClassVar
        >>> @dataclass(frozen=True)
        ... class Plain:
        ...     needs: ClassVar[Needs] = Needs(asks=(Ability.CHAT,))
        >>> needs_of(Plain()).asks
        (<Ability.CHAT: 'chat'>,)
    """

    asks: tuple[Ability, ...] = ()  # of a language model; nothing: it asks none
    effects: bool = False  # what interventions did
    token_attributions: bool = False  # what drives a feature at its peaks, where a run found out
    neighbours: bool = False  # the evidence of near features
    rivals: bool = False  # what the explanations of other features say
    texts: bool = False  # the subject, to read texts of its own
    explanation: bool = True  # False: it scores the feature itself, once, without controls
    # the settings that name the methods that it is made of, each with its verb
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
    correctable: bool = False  # its verdicts are a judge's yes or no on contexts of known truth
    slopes: bool = False  # of a game whose masks may lie between 0 and 1, where it attributes
    packs: bool = False  # how many contexts a request holds may be measured
    # False: another feature's explanation would get the same, so that there are no controls
    controls: bool = True
    corpus: bool = False  # tokens of text, where it evaluates dictionaries
    labels: bool = False  # texts with labels, where it does
    scores: bool = False  # what a finished run scored, in place of the dictionary, where it does
    # the settings that name files: without one there is no method, and results depend on what is
    # in them; such a method has `require_files`, which reads them and raises BadInput
    files: tuple[str, ...] = ()
    # of an explainer: what its explanations speak of; of a scorer: what it tests, so that it is
    # given these unless settings name others
    about: tuple[Aspect, ...] = (Aspect.INPUT,)


def needs_of(method: object) -> Needs:
    """What a method needs, given as its class or as built.

    As built, it needs what its parts need, too, and explains what the explainers in it do. Raises
    TypeError where `needs` is no Needs.
    """
    own = getattr(method, "needs", Needs())
    if not isinstance(own, Needs):
        raise TypeError(f"`needs` must be a gloss.records.Needs, got {own!r}")
    if not own.parts:
        return own
    parts = {part: needs_of(getattr(method, part, None)) for part in own.parts}
    every = (own, *parts.values())
    asked = [ability for each in every for ability in each.asks]
    explained = [parts[part].about for part, verb in own.parts.items() if verb == "explain"]
    return replace(
        own,
        asks=tuple(dict.fromkeys(asked)),
        about=tuple(dict.fromkeys(side for sides in explained for side in sides)) or own.about,
        **{
            name: any(getattr(each, name) for each in every)
            for name in ("effects", "token_attributions", "neighbours", "texts")
        },
    )
