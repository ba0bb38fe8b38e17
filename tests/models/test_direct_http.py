"""HTTP as servers speak it, by the way that goes without httpx, and where that one is left."""

import asyncio
import gzip
import json
import os
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest

from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.connection import is_direct
from gloss.models.chat_models.direct_http import DirectConnection
from models.servers import completion
from models.talks import asking_text

ASKS = """
import sys
import numpy as np
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Message, Prompt

def talk(text):
    [answer] = yield [Prompt((Message("user", text),))]
    return answer.text or answer.detail

said = Chat("m", sys.argv[1], max_attempts=1).run(map(talk, "abc"), np.random.default_rng(0))
print(said, "httpx" in sys.modules)
"""


class Handler(BaseHTTPRequestHandler):
    """Answers in the manner that the path begins with."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[set[int]] = set()

    def do_POST(self) -> None:
        manner = self.path.split("/")[1]
        self.rfile.read(int(self.headers["content-length"]))
        self.connections.add(id(self.connection))
        if manner == "moved":
            self.send_response(307)
            self.send_header("Location", "/there" + self.path.removeprefix("/moved"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = json.dumps(completion(manner)).encode()
        self.send_response_only(100)
        self.end_headers()
        self.send_response(200)
        if manner == "packed":
            content = gzip.compress(content)
            self.send_header("Content-Encoding", "gzip")
        if manner == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (content[:10], content[10:], b""):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            return
        if manner != "until_closed":
            self.send_header("Content-Length", str(len(content)))
        if manner in ("closing", "until_closed"):
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        if manner == "tired":  # of what nobody asked for, and then no more
            self.wfile.flush()
            time.sleep(0.1)
            self.wfile.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class ThreadingServer(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True


@contextmanager
def served(certificate: Path | None = None):
    """The address of a server in threads of its own."""
    Handler.connections = set()
    with ThreadingServer(("127.0.0.1", 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{'https' if certificate else 'http'}://localhost:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("manner", "says", "connections"),
    [
        ("plain", "plain", 1),
        ("packed", "packed", 1),
        ("chunked", "chunked", 1),
        ("closing", "closing", 4),
        ("until_closed", "until_closed", 4),
        ("moved", "there", 2),
    ],
)
def test_replies_come_whole_in_whatever_manner_they_are_sent(rng, manner, says, connections):
    with served() as address:
        chat = Chat("m", f"{address}/{manner}/v1", max_concurrent_requests=1, max_attempts=1)
        found = chat.run([asking_text(str(number)) for number in range(4)], rng)
        assert [answer.text for [answer] in found] == [says] * 4
        assert len(Handler.connections) <= connections


def test_a_connection_that_ended_meanwhile_with_a_last_word_is_made_anew():
    """No attempt is lost on it, and its last word is taken for no reply."""

    async def asked_twice(address: str) -> list[int]:
        connection = DirectConnection(address, None)
        headers = [("Content-Type", "application/json")]
        found = []
        for _ in range(3):
            found.append((await connection.post(f"{address}/tired/v1", headers, b"{}")).status)
            await asyncio.sleep(0.4)
        await connection.aclose()
        return found

    # in a thread of its own: a browser of other tests may have left this one with a running loop
    with served() as address, ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: asyncio.run(asked_twice(address))).result() == [200, 200, 200]


def test_a_server_is_asked_by_tls_whose_certificate_the_environment_names(tmp_path):
    file = tmp_path / "both.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    try:
        subprocess.run([*made, *names, "-keyout", file, "-out", tmp_path / "c"], check=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    with file.open("a") as both:
        both.write((tmp_path / "c").read_text())

    def asked(url: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", ASKS, url],
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr

    with served(file) as address:
        assert "['tls', 'tls', 'tls']" in asked(f"{address}/tls/v1", SSL_CERT_FILE=str(file))
        assert "CERTIFICATE_VERIFY_FAILED" in asked(f"{address}/tls/v1")
    with served() as address:
        assert asked(f"{address}/plain/v1") == "['plain', 'plain', 'plain'] False\n"


def test_where_there_may_be_a_proxy_httpx_is_asked(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert is_direct("http://gpu-7:8000/v1")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert not is_direct("http://gpu-7:8000/v1")
    assert is_direct("http://localhost:8000/v1")
    assert not is_direct("http://bücher.example/v1")
