"""Token attributions on a feature's page: what is said of them, and only where they hold."""

import math
from dataclasses import replace

import pytest

from gloss.pages.token_attribution_view import token_attribution_view
from gloss.records import FeatureId
from gloss.store.token_attributions import (
    TokenAttribution,
    token_attribution_rows,
    token_attributions_by_feature,
    weightiest_offsets,
)

FOUND = TokenAttribution(
    FeatureId("demo", 3),
    40,
    61,
    ("(", " not", " x", " in"),
    {(): 0.5, (-2, 0): 8.0, (0,): -2.0, (-3, -1): 0.1},
    0.97,
    16,
)


def test_token_attributions_come_back_from_their_rows():
    assert token_attributions_by_feature(token_attribution_rows(FOUND)) == {3: (FOUND,)}
    [back] = token_attributions_by_feature(
        token_attribution_rows(replace(FOUND, values={(): 0.5}, share=math.nan))
    )[3]
    assert math.isnan(back.share)


def test_each_set_is_said_with_where_its_tokens_stand_and_pairs_are_arcs():
    view = token_attribution_view(FOUND)
    assert (
        view.sentences[0]
        == "Together, “␣not” (2 back) and “␣in” (the token itself) raise the activation by 8."
    )
    assert view.sentences[1] == "“␣in” (the token itself) lowers the activation by 2."
    assert len(view.drawing.arcs) == 2
    assert view.note.startswith("With all exchanged it is 0.5. This accounts for 97")


def test_what_few_sets_do_not_account_for_is_not_said():
    view = token_attribution_view(replace(FOUND, share=0.3))
    assert view.sentences == ()
    assert view.note.startswith("Not explained:")
    assert token_attribution_view(replace(FOUND, values={(): 0.5}, share=math.nan)).note.startswith(
        "None of the last 4 tokens changes"
    )


def test_offsets_matter_by_what_their_sets_add():
    assert weightiest_offsets([FOUND]) == (0, -2)
    assert weightiest_offsets([]) == ()


def test_offsets_outside_the_players_are_refused():
    with pytest.raises(
        ValueError, match=r"demo/3: offsets \(-4,\) lie outside the 4 tokens up to the peak"
    ):
        replace(FOUND, values={(-4,): 1.0})
