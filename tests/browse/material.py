"""Records as a run would hand them over, drawn by numpy.

The text looks like Python, and the features look like features.
"""

from dataclasses import dataclass

import numpy as np

from gloss.pages import FeaturePage, MistakeKind, MistakenContexts, RunSummary, Statistics
from gloss.records import (
    Completion,
    Contexts,
    Control,
    EditKind,
    Effect,
    Estimate,
    Examples,
    Explanation,
    Failure,
    FeatureId,
    Reason,
    Score,
    Shift,
    Split,
)
from gloss.store.vocabulary import Vocabulary

WORDS = (
    "def| return| raise| ValueError| TypeError| if| not| in| self|.|(|)|:|,|\n|    |        | =|"
    " ==|[|]| for| isinstance| None| True| import| from| class| except| as| name| value| key| path|"
    ' data| the| of| a| to| is|\'|"|_|__|init| str| int| lambda| yield|\t|# | TODO|%|s|f"|{|}|\\n|'
    " 0| 1|len| os|.path|</script><b>| <img src=x onerror=alert(1)>|\x07|\u202e| é|\u200b"
)
VOCABULARY = Vocabulary((*(word.encode() for word in WORDS.split("|")), b"\xe4", b"\xb8\xad"))
TEXTS = (
    "the name of an exception class after ‘raise’ or ‘except’",
    "‘self’ as the first argument of a method",
    "the closing bracket of a call inside an ‘if’",
    "an indent after a line that ends in a colon",
    (
        "a string’s opening quote after an equals sign, or the name of a keyword argument whose"
        " value is a string literal in a call that has several"
    ),
    "‘not’ before ‘in’",
    "dunder names such as ‘__init__’",
    "the word ‘None’ after ‘is’ or ‘is not’",
)
WIDTH = 32
FEATURES = 90  # pages in the folder that tests share
TOKENS = 1_048_576
DICTIONARY = "resid_post.2/topk"
SUMMARY = RunSummary(
    name="demo",
    subject="gloss-demo-4m",
    dictionary=DICTIONARY,
    site="resid_post.2",
    tokens=TOKENS,
    documents=1_204,
    width=2_048,
    seeds={"run": 0},
    facts={"Explainer": "rule", "Context": "32 tokens"},
    document_names=tuple(f"library/module_{i}.py" for i in range(1_204)),
)


def contexts(
    rng: np.random.Generator, number: int, top_token: int, strongest: float, first_document: int
) -> Contexts:
    """Windows in which the top token fires, the strongest first.

    All inactive if `strongest` is 0.
    """
    tokens = rng.integers(0, len(VOCABULARY), (number, WIDTH)).astype(np.int32)
    tokens[tokens == top_token] = 9
    activations = np.zeros((number, WIDTH), np.float32)
    if strongest:
        peaks = rng.integers(4, WIDTH - 4, number)
        values = np.sort(rng.gamma(2.0, 0.2, number).clip(0.02, 1.0))[::-1] * strongest
        activations[np.arange(number), peaks] = values
        activations[np.arange(number), peaks + 1] = (
            values * rng.random(number) * (rng.random(number) < 0.5)
        )
        tokens[np.arange(number), peaks] = top_token
    quantiles = (
        np.minimum(np.arange(number) * 10 // max(number, 1), 9)
        if strongest
        else -1 - np.arange(number) % 2
    )
    documents = first_document + 2 * rng.integers(0, 500, number)
    return Contexts(
        rng.integers(0, TOKENS, number), documents, quantiles.astype(np.int64), tokens, activations
    )


def estimate(value: float, spread: float = 0.05) -> Estimate:
    return Estimate(value, max(value - spread, 0.0), min(value + spread, 1.0))


def scores(feature: FeatureId, quality: float, rng: np.random.Generator) -> tuple[Score, ...]:
    """Execution and detection, each with its controls."""
    metrics = {
        "f1": quality,
        "precision": min(quality + 0.05, 1.0),
        "recall": max(quality - 0.05, 0.0),
        "auprc": quality,
        "pearson": quality * 0.9,
    }
    real = {name: estimate(value) for name, value in metrics.items()}
    chance = {name: estimate(float(rng.random() * 0.05), 0.01) for name in metrics}
    found = [Score(feature, "execution", "rule", TOKENS // 2, 0, real, "f1")]
    found += [
        Score(feature, "execution", "rule", TOKENS // 2, 0, chance, "f1", c)
        for c in (Control.RANDOM_EXPLANATION, Control.SHUFFLED_EXPLANATION)
    ]
    found.append(
        Score(
            feature,
            "detection",
            "max_activating",
            100,
            3,
            {"balanced_accuracy": estimate(0.5 + quality / 2)},
            "balanced_accuracy",
        )
    )
    half = {"balanced_accuracy": estimate(0.5)}
    found.append(
        Score(
            feature,
            "detection",
            "max_activating",
            100,
            1,
            half,
            "balanced_accuracy",
            Control.RANDOM_EXPLANATION,
        )
    )
    return tuple(found)


def effects(feature: FeatureId) -> tuple[Effect, ...]:
    """After prompts of the train and the held-out split, at two KLs.

    At the higher one the random direction did not get there.
    """
    return tuple(
        effect(feature, target, control, split)
        for split in Split
        for target, control in (
            (0.1, Control.NONE),
            (0.1, Control.RANDOM_DIRECTION),
            (1.0, Control.NONE),
        )
    )


def effect(
    feature: FeatureId, target: float, control: Control, split: Split = Split.HELD_OUT
) -> Effect:
    """Ten tokens rise and two fall; the prompts hold line breaks and what looks like markup."""
    words = WORDS.split("|")[20:] if control is Control.NONE else WORDS.split("|")[::-1]
    said = " None</b>" if control is Control.NONE else "\n\tlen"
    pairs = (
        Completion("def f(x):\n" + 12 * "    return" + " is not", " x", said),
        Completion("if x is", " self", said),
    )
    change = Estimate(2.5, 1.25, 3.75)
    return Effect(
        feature,
        EditKind.ADD,
        strength=8.0 * target,
        kl=Estimate(target, 0.9 * target, 1.1 * target),
        target=target,
        n=16,
        choosing=8,
        risen=tuple(Shift(token, words[token], change, 0.001, 0.012) for token in range(10)),
        fallen=tuple(
            Shift(token, words[token], Estimate(-1.5, -2.0, -1.0), 0.01, 0.002)
            for token in (11, 12)
        ),
        completions=pairs if split is Split.HELD_OUT else (),
        control=control,
        split=split,
    )


@dataclass(frozen=True)
class Material:
    """A stream of pages: most explained, every tenth failed, every fifteenth inactive."""

    number: int
    both: bool = False  # a language model's explanation beside the rule

    def pages(self, rng: np.random.Generator):
        for i in range(self.number):
            yield self.page(i, rng)

    def page(self, i: int, rng: np.random.Generator) -> FeaturePage:
        feature = FeatureId(DICTIONARY, i)
        if i % 15 == 7:
            return FeaturePage(feature, Statistics(0, 0.0, 0.0, np.zeros(0), np.zeros(0, np.int64)))
        strongest = float(rng.gamma(4.0, 3.0) + 1)
        count = int(10 ** rng.uniform(1.5, 4.7))
        counts = np.maximum(count * np.exp(-np.arange(40) / 6) / 6, 0).astype(np.int64)
        statistics = Statistics(
            count, count / TOKENS, strongest, np.linspace(0, strongest, 41), counts
        )
        if i % 10 == 4:
            failure = Failure(
                feature,
                "sample",
                Reason.TOO_FEW_EXAMPLES,
                "7 contexts in the train split, 20 wanted",
            )
            return FeaturePage(
                feature,
                statistics,
                failures=(failure,),
                examples=self._examples(feature, strongest, rng),
            )
        quality = float(rng.beta(3, 1.6))
        explanations = [
            Explanation(
                feature,
                TEXTS[i % len(TEXTS)],
                "rule",
                'token in {" ValueError", " TypeError"} and before(2, " raise")',
            )
        ]
        if self.both:
            explanations.append(
                Explanation(
                    feature,
                    "Names of exceptions that are raised in library code.",
                    "max_activating",
                )
            )
        return FeaturePage(
            feature,
            statistics,
            explanations=tuple(explanations),
            scores=tuple(
                s for s in scores(feature, quality, rng) if self.both or s.explained_by == "rule"
            ),
            examples=self._examples(feature, strongest, rng),
            mistakes=self._mistakes(strongest, rng),
            promoted_tokens=tuple((WORDS.split("|")[j], 2.4 - j * 0.2) for j in range(10)),
            suppressed_tokens=tuple((WORDS.split("|")[j + 12], -1.9 + j * 0.15) for j in range(10)),
            neighbours=tuple(
                (FeatureId(DICTIONARY, int(j)), 0.9 - k * 0.07)
                for k, j in enumerate((i + 3 + np.arange(8) * 5) % (self.number + 2))
            ),
            effects=effects(feature),
        )

    def _examples(self, feature: FeatureId, strongest: float, rng: np.random.Generator) -> Examples:
        top_token = int(rng.integers(0, 12))
        return Examples(
            feature,
            train=contexts(rng, 60, top_token, strongest, 0),
            held_out=contexts(rng, 50, top_token, strongest * 0.95, 1),
            inactive_train=contexts(rng, 40, top_token, 0.0, 0),
            inactive_held_out=contexts(rng, 50, top_token, 0.0, 1),
            strongest=strongest,
            share_train=0.01,
            share_held_out=0.01,
        )

    def _mistakes(self, strongest: float, rng: np.random.Generator) -> tuple[MistakenContexts, ...]:
        alarms = contexts(rng, 6, 3, 0.0, 1)
        predicted = np.zeros((6, WIDTH), np.float32)
        predicted[np.arange(6), rng.integers(4, 28, 6)] = strongest / 2
        missed = contexts(rng, 6, 4, strongest / 2, 1)
        return (
            MistakenContexts(MistakeKind.FALSE_POSITIVE, "rule", alarms, predicted, 143),
            MistakenContexts(
                MistakeKind.FALSE_NEGATIVE, "rule", missed, np.zeros((6, WIDTH), np.float32), 61
            ),
        )
