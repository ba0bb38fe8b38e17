"""A proxy that plays the game alike saves values; a stranger takes nothing away."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from known import names

from gloss.attribute.game import Evaluations, FunctionGame
from gloss.attribute.methods.auto import Auto
from gloss.attribute.methods.proxied import Proxied
from gloss.attribute.question import NamedGame
from gloss.attribute.result.interactions import Interactions
from gloss.errors import BadInput, BadSettings, Mismatch
from gloss.run.commands.attribution_proxy import AlignedGame

PLAYERS = 24


def planted(seed: int, off: float = 0.0) -> FunctionGame:
    """Forty conjunctions of one to three players; `off` is how far weights are from their own."""
    rng = np.random.default_rng(seed)
    sets = [rng.choice(PLAYERS, rng.integers(1, 4), replace=False) for _ in range(40)]
    weights = 2 * rng.normal(size=40)
    weights *= 1 + off * np.random.default_rng(seed + 100).normal(size=40)
    return FunctionGame(
        names(PLAYERS),
        lambda x: sum(w * x[:, s].all(axis=1) for w, s in zip(weights, sets, strict=True)),
    )


def true_r2(found, game: FunctionGame) -> float:
    masks = np.random.default_rng(9).random((4000, PLAYERS)) < 0.5
    values = game.values(masks)
    return 1 - float(np.square(values - found.predict(masks)).mean() / values.var())


@pytest.mark.parametrize("seed", [0, 2])
def test_a_noisy_copy_saves_values(seed):
    game, copy = planted(seed), planted(seed, off=0.4)
    alone = Auto(budget=64).attribute(game, np.random.default_rng(seed))
    known = Evaluations(game)
    found = Proxied(copy, Auto(budget=64), 1024).attribute(known, np.random.default_rng(seed))
    assert known.paid <= 64
    unexplained, left_alone = 1 - true_r2(found, game), 1 - true_r2(alone, game)
    assert unexplained < 0.1
    assert unexplained < 0.25 * left_alone
    trust, screen = found.faithfulness, found.proxy
    assert trust.r2.low < true_r2(found, game) < trust.r2.high
    assert screen.used
    assert screen.correlation > 0.9
    assert screen.with_r2[0] == trust.r2
    assert screen.with_r2[0].value > 0.9 > 0.75 > screen.without_r2[0].value
    assert f"R2 is {trust.r2.value:.2f} with it" in screen.sentence


def stranger_games() -> dict[str, FunctionGame]:
    noise = np.random.default_rng(5)
    return {
        "another game": planted(50),
        "constant": FunctionGame(names(PLAYERS), lambda x: np.zeros(len(x))),
        "noise": FunctionGame(names(PLAYERS), lambda x: noise.normal(size=len(x))),
    }


@cache
def attributed_alone(seed: int) -> Interactions:
    return Auto(budget=96).attribute(planted(seed), np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("kind", "seed"), [("another game", 0), ("another game", 1), ("constant", 0), ("noise", 0)]
)
def test_a_stranger_takes_nothing_away(kind, seed):
    game, proxy = planted(seed), stranger_games()[kind]
    alone = attributed_alone(seed)
    found = Proxied(proxy, Auto(budget=96), 256).attribute(game, np.random.default_rng(seed))
    assert found.proxy is not None
    assert not found.proxy.used
    assert replace(found, proxy=None) == alone
    assert "so it is left out" in found.proxy.sentence
    assert (found.proxy.as_json()["correlation"] is None) == (kind == "constant")


def test_a_proxy_is_not_asked_where_it_is_not_needed():
    game = FunctionGame(names(6), lambda x: x @ np.arange(6.0))
    proxy = Evaluations(game)
    found = Proxied(proxy).attribute(game, np.random.default_rng(0))
    assert found.faithfulness.whole
    assert found.proxy is None
    assert proxy.paid == 0


def test_a_proxy_may_miss_values():
    game, copy = planted(0), planted(0, off=0.3)
    holes = FunctionGame(
        names(PLAYERS), lambda x: np.where(x[:, :4].all(axis=1), np.nan, copy.values(x))
    )
    found = Proxied(holes, Auto(budget=64), 1024).attribute(game, np.random.default_rng(0))
    assert found.proxy is not None
    assert found.proxy.correlation > 0.8


def test_a_proxy_of_other_players_is_refused():
    other = FunctionGame(names(5), lambda x: x.sum(axis=1))
    with pytest.raises(BadInput, match="the proxy has 5 players and the game 24"):
        Proxied(other).attribute(planted(0), np.random.default_rng(0))
    with pytest.raises(BadSettings, match="budget is 8"):
        Proxied(other, proxy_budget=8)


def named(pieces: list[tuple[str, int | None]]) -> NamedGame:
    players = tuple(text for text, player in pieces if player is not None)
    game = FunctionGame(players, lambda x: x @ 2.0 ** np.arange(len(players)))
    return NamedGame(game, "value", tuple(pieces))


def test_players_that_are_cut_otherwise_are_kept_where_all_that_they_share_text_with_are():
    asked = named([("New", 0), (" York", 1), (" is", 2), (" big.", 3)])
    proxy = named([("New York", 0), (" is", 1), (" ", None), ("big", 2), (".", 3)])
    game = AlignedGame.of(proxy.game, proxy, asked)
    assert game.players == asked.game.players
    masks = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1]], bool)
    assert game.values(masks).tolist() == [1.0, 2.0, 12.0, 15.0]
    with pytest.raises(Mismatch, match="into other players"):
        AlignedGame.of(proxy.game, replace(proxy, text=()), asked)
