"""The record of an attribution by levels: each level as an attribution of its own, and the tree of
what was opened.
"""

from collections.abc import Mapping
from typing import Any

from gloss.attribute.levels.by_levels import LevelFound, LevelsFound, told_parts
from gloss.attribute.levels.part_tree import TextPart
from gloss.attribute.question import NamedGame
from gloss.attribute.result.attribution_record import interactions_record


def levels_record(
    question: Mapping[str, Any],
    settings: Mapping[str, Any],
    named_game: NamedGame,
    found: LevelsFound,
) -> dict[str, Any]:
    """All that was asked and found, as JSON holds it; null where there is no number."""
    return {
        "question": dict(question),
        "settings": dict(settings),
        "value": named_game.value,
        "told": list(named_game.told),
        "spent": found.spent,
        "levels": [level_record(level) for level in found.levels],
        "tree": [part_record(part, 0, found) for part in told_parts(found.levels[0])],
    }


def level_record(level: LevelFound) -> dict[str, Any]:
    """A level: its players as numbers of its parts, what it cost, what was found."""
    return {
        "level": level.unit,
        "parts": [list(part) for part in level.parts],
        "budget": level.budget,
        "spent": level.spent,
        "opened": [list(part) for part in level.opened],
        "stopped": level.stopped or None,
        **interactions_record(level.found),
    }


def part_record(part: TextPart, depth: int, found: LevelsFound) -> dict[str, Any]:
    """A part that is told at a level, and those told of the level below that lie in it."""
    level = found.levels[depth]
    inside = found.told_inside(part, depth) if part in level.opened else []
    return {
        "part": list(part),
        "unit": found.tree.unit(part),
        "says": found.tree.name(part),
        "player": level.parts.index(part),
        "of_level": level.unit,
        "parts": [part_record(one, depth + 1, found) for one in inside],
    }
