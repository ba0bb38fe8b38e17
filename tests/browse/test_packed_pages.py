"""Pages of many features in few files: the same pages, in chunks that a browser unpacks."""

import base64
import json
import re
import zlib
from functools import cache

import numpy as np
import pytest
from material import DICTIONARY, SUMMARY, VOCABULARY, Material
from playwright.sync_api import expect

from gloss.errors import BadInput
from gloss.pages import packed_folder as packing
from gloss.pages import write_feature_pages
from gloss.pages.index_entries import index_entry
from gloss.pages.packed_folder import (
    PackedWriting,
    PageLink,
    chunk_record,
    finish_packed,
    packed_pages,
)
from gloss.pages.page_folder import feature_page_path, packed_path
from gloss.records import FeatureId

FEATURES, SIZE = 34, 10


@cache
def pages():
    return tuple(Material(FEATURES, both=True).pages(np.random.default_rng(0)))


def never(page, problem):
    raise problem


@cache
def texts():
    return {page.feature: index_entry(page, "", VOCABULARY).text for page in pages()}


def link(feature: FeatureId) -> PageLink | None:
    text = texts().get(feature)
    return None if text is None else PageLink(packed_path(feature.index), text)


def write_packed(folder, key="key", upto=FEATURES, made=None):
    """In chunks of ten; the last, with fewer, is as good as others."""
    every, writing = pages(), []
    with packed_pages(folder, key) as staging:
        for number in range(-(-FEATURES // SIZE)):
            if chunk_record(staging, number).exists():
                continue
            if number * SIZE >= upto:
                raise KeyboardInterrupt
            PackedWriting(staging, SUMMARY, VOCABULARY, link).write_chunk(
                number, every[number * SIZE :][:SIZE], never, lambda n=number: [n]
            )
            writing.append(number)
        assert finish_packed(staging, SUMMARY, 4) == [0, 1, 2, 3]
    return writing


def called(path):
    """What a packed file hands to who loads it."""
    [content] = re.findall(r'^glossChunk\("\w+",\d+,(.*)\);\n$', path.read_text(), re.DOTALL)
    return json.loads(content)


def unpacked(text):
    return zlib.decompress(base64.b64decode(text)).decode()


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "page"
    assert write_packed(folder) == [0, 1, 2, 3]
    return folder


def test_packed_pages_and_rows_are_those_of_files(packed, tmp_path):
    plain = tmp_path / "plain"
    write_feature_pages(plain, SUMMARY, pages(), VOCABULARY)

    def relinked(html):
        return re.sub(r'(?:\.\./\.\./)?features/[^/"]+/(\d+)\.html', r"feature.html#\1", html)

    seen = 0
    for number in range(4):
        for index, body in called(packed / "pages" / f"{number:05d}.js").items():
            path = feature_page_path(plain, DICTIONARY, int(index))
            html = (plain / path).read_text()
            [main] = re.findall(r"<main>\n(.*)</main>", html, re.DOTALL)
            assert unpacked(body) == relinked(main[main.index("<article") :])
            assert feature_page_path(packed, DICTIONARY, int(index)) == f"feature.html#{index}"
            seen += 1
    assert seen == FEATURES
    rows = json.loads(unpacked(called(packed / "index" / "00000.js")))
    data = json.loads((plain / "features.js").read_text()[len("var glossFeatures = ") : -2])
    assert rows == json.loads(relinked(json.dumps(data["rows"])))
    assert len(contents(packed)) < 20


def test_what_was_interrupted_goes_on_and_older_pages_stay_until_the_end(packed, tmp_path):
    folder = tmp_path / "page"
    write_feature_pages(folder, SUMMARY, pages()[:2], VOCABULARY)
    before = contents(folder)
    with pytest.raises(KeyboardInterrupt):
        write_packed(folder, upto=20)
    assert contents(folder) == before
    assert write_packed(folder) == [2, 3]
    assert contents(folder) == contents(packed)
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    with pytest.raises(KeyboardInterrupt):
        write_packed(folder, upto=20)
    assert write_packed(folder, key="of other results") == [0, 1, 2, 3]


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="holds something else than pages"):
        write_packed(tmp_path)


def test_of_very_many_features_the_index_lists_those_with_explanations(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "LISTED", 20)
    write_packed(tmp_path / "page")
    rows = json.loads(unpacked(called(tmp_path / "page" / "index" / "00000.js")))
    states = [index_entry(page, "", VOCABULARY).state.value for page in pages()]
    assert {row[5] for row in rows} == {"explained"}
    assert len(rows) == states.count("explained") < FEATURES
    html = (tmp_path / "page" / "index.html").read_text()
    assert f"The other {FEATURES - len(rows)} have pages, too" in html
    assert f"{FEATURES} features of" in html


@pytest.mark.browser
def test_a_browser_finds_every_feature_and_turns_the_pages(packed, visitor_of):
    visitor = visitor_of(packed)
    page = visitor.visit("index.html")
    expect(page.locator("#found")).to_have_text(f"{FEATURES} of {FEATURES} features")
    page.fill("#search", "CLOSING brack")
    found = page.locator("#features tbody td.words").all_inner_texts()
    assert found
    assert all("the closing bracket of a call" in text for text in found)
    words = page.locator("#features tbody a").first.inner_text()
    page.locator("#features tbody a").first.click()
    expect(page.locator("h1")).to_have_text(words)
    page = visitor.visit("feature.html#9")
    expect(page.locator("#index")).to_have_text("9")
    for key, index in (("j", 10), ("j", 11), ("k", 10), ("k", 9), ("k", 8)):
        page.keyboard.press(key)
        expect(page.locator("#index")).to_have_text(str(index))
        assert page.url.endswith(f"feature.html#{index}")
        assert page.title() == f"{DICTIONARY}/{index} · gloss"
    page = visitor.visit(f"feature.html#{FEATURES - 1}")
    expect(page.locator("a[rel=prev]")).to_have_text(f"← {FEATURES - 2}")
    assert page.locator("a[rel=next]").get_attribute("href") is None
    page.keyboard.press("r")
    expect(page.locator("article")).to_be_visible()
    page = visitor.visit("feature.html#4711")
    expect(page.locator("main")).to_contain_text("There is no page of this feature")


@pytest.mark.browser
def test_how_contexts_are_set_stays_from_page_to_page(packed, visitor_of):
    page = visitor_of(packed).visit("feature.html#0")
    expect(page.locator("#aligned")).to_be_checked()
    page.keyboard.press("f")
    expect(page.locator("#full")).to_be_checked()
    page.keyboard.press("j")
    expect(page.locator("#index")).to_have_text("1")
    expect(page.locator("#full")).to_be_checked()
