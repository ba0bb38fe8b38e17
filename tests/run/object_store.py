"""An object store that speaks like Amazon's: a server process on loopback, and a wire to it that
breaks.
"""

import json
import random
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BUCKET = "runs"
KEY, SECRET = "someone", "something"


@dataclass(frozen=True)
class ObjectStore:
    """A store that runs: where it is."""

    address: str

    def environment(self, cache: Path, address: str = "") -> dict[str, str]:
        """The variables with which a command reaches it from a machine with this cache."""
        return {
            "AWS_ENDPOINT_URL": address or self.address,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "GLOSS_CACHE": str(cache),
        }


@contextmanager
def serve_objects(folder: Path) -> Iterator[ObjectStore]:
    """SeaweedFS with one empty bucket; it ends with the block."""
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
    command = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={folder / 'identities.json'}",
        "-volume.max=8",
        "-master.volumeSizeLimitMB=64",
        *(f"-{name}.port={port}" for name, port in ports.items()),
    ]
    with (
        (folder / "server.log").open("w") as said,
        subprocess.Popen(command, stdout=said, stderr=said) as process,
    ):
        try:
            store = ObjectStore(f"http://127.0.0.1:{ports['s3']}")
            wait_until_it_answers(store.address)
            make_bucket(store)
            yield store
        finally:
            process.kill()


def free_port() -> int:
    """A port that nobody uses; neither is the one that its server counts from there."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            if port > 50_000:
                continue
            with suppress(OSError):
                second.bind(("127.0.0.1", port + 10_000))
                return port
    raise OSError("no free port")


def wait_until_it_answers(address: str) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.25)
    raise TimeoutError(address)


def make_bucket(store: ObjectStore) -> None:
    from pyarrow.fs import S3FileSystem

    files = S3FileSystem(
        access_key=KEY,
        secret_key=SECRET,
        region="us-east-1",
        endpoint_override=store.address.removeprefix("http://"),
        scheme="http",
        allow_bucket_creation=True,
    )
    files.create_dir(BUCKET)


@contextmanager
def breaking_wire(address: str, seed: int, share: float = 0.5, most: int = 60_000) -> Iterator[str]:
    """The address of a wire to a server: a share of its connections is reset after a random number
    of bytes, in whichever direction.
    """
    rng, host = random.Random(seed), address.removeprefix("http://").rpartition(":")

    class Wire(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            left = [rng.randrange(most) if rng.random() < share else None]
            with socket.create_connection((host[0], int(host[2]))) as far:
                back = threading.Thread(target=pump, args=(far, self.request, left), daemon=True)
                back.start()
                pump(self.request, far, left)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Wire) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def pump(source: socket.socket, target: socket.socket, left: list[int | None]) -> None:
    """Hand on what comes until the connection is to break."""
    with suppress(OSError):
        while block := source.recv(8192):
            if left[0] is not None:
                left[0] -= len(block)
                if left[0] <= 0:
                    broken.append(1)
                    for end in (source, target):  # a reset, not an end
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    break
            target.sendall(block)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


broken: list[int] = []  # a one for each connection that was reset
