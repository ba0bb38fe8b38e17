"""Servers that gloss starts and ends: each when it is first asked, one for the whole process."""

import atexit
import importlib.util
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from gloss.errors import BadSettings, Unreachable

PORT = "{port}"
XLLAMACPP = "xllamacpp:"
HERE = Path(__file__).parent
LONGEST_START_SECONDS = 3600.0  # large models are read for minutes
PAUSE_SECONDS = 0.1
DIRECT = build_opener(ProxyHandler({}))  # past the proxies of the environment
SHOWN_LINES = 5  # of what a server printed
SHOWN = 600  # characters of them
ENDING_SECONDS = 10.0


@dataclass(frozen=True)
class ServedModel:
    """A server that runs: where it is, and what watches it."""

    address: str  # without a path
    guard: subprocess.Popen[bytes]
    printed: IO[bytes]

    @property
    def words(self) -> str:
        """The last lines that it printed, in one."""
        self.printed.seek(0)
        lines = self.printed.read().decode(errors="replace").split("\n")
        said = " / ".join([line.strip() for line in lines if line.strip()][-SHOWN_LINES:])
        return said[-SHOWN:] or "nothing"

    def end(self) -> None:
        """End it, and wait for that."""
        assert self.guard.stdin is not None
        self.guard.stdin.close()
        try:
            self.guard.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self.guard.kill()

    def wait_until_ready(self, command: str) -> None:
        """Wait until it answers. Raises Unreachable where it ends before, or never does."""
        deadline = time.monotonic() + LONGEST_START_SECONDS
        while not self.answers():
            if (code := self.guard.poll()) is not None:
                raise Unreachable(
                    f"the server that [chat] serve starts ({command}) ended with code {code} before"
                    f" it answered; it printed last: {self.words}"
                )
            if time.monotonic() > deadline:
                raise Unreachable(
                    f"the server that [chat] serve starts ({command}) did not answer at"
                    f" {self.address} within an hour; it printed last: {self.words}"
                )
            time.sleep(PAUSE_SECONDS)

    def answers(self) -> bool:
        """Whether it takes requests: some answer early that they are loading."""
        for path in ("/health", "/v1/models"):
            try:
                with DIRECT.open(self.address + path, timeout=5):
                    pass
            except HTTPError as problem:
                if problem.code >= 500:
                    return False
            except (OSError, ValueError):
                return False
        return True


RUNNING: dict[str, ServedModel] = {}
STARTING = threading.Lock()


def served_address(command: str) -> str:
    """Where the server of this command is, which is started unless it runs.

    It ends with this process, however that ends. Raises Unreachable where it does not start.
    """
    with STARTING:
        found = RUNNING.get(command)
        if found is None or found.guard.poll() is not None:
            found = RUNNING[command] = start_server(command)
            atexit.register(found.end)
            try:
                found.wait_until_ready(command)
            except BaseException:  # what is not ready is not to be taken for it next time
                found.end()
                raise
        return found.address


def served_words(command: str) -> str:
    """What the server of this command printed last."""
    return RUNNING[command].words if command in RUNNING else "nothing"


def start_server(command: str) -> ServedModel:
    """Start a server at a free port, under a guard that ends it when this process is gone."""
    port = free_port()
    printed = tempfile.TemporaryFile()  # noqa: SIM115, as long as the server
    guard = subprocess.Popen(
        [sys.executable, str(HERE / "server_guard.py"), *server_command(command, port)],
        stdin=subprocess.PIPE,
        stdout=printed,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for gloss, which then ends it
    )
    return ServedModel(f"http://127.0.0.1:{port}", guard, printed)


def server_command(command: str, port: int) -> list[str]:
    """The words of a command, at this port.

    >>> server_command("llama-server -m 'my model.gguf' --port {port}", 8080)[1:]
    ['-m', 'my model.gguf', '--port', '8080']
    """
    if file := xllamacpp_file(command):
        return [sys.executable, str(HERE / "xllamacpp_server.py"), str(file), str(port)]
    return [word.replace(PORT, str(port)) for word in shlex.split(command)]


def xllamacpp_file(command: str) -> Path | None:
    """The GGUF file of `xllamacpp:FILE`; None for any other command."""
    named = command.removeprefix(XLLAMACPP)
    return Path(named).expanduser() if named != command else None


def require_server_command(command: str) -> None:
    """Refuse a command that cannot be started. Raises BadSettings."""
    if file := xllamacpp_file(command):
        if not file.is_file():
            raise BadSettings(f"serve is {command!r}, and {file} is no file; give a GGUF file")
        if importlib.util.find_spec("xllamacpp") is None:
            raise BadSettings(
                f"serve is {command!r}, and xllamacpp is not installed; pip install"
                " 'gloss-lm[llama-cpp]', or give the command of another server"
            )
        return
    try:
        words = shlex.split(command)
    except ValueError as problem:
        raise BadSettings(f"serve is {command!r}, which is no command: {problem}") from problem
    if not any(PORT in word for word in words):
        raise BadSettings(
            f"serve is {command!r}, wants a command with {PORT} where the port stands, as in"
            f" 'vllm serve MODEL --port {PORT}', or xllamacpp:FILE.gguf"
        )


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
