from dataclasses import replace

import numpy as np

from gloss.pages import page_text
from gloss.records import Control, Estimate, FeatureId, Reason, Score, Verdict
from gloss.score.execution import TokenSums, execution_metrics
from gloss.score.judge.verdict_metrics import HARD, VerdictCounts, verdict_estimates

FEATURE = FeatureId("d", 3)


def score(
    method: str, headline: str, control: Control = Control.NONE, failed: int = 0, **values: float
) -> Score:
    estimates = {
        name: Estimate(value, value - 0.04, value + 0.04) for name, value in values.items()
    }
    return Score(FEATURE, method, "rule", 131_072, failed, estimates, headline, control)


EXECUTION = score("execution", "f1", f1=0.84, precision=0.91, recall=0.82)


def test_a_score_is_summed_up_in_one_line_with_its_control():
    control = score("execution", "f1", Control.RANDOM_EXPLANATION, f1=0.02)
    assert (
        page_text.score_summary(EXECUTION, [control])
        == "F1 .84 (.80–.88), n = 131,072 tokens, 0 failed; with another feature’s explanation: .02"
    )


def test_every_reason_is_said_in_a_sentence():
    assert set(page_text.REASONS) == set(Reason)


def test_failed_answers_are_counted():
    assert "n = 131,072, 7 failed" in page_text.score_summary(
        score("detection", "balanced_accuracy", failed=7, balanced_accuracy=0.8), []
    )


def test_execution_says_what_was_found_and_what_was_right():
    assert (
        page_text.score_meaning(EXECUTION)
        == "On text it had never seen, the rule found 82\u202f% of the places where this feature"
        " fires, and 91\u202f% of its claims were right."
    )


def test_a_rule_that_never_fires_has_claimed_nothing():
    inactive = Score(
        FEATURE,
        "execution",
        "rule",
        9,
        0,
        {"recall": Estimate(0.0, 0.0, 0.0), "precision": Estimate.missing()},
        "recall",
    )
    assert page_text.score_meaning(inactive).endswith(
        "of the places where this feature fires, because it never claimed anything."
    )


def test_detection_says_what_guessing_gives():
    sentence = page_text.score_meaning(
        score("detection", "balanced_accuracy", balanced_accuracy=0.84)
    )
    assert "balanced accuracy .84; guessing gives .50" in sentence
    rare = page_text.score_meaning(
        score("detection", "f1_at_base_rate", balanced_accuracy=0.84, f1_at_base_rate=0.02)
    )
    assert rare.endswith("Where it fires as rarely as in text, that is an F1 of .02.")


def test_every_metric_of_our_scorers_reads_as_words_and_is_explained():
    some = VerdictCounts(1, 1, 1)
    sums = TokenSums(*(np.ones((2, columns)) for columns in (2, 2, 2, 2, 5)))
    for name in (
        *verdict_estimates(some, some, dict.fromkeys(HARD, some), 0.1, np.random.default_rng(0)),
        *execution_metrics(sums),
    ):
        assert "_" not in page_text.metric_label(name)
        assert page_text.metric_help(name)
    assert page_text.metric_label("f1_above_10_percent") == "F1, above 10\u202f% of its strongest"


def test_a_judges_answers_are_counted_by_what_was_true():
    verdicts = (
        Verdict(0, True, True),
        Verdict(1, True, None, Reason.UNPARSABLE),
        Verdict(2, False, False),
    )
    judged = replace(score("detection", "f1", f1=0.5), verdicts=verdicts)
    assert (
        page_text.verdict_tally(judged)
        == "The judge’s answers: of 2 firing contexts 1 yes, 0 no, 1 unanswered; of 1 inactive"
        " contexts 0 yes, 1 no."
    )
    assert page_text.verdict_tally(EXECUTION) == ""


def test_a_strangers_scorer_is_not_interpreted():
    assert page_text.score_meaning(score("novel", "goodness", goodness=0.9)) == ""
    assert page_text.metric_label("goodness_of_fit") == "goodness of fit"


def test_words_are_trusted_when_their_interval_lies_above_the_controls():
    assert "real information" in page_text.trust_sentence(
        EXECUTION, [score("execution", "f1", f1=0.02)]
    )


def test_words_are_not_trusted_when_the_intervals_meet():
    assert "do not trust these" in page_text.trust_sentence(
        EXECUTION, [score("execution", "f1", f1=0.02), score("execution", "f1", f1=0.79)]
    )


def test_without_a_control_nothing_is_said_of_trust():
    assert page_text.trust_sentence(EXECUTION, []) == ""


def test_every_reason_and_every_control_has_words():
    assert set(page_text.REASONS) == set(Reason)
    assert set(page_text.CONTROLS) == set(Control) - {Control.NONE}


def test_what_stands_between_backticks_is_set_as_text_of_the_corpus_and_escaped():
    said = "`<b>` or `` ` `` after a <line>"
    assert page_text.prose(said) == "<code>&lt;b&gt;</code> or <code>`</code> after a &lt;line&gt;"


def test_metrics_at_a_kl_are_named_with_it():
    assert page_text.metric_label("nats_at_1_nats") == "Drop of surprisal at 1 nat"
    assert (
        page_text.metric_label("token_auroc_random_direction_at_0.33_nats")
        == "AUROC of named tokens at 0.33 nats, along a random direction"
    )
    assert page_text.metric_help("token_auroc_at_0.33_nats").endswith(
        "chance is .50. With the feature as strong as moves the next token’s distribution by 0.33"
        " nats."
    )
    assert page_text.metric_help("nats_random_direction_at_3_nats").endswith(
        "chance is 0. With a random direction as strong as moves the next token’s distribution by 3"
        " nats."
    )


def test_nats_have_no_scale_that_ends_at_one():
    assert [
        page_text.is_bounded_metric(name)
        for name in ("nats", "nats_at_1_nats", "standard_error", "f1")
    ] == [
        False,
        False,
        False,
        True,
    ]
