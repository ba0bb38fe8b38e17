"""Behind `gloss attribute --prompts`: one question about all prompts, or one about each."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from gloss.attribute.players.prompt_file import read_prompt_file
from gloss.attribute.question import AttributionQuestion, is_about_all_prompts
from gloss.errors import BadSettings
from gloss.run.commands.attribute import AttributionSettings, report_attribution
from gloss.run.commands.attribute_batch import report_batch


def report_prompts(
    path: Path, asked: dict[str, Any], options: AttributionSettings, *, wait: bool = False
) -> None:
    """Ask about all prompts of a file at once where the players are parts of the model or
    positions, and about each by itself where they are parts of the prompt.

    Pages have no curves: each point of one would cost a pass for every prompt. Raises BadInput
    where no line can be used, and as `report_attribution`.
    """
    for name in ("prompt", "data", "examples"):
        if asked.get(name):
            raise BadSettings(f"--{name} and --prompts: give one of them")
    lines = read_prompt_file(path)
    if is_about_all_prompts(asked):
        question = AttributionQuestion(**asked, prompts=lines)
        report_attribution(question, replace(options, curves=False), wait=wait)
    else:
        report_batch(lines, asked, options, wait=wait)
