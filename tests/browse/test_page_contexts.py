from dataclasses import replace

import numpy as np
import pytest
from material import VOCABULARY, contexts

from gloss.pages import FeaturePage, MistakeKind, MistakenContexts, Statistics
from gloss.pages.context_groups import firing_groups, inactive_groups, judge_mistakes, mistake_group
from gloss.pages.heatmap import Palette
from gloss.records import Contexts, Estimate, Examples, FeatureId, Score, Verdict

FEATURE = FeatureId("d", 0)
PALETTE = Palette(VOCABULARY, 10.0)


def page(rng, train: Contexts | None = None) -> FeaturePage:
    examples = Examples(
        FEATURE,
        train=contexts(rng, 60, 3, 10.0, 0) if train is None else train,
        held_out=contexts(rng, 50, 3, 9.0, 1),
        inactive_train=contexts(rng, 8, 3, 0.0, 0),
        inactive_held_out=contexts(rng, 8, 3, 0.0, 1),
        strongest=10.0,
        share_train=0.1,
        share_held_out=0.1,
    )
    return FeaturePage(
        FEATURE, Statistics(5, 0.1, 10.0, np.zeros(0), np.zeros(0, np.int64)), examples=examples
    )


def test_the_strongest_come_first_then_every_quantile(rng):
    groups = firing_groups(page(rng), PALETTE)
    assert groups[0].title == "Strongest"
    assert len(groups[0].rows) == 10
    assert [group.title for group in groups[1:]] == [
        f"Quantile {i} of 10" for i in range(1 if len(groups) == 11 else 2, 11)
    ]
    strengths = [float(row.strength) for row in groups[0].rows]
    assert strengths == sorted(strengths, reverse=True)


def test_rows_say_whether_they_were_held_out(rng):
    rows = [row for group in firing_groups(page(rng), PALETTE) for row in group.rows]
    assert {row.held_out for row in rows} == {True, False}


def test_equal_contexts_are_shown_once_with_their_number(rng):
    train = contexts(rng, 20, 3, 10.0, 0)
    train.tokens[:] = train.tokens[0]
    groups = firing_groups(page(rng, train), PALETTE)
    assert [row.copies for group in groups for row in group.rows if row.copies > 1] == [20]


def test_inactive_contexts_at_the_features_own_token_are_a_group_of_their_own(rng):
    assert [(group.title, len(group.rows)) for group in inactive_groups(page(rng), PALETTE)] == [
        ("Inactive at its own token", 3),
        ("Inactive", 3),
    ]


def test_a_page_without_examples_has_no_contexts(rng):
    bare = replace(page(rng), examples=None)
    assert (firing_groups(bare, PALETTE), inactive_groups(bare, PALETTE)) == ((), ())


def test_mistakes_say_how_many_there_are_in_all(rng):
    found = contexts(rng, 9, 3, 5.0, 1)
    group = mistake_group(
        MistakenContexts(
            MistakeKind.FALSE_NEGATIVE,
            "rule",
            found,
            np.zeros(found.tokens.shape, np.float32),
            1_234,
        ),
        PALETTE,
    )
    assert (group.title, len(group.rows)) == ("False negatives", 6)
    assert group.note.endswith("6 of 1,234")


def test_strengths_predicted_for_other_contexts_are_refused(rng):
    with pytest.raises(
        ValueError, match=r"predicted \(2, 32\) strengths for contexts of shape \(3, 32\)"
    ):
        MistakenContexts(
            MistakeKind.FALSE_NEGATIVE,
            "rule",
            contexts(rng, 3, 3, 5.0, 1),
            np.zeros((2, 32), np.float32),
        )


def test_a_judges_mistakes_are_found_by_where_their_contexts_start(rng):
    feature = page(rng)
    missed = int(feature.examples.held_out.starts[4])
    false_positive = int(feature.examples.inactive_held_out.starts[2])
    right = int(feature.examples.held_out.starts[5])
    verdicts = (
        Verdict(missed, True, False),
        Verdict(false_positive, False, True),
        Verdict(right, True, True),
    )
    score = Score(
        FEATURE,
        "detection",
        "words",
        3,
        0,
        {"f1": Estimate(0.5, 0.4, 0.6)},
        "f1",
        verdicts=verdicts,
    )
    found = {wrong.kind: wrong.contexts.starts.tolist() for wrong in judge_mistakes(feature, score)}
    assert found == {
        MistakeKind.FALSE_POSITIVE: [false_positive],
        MistakeKind.FALSE_NEGATIVE: [missed],
    }


def test_verdicts_on_wrongly_marked_copies_are_no_mistakes_about_contexts(rng):
    feature = page(rng)
    fuzzed = Verdict(int(feature.examples.held_out.starts[0]), False, True)
    score = Score(
        FEATURE, "fuzzing", "words", 1, 0, {"f1": Estimate(0.5, 0.4, 0.6)}, "f1", verdicts=(fuzzed,)
    )
    assert judge_mistakes(feature, score) == ()
