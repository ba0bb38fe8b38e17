"""What the pages say in sentences: what scores mean, why there is none, names of metrics."""

import math
import re
from collections.abc import Sequence

from markupsafe import Markup

from gloss.pages.number_format import (
    THIN,
    format_decimal,
    format_interval,
    format_nats,
    format_percent,
    format_whole,
)
from gloss.records import Control, Estimate, Reason, Score

METRICS = {
    "f1": (
        "F1",
        (
            "The harmonic mean of precision and recall: 1 is perfect, and it cannot be high unless"
            " both are."
        ),
    ),
    "precision": (
        "Precision",
        "Of the places where the explanation says the feature fires, the share where it does.",
    ),
    "recall": (
        "Recall",
        "Of the places where the feature fires, the share that the explanation finds.",
    ),
    "auprc": (
        "AUPRC",
        "Area under the curve of precision against recall: as F1, over all thresholds of strength.",
    ),
    "pearson": (
        "Pearson r",
        "Correlation of the predicted strength with the true activation, token by token.",
    ),
    "pearson_at_base_rate": (
        "Pearson r at the true rate",
        (
            "Correlation of the predicted strength with the true activation, if firing contexts"
            " came as rarely as they do in text."
        ),
    ),
    "spearman": ("Spearman ρ", "Correlation of the ranks of predicted and true strength."),
    "balanced_accuracy": (
        "Balanced accuracy",
        "The mean of the accuracies on firing and on inactive contexts: chance is .50.",
    ),
    "chance": ("Chance", "What guessing gets."),
    "firing_above_chance": (
        "Firing above chance",
        "How much of the way from chance to firing in every text: 0 is chance.",
    ),
    "share_firing": (
        "Texts in which it fires",
        "Of the texts that were asked for, the share in which the feature fires.",
    ),
    "share_firing_contrast": (
        "Texts for contrast in which it fires",
        "The same of texts that were made without the explanation.",
    ),
    "firing_above_contrast": (
        "Firing above the contrast",
        "How many more of the texts fire than of those made without it.",
    ),
    "relative_maximum": (
        "Strength in the texts",
        "Its mean maximum in them, where 1 is its strongest activation in the corpus.",
    ),
    "accuracy_above_chance": (
        "Accuracy above chance",
        "How much of the way from guessing to always right: 0 is guessing.",
    ),
    "accuracy_strong": ("Accuracy, strong half", "Where the contexts fire most strongly."),
    "accuracy_weak": ("Accuracy, weak half", "Where the contexts fire most weakly."),
    "accuracy": ("Accuracy", "The share of right answers, as the questions were mixed."),
    "auroc": (
        "AUROC",
        "How often a firing context is ranked above an inactive one: chance is .50.",
    ),
    "true_positive_rate": (
        "Yes where it fires",
        "Of the firing contexts, the share of which the judge said so: the same as recall.",
    ),
    "true_negative_rate": (
        "No where it is inactive",
        "Of the inactive contexts, the share of which the judge said so.",
    ),
    "true_negative_rate_same_token": (
        "No at its own inactive token",
        (
            "The same for inactive contexts that hold a token on which the feature often fires: the"
            " hard cases."
        ),
    ),
    "true_negative_rate_neighbours": (
        "No where a neighbour fires",
        "The same for inactive contexts in which a feature with a near direction fires.",
    ),
    "true_negative_rate_siblings": (
        "No where a sibling fires",
        (
            "The same for inactive contexts in which a near feature fires at one of this feature’s"
            " own tokens."
        ),
    ),
    "true_negative_rate_similar": (
        "No in similar text",
        (
            "The same for inactive contexts that say much the same as contexts in which the feature"
            " fires."
        ),
    ),
    "precision_at_base_rate": (
        "Precision at the true rate",
        "Precision if firing contexts came as rarely as they do in text.",
    ),
    "auprc_at_base_rate": (
        "AUPRC at the true rate",
        "AUPRC if firing contexts came as rarely as they do in text.",
    ),
    "auprc_of_guessing": (
        "AUPRC of guessing",
        "What a ranking at random gets: the share of contexts that fire.",
    ),
    "followed_above_chance": (
        "Followed, above chance",
        (
            "Where it fires, how much likelier than elsewhere one of the named tokens comes next: 0"
            " is chance, 1 is always."
        ),
    ),
    "followed": ("Followed", "Of the tokens where it fires, the share that a named one follows."),
    "followed_by_chance": (
        "Followed by chance",
        "Of all held-out tokens, the share that a named one follows.",
    ),
    "token_f1": (
        "F1 of named tokens",
        "Named tokens against those that rise when the feature is amplified: 1 is perfect.",
    ),
    "token_precision": (
        "Precision of named tokens",
        "Of the tokens that the explanation names, the share that rises.",
    ),
    "token_recall": (
        "Recall of named tokens",
        "Of the tokens that rise, the share that the explanation names.",
    ),
    "token_f1_of_guessing": ("F1 of guessing", "What as many tokens drawn at random get."),
    "token_f1_random_direction": (
        "F1 along a random direction",
        "The same for a random direction at the same KL.",
    ),
    "nats": (
        "Drop of surprisal",
        (
            "Nats by which the explanation surprises a reader less after the amplified text: chance"
            " is 0."
        ),
    ),
    "standard_error": ("Standard error", "Of the mean drop, over prompts."),
    "f1_at_base_rate": (
        "F1 at the true rate",
        "F1 if firing contexts came as rarely as they do in text.",
    ),
    "balanced_accuracy_corrected": (
        "Balanced accuracy, judge corrected",
        (
            "As a judge without error would have given it, by its answers on contexts of known"
            " truth; may pass 1 a little."
        ),
    ),
    "true_positive_rate_corrected": (
        "Yes where it fires, judge corrected",
        "The same for the firing contexts alone.",
    ),
    "true_negative_rate_corrected": (
        "No where it is inactive, judge corrected",
        "The same for the inactive contexts alone.",
    ),
    "precision_at_base_rate_corrected": (
        "Precision at the true rate, judge corrected",
        (
            "As a judge without error would have given it, if firing contexts came as rarely as"
            " they do in text."
        ),
    ),
    "f1_at_base_rate_corrected": (
        "F1 at the true rate, judge corrected",
        (
            "As a judge without error would have given it, if firing contexts came as rarely as"
            " they do in text."
        ),
    ),
} | {
    f"{name}_above_{share}_percent": (
        f"{label}, above {share}{THIN}% of its strongest",
        (
            f"{label} where only activations above {share}{THIN}% of the feature’s strongest one in"
            " the train split count as firing."
        ),
    )
    for share in (10, 50)
    for name, label in (("f1", "F1"), ("recall", "Recall"))
}

METHODS = {
    "generation": (
        "A language model writes texts from the explanation, and the subject reads them: does the"
        " feature fire?"
    ),
    "generation_by_rule": (
        "What the rule asks for is put into inactive text, and the subject reads it: does the"
        " feature fire?"
    ),
    "execution": (
        "The rule is run over every token of text that no explainer has seen, at the feature’s true"
        " rate."
    ),
    "detection": (
        "A language model reads the explanation and says of each held-out context whether the"
        " feature fires in it."
    ),
    "fuzzing": (
        "A language model reads the explanation and says of each held-out context whether the right"
        " tokens are marked."
    ),
    "discrimination": (
        "A language model reads the explanation and says which of several near features it names."
    ),
    "embedding": (
        "Held-out contexts are ranked by how close their embeddings lie to the explanation’s."
    ),
    "example_embedding": (
        "Held-out contexts are ranked, without any explanation, by how close they lie to firing"
        " ones of the train split."
    ),
    "intervention": (
        "A language model reads what the subject writes with the feature amplified, and without:"
        " how much less does the explanation surprise it?"
    ),
    "intervention_tokens": (
        "Tokens that the explanation names are held against those that rise when the feature is"
        " amplified."
    ),
    "intruder": (
        "A language model picks, without any explanation, the one of several contexts in which the"
        " feature is inactive."
    ),
}

CONTROLS = {
    Control.RANDOM_EXPLANATION: "with another feature’s explanation",
    Control.SHUFFLED_EXPLANATION: "with explanations exchanged among features",
    Control.RANDOM_DIRECTION: "along a random direction",
}

REASONS = {
    Reason.TOO_FEW_EXAMPLES: (
        "It fires in too few contexts to be explained on some and tested on others."
    ),
    Reason.NO_RULE_FOUND: "No rule was found that predicts it well enough to be worth stating.",
    Reason.UNPARSABLE: "The language model’s answer could not be read.",
    Reason.REFUSED: "The language model declined to answer.",
    Reason.REQUEST_ERROR: "The language model could not be reached.",
    Reason.NOT_APPLICABLE: "The method does not apply to this feature.",
    Reason.REPEATED: "The text had been written before, or quoted the explanation.",
    Reason.ERROR: "An error ended its treatment; the run’s log has the details.",
    Reason.NO_EFFECT: "It makes no token reliably likelier.",
    Reason.NOBODY_KNOWS: "Explanations were tried, and none of them holds.",
    Reason.UNREACHABLE: "No strength moves the subject’s next token as far as was asked.",
}


AT_NATS = re.compile(r"(nats|token_auroc)(_random_direction)?_at_([0-9.e+-]+)_nats")
AT_ONE_KL = {
    "nats": METRICS["nats"],
    "token_auroc": (
        "AUROC of named tokens",
        (
            "How often a token that the explanation names rises further than another one: chance is"
            " .50."
        ),
    ),
}


def metric_label(name: str) -> str:
    """How a metric is called on a page."""
    if found := AT_NATS.fullmatch(name):
        along = f", {CONTROLS[Control.RANDOM_DIRECTION]}" if found[2] else ""
        return f"{AT_ONE_KL[found[1]][0]} at {format_nats(float(found[3]))}{along}"
    return METRICS[name][0] if name in METRICS else name.replace("_", " ")


def is_bounded_metric(name: str) -> bool:
    """Whether a scale that ends at 1 can hold a metric; nats have none."""
    return not name.startswith(("nats", "standard_error"))


def metric_help(name: str) -> str:
    """One sentence on what a metric measures; nothing for a stranger's metric."""
    if found := AT_NATS.fullmatch(name):
        whose = "a random direction" if found[2] else "the feature"
        help_text = AT_ONE_KL[found[1]][1]
        return (
            f"{help_text} With {whose} as strong as moves the next token’s distribution by"
            f" {format_nats(float(found[3]))}."
        )
    return METRICS[name][1] if name in METRICS else ""


def score_summary(score: Score, controls: Sequence[Score]) -> str:
    """The whole score in one line.

    F1 .84 (.80–.88), n = 131,072, 0 failed; with another feature's explanation: .02.
    """
    headline = score.estimates[score.headline]
    line = (
        f"{metric_label(score.headline)} {format_decimal(headline.value)}"
        f" {format_interval(headline)}".rstrip()
    )
    line += (
        f", n = {format_whole(score.n)}{' tokens' if score.method == 'execution' else ''},"
        f" {format_whole(score.failed)} failed"
    )
    for control in controls:
        line += (
            f"; {CONTROLS[control.control]}:"
            f" {format_decimal(control.estimates[control.headline].value)}"
        )
    return line


def verdict_tally(score: Score) -> str:
    """What a judge of single contexts said, counted; nothing where no verdicts are at hand."""
    # of multiple choice: a verdict says whether it was solved, not what was said of a context
    if "chance" in score.estimates:
        return ""
    parts: list[str] = []
    for kind, truth in (("firing", True), ("inactive", False)):
        answers = [verdict.answer for verdict in score.verdicts if verdict.truth is truth]
        if answers:
            yes, no, lost = (answers.count(answer) for answer in (True, False, None))
            unanswered = f", {format_whole(lost)} unanswered" if lost else ""
            parts.append(
                f"of {format_whole(len(answers))} {kind} contexts {format_whole(yes)} yes,"
                f" {format_whole(no)} no{unanswered}"
            )
    return f"The judge’s answers: {'; '.join(parts)}." if parts else ""


def score_meaning(score: Score) -> str:
    """What the score says about the explanation, as one would say it aloud."""
    recall, precision = (
        score.estimates.get(name, Estimate.missing()).value for name in ("recall", "precision")
    )
    if score.method == "execution" and math.isfinite(recall):
        found = (
            f"On text it had never seen, the rule found {format_percent(recall)} of the places"
            " where this feature fires"
        )
        if not math.isfinite(precision):
            return f"{found}, because it never claimed anything."
        return f"{found}, and {format_percent(precision)} of its claims were right."
    balanced = score.estimates.get("balanced_accuracy", Estimate.missing()).value
    if math.isfinite(balanced):
        told_apart = {
            "detection": "contexts where it fires from contexts where it is inactive",
            "fuzzing": "right marks from wrong ones",
        }
        items = told_apart.get(score.method, "right from wrong")
        said = (
            f"With these words alone a reader told {items}: balanced accuracy"
            f" {format_decimal(balanced)}; guessing gives .50."
        )
        f1 = score.estimates.get("f1_at_base_rate", Estimate.missing()).value
        return (
            f"{said} Where it fires as rarely as in text, that is an F1 of {format_decimal(f1)}."
            if math.isfinite(f1)
            else said
        )
    return ""


def trust_sentence(score: Score, controls: Sequence[Score]) -> str:
    """Whether the words do better than other words would: intervals that lie apart, or not."""
    low = score.estimates[score.headline].low
    highs = [control.estimates[control.headline].high for control in controls]
    if not highs or not all(math.isfinite(x) for x in (low, *highs)):
        return ""
    if low > max(highs):
        return (
            "Its interval lies above that of every control: the words carry real information about"
            " this feature."
        )
    return (
        "Its interval reaches that of a control: other words would have done about as well, so do"
        " not trust these."
    )


SPANS = re.compile(r"(`` .+? ``|`[^`]+`)")


def prose(said: str) -> Markup:
    """An explanation for a page, escaped.

    What stands between backticks is text of the corpus, and is set as such.
    """
    parts = [
        (
            Markup("<code>{}</code>").format(part[3:-3] if part.startswith("`` ") else part[1:-1])
            if number % 2
            else Markup.escape(part)
        )
        for number, part in enumerate(SPANS.split(said))
    ]
    return Markup("").join(parts)
