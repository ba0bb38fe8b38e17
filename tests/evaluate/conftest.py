"""What tests of measures share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gloss.evaluate.task_subject import write_task_subject


@pytest.fixture(scope="session")
def task_folder(made_once: Callable[..., Path]) -> Path:
    """The subject of tasks, trained once for all."""
    return made_once("task_subject", write_task_subject)
