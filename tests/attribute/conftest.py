"""What the tests of games on models share: the embedded subject and its dictionary, loaded once."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from gloss.models.formats import load_dictionary
from gloss.models.subject import Subject

EMBEDDED = Path(str(files("gloss.models") / "embedded"))


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Tiny models are slower on several threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def subject(one_thread: None) -> Subject:
    return Subject.load(EMBEDDED / "subject", device="cpu")


@pytest.fixture(scope="session")
def dictionary(subject: Subject):
    return load_dictionary(EMBEDDED / "dictionary")
