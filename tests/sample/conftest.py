"""A planted subject that is small enough to sample from many times."""

import numpy as np
import pytest
import torch

from gloss.decompose.direction_description import describe_directions
from gloss.models.planted import Planted, plant
from gloss.records import FeatureId, Neighbour


@pytest.fixture(scope="session")
def planted() -> Planted:
    return plant(np.random.default_rng(7), tokens=200_000, features=46)


@pytest.fixture(scope="session")
def near(planted) -> list[tuple[Neighbour, ...]]:
    """Each planted feature's neighbours, as a dictionary gives them whose siblings share half of
    their direction.
    """
    drawn = np.random.default_rng(11)
    names = sorted({feature.family for feature in planted.features})
    common = dict(zip(names, drawn.normal(size=(len(names), 64)), strict=True))
    decoder_directions = np.stack(
        [common[feature.family] + drawn.normal(size=64) for feature in planted.features]
    )
    return [
        tuple(
            Neighbour(FeatureId("planted", i), cosine, planted.activations[i])
            for i, cosine in found.neighbours
        )
        for found in describe_directions(
            torch.tensor(decoder_directions, dtype=torch.float32), None
        )
    ]
