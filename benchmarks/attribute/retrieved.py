"""Whether attribution by levels names the passages that a question needs, of 64 that a real model
reads.

    python -m benchmarks.attribute.retrieved --model MODEL [--screen] [--masks 200] [--ways levels]

The passages are 64 short facts in an order drawn at random: codes of boxes, people's cities, jobs,
pets and sisters. A question needs one of them, or two (two answers, or one fact that leads to the
other), or either of two that say the same. Which questions the model can answer is settled before
anything is attributed: the answer must be clearly likelier, by 2 nats, with everything than without
the passages that it needs; where it needs two, by 1 nat than without each of them. A question
counts as right where the passages that it needs are the strongest on average, and told beyond their
intervals.
"""

import argparse
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from gloss import load_model
from gloss.attribute.game import Evaluations, Game
from gloss.attribute.levels.by_levels import ByLevels, told_parts
from gloss.attribute.levels.part_tree import GroupedGame, PartTree
from gloss.attribute.methods.auto import Auto
from gloss.attribute.players.passage_text import ContextPassage, PassagePrompt
from gloss.attribute.players.prompt_games import PromptGame
from gloss.attribute.players.prompt_parts import spaced_answer
from gloss.attribute.players.subject_games import build_measure, cut_into_players
from gloss.attribute.question import AttributionQuestion
from gloss.attribute.result.interaction_terms import player_terms, set_terms, told_players

COLOURS = ["red", "blue", "green", "yellow", "black", "white", "brown", "purple", "orange", "grey"]
CODES = ["4812", "7093", "2561", "9347", "1608", "5274", "3985", "8126", "6750", "2419"]
PEOPLE = [
    "Maria",
    "Peter",
    "Anna",
    "Omar",
    "Julia",
    "Victor",
    "Helen",
    "Simon",
    "Clara",
    "Hugo",
    "Nina",
    "Oscar",
]
CITIES = [
    "Lima",
    "Oslo",
    "Cairo",
    "Rome",
    "Delhi",
    "Tokyo",
    "Paris",
    "Quito",
    "Berlin",
    "Madrid",
    "Dublin",
    "Vienna",
]
JOBS = [
    "baker",
    "nurse",
    "pilot",
    "lawyer",
    "farmer",
    "painter",
    "teacher",
    "dentist",
    "singer",
    "plumber",
    "judge",
    "tailor",
]
PETS = [
    "parrot",
    "rabbit",
    "turtle",
    "hamster",
    "snake",
    "goat",
    "horse",
    "pig",
    "duck",
    "lizard",
    "cat",
    "dog",
]
BROTHERS = ["Tom", "Ben", "Paul", "Luke", "Ivan", "Felix"]
NEEDED, EACH = 2.0, 1.0  # nats


@dataclass(frozen=True)
class Asked:
    """A question, its answer, and what it needs."""

    kind: str  # one, two, leads or either
    question: str
    answer: str
    needs: tuple[str, ...]  # passages


def facts() -> list[str]:
    """64 passages."""
    said = [
        f"The code of the {one} box is {code}." for one, code in zip(COLOURS, CODES, strict=True)
    ]
    said += [f"{one} lives in {city}." for one, city in zip(PEOPLE, CITIES, strict=True)]
    said += [f"{one} works as a {job}." for one, job in zip(PEOPLE, JOBS, strict=True)]
    said += [f"The pet of {one} is a {pet}." for one, pet in zip(PEOPLE, PETS, strict=True)]
    said += [
        f"The sister of {one} is {two}." for one, two in zip(BROTHERS, PEOPLE[6:], strict=True)
    ]
    again = [
        f"The home of {PEOPLE[0]} is in {CITIES[0]}.",
        f"The home of {PEOPLE[2]} is in {CITIES[2]}.",
        f"{PEOPLE[3]} earns money as a {JOBS[3]}.",
        f"{PEOPLE[4]} keeps a {PETS[4]} at home.",
        f"To open the {COLOURS[8]} box, use the code {CODES[8]}.",
        f"To open the {COLOURS[9]} box, use the code {CODES[9]}.",
    ]
    more = ["It rained all week.", "The bus was late today.", "Bread was cheap."]
    more += ["The shop is closed.", "Dinner is at seven.", "The road is wet."]
    return said + again + more


def questions() -> list[Asked]:
    """Those that may be asked."""
    said = facts()
    box, home, job, pet, sister, again = (said[at:] for at in (0, 10, 22, 34, 46, 52))
    found = [
        Asked("one", f"What is the code of the {COLOURS[k]} box?", box[k], (box[k],))
        for k in (0, 3, 6)
    ]
    found += [
        Asked("one", f"In which city does {PEOPLE[k]} live?", home[k], (home[k],)) for k in (1, 7)
    ]
    found += [Asked("one", f"What is the pet of {PEOPLE[k]}?", pet[k], (pet[k],)) for k in (5, 9)]
    for one, two in ((1, 5), (7, 8)):
        ask = f"In which cities do {PEOPLE[one]} and {PEOPLE[two]} live?"
        answer = f"{home[one].rstrip('.')} and {home[two]}"
        found.append(Asked("two", ask, answer, (home[one], home[two])))
    for one, two in ((1, 4), (2, 7)):
        ask = f"What are the codes of the {COLOURS[one]} box and the {COLOURS[two]} box?"
        found.append(Asked("two", ask, f"{CODES[one]} and {CODES[two]}.", (box[one], box[two])))
    for k in range(4):
        ask = f"In which city does the sister of {BROTHERS[k]} live?"
        answer = f"{sister[k].rstrip('.')}, who lives in {CITIES[6 + k]}."
        found.append(Asked("leads", ask, answer, (sister[k], home[6 + k])))
    either = (
        (f"In which city does {PEOPLE[0]} live?", home[0], (home[0], again[0])),
        (f"In which city does {PEOPLE[2]} live?", home[2], (home[2], again[1])),
        (f"What is the job of {PEOPLE[3]}?", f"A {JOBS[3]}.", (job[3], again[2])),
        (f"What is the pet of {PEOPLE[4]}?", f"A {PETS[4]}.", (pet[4], again[3])),
        (f"What is the code of the {COLOURS[8]} box?", f"{CODES[8]}.", (box[8], again[4])),
        (f"What is the code of the {COLOURS[9]} box?", f"{CODES[9]}.", (box[9], again[5])),
    )
    return found + [Asked("either", *each) for each in either]


@dataclass(frozen=True)
class Posed:
    """A question as a game of the words of its passages."""

    asked: Asked
    game: Game
    tree: PartTree
    needs: tuple[int, ...]  # numbers of passages

    @property
    def passages(self) -> GroupedGame:
        """The game of passages alone."""
        return GroupedGame.of_parts(self.game, self.tree, self.tree.parts[0])


def pose(asked: Asked, subject, seed: int) -> Posed:
    """The game of a question, its passages in an order of that seed."""
    said = facts()
    order = np.random.default_rng(seed).permutation(len(said))
    texts = [said[number] for number in order]
    prompt = PassagePrompt.of([ContextPassage(text) for text in texts], asked.question)
    answer = spaced_answer(prompt.text, asked.answer)
    question = AttributionQuestion("given", prompt.text, answer).settle()
    measure, _ = build_measure(question, subject, load_nothing)
    cut = cut_into_players(question, subject, prompt.within)
    game = PromptGame(subject, cut, measure)
    needs = tuple(texts.index(one) for one in asked.needs)
    return Posed(asked, game, prompt.tree(cut.spans), needs)


def load_nothing(name: str) -> NoReturn:
    """There are no dictionaries here."""
    raise ValueError(name)


def screen(posed: Posed) -> tuple[bool, list[float]]:
    """Whether the model can answer, and what is lost without each needed passage, without all."""
    without = [*[(one,) for one in posed.needs if len(posed.needs) > 1], posed.needs]
    masks = np.ones((1 + len(without), 64), np.bool_)
    for row, one in enumerate(without, 1):
        masks[row, list(one)] = False
    everything, *rest = posed.passages.values(masks).tolist()
    lost = [everything - each for each in rest]
    can = lost[-1] >= NEEDED and (
        posed.asked.kind in ("one", "either") or all(each >= EACH for each in lost)
    )
    return can, lost


def by_levels(posed: Posed, masks: int, folder: Path, seed: int) -> tuple[list[int], str]:
    """The passages that are told, the strongest first, by blocks of 8 and then passages."""

    def keep(grouped: GroupedGame, level: str) -> Evaluations:
        names = hashlib.sha256(repr((posed.asked, grouped.players)).encode()).hexdigest()[:12]
        return Evaluations(grouped, folder / f"{level.replace(' ', '-')}-{names}", batch=16)

    passages = PartTree(posed.tree.levels[:1])
    found = ByLevels(budget=masks, block=8).attribute(posed.game, passages, seed, keep)
    said = "; ".join(
        f"{len(level.parts)} {level.unit}, {level.spent} of {level.budget},"
        f" R2 {level.found.faithfulness.r2.value:.2f}, near"
        f" {level.found.faithfulness.near.value:.2f} {level.stopped}"
        for level in found.levels
    )
    last = found.levels[-1]
    if last.unit != "passages":
        return [], said
    told = {part for part in told_parts(last) if part.level == len(found.tree.levels) - 1}
    terms = [term for term in player_terms(last.found) if term.players[0] < len(last.parts)]
    order = [last.parts[term.players[0]] for term in terms]
    sets = [
        "+".join(str(last.parts[one].number) for one in term.players if one < len(last.parts))
        + f" {term.kind or ''}"
        for term in set_terms(last.found)[:3]
    ]
    return [part.number for part in order if part in told], f"{said}; sets {sets}"


def flat(posed: Posed, masks: int, folder: Path, seed: int) -> tuple[list[int], str]:
    """The same by `auto` among all passages at once, with as many masks."""
    names = hashlib.sha256(repr(posed.asked).encode()).hexdigest()[:12]
    known = Evaluations(posed.passages, folder / f"flat-{names}", batch=16)
    found = Auto(budget=masks).attribute(known, np.random.default_rng(seed))
    told = {one for term in (*told_players(found), *set_terms(found)) for one in term.players}
    order = [term.players[0] for term in player_terms(found)]
    trust = found.faithfulness
    said = f"{found.evaluations} values, R2 {trust.r2.value:.2f}, near {trust.near.value:.2f}"
    return [one for one in order if one in told], said


def leave_one_out(posed: Posed, masks: int, folder: Path, seed: int) -> tuple[list[int], str]:
    """Passages by what is lost without each, the most first; it costs 65 masks."""
    names = hashlib.sha256(repr(posed.asked).encode()).hexdigest()[:12]
    known = Evaluations(posed.passages, folder / f"one-{names}", batch=16)
    values = known.values(~np.eye(65, 64, dtype=np.bool_))
    lost = values[-1] - values[:-1]
    return np.argsort(-np.abs(lost)).tolist(), f"65 values, lost {np.sort(-np.abs(lost))[:3]}"


WAYS = {"levels": by_levels, "flat": flat, "one": leave_one_out}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--screen", action="store_true", help="say what can be answered, no more")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of questions")
    parser.add_argument("--way", choices=WAYS, default="levels")
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=Path("runs/retrieved"))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    subject = load_model(asked.model)
    every = questions()
    right = can = 0
    for number in range(len(every)) if asked.only is None else asked.only:
        posed = pose(every[number], subject, asked.seed)
        said = f"{number} {posed.asked.kind}: {posed.asked.question}"
        begin = time.process_time()
        if asked.screen or asked.only is None:
            answers, lost = screen(posed)
            lost_said = ", ".join(f"{each:.1f}" for each in lost)
            print(f"{said} {'can' if answers else 'cannot'}: lost {lost_said}", flush=True)
            if asked.screen or not answers:
                continue
        named, how = WAYS[asked.way](posed, asked.masks, asked.folder, asked.seed)
        hit = set(named[: len(posed.needs)]) == set(posed.needs)
        can, right = can + 1, right + hit
        used = time.process_time() - begin
        wanted = f"needs {posed.needs}, told {named[:6]}"
        print(f"{said} {'RIGHT' if hit else 'WRONG'}: {wanted}; {how}; {used:.0f} s", flush=True)
    print(f"{asked.way}: right {right} of {can}")


if __name__ == "__main__":
    main()
