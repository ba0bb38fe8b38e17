"""Indices agree with those of shapiq's exact computer."""

import warnings

import numpy as np
import pytest

from gloss.attribute.game import FunctionGame
from gloss.attribute.methods.exact import Exact
from gloss.attribute.result.indices import Index

THEIRS = {
    Index.SHAPLEY: "SV",
    Index.BANZHAF: "BV",
    Index.SHAPLEY_INTERACTION: "SII",
    Index.BANZHAF_INTERACTION: "BII",
    Index.SHAPLEY_TAYLOR: "STII",
    Index.FAITH_SHAPLEY: "FSII",
    Index.FAITH_BANZHAF: "FBII",
}


@pytest.fixture(scope="module")
def exact_computer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapiq = pytest.importorskip(
            "shapiq", reason="shapiq is not installed; pip install gloss-lm[interop]"
        )
        return shapiq.ExactComputer


@pytest.mark.parametrize("players", [6, 9])
@pytest.mark.filterwarnings("ignore")
def test_every_index_agrees_with_theirs(exact_computer, players: int, rng: np.random.Generator):
    values = rng.normal(size=2**players)
    game = FunctionGame(
        tuple(map(str, range(players))), lambda masks: values[masks @ (1 << np.arange(players))]
    )
    found = Exact().attribute(game, rng)
    theirs = exact_computer(game.values, n_players=players)
    for index, name in THEIRS.items():
        order = 1 if index in (Index.SHAPLEY, Index.BANZHAF) else 3
        known = theirs(name, order=order).dict_values
        ours = found.index(index, order)
        sets = [one for one in known if one]
        assert len(sets) >= players
        # theirs weigh the ends of FSII by a large number
        close = pytest.approx([known[one] for one in sets], abs=1e-8)
        assert [ours.get(one, 0.0) for one in sets] == close, name
