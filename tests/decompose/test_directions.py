"""Features whose directions lie close together, a chunk at a time."""

import pytest
import torch

from gloss.decompose import direction_description as module
from gloss.decompose.direction_description import describe_directions, nearest_directions
from gloss.models.sparse_codes import largest_in_rows


def test_neighbours_are_those_with_the_largest_cosine_whatever_the_chunk(monkeypatch):
    decoder_directions = torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(decoder_directions, dim=1)
    cosines = unit @ unit.T
    cosines.fill_diagonal_(-2)
    for chunk, held in ((1024, 2**24), (7, 2**24), (7, 7 * 11), (1024, 50)):
        monkeypatch.setattr(module, "CHUNK", chunk)
        monkeypatch.setattr(module, "HELD", held)
        for found in describe_directions(decoder_directions, None, number=5):
            wanted = cosines[found.feature].topk(5)
            assert [feature for feature, _ in found.neighbours] == wanted.indices.tolist()
            assert [cosine for _, cosine in found.neighbours] == pytest.approx(
                wanted.values.tolist(), abs=1e-5
            )


def test_the_largest_of_long_rows_are_those_of_topk():
    rows = torch.randn(20, 64 * 40, generator=torch.Generator().manual_seed(2))
    for k in (1, 10, 39, 40, 100):
        wanted = rows.topk(k, dim=1)
        values, columns = largest_in_rows(rows, k)
        assert torch.equal(values, wanted.values)
        assert torch.equal(columns, wanted.indices)


def test_chosen_features_are_described_as_all_are_with_the_tokens_that_they_raise():
    generator = torch.Generator().manual_seed(3)
    directions, unembedding = (torch.randn(size, 8, generator=generator) for size in (30, 200))
    every = list(describe_directions(directions, lambda rows: rows @ unembedding.T, 4))
    some = list(describe_directions(directions, lambda rows: rows @ unembedding.T, 4, [17, 3]))
    assert [found.feature for found in some] == [17, 3]
    for found in some:
        alike = every[found.feature]
        assert [f for f, _ in found.neighbours] == [f for f, _ in alike.neighbours]
        logits = unembedding @ directions[found.feature]
        assert [t for t, _ in found.promoted_tokens] == logits.topk(4).indices.tolist()
        lowest = logits.topk(4, largest=False).indices.tolist()
        assert [t for t, _ in found.suppressed_tokens] == lowest


def test_neighbours_of_some_features_are_those_that_all_have():
    unit = torch.nn.functional.normalize(
        torch.randn(30, 8, generator=torch.Generator().manual_seed(1)), dim=1
    )
    every = list(nearest_directions(unit, range(30), 4))
    assert [[f for f, _ in near] for near in nearest_directions(unit, [17, 3], 4)] == [
        [f for f, _ in every[i]] for i in (17, 3)
    ]
