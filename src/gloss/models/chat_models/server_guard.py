"""Runs a server and ends it, with all that it started, as soon as who asked for it is gone: run as
a file of its own, without gloss, so that it is there at once and outlives whatever kills gloss.

    python server_guard.py COMMAND ARGUMENT...

Its standard input is a pipe that nothing is written to: where it ends, so does the server.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

PATIENCE_SECONDS = 5.0  # for a server to end by itself


def guard(command: list[str]) -> int:
    """Run a command until it ends or standard input does; its exit code."""
    ended, ending = os.pipe()
    os.set_blocking(ending, False)
    signal.set_wakeup_fd(ending, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as problem:
        print(f"{command[0]}: {problem.strerror}", flush=True)
        return 127
    while server.poll() is None:
        ready, _, _ = select.select([0, ended], [], [])
        if 0 in ready:
            break
        os.read(ended, 1024)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.wait(PATIENCE_SECONDS)
    with suppress(ProcessLookupError):  # also what it left behind
        os.killpg(server.pid, signal.SIGKILL)
    return server.wait()


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
