"""Features whose directions lie close together, a chunk at a time."""

import pytest
import torch

from gloss.decompose import direction_description as module
from gloss.decompose.direction_description import describe_directions, nearest_directions


def test_neighbours_are_those_with_the_largest_cosine_whatever_the_chunk(monkeypatch):
    decoder_directions = torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(decoder_directions, dim=1)
    cosines = unit @ unit.T
    cosines.fill_diagonal_(-2)
    for chunk in (1024, 7):
        monkeypatch.setattr(module, "CHUNK", chunk)
        for found in describe_directions(decoder_directions, None, number=5):
            wanted = cosines[found.feature].topk(5)
            assert [feature for feature, _ in found.neighbours] == wanted.indices.tolist()
            assert [cosine for _, cosine in found.neighbours] == pytest.approx(
                wanted.values.tolist(), abs=1e-5
            )


def test_neighbours_of_some_features_are_those_that_all_have():
    unit = torch.nn.functional.normalize(
        torch.randn(30, 8, generator=torch.Generator().manual_seed(1)), dim=1
    )
    every = list(nearest_directions(unit, range(30), 4))
    assert [[f for f, _ in near] for near in nearest_directions(unit, [17, 3], 4)] == [
        [f for f, _ in every[i]] for i in (17, 3)
    ]
