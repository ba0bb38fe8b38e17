"""A planted subject that is small enough to sample from many times."""

import numpy as np
import pytest

from gloss.models.planted import Planted, plant


@pytest.fixture(scope="session")
def planted() -> Planted:
    return plant(np.random.default_rng(7), tokens=200_000, features=46)
