"""What a game said is asked once, whatever happens."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from known import names

from gloss.attribute.game import Evaluations, FunctionGame, TableGame
from gloss.errors import BadInput, BadSettings, Mismatch


class Counting:
    """A game that knows what it was asked."""

    def __init__(self, players: int) -> None:
        self.players = names(players)
        self.asked: list[bytes] = []

    def values(self, masks):
        self.asked += [row.tobytes() for row in masks]
        return masks @ np.arange(1.0, len(self.players) + 1)


def test_nothing_is_asked_twice_in_one_run_or_the_next(tmp_path, rng):
    game, masks = Counting(9), rng.random((300, 9)) < 0.5
    first = Evaluations(game, tmp_path / "values", batch=64)
    values = first.values(masks)
    again = Evaluations(game, tmp_path / "values")
    assert np.array_equal(again.values(masks), values)
    assert len(game.asked) == len(set(game.asked)) == first.paid
    assert again.paid == 0


def test_uniform_masks_of_one_method_serve_the_next(tmp_path):
    game = Counting(30)
    paid = Evaluations(game, tmp_path / "values").uniform(500, np.random.default_rng(1))
    later = Evaluations(game, tmp_path / "values")
    found = later.uniform(600, np.random.default_rng(2))
    assert later.paid == 100
    assert np.array_equal(found.masks[:500], paid.masks)
    assert len(np.unique(found.masks, axis=0)) == 600


def test_another_method_in_the_same_process_begins_with_the_first_uniform_masks(tmp_path):
    known = Evaluations(FunctionGame(names(10), lambda masks: masks.sum(axis=1)), tmp_path / "v")
    first = known.uniform(100, np.random.default_rng(0))
    again = known.from_the_start()
    assert np.array_equal(again.uniform(100, np.random.default_rng(1)).masks, first.masks)
    assert (known.paid, again.paid) == (100, 0)
    again.uniform(20, np.random.default_rng(1))
    assert (len(known), again.paid) == (120, 20)


def test_a_torn_last_block_is_cut_off_and_the_run_ends_as_it_would_have(tmp_path):
    path = tmp_path / "values"
    whole = Evaluations(Counting(30), path, batch=50).uniform(400, np.random.default_rng(1))
    path.write_bytes(path.read_bytes()[:-77])
    game = Counting(30)
    resumed = Evaluations(game, path, batch=50)
    assert len(resumed) == 350
    assert np.array_equal(resumed.uniform(400, np.random.default_rng(1)).masks, whole.masks)
    assert len(game.asked) == 50
    assert len(Evaluations(game, path)) == 400


def test_a_changed_byte_is_noticed(tmp_path, rng):
    path = tmp_path / "values"
    Evaluations(Counting(30), path, batch=50).uniform(100, rng)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert len(Evaluations(Counting(30), path)) == 0


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from gloss.attribute.game import Evaluations, FunctionGame
def slow(masks):
    with open(sys.argv[2], "ab") as log:
        for row in masks:
            log.write(np.packbits(row).tobytes())
    time.sleep(0.02)
    return masks.sum(axis=1)
game = FunctionGame(tuple(map(str, range(40))), slow)
Evaluations(game, Path(sys.argv[1]), batch=20).uniform(2000, np.random.default_rng(3))
"""


def test_a_killed_process_repeats_no_batch_that_it_finished(tmp_path):
    command = [sys.executable, "-c", SLOW, str(tmp_path / "values"), str(tmp_path / "asked")]
    process = subprocess.Popen(command)
    while not (tmp_path / "asked").exists() or (tmp_path / "asked").stat().st_size < 5 * 200:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(
        Evaluations(
            FunctionGame(tuple(map(str, range(40))), lambda masks: masks[:, 0]), tmp_path / "values"
        )
    )
    asked = (tmp_path / "asked").stat().st_size // 5
    assert 0 < asked - 20 <= kept <= asked
    subprocess.run(command, check=True)
    assert (tmp_path / "asked").stat().st_size // 5 == 2000 + asked - kept


def test_all_masks_of_a_small_game_are_drawn_once(rng):
    found = Evaluations(Counting(6)).uniform(1000, rng)
    assert len(found.values) == len(np.unique(found.masks, axis=0)) == 64


def test_values_that_are_no_number_are_counted_and_asked_again(tmp_path, rng):
    broken = FunctionGame(names(20), lambda masks: np.where(masks[:, 0], np.nan, 1.0))
    found = Evaluations(broken, tmp_path / "values").uniform(100, rng)
    assert found.failed == 100 - len(found.values) > 30
    later = Evaluations(Counting(20), tmp_path / "values")
    assert len(later) == len(found.values)


def test_a_table_gives_what_it_holds_and_no_more(rng):
    masks = np.unique(rng.random((50, 12)) < 0.5, axis=0)
    table = TableGame(names(12), masks, masks.sum(axis=1).astype(float))
    found = Evaluations(table).uniform(1000, rng)
    assert np.array_equal(found.masks, masks)
    with pytest.raises(BadInput, match="holds no value"):
        table.values(
            ~masks[:1] if not (masks == ~masks[0]).all(axis=1).any() else np.zeros((1, 12), bool)
        )


def test_fifty_thousand_masks_of_a_thousand_players_fit_into_a_gibibyte(tmp_path):
    code = """
import re, resource, sys
from pathlib import Path
import numpy as np
from gloss.attribute.game import Evaluations, FunctionGame
game = FunctionGame(tuple(map(str, range(1000))), lambda masks: masks[:, :3].sum(axis=1))
Evaluations(game, Path(sys.argv[1]), batch=2000).uniform(50_000, np.random.default_rng(0))
again = Evaluations(game, Path(sys.argv[1]))
assert len(again.uniform(50_000, np.random.default_rng(0)).values) == 50_000 and again.paid == 0
# where there is one: what getrusage gives begins with the parent's size
status = Path("/proc/self/status")
held = re.search(r"VmHWM:\\s+(\\d+)", status.read_text()) if status.exists() else None
print(held[1] if held else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "values")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 2**20


def test_files_of_others_are_refused_in_a_sentence(tmp_path, rng):
    Evaluations(Counting(5), tmp_path / "five").values(rng.random((4, 5)) < 0.5)
    with pytest.raises(Mismatch, match="5 other players, this one has 6"):
        Evaluations(Counting(6), tmp_path / "five")
    (tmp_path / "text").write_text("what is this? " * 10)
    with pytest.raises(BadInput, match="holds no values of a game"):
        Evaluations(Counting(6), tmp_path / "text")
    with pytest.raises(BadSettings, match="batch is 0"):
        Evaluations(Counting(6), batch=0)
    with pytest.raises(BadInput, match="game of 6 players"):
        Evaluations(Counting(6)).values(np.ones((2, 7), bool))


def test_a_function_must_give_a_number_a_mask():
    with pytest.raises(BadInput, match="one number a mask"):
        FunctionGame(names(3), lambda masks: masks.astype(float)).values(np.ones((2, 3), bool))


def test_masks_near_the_whole_are_the_same_in_a_run_that_goes_on(tmp_path):
    """Of few players hardly as many are drawn as were wanted, twice."""

    def drawn(known: Evaluations) -> list[np.ndarray]:
        rng = np.random.default_rng(4)
        return [known.near(count, 90, rng).masks for count in (60, 120, 40)]

    first = drawn(Evaluations(Counting(9), tmp_path / "values"))
    assert sum(map(len, first)) < 220
    again = Evaluations(Counting(9), tmp_path / "values")
    assert all(map(np.array_equal, drawn(again), first))
    assert again.paid == 0


@pytest.mark.parametrize("percent", [50, 90])
def test_drawn_masks_that_were_known_are_drawn_again_in_a_run_that_goes_on(tmp_path, percent):
    game = Counting(6)
    first = Evaluations(game, tmp_path / "values", batch=5)
    first.values(np.random.default_rng(0).random((40, 6)) < percent / 100)
    drawn = first.near(20, percent, np.random.default_rng(1))
    noise = first.noise()
    first.ask_again(drawn.masks[:3])
    again = Evaluations(game, tmp_path / "values", batch=7)
    assert np.array_equal(again.near(20, percent, np.random.default_rng(1)).masks, drawn.masks)
    assert again.paid == 0
    assert noise is again.noise() is None  # what another object asked again says nothing here
    assert len(game.asked) == len(set(game.asked)) + 3
