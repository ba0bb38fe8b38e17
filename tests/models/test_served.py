"""A server that gloss starts answers, and is gone with gloss, however that ends."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gloss.errors import BadSettings, Unreachable
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Message, Prompt

SERVERS = Path(__file__).with_name("servers.py")
# a server that leaves a process of its own behind it, and says what its number is
LEAVING = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1] + ".child", "w").write(str(child.pid))
exec(compile(open(sys.argv[1] + ".py").read(), "servers.py", "exec"))
"""
ASKS = """
import sys
import numpy as np
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Message, Prompt

def talk():
    [answer] = yield [Prompt((Message("user", "q"),))]
    return answer.text

if __name__ == "__main__":
    print(Chat("m", serve=sys.argv[1]).run([talk()], np.random.default_rng(0)), flush=True)
    if sys.argv[2] == "waits":
        import time
        time.sleep(600)
"""


def serve_command(log, **settings):
    """How the scripted server is started by its command line."""
    given = json.dumps(settings | {"port": 0}).replace('"port": 0', '"port": {port}')
    return shlex.join([sys.executable, str(SERVERS), str(log), given])


def talk(text):
    [answer] = yield [Prompt((Message("user", text),))]
    return answer.text


def alive(number):
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_is_started_once_and_answers(tmp_path):
    chat = Chat("m", serve=serve_command(tmp_path / "log", answer="parrot"))
    for word in ("one", "two"):
        assert chat.run([talk(word)], np.random.default_rng(0)) == [word]
    assert [json.loads(line)["prompt"] for line in (tmp_path / "log").read_text().splitlines()] == [
        "one",
        "two",
    ]
    assert chat.where.startswith("the server of '")


def test_a_server_that_dies_is_quoted(tmp_path):
    script = "import sys; print('no memory for', sys.argv[1]); sys.exit(3)"
    chat = Chat("m", serve=shlex.join([sys.executable, "-c", script, "port {port}"]))
    with pytest.raises(
        Unreachable,
        match=r"ended with code 3 before it answered; it printed last: no memory for port",
    ):
        chat.run([talk("q")], np.random.default_rng(0))
    with pytest.raises(Unreachable, match="no-such-server: No such file or directory"):
        Chat("m", serve="no-such-server {port}").run([talk("q")], np.random.default_rng(0))


@pytest.mark.parametrize(
    "command, words",
    [
        ("llama-server -m m.gguf", r"wants a command with \{port\}"),
        ("llama-server 'm.gguf {port}", "which is no command"),
        ("xllamacpp:nowhere.gguf", "nowhere.gguf is no file"),
    ],
)
def test_a_command_that_cannot_be_is_refused(command, words):
    with pytest.raises(BadSettings, match=words):
        Chat("m", serve=command)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
@pytest.mark.parametrize("how", ["ends", signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_is_gone_with_gloss_and_so_is_what_it_started(tmp_path, how):
    (tmp_path / "leaving.py").write_text(LEAVING)
    (tmp_path / "log.py").write_text(SERVERS.read_text())
    (tmp_path / "asks.py").write_text(ASKS)
    serve = serve_command(tmp_path / "log").replace(str(SERVERS), str(tmp_path / "leaving.py"))
    waits = "no" if how == "ends" else "waits"
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "asks.py"), serve, waits],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as asking:
        assert asking.stdout.readline().startswith("['echo")
        child = int((tmp_path / "log.child").read_text())
        if how == "ends":
            asking.wait(30)
        else:
            assert alive(child)
            os.kill(asking.pid, how)
            asking.wait(30)
    until = time.monotonic() + 20
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)
