"""Behind `gloss attribute --prompts`: one question about many prompts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from gloss.attribute.players.prompt_file import read_prompt_file
from gloss.attribute.question import AttributionQuestion
from gloss.run.commands.attribute import AttributionSettings, report_attribution


def report_prompts(
    path: Path, asked: dict[str, Any], options: AttributionSettings, *, wait: bool = False
) -> None:
    """Ask about all prompts of a file at once; the page has no curves, each point of which would
    cost a pass for every prompt.

    Raises BadInput where none can be used, and as `report_attribution`.
    """
    question = AttributionQuestion(**asked, prompts=read_prompt_file(path))
    report_attribution(question, replace(options, curves=False), wait=wait)
