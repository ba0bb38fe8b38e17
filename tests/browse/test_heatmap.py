import numpy as np
import pytest

from gloss.pages.heatmap import Palette, heat_levels, paint_context, spell_characters, visible_text
from gloss.records import PADDING, Contexts
from gloss.store.vocabulary import Vocabulary

VOCABULARY = Vocabulary(
    (b"def", b" run", b"\n", b"</script><b>", b"\xe4", b"\xb8\xad", b"    ", b"<|end|>", b"\"'&")
)


def one(
    tokens: list[int],
    activations: list[float],
    strongest: float = 10.0,
    predicted: list[float] | None = None,
):
    contexts = Contexts(
        np.array([70], np.int64),
        np.array([1], np.int64),
        np.array([0], np.int64),
        np.array([tokens], np.int32),
        np.array([activations], np.float32),
    )
    predicted = None if predicted is None else np.array(predicted, np.float32)
    return paint_context(
        contexts, 0, Palette(VOCABULARY, strongest, ("a.py", "b.py")), True, predicted
    )


def test_the_row_is_cut_at_its_peak():
    row = one([0, 1, 0], [1.0, 10.0, 0.0])
    assert row.before == '<b class="h1" title="def  1">def</b>'
    assert row.after == '<b class="h9" title="␣run  10"> run</b><i>def</i>'


def test_the_row_says_its_strength_and_where_it_stands():
    row = one([0, 1, 0], [1.0, 10.0, 0.0])
    assert (row.strength, row.origin, row.held_out) == ("10", "b.py, token 70", True)


def test_padding_shows_nothing():
    row = one([PADDING, 0, 1], [0.0, 0.0, 3.0])
    assert row.before + row.after == '<i>def</i><b class="h3" title="␣run  3"> run</b>'


def test_no_token_can_become_markup():
    row = one([3, 8, 3], [0.0, 1.0, 2.0])
    text = row.before + row.after
    assert "<script" not in text
    assert "</script>" not in text
    # as inactive text, as active text and in a title
    assert text.count("&lt;/script&gt;&lt;b&gt;") == 3
    assert 'title="&quot;&#x27;&amp;  1"' in text


def test_an_inactive_piece_of_a_character_is_left_to_the_piece_that_completes_it():
    row = one([4, 5, 0], [0.0, 0.0, 1.0])
    assert row.before == "<i>中</i>"


def test_an_active_piece_of_a_character_is_shown_as_its_bytes():
    assert ">\\xe4</b>" in one([4, 5, 0], [2.0, 0.0, 0.0]).after


def test_a_rule_underlines_where_it_fires():
    row = one([0, 1, 0], [0.0, 10.0, 0.0], predicted=[4.0, 8.0, 0.0])
    assert row.before == '<i class="rule" title="def  inactive, rule predicted 4">def</i>'
    assert row.after.startswith('<b class="h9 rule" title="␣run  10, rule predicted 8">')


def test_an_inactive_row_is_cut_where_the_rule_is_strongest():
    assert (
        one([0, 1, 2], [0.0, 0.0, 0.0], predicted=[0.0, 0.0, 1.0]).before == "<i>def</i><i> run</i>"
    )


def test_negative_activations_are_cold():
    assert 'class="h9 cold"' in one([0, 1, 0], [0.0, -10.0, 1.0]).after


def test_shades_rise_from_one_to_nine_and_only_silence_has_none():
    assert heat_levels(np.array([0.0, 0.001, 5.0, 10.0, 20.0, -10.0]), 10.0).tolist() == [
        0,
        1,
        5,
        9,
        9,
        -9,
    ]


def test_shades_need_no_known_maximum():
    assert heat_levels(np.array([0.0, 2.0]), 0.0).tolist() == [0, 9]


@pytest.mark.parametrize(
    "text, visible, spelled",
    [
        ("\n        x", "↵  x", "↵[8␣]x"),
        ("\ta\r\n", "⇥a␍↵", "⇥a␍↵"),
        ("\x07\u202e\u200b\xa0", "\\x07\\u202e\\u200b\\xa0", "\\x07\\u202e\\u200b\\xa0"),
        ("\u2028\ud800", "\\u2028\\ud800", "\\u2028\\ud800"),
        ("é 中", "é 中", "é␣中"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text, visible, spelled):
    assert (visible_text(text), spell_characters(text)) == (visible, spelled)


def test_long_indents_are_short_in_the_row_and_whole_in_the_title():
    assert '<i title="␣␣␣␣">  </i>' in one([6, 0, 0], [0.0, 1.0, 0.0]).before
