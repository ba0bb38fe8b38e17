"""A hub by itself: `python hub_server.py FOLDER` prints its port and serves the repositories in the
folder, FOLDER/owner/name/FILES, by the paths of the hub's API.

A repository's commits stand in FOLDER/owner/name.json, as {"main": COMMIT}. What is asked for is
written to FOLDER/requests.txt; a path in FOLDER/cut.txt is sent half, once;
with a FOLDER/down.txt it answers everything with 503.
"""

import hashlib
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

FOLDER = Path(sys.argv[1])
LISTING = re.compile(r"/api/models/(?P<name>[^/]+/[^/]+?)(?:/revision/(?P<revision>[^/?]+))?")
FILE = re.compile(r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        with (FOLDER / "requests.txt").open("a") as file:
            file.write(f"{self.command} {self.path} {self.headers.get('Range', '')}\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        if (FOLDER / "down.txt").exists():
            self.refuse("Unavailable", 503)
            return
        for pattern, answer in ((LISTING, self.list_files), (FILE, self.send_file)):
            if (found := pattern.fullmatch(path)) and self.commit_of(**found.groupdict()):
                answer(self.commit_of(**found.groupdict()), **found.groupdict())
                return
        self.refuse("RepoNotFound" if LISTING.fullmatch(path) else "EntryNotFound")

    def commit_of(self, name: str, revision: str | None, file: str = "") -> str:
        stated = FOLDER / f"{name}.json"
        known = json.loads(stated.read_text()) if stated.is_file() else {}
        return known.get(revision or "main", revision if revision in known.values() else "")

    def refuse(self, code: str, status: int = 404) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def list_files(self, commit: str, name: str, revision: str | None) -> None:
        root = FOLDER / name
        files = [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]
        listed = {"id": name, "sha": commit, "siblings": [{"rfilename": file} for file in files]}
        self.send(json.dumps(listed).encode(), content_type="application/json")

    def send_file(self, commit: str, name: str, revision: str, file: str) -> None:
        path = FOLDER / name / file
        if not path.is_file():
            self.refuse("EntryNotFound")
            return
        content = path.read_bytes()
        headers = {
            "X_Repo_Commit": commit,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept_Ranges": "bytes",
        }
        cut = FOLDER / "cut.txt"
        if self.command == "GET" and cut.is_file() and cut.read_text() == file:
            cut.unlink()
            self.send_response(200)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        begins = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if begins:
            first, last = int(begins[1]), len(content) - 1
            headers["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
            self.send(content[first:], 206, **headers)
            return
        self.send(content, **headers)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    print(server.server_port, flush=True)
    server.serve_forever()
