"""A folder of pages, written once, and a browser that may reach nothing else."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from material import FEATURES, SUMMARY, VOCABULARY, Material
from playwright.sync_api import Browser, Page, sync_playwright

from gloss.pages import write_feature_pages

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Visitor:
    """One page of a browser, with everything that it asked for and complained of."""

    page: Page
    folder: Path
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def visit(self, path: str) -> Page:
        self.page.goto(
            (self.folder / path).as_uri() if "#" not in path else self.folder.as_uri() + "/" + path
        )
        return self.page

    def feature(self, index: int) -> Page:
        return self.visit(f"features/resid_post.2-topk/{index}.html")


@pytest.fixture(scope="session")
def pages_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "pages"
    write_feature_pages(
        folder, SUMMARY, Material(FEATURES, both=True).pages(np.random.default_rng(0)), VOCABULARY
    )
    return folder


@pytest.fixture(scope="session")
def browser():
    chromium = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if chromium is None:
        pytest.skip("no chromium on the path; install one to test the pages in a browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visitor_of(browser: Browser):
    """A visitor of any folder.

    In the end it must have asked for files only, and complained of nothing.
    """
    contexts, visitors = [], []

    def make(folder: Path, **options) -> Visitor:
        contexts.append(
            browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        )
        visitor = Visitor(contexts[-1].new_page(), folder)
        visitor.page.on("request", lambda request: visitor.requests.append(request.url))
        visitor.page.on(
            "console",
            lambda message: (
                visitor.complaints.append(message.text) if message.type == "error" else None
            ),
        )
        visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        visitor.page.on(
            "dialog", lambda dialog: (visitor.complaints.append(dialog.message), dialog.dismiss())
        )
        visitors.append(visitor)
        return visitor

    yield make
    for context in contexts:
        context.close()
    for visitor in visitors:
        assert [
            url for url in visitor.requests if not url.startswith(visitor.folder.as_uri())
        ] == []
        assert visitor.complaints == []


@pytest.fixture
def visitor(visitor_of, pages_folder) -> Visitor:
    return visitor_of(pages_folder)
