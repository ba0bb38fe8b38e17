"""The game of the words of passages that a subject in this process reads before it answers."""

import numpy as np

from gloss.attribute.levels.part_tree import PartTree
from gloss.attribute.players.first_position import first_position_check, front_note
from gloss.attribute.players.passage_text import PassagePrompt
from gloss.attribute.players.prompt_games import PromptGame
from gloss.attribute.players.prompt_parts import PromptUnit, Removal
from gloss.attribute.players.subject_games import (
    REMOVED,
    LoadDictionary,
    build_measure,
    cut_into_players,
    prompt_stretches,
)
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.models.subject import Subject


def build_passage_game(
    question: AttributionQuestion,
    prompt: PassagePrompt,
    finest: PromptUnit,
    subject: Subject,
    load: LoadDictionary,
) -> tuple[NamedGame, PartTree]:
    """The game whose players are the words of the passages, and how these lie in passages.

    `question` is settled and holds the prompt's text. Raises what `build_measure` raises.
    """
    measure, value = build_measure(question, subject, load)
    cut = cut_into_players(question, subject, prompt.within)
    tree = prompt.tree(cut.spans, finest)
    game = PromptGame(subject, cut, measure)
    found = first_position_check(game, np.random.default_rng(question.seed), tree.levels[0].owners)
    notes = (
        front_note(subject),
        lost_parts_note(prompt, tree),
        found.note if found.drives else "",
    )
    named = NamedGame(
        game,
        value,
        prompt_stretches(question.prompt, cut),
        f"words of passages are {REMOVED[Removal(question.removal)]}",
        tuple(note for note in notes if note),
    )
    return named, tree


def lost_parts_note(prompt: PassagePrompt, tree: PartTree) -> str:
    """That some passages are no players, in a sentence; "" where all are."""
    lost = len(prompt.spans) - len(tree.parts[0])
    if not lost:
        return ""
    return (
        f"{lost:,} of {len(prompt.spans):,} passages count as parts of those before them, for a"
        " token of this model holds parts of both."
    )
