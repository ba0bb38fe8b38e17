"""Explanations that are revised by their mistakes, and revisions that are kept only where they are
better.
"""

import re
from dataclasses import replace

import pytest
from choosing import FEATURE, Labels, evidence, finished

from gloss.errors import BadSettings
from gloss.explain.candidate_selection import ChoosingExplainer
from gloss.explain.repair import Repair, headline_gain, is_better_candidate
from gloss.records import (
    Estimate,
    Explanation,
    ExplanationCandidate,
    Failure,
    Reason,
    Score,
    Verdict,
)
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


def candidate(examples, yes, headline="f1_at_base_rate") -> ExplanationCandidate:
    """An explanation whose judge gave these answers on the held-out contexts."""
    sides = (examples.held_out, True), (examples.inactive_held_out, False)
    every = [(int(start), truth) for contexts, truth in sides for start in contexts.starts]
    verdicts = tuple(
        Verdict(start, truth, None, Reason.UNPARSABLE)
        if answer is None
        else Verdict(start, truth, bool(answer))
        for (start, truth), answer in zip(every, yes, strict=True)
    )
    failed = sum(answer is None for answer in yes)
    score = Score(
        FEATURE,
        "m",
        "m",
        len(every),
        failed,
        {headline: Estimate(0.5, 0.0, 1.0)},
        headline,
        verdicts=verdicts,
    )
    return ExplanationCandidate(Explanation(FEATURE, "words", "m"), score)


RARE = 0.02  # of windows in which the feature fires


@pytest.mark.parametrize("headline", ["f1_at_base_rate", "balanced_accuracy"])
def test_a_revision_that_is_better_by_a_little_on_the_same_contexts_is_kept(headline, rng):
    """Five of fifty more are found, and nothing else changes: of two independent scores that would
    be nothing.
    """
    examples = replace(evidence(rng, 50).examples, share_held_out=RARE)
    found = [*[1] * 25, *[0] * 25, *[0] * 48, 1, 1]
    more = [*[1] * 30, *[0] * 20, *[0] * 48, 1, 1]
    old, new = (candidate(examples, yes, headline) for yes in (found, more))
    assert is_better_candidate(new, old, examples, rng)
    assert not is_better_candidate(old, new, examples, rng)
    assert not is_better_candidate(old, old, examples, rng)
    gain = headline_gain(new.validation, old.validation, examples, rng)
    assert 0 < gain.low < gain.value < gain.high


def test_a_missing_answer_is_no_claim_and_not_right(rng):
    examples = replace(evidence(rng, 50).examples, share_held_out=RARE)
    silent = [*[1] * 50, *[None] * 25, *[0] * 25]
    wrong = [*[1] * 50, *[1] * 25, *[0] * 25]
    for headline, better in (("f1_at_base_rate", True), ("balanced_accuracy", False)):
        one, other = (candidate(examples, yes, headline) for yes in (silent, wrong))
        assert is_better_candidate(one, other, examples, rng) is better


@pytest.mark.parametrize("share", [RARE, 0.5])
def test_a_revision_that_is_only_different_is_kept_in_few_of_many_cases(share, rng):
    """Both find each context with the same chance, independently."""
    examples = replace(evidence(rng, 50).examples, share_held_out=share)
    kept = 0
    for _ in range(300):
        old, new = (
            candidate(examples, [*(rng.random(50) < 0.6), *(rng.random(50) < 0.1)])
            for _ in range(2)
        )
        kept += is_better_candidate(new, old, examples, rng)
    assert 0 < kept < 0.09 * 300


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(BadSettings, match="rounds=0"):
        Repair(rounds=0)
