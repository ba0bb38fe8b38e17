import json
import re
from dataclasses import replace

import numpy as np
import pytest
from material import DICTIONARY, SUMMARY, VOCABULARY, Material

from gloss.errors import BadInput
from gloss.pages import FeaturePage, FeatureState, Statistics, write_feature_pages
from gloss.records import Explanation, Failure, FeatureId, Reason

INACTIVE = Statistics(0, 0.0, 0.0, np.zeros(0), np.zeros(0, np.int64))
ALIVE = Statistics(5, 0.1, 2.0, np.array([0.0, 1.0, 2.0]), np.array([4, 1]))


def data(folder) -> dict:
    return json.loads(
        (folder / "features.js")
        .read_text()
        .removeprefix("var glossFeatures = ")
        .removesuffix(";\n")
    )


def bare(index: int, dictionary: str = "d", **more) -> FeaturePage:
    return FeaturePage(FeatureId(dictionary, index), **({"statistics": ALIVE} | more))


def test_the_index_is_returned_and_every_feature_has_a_page(tmp_path, rng):
    index = write_feature_pages(tmp_path / "pages", SUMMARY, Material(20).pages(rng), VOCABULARY)
    assert index == tmp_path / "pages" / "index.html"
    paths = [row[0] for row in data(index.parent)["rows"]]
    assert len(paths) == 20
    assert all((index.parent / path).is_file() for path in paths)


def test_pages_are_small(pages_folder):
    assert max(page.stat().st_size for page in pages_folder.rglob("features/*/*.html")) <= 64_000


def test_nothing_leads_outside_the_folder(pages_folder):
    for page in (pages_folder / "index.html", *pages_folder.rglob("features/*/*.html")):
        links = re.findall(r'(?:href|src)="([^"]*)"', page.read_text())
        local = [link for link in links if link != "#"]
        assert local
        assert all(
            (page.parent / link).resolve().is_file() and ":" not in link for link in local
        ), page


def test_text_of_tokens_and_explanations_never_becomes_markup(tmp_path):
    nasty = "</script><b>'\"&amp;"
    page = bare(
        0,
        explanations=(Explanation(FeatureId("d", 0), nasty, "rule", nasty),),
        failures=(Failure(FeatureId("d", 0), "explain", Reason.REFUSED, nasty),),
        promoted_tokens=((nasty, 1.0),),
        neighbours=((FeatureId("d", 1), 0.5),),
    )
    other = bare(1, explanations=(Explanation(FeatureId("d", 1), nasty, "rule"),))
    index = write_feature_pages(
        tmp_path / "pages", replace(SUMMARY, subject=nasty), [page, other], VOCABULARY
    )
    for html in index.parent.rglob("*.html"):
        text = html.read_text()
        assert "</script><b>" not in text
        assert "&lt;/script&gt;&lt;b&gt;&#39;&#34;&amp;amp;" in text


def test_text_that_no_encoding_knows_is_written_all_the_same(tmp_path):
    page = bare(0, explanations=(Explanation(FeatureId("d", 0), "half \ud800 a pair", "words"),))
    index = write_feature_pages(tmp_path / "pages", SUMMARY, [page], VOCABULARY)
    assert "half ? a pair" in (index.parent / "features/d/0.html").read_text()


def test_features_are_linked_to_the_previous_and_the_next(pages_folder):
    text = (pages_folder / "features/resid_post.2-topk/5.html").read_text()
    assert re.search(r'rel="prev" href="../../features/resid_post.2-topk/4.html"', text)
    assert re.search(r'rel="next" href="../../features/resid_post.2-topk/6.html"', text)


def test_random_links_lead_through_every_feature_once(tmp_path):
    index = write_feature_pages(
        tmp_path / "pages", SUMMARY, (bare(i) for i in range(30)), VOCABULARY
    )
    seen, at = [], 0
    while at not in seen:
        seen.append(at)
        text = (index.parent / f"features/d/{at}.html").read_text()
        at = int(re.search(r'class="random" href="[^"]*/(\d+).html"', text)[1])
    assert sorted(seen) == list(range(30))


def test_neighbours_are_named_by_their_explanations_even_if_they_come_later(tmp_path):
    first = bare(0, neighbours=((FeatureId("d", 1), 0.87), (FeatureId("d", 9), 0.5)))
    second = bare(1, explanations=(Explanation(FeatureId("d", 1), "closing brackets", "rule"),))
    index = write_feature_pages(tmp_path / "pages", SUMMARY, [first, second], VOCABULARY)
    text = (index.parent / "features/d/0.html").read_text()
    assert re.search(
        r'\.87</span><a href="../../features/d/1.html"><b>1</b> closing brackets</a>', text
    )
    assert re.search(r'Without a page in this run: <span title="cosine \.50">9</span></p>', text)


@pytest.mark.parametrize(
    "page, state, sentence",
    [
        (bare(0, statistics=INACTIVE), FeatureState.INACTIVE, "It never fired."),
        (
            bare(
                0,
                failures=(
                    Failure(
                        FeatureId("d", 0), "explain", Reason.NO_RULE_FOUND, "best gained 3 bits"
                    ),
                ),
            ),
            FeatureState.FAILED,
            "No rule was found that predicts it well enough to be worth stating.",
        ),
        (bare(0), FeatureState.FAILED, "Nobody has been asked to explain it."),
    ],
)
def test_features_without_an_explanation_say_why(tmp_path, page, state, sentence):
    index = write_feature_pages(tmp_path / "pages", SUMMARY, [page], VOCABULARY)
    text = (index.parent / "features/d/0.html").read_text()
    assert f"<h1>{sentence}</h1>" in text
    assert all(failure.detail in text for failure in page.failures)
    assert data(index.parent)["rows"][0][5] == state.value


def test_the_page_tells_scores_with_intervals_failures_and_controls(pages_folder):
    text = (pages_folder / "features/resid_post.2-topk/0.html").read_text()
    assert re.search(
        r"F1 \.\d\d \(\.\d\d–\.\d\d\), n = 524,288 tokens, 0 failed; with another feature’s"
        r" explanation: \.\d\d; "
        r"with explanations exchanged among features: \.\d\d\.",
        text,
    )
    assert "n = 100, 3 failed" in text


def test_the_index_gives_medians_beside_their_controls(tmp_path, rng):
    pages = list(Material(40).pages(rng))
    index = write_feature_pages(tmp_path / "pages", SUMMARY, pages, VOCABULARY)
    values = [page.scores[0].estimates["f1"].value for page in pages if page.scores]
    without = sum(page.statistics.count > 0 for page in pages) - len(values)
    assert without > 0
    text = index.read_text()
    for middle, then in (
        (np.median(values + [0.0] * without), " <small>median"),
        (np.median(values), "</p>"),
    ):
        assert f"{middle:.2f}".removeprefix("0") + then in text
    assert f"{without} without an explanation or a score count as 0" in text
    assert f"In the median over {len(values) + without} features" in text
    assert re.search(r"with another feature’s explanation: \.0\d", text)


def test_dictionaries_with_similar_names_never_share_a_page(tmp_path):
    pages = [bare(0, "a/b"), bare(0, "a b"), bare(0, "A-B"), bare(0, "../..")]
    index = write_feature_pages(tmp_path / "pages", SUMMARY, pages, VOCABULARY)
    rows = data(index.parent)["rows"]
    assert len({row[0].lower() for row in rows}) == 4
    assert [row[1] for row in rows] == ["a/b/0", "a b/0", "A-B/0", "../../0"]
    assert all(
        (index.parent / row[0]).resolve().is_relative_to(index.parent.resolve()) for row in rows
    )


def test_missing_numbers_are_null_and_never_nan(tmp_path, rng):
    pages = [
        replace(page, statistics=replace(page.statistics, strongest=float("nan")))
        for page in Material(5).pages(rng)
    ]
    write_feature_pages(tmp_path / "pages", SUMMARY, pages, VOCABULARY)
    assert "NaN" not in (tmp_path / "pages" / "features.js").read_text()


def test_progress_is_told_after_each_page(tmp_path, rng):
    told = []
    write_feature_pages(
        tmp_path / "pages", SUMMARY, Material(4).pages(rng), VOCABULARY, told.append
    )
    assert told == [1, 2, 3, 4]


def test_pages_are_written_as_they_come(tmp_path):
    seen = []

    def stream():
        for i in range(3):
            seen.append(len(list(tmp_path.rglob("features/d/*.html"))))
            yield bare(i)

    write_feature_pages(tmp_path / "pages", SUMMARY, stream(), VOCABULARY)
    assert seen == [0, 1, 2]


def test_an_older_set_of_pages_is_replaced_as_a_whole(tmp_path):
    write_feature_pages(tmp_path / "pages", SUMMARY, [bare(0), bare(1)], VOCABULARY)
    write_feature_pages(tmp_path / "pages", SUMMARY, [bare(1)], VOCABULARY)
    assert not (tmp_path / "pages/features/d/0.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]


def test_pages_that_fail_midway_leave_the_older_ones_alone(tmp_path):
    def broken():
        yield bare(7)
        raise ValueError("a record cannot be read")

    write_feature_pages(tmp_path / "pages", SUMMARY, [bare(0)], VOCABULARY)
    with pytest.raises(ValueError, match="cannot be read"):
        write_feature_pages(tmp_path / "pages", SUMMARY, broken(), VOCABULARY)
    assert (tmp_path / "pages/features/d/0.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(
        BadInput, match="holds something else than pages; give a new or an empty folder"
    ):
        write_feature_pages(tmp_path, SUMMARY, [bare(0)], VOCABULARY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "pages").mkdir()
    assert write_feature_pages(tmp_path / "pages", SUMMARY, [bare(0)], VOCABULARY).exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        BadInput, match=r"cannot write .*; choose a folder that can be written and has space"
    ):
        write_feature_pages(tmp_path / "file" / "pages", SUMMARY, [bare(0)], VOCABULARY)


def test_a_run_without_features_has_an_index_that_says_so(tmp_path):
    index = write_feature_pages(tmp_path / "pages", SUMMARY, [], VOCABULARY)
    assert "0 features of" in index.read_text()


def test_a_histogram_needs_one_edge_more_than_bins():
    with pytest.raises(ValueError, match="2 bins need 3 edges, got 2"):
        Statistics(5, 0.1, 2.0, np.array([0.0, 1.0]), np.array([4, 1]))


def test_the_page_names_its_dictionary(pages_folder):
    assert DICTIONARY in (pages_folder / "features/resid_post.2-topk/0.html").read_text()


def test_what_speaks_against_a_judge_stands_on_the_index_and_on_every_feature(tmp_path):
    doubted = replace(SUMMARY, doubts=("The judge of <detection> said yes to all 480 contexts.",))
    for summary, wanted in ((doubted, 1), (SUMMARY, 0)):
        folder = write_feature_pages(
            tmp_path / str(wanted), summary, [bare(0), bare(1)], VOCABULARY
        ).parent
        for html in (folder / "index.html", *folder.rglob("features/*/*.html")):
            assert (
                html.read_text().count(
                    "The judge of &lt;detection&gt; said yes to all 480 contexts."
                )
                == wanted
            )
