"""Attribution of many prompts from Python: one question about all, or a question each."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gloss.api.attributions import (
    Attribution,
    attribute_posed,
    attribute_prompt,
    posed_question,
)
from gloss.attribute.players.prompt_file import PromptLine, prompt_lines, read_prompt_file
from gloss.attribute.question import is_about_all_prompts
from gloss.errors import BadInput, BadSettings, GlossError, Mismatch
from gloss.run.commands.attribute import open_reader

if TYPE_CHECKING:
    from gloss.models.dictionary import Dictionary
    from gloss.models.subject import Subject
    from gloss.run.commands.attribute import PromptReader

Prompts = str | Path | Iterable[str | Mapping[str, str]]
"""A file, or texts, or mappings with `prompt`, `corrupted`, `answer` and `other`."""


def attribute_prompts(
    prompts: Prompts,
    asked: dict[str, Any],
    model: "Subject | str | Path",
    dictionary: "Dictionary | None",
    method: str,
    seed: int,
) -> "Attribution | list[Attribution | GlossError]":
    """One attribution where players are parts of the model or positions; or else one a prompt, with
    the error in the place of what could not be answered. Raises BadInput where nothing could.
    """
    lines = given_lines(prompts)
    if is_about_all_prompts(asked):
        return attribute_prompt(asked | {"prompts": lines}, model, dictionary, method, seed)
    reader: PromptReader | None = None if isinstance(model, str | Path) else model
    found: list[Attribution | GlossError] = []
    for line in lines:
        own = {"prompt": line.prompt, "answer": line.answer, "other": line.other}
        given = asked | {name: text for name, text in own.items() if text}
        try:
            if line.problem:
                raise BadInput(f"prompt {line.line}: {line.problem}")
            question, attributor = posed_question(given, model, dictionary, method, seed)
        except (BadInput, BadSettings) as problem:
            found.append(problem)
            continue
        if reader is None:
            reader = open_reader(question)
        try:
            found.append(attribute_posed(question, attributor, reader, dictionary, seed))
        except (BadInput, BadSettings, Mismatch) as problem:
            found.append(problem)
    failed = [one for one in found if isinstance(one, GlossError)]
    if len(failed) == len(found):
        raise failed[0]
    return found


def given_lines(prompts: Prompts) -> tuple[PromptLine, ...]:
    """The lines of a file, or of what was given. Raises BadInput where none can be used."""
    if isinstance(prompts, str | Path):
        return read_prompt_file(Path(prompts).expanduser())
    return prompt_lines(enumerate(prompts, 1), "prompts")
