"""How far a long task is: on a terminal a bar, elsewhere a line every half minute."""

import io
import time

from rich.console import Console

from gloss.run import progress


def lines_of(monkeypatch, work) -> str:
    output = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=output, width=200))
    monkeypatch.setattr(progress, "EVERY", 0.05)
    with progress.progress_bar("training", "tokens") as report:
        work(report)
    return output.getvalue()


def test_a_log_hears_of_a_step_that_takes_long(monkeypatch):
    def work(report):
        time.sleep(0.12)
        report(0, 4000)
        report(1000, 4000)
        time.sleep(0.12)
        report(4000, 4000)

    told = lines_of(monkeypatch, work).splitlines()
    assert told[0].startswith("training: preparing · elapsed 0:0"), told
    assert any(
        "1,000 of 4,000 tokens" in line and "elapsed" in line and "left" in line for line in told
    )
    assert told[-1].startswith("training: 4,000 tokens in ")


def test_what_was_done_before_is_no_part_of_the_rate(monkeypatch):
    state = progress.ProgressState("explain", "features")
    state.report(300, 400)
    state.begun = state.counting = time.monotonic() - 10
    state.report(310, 400)
    assert 0.9 < state.rate < 1.1
    assert "left 1:30" in state.pace or "left 1:29" in state.pace


def test_what_prepares_a_training_is_counted_and_is_no_part_of_its_rate():
    state = progress.ProgressState("decompose", "tokens")
    state.begun = time.monotonic() - 600
    state.report(60_000, None)  # read, before anything is learnt
    assert state.line.startswith("decompose: 60,000 tokens · 100/s · elapsed 10:00")
    state.report(2_000, 250_000)
    state.counting = time.monotonic() - 10
    state.report(22_000, 250_000)
    assert 1_900 < state.rate < 2_010
    assert "left 1:54" in state.pace or "left 1:55" in state.pace


def test_times_are_read_as_times():
    assert [progress.clock_time(seconds) for seconds in (0.4, 55, 727, 3723)] == [
        "0:00",
        "0:55",
        "12:07",
        "1:02:03",
    ]
