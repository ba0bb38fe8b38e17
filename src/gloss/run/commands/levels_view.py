"""An attribution by levels for people: on the terminal, and as what its page shows."""

import math
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from gloss.attribute.levels.by_levels import LevelFound, LevelsFound, told_parts
from gloss.attribute.levels.part_tree import TextPart
from gloss.attribute.question import NamedGame
from gloss.attribute.result.interaction_terms import InteractionTerm, player_terms, set_terms
from gloss.attribute.result.wording import (
    amount_with_sign,
    attribution_sentences,
    capitalized,
    distinct_player_names,
)
from gloss.pages.number_format import format_strength
from gloss.pages.passages_page import LevelOnPage, OpenedPart, PassagesPage
from gloss.records import Estimate
from gloss.run.commands.attribute import r2_in_words, set_on_page
from gloss.run.commands.attribution_view import average_column, set_table, signed_number
from gloss.run.progress import out

MOST_TOLD = 12  # parts of one level, or of one part, in the tree on the terminal


def print_levels(named_game: NamedGame, found: LevelsFound) -> None:
    """What each level cost and explains, the tree of what was opened, the sets of each level, and
    the coarsest level in words.
    """
    out.print(Text(named_game.value, "bold"))
    out.print(level_table(found))
    out.print(part_tree(found))
    for level in found.levels:
        if sets := set_table(level.found):
            sets.title, sets.title_justify = f"Sets of {level.unit} that act together", "left"
            out.print(sets)
        else:
            said = f"No set of two or more {level.unit} acts together beyond its interval."
            out.print(said, highlight=False)
    for sentence in levels_sentences(named_game.value, found):
        out.print(sentence, highlight=False, markup=False)
    for note in named_game.told:
        out.print(note, highlight=False, markup=False)


def levels_sentences(value: str, found: LevelsFound) -> list[str]:
    """The coarsest level in words, then how far each level explains the value, and where it was
    not gone on.
    """
    said = attribution_sentences(found.levels[0].found, value)
    for level in found.levels:
        summary = f"{capitalized(level.unit)}: {level.found.summary_sentence()}"
        said.append(f"{summary} {level.stopped}".strip())
    return [each for each in said if each]


def level_table(found: LevelsFound) -> Table:
    """A row for each level: players, values spent, both R2s."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("level", "players", "opened", "values", "R2, half kept", "R2, near the whole"):
        table.add_column(column, justify="left" if column == "level" else "right", no_wrap=True)
    for level in map(level_on_page, found.levels):
        table.add_row(level.unit, level.players, level.opened, level.spent, level.half, level.near)
    return table


def part_tree(found: LevelsFound) -> Tree:
    """What moves the value at each level, where it lies."""
    root = Tree("What moves it: on average at its level [95 %]; lost without it, alone (measured)")
    for one in opened_parts(found):
        add_branch(root, one)
    return root


def add_branch(above: Tree, one: OpenedPart) -> None:
    """A part and those within it."""
    branch = above.add(
        Text.assemble((one.average, "bold"), f"; {one.lost}, {one.alone}  {one.says}")
    )
    for each in one.parts[:MOST_TOLD]:
        add_branch(branch, each)
    if len(one.parts) > MOST_TOLD:
        branch.add(f"and {len(one.parts) - MOST_TOLD:,} weaker")


def opened_parts(found: LevelsFound) -> list[OpenedPart]:
    """The parts of the coarsest level that are told, the strongest first, and what they hold."""
    return parts_on_page(told_parts(found.levels[0]), 0, found)


def parts_on_page(parts: Sequence[TextPart], depth: int, found: LevelsFound) -> list[OpenedPart]:
    """Parts with what they hold, the strongest first; words in the order of the text."""
    if not parts:
        return []
    level = found.levels[depth]
    terms = {term.players[0]: term for term in player_terms(level.found)}
    scale = max(abs(term.average.value) for term in terms.values())
    chosen = [(terms[level.parts.index(part)], part) for part in parts]
    if depth + 1 < len(found.tree.levels):
        chosen.sort(key=lambda each: -each[0].strength)
    return [opened_part(term, part, depth, found, scale) for term, part in chosen]


def opened_part(
    term: InteractionTerm, part: TextPart, depth: int, found: LevelsFound, scale: float
) -> OpenedPart:
    """One part."""
    level, share = found.levels[depth], abs(term.average.value) / scale if scale else 0.0
    inside = found.told_inside(part, depth) if part in level.opened else []
    return OpenedPart(
        unit=found.tree.unit(part).removesuffix("s"),
        says=found.tree.name(part),
        average=amount_with_sign(term.average),
        lost=signed_number(term.lost, scale),
        alone=signed_number(term.alone, scale),
        lowers=term.average.value < 0,
        shade=round(100 * math.sqrt(share) * 0.78, 1),
        parts=tuple(parts_on_page(inside, depth + 1, found)),
    )


def level_on_page(level: LevelFound) -> LevelOnPage:
    """A level in words and numbers."""
    trust = level.found.faithfulness
    whole = f"all {trust.n:,} masks" if trust.whole and trust.r2.value == 1 else ""
    return LevelOnPage(
        unit=level.unit,
        players=f"{len(level.found.players):,}",
        opened=f"{len(level.opened):,}",
        spent=f"{level.spent:,} of {level.budget:,}",
        half=whole or said_r2(trust.r2),
        near=whole or said_r2(trust.near if trust.near_n else Estimate.missing()),
        explained=trust.explained,
        said=level.found.summary_sentence(),
        stopped=level.stopped,
        names=distinct_player_names(level.found.players),
        single=tuple(map(set_on_page, player_terms(level.found))),
        sets=tuple(map(set_on_page, set_terms(level.found))),
    )


def said_r2(found: Estimate) -> str:
    """R2 with its interval, where it has one; a dash for none."""
    return "–" if math.isnan(found.value) else r2_in_words(found)


def passages_page(model: str, named_game: NamedGame, found: LevelsFound) -> PassagesPage:
    """What the page shows."""
    first = found.levels[0]
    measured = first.found.measured
    ends = (("everything", measured.everybody), ("nothing", measured.nobody)) if measured else ()
    figures = {f"with {what} kept": format_strength(value) for what, value in ends}
    facts = {"model": model, "value": named_game.value}
    facts |= {"what is removed": " ".join(named_game.told)} if named_game.told else {}
    facts |= {"method": first.found.method, "values": f"{found.spent:,} of all levels together"}
    return PassagesPage(
        title=named_game.value,
        figures=figures,
        told=tuple(attribution_sentences(first.found, named_game.value)),
        levels=tuple(map(level_on_page, found.levels)),
        opened=tuple(opened_parts(found)),
        average=average_column(first.found),
        facts=facts,
    )
