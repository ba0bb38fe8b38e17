"""The small subject that collecting is tested on."""

from pathlib import Path

import pytest
import torch
from tiny import tiny_dictionary, tiny_subject

from gloss.models.dictionary import SparseCoder
from gloss.models.subject import Subject


@pytest.fixture(scope="session")
def subject() -> Subject:
    return tiny_subject()


@pytest.fixture(scope="session")
def dictionary() -> SparseCoder:
    return tiny_dictionary()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a test collects into; it does not exist yet."""
    return tmp_path / "collected"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny matrices are slower on several threads."""
    torch.set_num_threads(1)
