"""Explanations that are revised by their mistakes, and revisions that are kept only where they are
better.
"""

import re

import pytest
from choosing import Labels, evidence, finished

from gloss.errors import BadSettings
from gloss.explain.candidate_selection import ChoosingExplainer
from gloss.explain.repair import Repair
from gloss.records import Failure, Reason
from gloss.score.detection import Detection

HALF = "the word `a`"
WHOLE = "the words `a` and `b`"


def repaired(rng, first: str | None, reviser: str | None, asked: list | None = None, **settings):
    return finished(
        Repair(Labels((first,)), Detection(), **settings).choose(evidence(rng), rng), reviser, asked
    )


def test_it_is_a_chooser():
    assert isinstance(Repair(), ChoosingExplainer)


def test_a_revision_that_is_better_is_kept(rng):
    choice = repaired(rng, HALF, WHOLE)
    assert choice.explanation.text == WHOLE
    assert [(candidate.explanation.text, candidate.chosen) for candidate in choice.candidates] == [
        (HALF, False),
        (WHOLE, True),
    ]
    assert choice.explanation.prompt_hash


@pytest.mark.parametrize("reviser", ["nothing of use", HALF, "the word `b`"])
def test_a_revision_that_is_not_better_by_its_error_is_not_kept(reviser, rng):
    choice = repaired(rng, HALF, reviser, rounds=2)
    assert choice.explanation.text == HALF
    assert len(choice.candidates) == 3


def test_nothing_is_asked_where_nothing_was_wrong(rng):
    asked = []
    choice = repaired(rng, WHOLE, None, asked)
    assert (choice.explanation.text, asked, choice.lost) == (WHOLE, [], False)


def test_mistakes_are_shown_of_documents_that_the_explanation_was_made_from(rng):
    asked = []
    given = evidence(rng)
    finished(
        Repair(Labels(("`a` or `w7`",)), Detection(), mistakes=3).choose(given, rng), HALF, asked
    )
    missed, claimed = re.fullmatch(
        r"(?s)Explanation: .*?\nMissed:\n(.*?)\nClaimed:\n(.*)", asked[0]
    ).groups()
    assert missed.count("\n") == 2
    assert all("<< b>>" in line for line in missed.splitlines())
    assert (
        all(" w7 " in f"{line[1:-1]} " and "<<" not in line for line in claimed.splitlines())
        or claimed == "none"
    )
    shown = "".join(
        given.corpus.vocabulary.text(row.tolist()) for row in given.examples.train.tokens
    )
    assert all(
        line.strip('"').replace("<<", "").replace(">>", "") in shown for line in missed.splitlines()
    )


def test_a_lost_revision_ends_it_and_is_known(rng):
    choice = repaired(rng, HALF, None)
    assert (choice.explanation.text, choice.lost, len(choice.candidates)) == (HALF, True, 1)


def test_without_a_first_explanation_there_is_nothing_to_repair(rng):
    choice = repaired(rng, None, WHOLE)
    assert isinstance(choice.explanation, Failure)
    assert choice.explanation.reason is Reason.REQUEST_ERROR


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(BadSettings, match="rounds=0"):
        Repair(rounds=0)
