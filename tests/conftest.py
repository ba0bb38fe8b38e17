"""What every test may use."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real models and texts; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("GLOSS_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no folder of real models and texts at {folder}; set GLOSS_DATA to one")
    return folder
