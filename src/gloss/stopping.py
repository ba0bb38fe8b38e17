"""Ends a command that is told to stop: soon, with one sentence, and with nothing half written."""

import os
import select
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

SENTENCE = "gloss: stopped; the same command goes on from here"
# for what is being written and for what runs in C; files are whole or not there, so none is needed
PATIENCE_SECONDS = 4.0
_signals: list[int] = []  # the signals so far
_has_said = threading.Event()


def stop_on_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, and end the process where that does
    not end it soon.

    A signal that was ignored stays ignored, as in a shell's background or under nohup.
    """
    listening, signalled = os.pipe()
    os.set_blocking(signalled, False)
    # tells the thread even while the main one is inside C
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    threading.Thread(target=_exit_after_signal, args=(listening,), daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def was_stopped() -> bool:
    """Whether the process was told to stop."""
    return bool(_signals)


def say_stopped() -> int:
    """Say that the command stopped.

    Gives the exit code, which names the signal as a shell's does.
    """
    if not _has_said.is_set():
        _has_said.set()
        with suppress(OSError):  # a terminal that was closed, a reader that went away
            print(SENTENCE, file=sys.stderr, flush=True)
    return 128 + _signals[0]


def _interrupt(number: int, frame: FrameType | None) -> None:
    _signals.append(number)
    raise KeyboardInterrupt


def _exit_after_signal(listening: int) -> None:
    """After the first signal, leave when it has lasted too long, or at a second signal."""
    first = os.read(listening, 1)
    select.select([listening], [], [], PATIENCE_SECONDS)
    _signals.extend(first)
    os._exit(say_stopped())
