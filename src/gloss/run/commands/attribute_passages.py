"""Behind `gloss attribute --passages`: attributes to passages, then to sentences and words of those
that matter, prints what was found and keeps it.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gloss.attribute.game import Evaluations
from gloss.attribute.levels.by_levels import ByLevels
from gloss.attribute.levels.part_tree import GroupedGame, PartTree
from gloss.attribute.players.passage_text import (
    ContextPassage,
    PassagePrompt,
    read_passages,
)
from gloss.attribute.players.prompt_parts import PromptUnit, Removal, spaced_answer
from gloss.attribute.question import AttributionQuestion, NamedGame
from gloss.attribute.result.levels_record import levels_record
from gloss.errors import BadSettings
from gloss.pages.passages_page import write_passages_page
from gloss.run.commands.attribute import (
    AttributionSettings,
    attributor_settings,
    endpoint_game,
    named_model,
    question_content_hashes,
)
from gloss.run.commands.counted_game import Spent, count_masks
from gloss.run.commands.levels_view import passages_page, print_levels
from gloss.run.commands.training_runs import training_processes
from gloss.run.keys import result_key
from gloss.run.methods import build_method
from gloss.run.progress import out, progress_bar
from gloss.run.sources import NamedDictionary
from gloss.store.atomic import write_bytes
from gloss.store.lock import sole_writer

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject

USUAL_BUDGET = 512  # values, of all levels together
# settings of a question that have no meaning beside passages
UNREAD = (
    *("prompt", "prompts", "components", "features", "data", "other_prompts"),
    *("examples", "learner", "groups"),
)
FINEST = ("sentences", "words")
REMOVALS = (Removal.REMOVE, Removal.MASK, Removal.INFILL)


@dataclass(frozen=True)
class PassagesQuestion:
    """Passages and a question to them; `about` is what is asked of the model that reads both."""

    about: AttributionQuestion
    prompt: PassagePrompt
    finest: PromptUnit

    @staticmethod
    def of(
        passages: Iterable[ContextPassage], question: str, template: str, settings: dict[str, Any]
    ) -> "PassagesQuestion":
        """From the settings of an `AttributionQuestion`.

        Raises BadSettings for those that are not read beside passages.
        """
        for name in UNREAD:
            if settings.get(name):
                flag = name.replace("_", "-")
                raise BadSettings(f"--{flag} is not read beside --passages; leave it out")
        settings = {name: each for name, each in settings.items() if name != "prompts"}
        unit, removal = settings.get("unit") or "words", settings.get("removal") or "remove"
        if unit not in FINEST:
            raise BadSettings(
                f"--unit {unit}: passages are opened down to sentences or words; give one of these"
            )
        if removal not in REMOVALS:
            raise BadSettings(
                f"--removal {removal}: of passages, words are taken by remove, mask or infill; give"
                " one of these"
            )
        prompt = PassagePrompt.of(tuple(passages), question, template)
        answers = {name: settings.get(name) or "" for name in ("answer", "other")}
        if question and not template:
            answers = {name: spaced_answer(prompt.text, each) for name, each in answers.items()}
        asked: dict[str, Any] = {**settings, **answers, "prompt": prompt.text, "unit": "words"}
        about = AttributionQuestion(**asked)
        return PassagesQuestion(about, prompt, PromptUnit(unit))

    def settle(self, seed: int) -> "PassagesQuestion":
        """With all that was left open decided."""
        return replace(self, about=self.about.settle(seed=seed))

    def build(
        self,
        folder: Path | None = None,
        subject: "Subject | None" = None,
        dictionary: "Dictionary | None" = None,
    ) -> tuple[NamedGame, PartTree]:
        """The game of the passages' words, and their tree. What an endpoint answers is kept in the
        folder. Without a subject the one that the question names is loaded.
        """
        if self.about.base_url:
            game = replace(endpoint_game(self.about, folder), within=self.prompt.within)
            named = NamedGame(game, game.label, reading="words of passages are left out")
            return named, self.prompt.tree(game.spans, self.finest)
        from gloss.attribute.players.passage_game import build_passage_game

        reader = subject or named_model(self.about).load()

        def load(source: str) -> "Dictionary":
            return dictionary or NamedDictionary.of(source).load(reader)

        return build_passage_game(self.about, self.prompt, self.finest, reader, load)


def levels_attributor(options: AttributionSettings, block: int) -> ByLevels:
    """Attributes by levels with the method that was asked for.

    Raises BadSettings for one that takes no budget, and BadInput for settings that it has not.
    """
    budget = options.budget or USUAL_BUDGET
    chosen = attributor_settings(replace(options, budget=budget))
    made = build_method("attribute", chosen)
    if "budget" not in {field.name for field in fields(made)}:
        raise BadSettings(
            f"--method {options.method} takes no budget, which levels must share; give another"
        )

    def method(share: int) -> Any:
        return replace(made, budget=share)

    return ByLevels(budget, options.near or 0.9, block, method)


def report_passages(
    asked: PassagesQuestion, options: AttributionSettings, block: int = 1, *, wait: bool = False
) -> None:
    """Attribute, print, and write the record and the page.

    Raises BadInput, BadSettings, Mismatch, and Busy for one at a time.
    """
    if options.proxy:
        raise BadSettings("--proxy is not read beside --passages; leave it out")
    by_levels = levels_attributor(options, block)
    asked = asked.settle(options.seed)
    named_game, tree = asked.build(options.folder)
    key = (asdict(asked.about), asked.prompt.spans, str(asked.finest), named_game.value)
    name = result_key(*key, named_game.reading, question_content_hashes(asked.about))
    out.print(
        f"{options.method} asks for at most {by_levels.budget:,} values, of all levels together.",
        highlight=False,
    )
    with sole_writer(options.folder, wait=wait, of=name):
        known = list[Evaluations]()
        nothing_trains = training_processes(named_game.game, options.jobs)
        with progress_bar("attribute", "values") as progress, nothing_trains:
            game = count_masks(named_game.game, progress, Spent(), by_levels.budget)
            keep = partial(keep_values, options.folder, name, known)
            found = by_levels.attribute(game, tree, options.seed, keep)
        print_levels(named_game, found)
        settings = options.recorded() | {"block": block}
        del settings["curves"]  # a page of passages has none
        content = levels_record(asdict(asked.about), settings, named_game, found)
        record = options.record_path(name, block)
        write_bytes(record, json.dumps(content, indent=1).encode())
        page = record.with_suffix(".html")
        write_passages_page(page, passages_page(asked.about.model, named_game, found))
    new = sum(each.paid for each in known)
    out.print(
        f"{new:,} values were new; record in {record}, page in {page.resolve().as_uri()}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def keep_values(
    folder: Path, name: str, known: list[Evaluations], grouped: GroupedGame, level: str
) -> Evaluations:
    """The memory of a level's game, in a file that is its alone."""
    groups = result_key(np.asarray(grouped.groups).tolist())
    known.append(Evaluations(grouped, folder / f"values-{name}-{level.replace(' ', '-')}-{groups}"))
    return known[-1]


def question_of_file(
    path: str, question: str, template: str, settings: dict[str, Any]
) -> PassagesQuestion:
    """Of the passages in a file. Raises BadInput where it holds none, BadSettings without one."""
    if not path:
        raise BadSettings(
            "--question, --template and --block are of passages; give --passages FILE"
        )
    return PassagesQuestion.of(read_passages(Path(path)), question, template, settings)
