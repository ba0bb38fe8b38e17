"""The site: built strictly, so that each link and anchor leads somewhere, and loads nothing."""

import os
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import gloss
import gloss.records

pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed; pip install '.[docs]'")

ROOT = Path(__file__).parents[1]
VERBS = ("decompose", "sample", "explain", "score", "attribute")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def documented(site) -> set[str]:
    """Every name that the reference has an entry of."""
    inventory = (site / "objects.inv").read_bytes()
    entries = zlib.decompress(inventory.split(b"\n", 4)[4]).decode().splitlines()
    return {line.split(" ", 1)[0] for line in entries}


def test_the_reference_holds_the_front_door_all_records_and_all_methods(documented):
    door = {f"gloss.{name}" for name in gloss.__all__ if not name.startswith("__")}
    records = {
        f"{kind.__module__}.{kind.__name__}"
        for name in gloss.records.__all__
        if callable(kind := getattr(gloss.records, name))
    }
    points = [point for verb in VERBS for point in entry_points(group=f"gloss.{verb}")]
    methods = {
        point.value.replace(":", ".") for point in points if point.module.startswith("gloss.")
    }
    assert len(methods) > 20
    assert sorted((door | records | methods) - documented) == []


class Loaded(HTMLParser):
    """What a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        wanted = {"link": "href", "script": "src", "img": "src", "iframe": "src"}.get(tag)
        if wanted and given.get(wanted):
            self.addresses.append(given[wanted])


def test_pages_load_nothing_from_elsewhere_and_show_no_escapes(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text()
        loaded = Loaded()
        loaded.feed(text)
        assert [one for one in loaded.addresses if re.match(r"(https?:)?//", one)] == [], page
        assert r"\|" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL), page
