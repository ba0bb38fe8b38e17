"""The pages as chromium shows them: from files, without a network.

By mouse and by keyboard, by day and by night.
"""

import re

import numpy as np
import pytest
from material import FEATURES, SUMMARY, VOCABULARY, Material
from playwright.sync_api import Page, expect

from gloss.pages import write_feature_pages

pytestmark = pytest.mark.browser


def rows(page: Page) -> list[str]:
    return page.locator("#features tbody tr td.number").all_inner_texts()


def scores(page: Page) -> list[float]:
    texts = page.locator("#features tbody td.value .n").all_inner_texts()
    return [float("nan") if text == "–" else float(text) for text in texts]


def slide(page: Page, name: str, end: int, value: int) -> None:
    page.locator(f"#{name}-range input").nth(end).evaluate(
        "(x, v) => { x.value = v; x.dispatchEvent(new Event('input')) }", value
    )


def all_rows(page: Page) -> Page:
    page.evaluate(
        "async () => { for (let i = 0; i < 60; i++) { scrollTo(0, 1e9); await new"
        " Promise(requestAnimationFrame); } }"
    )
    return page


def test_the_index_lists_every_feature_when_scrolled(visitor):
    page = all_rows(visitor.visit("index.html"))
    assert rows(page) == [str(i) for i in range(FEATURES)]


def test_search_finds_words_of_explanations_and_of_contexts(visitor):
    page = visitor.visit("index.html")
    page.fill("#search", "CLOSING brack")
    found = page.locator("#features tbody td.words").all_inner_texts()
    assert found
    assert all("the closing bracket of a call" in text for text in found)
    page.fill("#search", "no such words anywhere")
    assert page.locator("#none").is_visible()
    page.click("#none button")
    expect(page.locator("#found")).to_have_text(f"{FEATURES} of {FEATURES} features")


def test_scores_sort_both_ways_and_missing_ones_come_last(visitor):
    page = all_rows(visitor.visit("index.html"))
    for arrow in ("descending", "ascending"):
        page.click("[data-sort=score]")
        assert page.locator("th.value").get_attribute("aria-sort") == arrow
        values = np.array(scores(all_rows(page)))
        known = values[~np.isnan(values)]
        assert (np.diff(known) * (1 if arrow == "ascending" else -1) >= 0).all()
        assert np.isnan(values[len(known) :]).all()
        assert len(known) < FEATURES


def test_density_and_words_sort_too(visitor):
    page = visitor.visit("index.html")
    page.click("[data-sort=density]")
    shares = page.evaluate(
        "[...document.querySelectorAll('td.density .fill')].map(x => parseFloat(x.style.width))"
    )
    assert shares == sorted(shares, reverse=True)
    page.click("[data-sort=text]")
    texts = [text.lower() for text in page.locator("tr.explained td.words").all_inner_texts()]
    assert texts == sorted(texts)


def test_scores_filter(visitor):
    page = visitor.visit("index.html")
    slide(page, "score", 0, 70)
    values = scores(all_rows(page))
    assert 0 < len(values) < FEATURES
    assert min(values) >= 0.70
    slide(page, "score", 1, 80)
    assert max(scores(all_rows(page))) <= 0.80
    assert page.locator("#score-range output").inner_text() == ".70 to .80"


def test_density_filters_and_hides_the_inactive(visitor):
    page = visitor.visit("index.html")
    slide(page, "density", 0, -30)
    shares = page.evaluate("glossFeatures.rows.filter(row => row[7] >= 1e-3).length")
    assert page.locator("#found").inner_text().startswith(f"{shares} of")
    assert page.locator("tr.inactive").count() == 0


def test_states_filter(visitor):
    page = visitor.visit("index.html")
    page.click("[data-state=inactive]")
    assert (
        page.locator("tr.inactive").count()
        == len(rows(page))
        == len([i for i in range(FEATURES) if i % 15 == 7])
    )
    page.click("[data-state=failed]")
    assert "too few contexts" in page.locator("tr.failed td.words").first.inner_text()


def test_another_score_can_be_picked(visitor):
    page = visitor.visit("index.html")
    page.select_option("#column", "1")
    assert "Balanced accuracy" in page.locator("#column option:checked").inner_text()
    assert (
        page.locator("tr.explained td.words").first.inner_text()
        == "Names of exceptions that are raised in library code."
    )
    assert scores(page)[0] >= 0.5


def test_filters_live_in_the_address_and_come_back(visitor):
    page = visitor.visit("index.html")
    page.fill("#search", "self")
    page.click("[data-sort=score]")
    before = rows(page)
    page.locator("#features tbody tr").first.click()
    page.wait_for_url(re.compile("features/"))
    page.click(".mark")
    page.wait_for_url(re.compile("index.html"))
    assert page.input_value("#search") == "self"
    assert rows(page) == before


def test_an_address_made_of_nonsense_shows_everything(visitor):
    page = visitor.visit("index.html#score=9,hello&sort=constructor&column=99&state=odd&density=1")
    expect(page.locator("#found")).to_have_text(f"{FEATURES} of {FEATURES} features")


def test_keys_lead_through_the_index(visitor):
    page = visitor.visit("index.html")
    page.keyboard.press("/")
    page.keyboard.type("dunder")
    assert page.input_value("#search") == "dunder"
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    wanted = rows(page)[1]
    assert page.locator("tr.selected td.number").inner_text() == wanted
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/{wanted}.html"))


def test_keys_lead_from_feature_to_feature(visitor):
    page = visitor.feature(5)
    for key, expected in (("j", 6), ("ArrowRight", 7), ("k", 6), ("ArrowLeft", 5)):
        page.keyboard.press(key)
        page.wait_for_url(re.compile(f"/{expected}.html"))
    page.keyboard.press("/")
    page.wait_for_url(re.compile("index.html"))
    assert page.evaluate("document.activeElement.id") == "search"


def test_random_leads_to_another_feature(visitor):
    page = visitor.feature(5)
    page.keyboard.press("r")
    page.wait_for_url(lambda url: "features/" in url and not url.endswith("/5.html"))
    page.click(".mark")
    page.wait_for_url(re.compile("index.html"))
    page.click("#random")
    page.wait_for_url(re.compile("features/"))


def test_tokens_stay_text(visitor):
    page = visitor.feature(0)
    assert "</script><b>" in page.locator(".firing").inner_text()
    assert page.locator("img, script:not([src]), .context b b").count() == 0
    index = visitor.visit("index.html")
    assert index.locator("img, script:not([src])").count() == 0


def test_a_token_tells_its_activation_at_once(visitor):
    page = visitor.feature(0)
    token = page.locator(".context b.h9").first
    tooltip = token.get_attribute("title")
    token.hover()
    assert page.locator(".tip").inner_text() == tooltip
    assert re.fullmatch(r"\S+  [\d.]+", tooltip)


def test_peaks_stand_under_each_other_until_the_full_text_is_asked_for(visitor):
    page = visitor.feature(0)
    lefts = (
        "[...document.querySelectorAll('.firing > .contexts .after')].map(x =>"
        " Math.round(x.getBoundingClientRect().left))"
    )
    assert len(set(page.evaluate(lefts))) == 1
    page.keyboard.press("f")
    assert page.locator("#full").is_checked()
    assert len(set(page.evaluate(lefts))) > 1
    page.keyboard.press("j")
    page.wait_for_url(re.compile("/1.html"))
    assert page.locator("#full").is_checked()


def test_what_a_feature_makes_the_subject_say_stands_beside_a_random_direction(visitor):
    effects = visitor.feature(0).locator(".effects")
    expect(effects.locator("h2")).to_contain_text(
        "amplified as far as moves the next token by 1 nat"
    )
    first = effects.locator("> .moved li").first
    expect(first).to_contain_text("2.50 (1.25–3.75)")
    assert first.get_attribute("title").endswith("probability 0.001 → 0.012")
    assert effects.locator("> .passages tbody tr").first.locator("td").all_inner_texts()[1:] == [
        " x",
        " None</b>",
    ]
    effects.locator("summary").click()
    weaker = effects.locator("details")
    assert weaker.locator("h3").all_inner_texts()[::2] == [
        "The feature: rises .10 nats (.09–.11)",
        "A random direction: rises .10 nats (.09–.11)",
    ]
    prompt, clean, edited, random = weaker.locator("tbody tr").first.locator("td").all_inner_texts()
    assert prompt.startswith("…")
    assert (clean, edited, random) == (" x", " None</b>", "↵⇥len")


def test_feature_pages_need_no_script(visitor_of, pages_folder):
    page = visitor_of(pages_folder, java_script_enabled=False).feature(0)
    assert page.locator(".firing .context b").count() > 20
    page.click(".switch label:nth-of-type(2)")
    page.click("a.random")
    page.click("a[rel=prev], a[rel=next]")
    assert "/features/" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_every_shade(visitor_of, pages_folder, scheme):
    page = visitor_of(pages_folder, color_scheme=scheme).feature(0)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) == 11
    assert min(contrasts) >= 4.5, contrasts


def test_night_is_dark(visitor_of, pages_folder):
    light, dark = (
        visitor_of(pages_folder, color_scheme=scheme)
        .visit("index.html")
        .evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    )
    assert sum(map(int, re.findall(r"\d+", light))) > 600
    assert sum(map(int, re.findall(r"\d+", dark))) < 150


@pytest.mark.parametrize(
    "path", ["index.html", "features/resid_post.2-topk/0.html", "features/resid_post.2-topk/7.html"]
)
def test_nothing_is_wider_than_a_telephone(visitor_of, pages_folder, path):
    page = visitor_of(pages_folder, viewport={"width": 390, "height": 844}).visit(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_two_thousand_features_are_searched_at_every_keystroke(visitor_of, tmp_path, rng):
    folder = write_feature_pages(
        tmp_path / "pages", SUMMARY, Material(30).pages(rng), VOCABULARY
    ).parent
    text = (folder / "features.js").read_text()
    body = text[text.index('"rows":[') + len('"rows":[') : text.rindex("]}")]
    (folder / "features.js").write_text(text.replace(body, ",".join([body] * 80)))
    page = visitor_of(folder).visit("index.html")
    expect(page.locator("#found")).to_have_text("2,400 of 2,400 features")
    assert len(rows(page)) < 200
    page.fill("#search", "dunder")
    expect(page.locator("#found")).not_to_have_text("2,400 of 2,400 features")
    page.keyboard.press("Escape")
    assert len(rows(page)) > 0


def test_an_empty_run_can_be_opened(visitor_of, tmp_path):
    write_feature_pages(tmp_path / "pages", SUMMARY, [], VOCABULARY)
    page = visitor_of(tmp_path / "pages").visit("index.html")
    expect(page.locator("#found")).to_have_text("0 of 0 features")


# Each shade painted over the page by the browser itself, against the ink: WCAG's ratio.
CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const paint = (...colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const linear = x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.map(x => linear(x / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = getComputedStyle(document.body).backgroundColor;
  const ratio = (name) => {
    const token = document.createElement('b');
    token.className = name;
    document.querySelector('.context p').append(token);
    const style = getComputedStyle(token);
    const [a, b] = [light(paint(paper, style.backgroundColor)), light(paint(style.color))].sort();
    token.remove();
    return (b + 0.05) / (a + 0.05);
  };
  const names = [1, 2, 3, 4, 5, 6, 7, 8, 9].map(n => 'h' + n).concat(['h9 cold', 'h5 cold']);
  return names.map(ratio);
}"""
